// Command standalone is what `make run` runs: the whole product as local
// processes on embedded stores, with no Docker and no cluster.
//
// It compiles the four programs, gives them fresh keys, a routes file and one
// user with a random password in a temporary folder, starts them on free
// loopback ports with the sidecar on the port that was asked for, signs in
// through it once to see that everything answers, and prints the address.
// However it ends, its children end first and the folder is gone.
//
// It knows the programs by their command lines and settings alone.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

const usage = `usage: standalone [flags]

Runs the whole product as local processes on embedded stores. When everything
answers it prints "ready http://localhost:PORT" on standard output, then how to
sign in. What the programs log goes to standard error. Ctrl-C ends all of it.

Flags:
`

func main() { os.Exit(exitCode()) }

func exitCode() int {
	// The kernel ends a child when the thread that started it ends (see
	// process_linux.go): start them all from the one that ends last.
	runtime.LockOSThread()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C does not ask

	opts, err := parse(os.Args[1:], os.Stderr)
	if err == nil {
		err = run(ctx, opts, os.Stdout, os.Stderr)
	}
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0
	}
	_, _ = fmt.Fprintln(os.Stderr, "standalone:", err)
	return 1
}

// options are the flags.
type options struct {
	root      string
	port      int
	accessTTL time.Duration
	logLevel  string
	race      bool
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("standalone", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		_, _ = io.WriteString(stderr, usage)
		flags.PrintDefaults()
	}
	flags.StringVar(&o.root, "root", ".", "the project's top folder")
	flags.IntVar(&o.port, "port", 8080, "the port of the sidecar, which is the product's door; 0 takes a free one")
	flags.DurationVar(&o.accessTTL, "access-ttl", 5*time.Minute, "life of an access token; short, to watch the refresh")
	flags.StringVar(&o.logLevel, "log-level", "info", "what the programs log: debug, info, warn or error")
	flags.BoolVar(&o.race, "race", false, "compile the programs with the race detector; one that finds a race ends")
	err := flags.Parse(args)
	if err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	o.root, err = filepath.Abs(o.root)
	return o, err
}

func run(ctx context.Context, o options, stdout, stderr io.Writer) (err error) {
	ports, err := choosePorts(ctx, o.port)
	if err != nil {
		return err
	}
	programs, err := build(ctx, o, stderr)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "lilypad-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	p := plan{options: o, dir: dir, ports: ports, programs: programs}
	guest, err := p.prepare(ctx)
	if err != nil {
		return err
	}
	children := newGroup(stderr)
	defer children.stop()
	for _, c := range p.commands() {
		if err := children.start(c); err != nil {
			return err
		}
	}
	v := visit{door: local(ports.sidecar), guest: guest}
	for _, step := range []func(context.Context) error{p.answers, v.signIn, v.look, v.signOut} {
		if err := children.await(ctx, step); err != nil {
			return ended(ctx, err)
		}
	}
	_, err = fmt.Fprintf(stdout, "ready http://localhost:%d\nsign in as %s with the password %s\n", ports.sidecar, guest.Email, guest.Password)
	if err != nil {
		return err
	}
	return ended(ctx, children.wait(ctx))
}

// ended is err, unless the user ended it all: that is no fault.
func ended(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}

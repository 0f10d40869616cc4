// Command standalone is what `make run` runs: the whole product as local
// processes on embedded stores, with no Docker and no cluster.
//
// It compiles the four programs, gives them fresh keys, a routes file and one
// user with a random password in a temporary folder, starts them on free
// loopback ports with the sidecar on the port that was asked for, signs in
// through it once to see that everything answers, and prints the address.
// However it ends, its children end first and the folder is gone.
//
// With --app or --routes the sample app stays away, and the sidecar stands
// before an app that somebody else runs.
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

With --app or --routes it stands before your own app, which may start later. The
auth service then listens on the port after the sidecar's, so that the app can
know where its tokens' keys are.

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
	app       string
	routes    string
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
	flags.StringVar(&o.app, "app", "", "the address of your own app: everybody passes, and who is signed in with a token")
	flags.StringVar(&o.routes, "routes", "", "your own policy file, which names the addresses of your apps")
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
	if o.app != "" && o.routes != "" {
		return o, errors.New("--app and --routes exclude each other: a policy file names its apps itself")
	}
	o.root, err = filepath.Abs(o.root)
	return o, err
}

// sample reports whether the sample app runs, and not somebody's own.
func (o options) sample() bool { return o.app == "" && o.routes == "" }

func run(ctx context.Context, o options, stdout, stderr io.Writer) (err error) {
	ports, err := choosePorts(ctx, o)
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
	commands := p.commands()
	for _, c := range commands {
		if err := children.start(c); err != nil {
			return err
		}
	}
	for _, step := range p.steps(commands, guest) {
		if err := children.await(ctx, step); err != nil {
			return ended(ctx, err)
		}
	}
	if _, err = io.WriteString(stdout, p.welcome(guest)); err != nil {
		return err
	}
	return ended(ctx, children.wait(ctx))
}

// welcome is what a person, or their app, needs to know.
func (p plan) welcome(guest user) string {
	text := fmt.Sprintf("ready http://localhost:%d\nsign in as %s with the password %s\n", p.sidecar, guest.Email, guest.Password)
	if !p.sample() {
		text += fmt.Sprintf("your app verifies tokens of issuer %s for audience frontend\n", local(p.auth))
	}
	return text
}

// ended is err, unless the user ended it all: that is no fault.
func ended(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}

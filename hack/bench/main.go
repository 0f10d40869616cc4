// Command bench is what `make bench` runs: what the product costs, as ratios
// between programs that took turns on the same machine in the same minutes,
// and as CPU time per request, which load beside it hardly moves.
//
// It starts a private PostgreSQL and Redis, the real auth service and sidecars,
// and beside each of them something to compare with: a floor (floor.go) and
// other proxies (proxies.go). It speaks HTTP and Redis to them and imports
// nothing of theirs. It needs Linux: it reads /proc.
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
	"syscall"
	"time"

	"lilypad.example/hack/internal/debian"
)

const usage = `usage: bench [--root DIR] [--doc FILE] [--only PART] [--rounds N] [--seconds N] [--profile FILE]

Prints one figure a line: its name, then its value.

Flags:
`

type options struct {
	root, doc, only, profile string
	rounds, seconds          int
}

func (o options) span() time.Duration { return time.Duration(o.seconds) * time.Second }

func main() { os.Exit(exitCode()) }

func exitCode() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	switch args := os.Args[1:]; {
	case len(args) == 2 && args[0] == "floor":
		err = serveFloor(ctx, args[1], os.Getenv(redisVariable))
	case len(args) == 3 && args[0] == "httputil":
		err = serveProxy(ctx, args[1], args[2])
	case len(args) > 2 && args[0] == "pod":
		err = become(args[1], args[2:])
	default:
		err = run(ctx, args, os.Stdout, os.Stderr)
	}
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0
	}
	_, _ = fmt.Fprintln(os.Stderr, "bench:", err)
	return 1
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		_, _ = fmt.Fprint(stderr, usage)
		flags.PrintDefaults()
	}
	flags.StringVar(&o.root, "root", ".", "the project's folder")
	flags.StringVar(&o.doc, "doc", "", "also write the page about it to this file")
	flags.StringVar(&o.only, "only", "", "measure only this: refresh (and the store), login, sidecar, bounds, revocation or reconcile")
	flags.IntVar(&o.rounds, "rounds", 3, "how often each program has its turn; the median counts")
	flags.IntVar(&o.seconds, "seconds", 5, "how long a turn is")
	flags.StringVar(&o.profile, "profile", "", "write a CPU profile of the auth service under refreshes to this file")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("unknown argument %q", flags.Arg(0))
	case o.rounds < 1 || o.seconds < 1:
		return o, errors.New("--rounds and --seconds must be 1 at least")
	case o.doc != "" && o.only != "":
		return o, errors.New("--doc wants the whole table: leave --only away")
	}
	var err error
	o.root, err = filepath.Abs(o.root)
	return o, err
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if err := debian.Provide(ctx, stderr, needs()); err != nil {
		return err
	}
	l, err := openLab(ctx, o.root, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	if err := build(ctx, o.root, stderr); err != nil {
		return err
	}
	if err := l.startStores(ctx); err != nil {
		return err
	}
	found, err := measure(ctx, l, o)
	if err != nil {
		return err
	}
	if err := found.print(stdout); err != nil || o.doc == "" {
		return err
	}
	return writePage(ctx, o.doc, found)
}

// sessionCount is how many sessions there are, each of a user of its own.
const sessionCount = 200

// measure goes through the parts in turn. The sessions are the same throughout:
// each of them costs a password hash to make.
func measure(ctx context.Context, l *lab, o options) (*figures, error) {
	wants := func(part string) bool { return o.only == "" || o.only == part }
	found := new(figures)
	if o.only == "bounds" { // which need no session
		return found, measureBounds(ctx, l, o, found)
	}
	eager, err := l.startAuth(ctx, "auth-eager", map[string]string{"MIN_ROTATION_INTERVAL": "0s"}, true)
	if err != nil {
		return nil, err
	}
	l.say("registering %d users", sessionCount)
	sessions, err := l.register(ctx, eager.address, sessionCount)
	if err != nil {
		return nil, err
	}
	if wants("refresh") {
		if err := measureRefresh(ctx, l, o, eager, sessions[:loadSessions], found); err != nil {
			return nil, fmt.Errorf("refresh: %w", err)
		}
	}
	eager.Stop(syscall.SIGINT)
	auth, err := l.startAuth(ctx, "auth", nil, false)
	if err != nil {
		return nil, err
	}
	if wants("login") {
		if err := measureLogin(ctx, l, o, auth, sessions, found); err != nil {
			return nil, fmt.Errorf("login: %w", err)
		}
	}
	upstream, err := l.startUpstream(ctx)
	if err != nil {
		return nil, err
	}
	if wants("sidecar") { // before all its sessions are ended
		if err := measureProxies(ctx, l, o, auth.address, upstream, sessions[0], found); err != nil {
			return nil, fmt.Errorf("sidecar: %w", err)
		}
	}
	if wants("bounds") {
		if err := measureBounds(ctx, l, o, found); err != nil {
			return nil, fmt.Errorf("bounds: %w", err)
		}
	}
	if wants("revocation") {
		if err := measureRevocation(ctx, l, auth.address, upstream, sessions[1:], found); err != nil {
			return nil, fmt.Errorf("revocation: %w", err)
		}
	}
	if wants("reconcile") { // last, since all that history stays
		if err := measureReconcile(ctx, l, o, found); err != nil {
			return nil, fmt.Errorf("reconcile: %w", err)
		}
	}
	return found, nil
}

// Command bench measures performance, for `make bench`: as ratios between programs that take turns
// on the same machine, and as CPU time per request, which other load affects little.
//
// It starts a private PostgreSQL and Redis, the auth service and sidecars, and programs to compare
// them with: a minimal refresh server (floor.go) and other proxies (proxies.go). It needs Linux,
// because it reads /proc.
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

Measure performance and print one figure per line: its name and its value.

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
	flags.StringVar(&o.root, "root", ".", "root folder of the project")
	flags.StringVar(&o.doc, "doc", "", "also write the report to this file")
	flags.StringVar(&o.only, "only", "", "measure one part only: refresh (and the store), login, sidecar, bounds, revocation or reconcile")
	flags.IntVar(&o.rounds, "rounds", 3, "number of turns of each program; the median counts")
	flags.IntVar(&o.seconds, "seconds", 5, "length of a turn")
	flags.StringVar(&o.profile, "profile", "", "write a CPU profile of the auth service under refreshes to this file")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("unknown argument %q", flags.Arg(0))
	case o.rounds < 1 || o.seconds < 1:
		return o, errors.New("--rounds and --seconds must be at least 1")
	case o.doc != "" && o.only != "":
		return o, errors.New("--doc needs all parts: omit --only")
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

// sessionCount is the number of sessions, each of a different user.
const sessionCount = 200

// measure measures the parts in turn, with the same sessions: creating one costs a password hash.
func measure(ctx context.Context, l *lab, o options) (*figures, error) {
	wants := func(part string) bool { return o.only == "" || o.only == part }
	found := new(figures)
	if o.only == "bounds" { // needs no session
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
	if wants("sidecar") { // before revocation ends the sessions
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
	if wants("reconcile") { // last, because its rows remain
		if err := measureReconcile(ctx, l, o, found); err != nil {
			return nil, fmt.Errorf("reconcile: %w", err)
		}
	}
	return found, nil
}

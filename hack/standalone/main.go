// Command standalone runs everything as local processes with embedded stores, for `make run`: no
// Docker, no cluster.
//
// It compiles the four programs and a demonstration identity provider, generates keys, a policy
// file and an account with a random password in a temporary folder, starts the programs on free
// loopback ports, signs in once through the sidecar, and prints the address. When it ends, it ends
// the programs and removes the folder.
//
// With --app or --routes it does not start the sample app: the sidecar is the proxy of an app that
// the user runs. Visitors sign in on the pages that the auth service renders, unless --login names a
// page of the app.
//
// It uses the programs through their command lines and settings only.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const usage = `usage: standalone [flags]

Run everything as local processes with embedded stores. When everything is
ready, print "ready http://localhost:PORT" and an account on standard output.
The log of the programs goes to standard error. Ctrl-C ends everything.

With --app or --routes, run the sidecar in front of your own app, which may start
later. The auth service then listens on the port after the sidecar's, so that the
app can be configured with the URL of the JWKS.

Flags:
`

func main() { os.Exit(exitCode()) }

func exitCode() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once

	opts, err := parse(os.Args[1:], os.Stderr)
	if err == nil {
		err = run(ctx, opts, os.Stdout, os.Stderr)
	}
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0
	}
	_, _ = fmt.Fprintln(os.Stderr, "make run:", err)
	return 1
}

// options are the flags.
type options struct {
	root      string
	port      int
	app       string
	routes    string
	login     string
	register  string
	providers string
	accessTTL time.Duration
	logLevel  string
	race      bool
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("standalone", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // the caller prints the error
	flags.StringVar(&o.root, "root", ".", "root folder of the project")
	port := flags.String("port", "8080", "port of the sidecar; 0 for any free port")
	accessTTL := flags.String("access-ttl", "5m", "lifetime of access tokens")
	flags.StringVar(&o.app, "app", "", "URL of your own app; the sidecar forwards the requests of signed-in users to it, with a token")
	flags.StringVar(&o.routes, "routes", "", "your own policy file")
	flags.StringVar(&o.login, "login", "", "path of the login page, if your own app has one")
	flags.StringVar(&o.register, "register", "", "path of the registration page, if your own app has one")
	flags.StringVar(&o.providers, "providers", "", "your own file of identity providers, instead of the demonstration provider")
	flags.StringVar(&o.logLevel, "log-level", "info", "log level of the programs: debug, info, warn or error")
	flags.BoolVar(&o.race, "race", false, "compile the programs with the race detector; a program exits at its first data race")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			_, _ = io.WriteString(stderr, usage)
			flags.SetOutput(stderr)
			flags.PrintDefaults()
		}
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	number, err1 := strconv.ParseUint(*port, 10, 16)
	if err1 != nil {
		err1 = fmt.Errorf("PORT=%s is not a port (1 to 65535)", *port)
	}
	o.port = int(number)
	var err2, err3 error
	if o.accessTTL, err2 = time.ParseDuration(*accessTTL); err2 != nil {
		err2 = fmt.Errorf("ACCESS_TTL=%s is not a duration, for example 10s", *accessTTL)
	}
	switch {
	case o.app != "" && o.routes != "":
		err3 = errors.New("set either APP or ROUTES: a policy file names its own upstreams")
	case o.app != "" && !isApp(o.app):
		err3 = fmt.Errorf("APP=%s is not the URL of an app, for example http://127.0.0.1:3000", o.app)
	case !o.sample() && o.port == maxPort:
		err3 = fmt.Errorf("PORT=%d leaves no port for the auth service, which uses the next one: choose a lower port", o.port)
	}
	root, err4 := filepath.Abs(o.root)
	o.root = root
	return o, oneLine(err1, err2, err3, err4)
}

const maxPort = 65535

// oneLine joins the messages of errors into one line, or returns nil if there are none.
func oneLine(errs ...error) error {
	var said []string
	for _, err := range errs {
		if err != nil {
			said = append(said, err.Error())
		}
	}
	if len(said) == 0 {
		return nil
	}
	return errors.New(strings.Join(said, "; "))
}

// isApp reports whether the sidecar accepts address as an upstream.
func isApp(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return false
	}
	_, err = strconv.ParseUint(cmp.Or(u.Port(), "80"), 10, 16)
	return err == nil && hostName.MatchString(u.Hostname())
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9._:-]+$`) // a name or an IP address

// sample reports whether the sample app runs, and not the user's own.
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
	if err := p.checkRoutes(ctx); err != nil {
		return err
	}
	children := newGroup(stderr)
	defer children.stop()
	commands := p.commands()
	for _, c := range commands {
		if err := children.start(ctx, c); err != nil {
			return err
		}
	}
	for _, step := range p.steps(commands, guest) {
		if err := children.await(ctx, step); err != nil {
			return ended(ctx, err)
		}
	}
	children.settle(ctx)
	_, _ = io.WriteString(stderr, "\n")
	if _, err = io.WriteString(stdout, p.welcome(guest)); err != nil {
		return err
	}
	return ended(ctx, children.wait(ctx))
}

// welcome returns the lines for standard output: the address, the account, and the claims that an
// app must verify.
func (p plan) welcome(guest user) string {
	text := fmt.Sprintf("ready http://localhost:%d\nsign in as %s with the password %s\n", p.sidecar, guest.Email, guest.Password)
	if p.providers == "" {
		text += fmt.Sprintf("or with the demonstration provider, as Ada, Bo or Cy, at http://localhost:%d/auth/login (end or disable them at %s)\n", p.sidecar, local(p.idp))
	}
	if !p.sample() {
		text += fmt.Sprintf("your app verifies tokens of issuer %s for audience frontend\n", local(p.auth))
	}
	if login, _ := p.ownPages(); login == "" {
		text += fmt.Sprintf("account and sign-out: http://localhost:%d/auth/account\n", p.sidecar)
	}
	return text
}

// ended returns err, or nil if the user ended the program.
func ended(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}

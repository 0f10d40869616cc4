// Command sidecar stands in front of a web application in its pod: the browser
// holds one cookie, the application receives a fresh bearer token.
//
//	sidecar serve                      runs it; `sidecar serve --help` lists every setting
//	sidecar check FILE                 says whether a policy file is good, and where it depends on spelling
//	sidecar check FILE METHOD TARGET   and what a request gets, and why
//	sidecar stop                       tells the sidecar of this container to end, for a preStop hook
//
// Every setting is a flag and an environment variable LILYPAD_… of the same
// name. The policy is a YAML file (LILYPAD_ROUTES_FILE):
//
//	upstreams:
//	  app: http://127.0.0.1:8081
//	routes:
//	  - {path: /login, upstream: app, policy: public}
//	  - {prefix: /account, upstream: app, policy: session}
//	  - {prefix: /, upstream: app, policy: optional}
//
// The most specific route counts: an exact path before a prefix, a longer
// prefix before a shorter one. A path that a server may take for another one,
// such as /Account/ for /account, is judged by the strictest route that it may
// be for. The policies are public (no session is looked up), optional (a token
// for who is signed in), session (only who is signed in) and role:NAME. A
// changed file counts without a restart, a bad one changes nothing.
// docs/policy.md has the whole of it.
//
// What a client can take is bounded, and each bound is a setting: memory and
// connections (503 beyond), the size, number and time of header fields (431,
// 408), the size, pace and time of bodies (413, 408), the time between requests
// and the time to read an answer; so is the time that an upstream has for its
// answer (504), and how many requests it has at a time (503). Overload is refused
// at the browser's port; the operations port has nothing to do with it.
//
// When memory runs out, the connections that have waited longest for their
// clients are closed, and strangers get 503 sooner than signed-in users. The
// bound is half of GOMEMLIMIT, or of the container's limit.
//
// On SIGTERM it goes on accepting for LILYPAD_SHUTDOWN_DELAY, not ready; in the
// second half each answer closes its connection. Then it stops accepting, and
// requests in flight have LILYPAD_DRAIN to finish.
package main

import (
	"context"
	"os"

	"lilypad.example/services/pkg/config"
	"lilypad.example/services/pkg/log"
	"lilypad.example/sidecar/internal/app"
)

type cli struct {
	Serve serve `cmd:"" help:"Run the sidecar."`
	Check check `cmd:"" help:"Check a policy file, and show which route applies to a request."`
	Stop  stop  `cmd:"" help:"Send SIGTERM to the sidecar of this container (for a preStop hook)."`
}

type serve struct{ app.Config }

// Run serves until ctx ends.
func (s *serve) Run(ctx context.Context, p config.Program) error {
	lines := log.NewBuffer(p.Stderr)
	defer lines.Flush()
	accessLog, err := s.Logger(lines)
	if err != nil {
		return err
	}
	logger, err := s.Logger(lines.Unbuffered())
	if err != nil {
		return err
	}
	s.LimitMemory()
	a, err := app.New(ctx, &s.Config, logger, accessLog)
	if err != nil {
		return err
	}
	return a.Run(ctx)
}

func main() {
	os.Exit(config.Main(new(cli), "sidecar", "Lilypad's sidecar: ends cookies, injects bearer tokens."))
}

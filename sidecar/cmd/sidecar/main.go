// Command sidecar is a reverse proxy in front of a web application in its pod: the
// browser holds one cookie, the application receives a fresh bearer token.
//
//	sidecar serve                      run it; sidecar serve --help lists all settings
//	sidecar check FILE                 check a policy file
//	sidecar check FILE METHOD TARGET   show which route applies to a request, and why
//	sidecar stop                       send SIGTERM to the sidecar of this container (preStop hook)
//
// Every setting is a flag and an environment variable LILYPAD_… of the same name. The
// policy is a YAML file (LILYPAD_ROUTES_FILE):
//
//	upstreams:
//	  app: http://127.0.0.1:8081
//	routes:
//	  - {path: /login, upstream: app, policy: public}
//	  - {prefix: /account, upstream: app, policy: session}
//	  - {prefix: /, upstream: app, policy: optional}
//
// The most specific route applies: an exact path before a prefix, a longer prefix
// before a shorter one. If servers may interpret a path in several ways, such as
// /Account/ as /account, the strictest of their routes applies. The policies are
// public (no session is looked up), optional (a token for signed-in users), session
// (signed-in users only) and role:NAME. The file is reloaded when it changes; an
// invalid file changes nothing. See docs/policy.md.
//
// Settings limit what clients can use: memory and connections (503), the size, number
// and time of header fields (431, 408), the size, rate and time of bodies (413, 408),
// the time between requests and the time to read a response; also the time until an
// upstream's response (504) and its number of concurrent requests (503). Overload does
// not affect the operations port.
//
// When memory runs out, the slowest connections are closed, and strangers get 503
// before signed-in users do. The default limit is half of GOMEMLIMIT or of the
// container's limit.
//
// On SIGTERM it is not ready any more, but accepts connections for
// LILYPAD_SHUTDOWN_DELAY; in the second half of that, responses carry Connection:
// close. Then it stops accepting, and requests in flight have LILYPAD_DRAIN to finish.
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
	os.Exit(config.Main(new(cli), "sidecar", "Reverse proxy that exchanges session cookies for bearer tokens."))
}

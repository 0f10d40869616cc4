package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"lilypad.example/services/pkg/httpserver"
	"lilypad.example/services/pkg/reload"
	"lilypad.example/services/pkg/revocation"
	"lilypad.example/sidecar/internal/authclient"
	"lilypad.example/sidecar/internal/cookie"
	"lilypad.example/sidecar/internal/endpoints"
	"lilypad.example/sidecar/internal/forward"
	"lilypad.example/sidecar/internal/http1"
	"lilypad.example/sidecar/internal/keptform"
	"lilypad.example/sidecar/internal/page"
	"lilypad.example/sidecar/internal/route"
	"lilypad.example/sidecar/internal/session"
	"lilypad.example/sidecar/internal/stream"
	"lilypad.example/sidecar/internal/visitor"
)

// App is a wired sidecar.
type App struct {
	log      *slog.Logger
	delay    time.Duration // between SIGTERM and the end of accepting connections
	drain    time.Duration
	sessions *session.Cache
	routing  *routing
	watchKey func(context.Context)
	doors    []door // the browser port first
	ops      *httpserver.Server
}

// door is a port that serves requests.
type door struct {
	name     string
	listener net.Listener
	server   doorman
}

// doorman is the server of a port.
type doorman interface {
	Serve(l net.Listener) error
	Drain() // asks clients to go, without refusing any
	Shutdown(ctx context.Context) error
}

// New reads the policy and the key, and listens. It reports all configuration errors
// at once. It does not call the auth service, so that a sidecar can start while that
// is down. ctx must last as long as the sidecar. Requests are logged to accessLog,
// everything else to log.
func New(ctx context.Context, c *Config, log, accessLog *slog.Logger) (*App, error) {
	trusted, err1 := c.trusted()
	assertion, watchKey, err2 := openAssertion(c, log)
	budget := http1.NewBudget(c.clientMemory())
	forwarder := forward.New(forward.Config{
		CookieNames: cookie.Names(), TrustedHops: c.TrustedHops, TrustedProxies: trusted, Scheme: c.PublicScheme, DropFields: c.DropHeaders,
		Budget: budget,
	})
	routing, err3 := openRouting(c.RoutesFile, c.LoginPath, c.HomePath, func(name string, u *route.Upstream) (*forward.Upstream, error) {
		cfg := forward.UpstreamConfig{
			Endpoints: u.Endpoints(), Owned: slices.Sorted(maps.Keys(u.Headers)), HeaderTimeout: c.HeaderTimeout, MaxExchanges: c.MaxUpstreamRequests,
		}
		if u.Secure() {
			own, err := openCertificates(name, u, log)
			if err != nil {
				return nil, err
			}
			cfg.TLS = own.Config
		}
		return forwarder.Upstream(cfg), nil
	})
	hosted, err4 := openHosted(c, forwarder)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, err
	}
	for _, p := range trusted {
		if wide(p) {
			log.WarnContext(ctx, "every host in this range of trusted proxies can forge the address of a client: list the addresses of the proxies, or set trusted hops and allow only the proxies to reach this port", "range", p.String())
		}
	}
	auth, err := authclient.New(strings.TrimRight(c.AuthURL, "/"), assertion, authclient.Transport(), time.Now)
	if err != nil {
		return nil, err
	}
	metrics := httpserver.NewRegistry()
	streams := stream.New[http1.Handle]()
	spread := newPropagation(metrics)
	feed := revocation.NewFollower(ctx, strings.TrimRight(c.AuthURL, "/")+"/v1/revocations", nil, func(r revocation.Event) {
		streams.End(r.SessionID)
		if !r.At.IsZero() {
			spread.Observe(time.Since(r.At).Seconds())
		}
	})
	sessions, err := session.NewCache(auth, feed, c.MaxSessions, time.Now)
	if err != nil {
		return nil, fmt.Errorf("session cache: %w", err)
	}
	pages := page.New(routing.look, c.LoginPath)
	forms := keptform.NewKeeper(auth)
	instruments := newInstruments(metrics, sessions, streams, feed, budget)
	visitors := visitor.NewFinder(sessions, instruments.countEnd)
	h := &handler{
		routing: routing, sessions: sessions, auth: auth, visitors: visitors, forwarder: forwarder,
		forms: forms, pages: pages, hosted: hosted, loginPath: c.LoginPath, log: log, accessLog: accessLog.Handler(), logs: c.AccessLog, logOneOf: c.AccessLogSample, maxBody: c.MaxBody, metrics: instruments,
		streams: streams, feed: feed,
		endpoints: &endpoints.Endpoints{
			Auth: auth, Sessions: sessions, Visitors: visitors, Forms: forms, Pages: pages, Log: log, Now: time.Now,
			Paths:    endpoints.Paths{Login: c.LoginPath, Register: c.RegisterPath, Home: c.HomePath},
			Route:    routing.route,
			CountEnd: instruments.countEnd,
		},
	}
	routing.register(metrics)

	a := &App{log: log, delay: c.ShutdownDelay, drain: c.Drain, sessions: sessions, routing: routing, watchKey: watchKey}
	err = a.open(ctx, "browser", c.Listen, server(c, h, budget, h.handle))
	if err == nil && c.VerifyListen != "" {
		err = a.open(ctx, "verify", c.VerifyListen, server(c, h, budget, h.verify))
	}
	if err == nil && c.ExtAuthzListen != "" {
		err = a.open(ctx, "ext_authz", c.ExtAuthzListen, newExtAuthz(c, h, budget))
	}
	if err == nil {
		a.ops, err = httpserver.Listen("ops", c.OpsListen, httpserver.Ops(ctx, nil, metrics), log)
	}
	if err != nil {
		return nil, errors.Join(err, a.close())
	}
	return a, nil
}

// server returns an HTTP server that calls serve for each request.
func server(c *Config, h *handler, budget *http1.Budget, serve func(*http1.Exchange)) *http1.Server {
	return http1.New(http1.Config{
		Handler: serve, Ended: h.logExchange, Refused: h.refused, Panicked: h.panicked, Slow: h.slow,
		Budget: budget, MaxConns: c.MaxConnections, MaxConnsPerIP: c.MaxConnectionsPerAddress, BodyTotalTimeout: c.MaxBodyTime,
		MaxHeadBytes: c.MaxHeaderBytes, MaxFields: c.MaxHeaders, MinBodyRate: c.MinBodyRate,
		HeadTimeout: c.ReadHeaderTimeout, BodyTimeout: c.ReadBodyTimeout, WriteTimeout: c.WriteTimeout, IdleTimeout: c.IdleTimeout,
	})
}

// open starts listening at address for a server.
func (a *App) open(ctx context.Context, name, address string, s doorman) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listen for %s: %w", name, err)
	}
	a.doors = append(a.doors, door{name, listener, s})
	return nil
}

// close closes the listeners of an App that was never run.
func (a *App) close() error {
	faults := make([]error, 0, len(a.doors))
	for _, d := range a.doors {
		faults = append(faults, d.listener.Close())
	}
	return errors.Join(faults...)
}

// Run serves until ctx ends, and then drains. The operations port stays up until the
// other ports have drained.
func (a *App) Run(ctx context.Context) error {
	opsCtx, stopOps := context.WithCancel(context.WithoutCancel(ctx))
	defer stopOps()
	opsDone := make(chan error, 1)
	go func() { opsDone <- httpserver.Run(opsCtx, a.log, time.Second, a.ops) }()

	go a.sessions.Run(opsCtx)
	go a.routing.watch(opsCtx, a.log)
	go a.watchKey(opsCtx)
	go limitGarbage(opsCtx)

	served := make(chan error, len(a.doors))
	for _, d := range a.doors {
		a.log.InfoContext(ctx, "listening", "server", d.name, "address", d.listener.Addr().String())
		go func() { served <- d.server.Serve(d.listener) }()
	}
	select {
	case err := <-served:
		return err
	case err := <-opsDone:
		return errors.Join(err, a.shutdown(opsCtx))
	case <-ctx.Done():
	}
	a.announce(opsCtx)
	a.log.InfoContext(ctx, "draining", "limit", a.drain.String())
	drainCtx, cancel := context.WithTimeout(opsCtx, a.drain)
	defer cancel()
	err := a.shutdown(drainCtx)
	stopOps()
	return errors.Join(err, <-opsDone)
}

// announce gives load balancers time to notice that this process is not ready any
// more. It goes on serving for the shutdown delay; in the second half of it, responses
// carry Connection: close.
func (a *App) announce(ctx context.Context) {
	a.log.InfoContext(ctx, "ending", "accepting_for", a.delay.String())
	<-time.After(a.delay / 2)
	for _, d := range a.doors {
		d.server.Drain()
	}
	<-time.After(a.delay - a.delay/2)
}

// shutdown stops all servers, and waits for requests in flight until ctx ends.
func (a *App) shutdown(ctx context.Context) error {
	faults := make([]error, 0, len(a.doors))
	for _, d := range a.doors {
		faults = append(faults, d.server.Shutdown(ctx))
	}
	return errors.Join(faults...)
}

// openAssertion returns the source of client assertions, and a function that keeps
// it up to date until its context ends.
func openAssertion(c *Config, log *slog.Logger) (authclient.Assertion, func(context.Context), error) {
	if c.ClientAssertionFile != "" {
		return authclient.FileAssertion(c.ClientAssertionFile, time.Now), func(context.Context) {}, nil
	}
	key, err := reload.Open(c.ClientKeyFile, func(text []byte) (authclient.Assertion, error) {
		return authclient.KeyAssertion(c.ClientID, c.issuer(), text, time.Now)
	})
	if err != nil {
		return nil, nil, err
	}
	return currentKey{key}, func(ctx context.Context) {
		key.Watch(ctx, func(err error) {
			if err != nil {
				log.Error("client key not reloaded, keeping the old one", "error", err)
				return
			}
			log.Info("client key reloaded")
		})
	}, nil
}

// currentKey signs with the key that is in the file now.
type currentKey struct {
	*reload.File[authclient.Assertion]
}

// Assertion implements authclient.Assertion.
func (k currentKey) Assertion() (string, error) { return k.Current().Assertion() }

// Addr returns the address of the browser port.
func (a *App) Addr() net.Addr { return a.doors[0].listener.Addr() }

// VerifyAddr returns the address of the verify port, or nil if there is none.
func (a *App) VerifyAddr() net.Addr { return a.addr("verify") }

// ExtAuthzAddr returns the address of the ext_authz port, or nil if there is none.
func (a *App) ExtAuthzAddr() net.Addr { return a.addr("ext_authz") }

func (a *App) addr(name string) net.Addr {
	for _, d := range a.doors {
		if d.name == name {
			return d.listener.Addr()
		}
	}
	return nil
}

// OpsAddr returns the address of the operations port.
func (a *App) OpsAddr() net.Addr { return a.ops.Addr() }

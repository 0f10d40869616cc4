package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/pkg/httpserver"
	"lilypad.example/services/pkg/reload"
	"lilypad.example/services/pkg/revocation"
	"lilypad.example/sidecar/internal/authclient"
	"lilypad.example/sidecar/internal/cookie"
	"lilypad.example/sidecar/internal/endpoints"
	"lilypad.example/sidecar/internal/form"
	"lilypad.example/sidecar/internal/forward"
	"lilypad.example/sidecar/internal/http1"
	"lilypad.example/sidecar/internal/page"
	"lilypad.example/sidecar/internal/session"
	"lilypad.example/sidecar/internal/stream"
)

// App is a wired sidecar.
type App struct {
	log      *slog.Logger
	delay    time.Duration // between SIGTERM and the end of accepting
	drain    time.Duration
	sessions *session.Cache
	routing  *routing
	watchKey func(context.Context)
	doors    []door // the browser's first
	ops      *httpserver.Server
}

// door is a port that requests come to.
type door struct {
	name     string
	listener net.Listener
	server   *http1.Server
}

// New reads the policy and the key, and listens. It reports everything that is
// wrong at once. It does not ask the auth service: a sidecar starts while that
// is away. ctx is the life of the sidecar. Requests are logged to accessLog,
// everything else to log.
func New(ctx context.Context, c *Config, log, accessLog *slog.Logger) (*App, error) {
	trusted, err1 := c.trusted()
	assertion, watchKey, err2 := openAssertion(c, log)
	budget := http1.NewBudget(c.clientMemory())
	forwarder := forward.New(forward.Config{
		CookieNames: cookie.Names(), TrustedHops: c.TrustedHops, TrustedProxies: trusted, Scheme: c.PublicScheme, DropFields: c.DropHeaders,
		Budget: budget,
	})
	routing, err3 := openRouting(c.RoutesFile, c.LoginPath, func(_, address string) *forward.Upstream {
		return forwarder.Upstream(forward.UpstreamConfig{
			Address: address, HeaderTimeout: c.HeaderTimeout, MaxExchanges: c.MaxUpstreamRequests,
		})
	})
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	for _, p := range trusted {
		if wide(p) {
			log.WarnContext(ctx, "every host in this range of trusted proxies can forge the address of a client: name the proxies' own addresses, or set trusted hops and admit nobody but the proxies to this port", "range", p.String())
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
	pages, err := page.New(c.HomePath, c.LoginPath)
	if err != nil {
		return nil, fmt.Errorf("pages: %w", err)
	}
	forms := form.NewKeeper(auth)
	instruments := newInstruments(metrics, sessions, streams, feed, budget)
	h := &handler{
		routing: routing, sessions: sessions, forwarder: forwarder,
		forms: forms, pages: pages, loginPath: c.LoginPath, log: log, accessLog: accessLog.Handler(), logs: c.AccessLog, logOneOf: c.AccessLogSample, maxBody: c.MaxBody, metrics: instruments,
		streams: streams, feed: feed,
		endpoints: &endpoints.Endpoints{
			Auth: auth, Sessions: sessions, Forms: forms, Pages: pages, Log: log, Now: time.Now,
			Paths: endpoints.Paths{Login: c.LoginPath, Register: c.RegisterPath, Home: c.HomePath},
			Ended: instruments.ended,
		},
	}
	routing.register(metrics)

	a := &App{log: log, delay: c.ShutdownDelay, drain: c.Drain, sessions: sessions, routing: routing, watchKey: watchKey}
	err = a.open(ctx, "browser", c.Listen, server(c, h, budget, h.handle))
	if err == nil && c.VerifyListen != "" {
		err = a.open(ctx, "verify", c.VerifyListen, server(c, h, budget, h.verify))
	}
	if err == nil {
		a.ops, err = httpserver.Listen("ops", c.OpsListen, httpserver.Ops(ctx, nil, metrics), log)
	}
	if err != nil {
		return nil, errors.Join(err, a.close())
	}
	return a, nil
}

// server returns an HTTP server whose requests serve answers.
func server(c *Config, h *handler, budget *http1.Budget, serve func(*http1.Exchange)) *http1.Server {
	return http1.New(http1.Config{
		Handler: serve, Ended: h.ended, Refused: h.refused, Panicked: h.panicked, Slow: h.slow,
		Budget: budget, MaxConns: c.MaxConnections, MaxConnsPerIP: c.MaxConnectionsPerAddress, BodyTotalTimeout: c.MaxBodyTime,
		MaxHeadBytes: c.MaxHeaderBytes, MaxFields: c.MaxHeaders, MinBodyRate: c.MinBodyRate,
		HeadTimeout: c.ReadHeaderTimeout, BodyTimeout: c.ReadBodyTimeout, WriteTimeout: c.WriteTimeout, IdleTimeout: c.IdleTimeout,
	})
}

// open listens at address for a server.
func (a *App) open(ctx context.Context, name, address string, s *http1.Server) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listen for %s: %w", name, err)
	}
	a.doors = append(a.doors, door{name, listener, s})
	return nil
}

// close closes what open opened, of an App that was never run.
func (a *App) close() error {
	faults := make([]error, 0, len(a.doors))
	for _, d := range a.doors {
		faults = append(faults, d.listener.Close())
	}
	return errors.Join(faults...)
}

// Run serves until ctx ends, and drains: the doors first, the ops port, through
// which that can be watched, after them.
func (a *App) Run(ctx context.Context) error {
	opsCtx, stopOps := context.WithCancel(context.WithoutCancel(ctx))
	defer stopOps()
	opsDone := make(chan error, 1)
	go func() { opsDone <- httpserver.Run(opsCtx, a.log, time.Second, a.ops) }()

	go a.sessions.Run(opsCtx)
	go a.routing.watch(opsCtx, a.log)
	go a.watchKey(opsCtx)

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

// announce gives everybody in front the time to learn that this process ends:
// for half of the delay all goes on as it was, but for readiness; for the other
// half answers end their connections.
func (a *App) announce(ctx context.Context) {
	a.log.InfoContext(ctx, "ending", "accepting_for", a.delay.String())
	<-time.After(a.delay / 2)
	for _, d := range a.doors {
		d.server.Drain()
	}
	<-time.After(a.delay - a.delay/2)
}

// shutdown ends all doors, and waits for what is on its way until ctx ends.
func (a *App) shutdown(ctx context.Context) error {
	faults := make([]error, 0, len(a.doors))
	for _, d := range a.doors {
		faults = append(faults, d.server.Shutdown(ctx))
	}
	return errors.Join(faults...)
}

// openAssertion returns how we prove who we are, and what keeps it fresh until
// its context ends.
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
				log.Error("client key not reloaded: the old one stays", "error", err)
				return
			}
			log.Info("client key reloaded")
		})
	}, nil
}

// currentKey signs with the key that the file has now.
type currentKey struct {
	*reload.File[authclient.Assertion]
}

// Assertion implements authclient.Assertion.
func (k currentKey) Assertion() (string, error) { return k.Current().Assertion() }

// instruments are the metrics of the way of a request.
type instruments struct {
	requests *prometheus.CounterVec
	ends     *prometheus.CounterVec
	forms    *prometheus.CounterVec
	duration prometheus.Histogram

	mu       sync.RWMutex
	counters map[outcome]prometheus.Counter // of requests, looked up once each
}

// An outcome is what requests are counted by. There are few: statuses are of
// three digits and reasons are a closed list.
type outcome struct {
	status int
	reason http1.Reason
}

// count counts one request.
func (i *instruments) count(status int, reason http1.Reason) {
	o := outcome{status, reason}
	i.mu.RLock()
	counter := i.counters[o]
	i.mu.RUnlock()
	if counter == nil {
		counter = i.requests.WithLabelValues(strconv.Itoa(status), string(reason))
		i.mu.Lock()
		i.counters[o] = counter
		i.mu.Unlock()
	}
	counter.Inc()
}

func newInstruments(r *prometheus.Registry, sessions *session.Cache, streams *stream.Registry[http1.Handle], feed *revocation.Follower, budget *http1.Budget) *instruments {
	i := &instruments{
		counters: make(map[outcome]prometheus.Counter),
		ends: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "session_end_total", Help: "Cookies that were taken from a browser, by why.",
		}, []string{"reason"}),
		forms: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "forms_total", Help: "Forms that were posted after their session's end, by what became of them.",
		}, []string{"outcome"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "http_requests_total", Help: "Requests by status and, where one went wrong, reason.",
		}, []string{"status", "reason"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "http_request_duration_seconds", Help: "From the end of the request's head to the end of the answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}),
	}
	r.MustRegister(i.requests, i.ends, i.forms, i.duration, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "cached_sessions", Help: "Sessions in memory.",
	}, func() float64 { return float64(sessions.Len()) }), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "open_streams", Help: "Answers that are ended with their session.",
	}, func() float64 { return float64(streams.Len()) }), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "revocation_feed_silence_seconds", Help: "How long the revocation feed has not been heard; it beats every second.",
	}, func() float64 { return feed.Silence().Seconds() }), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "client_memory_bytes", Help: "Memory that connections and requests of clients hold, as reckoned.",
	}, func() float64 { return float64(budget.Used()) }), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "client_memory_limit_bytes", Help: "Memory that they may hold: close to it, those that wait longest for their clients are closed.",
	}, func() float64 { return float64(budget.Limit()) }))
	return i
}

// ended counts a cookie that is taken from a browser.
func (i *instruments) ended(reason api.EndReason) { i.ends.WithLabelValues(string(reason)).Inc() }

// newPropagation measures how long a revocation takes from the stream to here.
func newPropagation(r *prometheus.Registry) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "revocation_propagation_seconds", Help: "From the revocation stream to this sidecar, by their two clocks.",
		Buckets: []float64{.001, .005, .01, .05, .1, .25, .5, 1, 2.5, 5},
	})
	r.MustRegister(h)
	return h
}

// Addr returns the address that the browser's requests come to.
func (a *App) Addr() net.Addr { return a.doors[0].listener.Addr() }

// VerifyAddr returns the address that proxies ask at, if there is one.
func (a *App) VerifyAddr() net.Addr { return a.doors[len(a.doors)-1].listener.Addr() }

// OpsAddr returns where the operations port is.
func (a *App) OpsAddr() net.Addr { return a.ops.Addr() }

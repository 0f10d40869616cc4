package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	goredis "github.com/redis/go-redis/v9"

	"lilypad.example/services/auth/internal/audit"
	"lilypad.example/services/auth/internal/feed"
	"lilypad.example/services/auth/internal/httpapi"
	"lilypad.example/services/auth/internal/memory"
	"lilypad.example/services/auth/internal/pages"
	"lilypad.example/services/auth/internal/password"
	"lilypad.example/services/auth/internal/postgres"
	"lilypad.example/services/auth/internal/ratelimit"
	"lilypad.example/services/auth/internal/ratelimit/gcra"
	"lilypad.example/services/auth/internal/redis"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/auth/internal/signin"
	"lilypad.example/services/auth/internal/token"
	"lilypad.example/services/auth/internal/user"
	"lilypad.example/services/pkg/authn"
	"lilypad.example/services/pkg/dependency"
	"lilypad.example/services/pkg/httpmw"
	"lilypad.example/services/pkg/httpserver"
	"lilypad.example/services/pkg/storetls"
)

// ownAudience is the aud value of access tokens for this service's own endpoints, such as /v1/me.
const ownAudience = "auth"

// streamMargin is how much longer than the lifetime of an access token a revocation is kept. It
// exceeds the leeway of verifiers.
const streamMargin = time.Minute

// App is a wired auth service. Close it after Run.
type App struct {
	log     *slog.Logger
	drain   time.Duration
	servers []*httpserver.Server
	stores  *dependency.Set
	// Run runs these in the background.
	sessions  *session.Service
	feed      *feed.Feed
	keys      *keys
	clients   *clients
	federated *providers
	close     []func()
}

// New reads the keys and listens. It reports all faults at once, and closes what it opened if it
// fails. It does not wait for the stores; Run does. ctx must live as long as the service.
func New(ctx context.Context, c *Config, log *slog.Logger) (_ *App, err error) {
	a := &App{log: log, drain: c.Drain}
	defer func() {
		if err != nil {
			a.Close()
		}
	}()
	goredis.SetLogger(redisLog{log})

	trail, metrics := audit.New(log, time.Now), httpserver.NewRegistry()
	keys, err1 := openKeys(c, trail, log)
	stores, err2 := a.openStores(ctx, c)
	clients, err3 := openClients(c, redis.NewReplays(stores.redis), log)
	federated, err4 := openProviders(c.ProvidersFile, log)
	a.stores = dependency.New(log, metrics, stores.needed...)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, errors.Join(err, a.stores.Check(ctx)) // faults that Run would report next
	}
	hasher, err := password.NewHasher(password.Config{})
	if err != nil {
		return nil, err
	}
	limits, err := gcra.New(stores.redis, func() [][]byte { return keys.ring().Derive("ratelimit") }, ratelimit.DefaultRates())
	if err != nil {
		return nil, err
	}

	a.keys, a.clients, a.federated = keys, clients, federated
	families := redis.NewFamilies(stores.redis, session.Policy{Overlap: c.Overlap, MinInterval: c.MinRotationInterval, Idle: c.IdleTTL})
	stream := redis.NewStream(stores.redis, c.AccessTTL+streamMargin)
	if c.Store == "embedded" {
		families, stream = families.WithEpoch(redis.EmbeddedEpoch), stream.WithEpoch(redis.EmbeddedEpoch)
	}
	accounts := user.NewService(stores.users, hasher, time.Now)
	federation := signin.NewService(signin.Config{
		Providers: federated.current, Flows: redis.NewFlows(stores.redis), Users: accounts, Identities: stores.identities, Sessions: stores.providers,
		Replays: redis.NewReplays(stores.redis), Ring: keys.ring, Now: time.Now, Log: log,
	})
	a.sessions = session.NewService(session.Config{
		Store: families, Records: stores.records, Stream: stream, Ring: keys.ring, RingAsOf: keys.ringAsOf,
		MaxSessions: c.MaxSessions, Absolute: c.AbsoluteTTL, Idle: c.IdleTTL,
		Rebuild: c.RebuildSessions, Upstream: federation, Now: time.Now, Observer: newOutcomes(metrics, trail),
	})
	a.feed = feed.New(stream, c.AccessTTL+streamMargin)
	if err := seed(ctx, c.EmbeddedUsersFile, accounts); err != nil {
		return nil, err
	}
	main := http.NewServeMux()
	public, err := httpserver.Listen("api", c.Listen, main, log)
	if err != nil {
		return nil, err
	}
	// The service stays ready if a store fails later; see httpserver.Ops.
	ready := func() error { return cmp.Or(keys.ready(), a.stores.Reached()) }
	endpoints := &httpapi.API{
		Issuer:    c.Issuer,
		Users:     accounts,
		Signin:    federation,
		Passwords: c.Passwords, Registration: c.Registration,
		Sessions: a.sessions, Feed: a.feed, Stopping: ctx.Done(),
		Tokens:  token.NewIssuer(c.Issuer, append([]string{ownAudience}, c.Audiences...), c.AccessTTL, keys.signing, time.Now),
		Keys:    keys.signing,
		Clients: clients.auth,
		Limits:  limits,
		Forms:   redis.NewForms(stores.redis),
		// This service verifies access tokens like any other service, with the JWKS and the
		// revocation feed that it publishes.
		Verifier: authn.NewVerifier(ctx, authn.Config{
			JWKSURL: ownURL(public.Addr()) + "/.well-known/jwks.json", Issuer: c.Issuer, Audience: ownAudience, Revocations: a.feed,
		}),
		Audit: trail,
		Log:   log,
	}
	serve := httpmw.Gate(ready)(endpoints.Handler())
	main.Handle("/", serve)
	main.Handle(pages.Prefix+"backchannel-logout/", serve) // an endpoint among the pages: providers know it by the site's address
	hosted, err := pages.New(pages.Config{
		Methods: methods{c, federation}, Account: endpoints.Account(), Alive: endpoints.Alive, Problem: endpoints.Problem,
		Ready: ready, Verifier: endpoints.Verifier, Now: time.Now, Log: log,
	})
	if err != nil {
		return nil, err
	}
	main.Handle(pages.Prefix, hosted)

	ops, err := httpserver.Listen("ops", c.OpsListen, httpserver.Ops(ctx, ready, metrics), log)
	if err != nil {
		return nil, err
	}
	a.servers = []*httpserver.Server{public, ops}
	return a, nil
}

// methods are the ways to sign in.
type methods struct {
	settings   *Config
	federation *signin.Service
}

func (m methods) Passwords() bool    { return m.settings.Passwords }
func (m methods) Registration() bool { return m.settings.Passwords && m.settings.Registration }

func (m methods) Providers() (all []pages.Provider) {
	for _, p := range m.federation.List() {
		all = append(all, pages.Provider(p))
	}
	return all
}

// Run serves until ctx is canceled, then drains. Until the stores are reachable and migrated, the
// service is not ready and responds with 503. Run fails at once if a store reports an error that
// does not go away by waiting.
func (a *App) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var background sync.WaitGroup
	var hopeless error
	background.Go(func() { a.keys.run(ctx) })
	background.Go(func() { a.clients.run(ctx) })
	background.Go(func() { a.federated.run(ctx) })
	background.Go(func() {
		if hopeless = a.stores.Await(ctx); hopeless != nil {
			stop()
			return
		}
		background.Go(func() { a.sessions.Run(ctx, a.warn("sessions")) })
		background.Go(func() { a.feed.Run(ctx, a.warn("feed")) })
		a.stores.Watch(ctx)
	})
	err := httpserver.Run(ctx, a.log, a.drain, a.servers...)
	stop()
	background.Wait()
	return errors.Join(err, hopeless)
}

// warn returns a function that logs the failures of a worker, which retries.
func (a *App) warn(worker string) func(error) {
	return func(err error) {
		a.log.Warn("background work failed, and is tried again", "worker", worker, "error", err)
	}
}

// outcomes counts refreshes and ended sessions, and audits the latter.
type outcomes struct {
	refreshed, ended *prometheus.CounterVec
	trail            *audit.Log
}

func newOutcomes(r *prometheus.Registry, trail *audit.Log) *outcomes {
	o := &outcomes{
		trail: trail,
		refreshed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "refresh_total", Help: "Refresh tokens presented, by what that came to.",
		}, []string{"outcome"}),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "family_revoked_total", Help: "Sessions ended, by cause.",
		}, []string{"cause"}),
	}
	r.MustRegister(o.refreshed, o.ended)
	return o
}

// Refreshed implements session.Observer.
func (o *outcomes) Refreshed(outcome session.Outcome) {
	o.refreshed.WithLabelValues(string(outcome)).Inc()
}

// Ended implements session.Observer.
func (o *outcomes) Ended(r session.Record) {
	o.ended.WithLabelValues(string(r.Reason)).Inc()
	o.trail.Record(context.Background(), audit.SessionEnded,
		audit.Session(string(r.Family)), audit.Reason(r.Reason), audit.User(r.Subject), audit.Client(r.Client))
}

// Close closes what New opened, in reverse order.
func (a *App) Close() {
	for _, release := range slices.Backward(a.close) {
		release()
	}
}

// stores holds the clients of the stores, and the dependencies that must be reachable.
type stores struct {
	redis      goredis.UniversalClient
	users      user.Store
	records    session.Records
	identities signin.Identities
	providers  signin.ProviderSessions
	needed     []dependency.Dependency
}

// openStores creates the clients of the stores without connecting. Its errors are faults of the
// settings.
func (a *App) openStores(ctx context.Context, c *Config) (s stores, err error) {
	if c.Store == "embedded" {
		client, stop, err := redis.Embedded()
		if err != nil {
			return s, err
		}
		a.close = append(a.close, stop)
		users, sessions := memory.New()
		return stores{redis: client, users: users, records: sessions, identities: users, providers: sessions}, nil
	}
	client, err1 := openRedis(c.Stores)
	if err1 == nil {
		a.close = append(a.close, func() { _ = client.Close() })
		s.redis = client
		s.needed = append(s.needed, dependency.Dependency{
			Name: "redis", Away: session.ErrUnavailable,
			Check: func(ctx context.Context) error {
				return storetls.Explain(redis.Check(ctx, client), "LILYPAD_REDIS_CA_FILE")
			},
		})
	}
	url, err2 := c.postgresURL()
	if err2 != nil {
		return s, errors.Join(err1, err2)
	}
	store, err2 := postgres.New(ctx, url)
	if err2 == nil {
		a.close = append(a.close, store.Close)
		s.users, s.records = store, store.Sessions()
		s.identities, s.providers = store, store.Sessions()
		s.needed = append(s.needed, dependency.Dependency{
			Name: "postgres", Away: user.ErrUnavailable, Check: migrated(store, url),
		})
	}
	return s, errors.Join(err1, err2)
}

// migrated returns a check that migrates the schema once, and then checks that store accepts
// writes.
func migrated(store *postgres.Store, url string) func(context.Context) error {
	done := false
	return func(ctx context.Context) error {
		if !done {
			if err := postgres.Migrate(ctx, url); err != nil {
				return storetls.Explain(err, "LILYPAD_DATABASE_CA_FILE")
			}
			done = true
		}
		return store.Ping(ctx)
	}
}

func openRedis(s Stores) (goredis.UniversalClient, error) {
	roots, err := storetls.Roots(s.RedisCAFile)
	if err != nil {
		return nil, fmt.Errorf("LILYPAD_REDIS_CA_FILE: %w", err)
	}
	return redis.Open(s.RedisURL.Reveal(), roots)
}

// OpenPostgres migrates the schema and opens the store.
func OpenPostgres(ctx context.Context, s Stores) (*postgres.Store, error) {
	if err := s.Migrate(ctx); err != nil {
		return nil, err
	}
	url, err := s.postgresURL()
	if err != nil {
		return nil, err
	}
	return postgres.Open(ctx, url)
}

// Migrate migrates the Postgres schema.
func (s *Stores) Migrate(ctx context.Context) error {
	url, err := s.postgresURL()
	if err != nil {
		return err
	}
	if err := postgres.Migrate(ctx, url); err != nil {
		return fmt.Errorf("postgres: %w", storetls.Explain(err, "LILYPAD_DATABASE_CA_FILE"))
	}
	return nil
}

func (s *Stores) postgresURL() (string, error) {
	url, err := storetls.PostgresURL(s.DatabaseURL.Reveal(), s.DatabaseCAFile)
	if err != nil {
		return "", fmt.Errorf("LILYPAD_DATABASE_CA_FILE: %w", err)
	}
	return url, nil
}

// ChangeUser applies an operator's change to one account and audits it as event. When it returns,
// the database has the tombstones of the sessions that the change ended; the running service
// propagates them within two seconds.
func ChangeUser(ctx context.Context, s Stores, trail *audit.Log, event audit.Event, change func(*user.Service) (user.User, error)) error {
	store, err := OpenPostgres(ctx, s)
	if err != nil {
		return err
	}
	defer store.Close()
	u, err := change(user.NewService(store, nil, time.Now))
	if err != nil {
		return err
	}
	trail.Record(ctx, event, audit.User(u.ID))
	return nil
}

// InspectFamily returns the state of a session in Redis. It fails with session.ErrNotFound if there
// is none, or with the reason why Redis is unavailable.
func InspectFamily(ctx context.Context, s Stores, family session.FamilyID) (redis.Holding, error) {
	goredis.SetLogger(redisLog{slog.New(slog.DiscardHandler)}) // the error has the same details
	client, err := openRedis(s)
	if err != nil {
		return redis.Holding{}, err
	}
	defer func() { _ = client.Close() }()
	if err := redis.Check(ctx, client); err != nil {
		return redis.Holding{}, storetls.Explain(err, "LILYPAD_REDIS_CA_FILE")
	}
	return redis.NewFamilies(client, session.Policy{}).Inspect(ctx, family)
}

func readFile[T any](path string, parse func([]byte) (T, error)) (T, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		var none T
		return none, fmt.Errorf("read settings: %w", err)
	}
	v, err := parse(text)
	if err != nil {
		return v, fmt.Errorf("%s: %w", path, err)
	}
	return v, nil
}

// seed creates the accounts that are listed in a JSON file.
func seed(ctx context.Context, path string, accounts *user.Service) error {
	if path == "" {
		return nil
	}
	type account struct {
		Email    string   `json:"email"`
		Name     string   `json:"name"`
		Password string   `json:"password"`
		Roles    []string `json:"roles"`
	}
	all, err := readFile(path, func(text []byte) (all []account, err error) {
		err = json.Unmarshal(text, &all)
		return all, err
	})
	if err != nil {
		return err
	}
	for i, u := range all {
		if _, err := accounts.Register(ctx, u.Email, u.Name, u.Password, u.Roles...); err != nil {
			return fmt.Errorf("%s: account %d: %w", path, i+1, err)
		}
	}
	return nil
}

// ownURL returns the URL under which this process reaches its own listener at addr.
func ownURL(addr net.Addr) string {
	host, port, _ := net.SplitHostPort(addr.String()) // a listener's address is well-formed
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// redisLog logs the lines of go-redis at debug level. They are about connection attempts, whose
// errors the callers log.
type redisLog struct{ log *slog.Logger }

func (l redisLog) Printf(ctx context.Context, format string, v ...any) {
	l.log.DebugContext(ctx, "redis client", "message", fmt.Sprintf(format, v...))
}

// Addr returns the address of the API port.
func (a *App) Addr() net.Addr { return a.servers[0].Addr() }

// OpsAddr returns the address of the operations port.
func (a *App) OpsAddr() net.Addr { return a.servers[1].Addr() }

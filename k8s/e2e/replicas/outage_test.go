package replicas

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// outageEnv names the variable with the length of outages, such as 60s. The default is short.
const outageEnv = "LILYPAD_TEST_OUTAGE"

// outage returns the length of outages: several lifetimes of an access token.
func outage(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv(outageEnv)
	if text == "" {
		return 10 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("%s: %v", outageEnv, err)
	}
	return d
}

// shortLived: sessions are refreshed continuously, and access tokens expire soon.
var shortLived = settings{accessTTL: 2 * time.Second, minInterval: time.Second}

// patient accepts 200, and 503 with Retry-After that keeps the cookie. A visitor must never be
// asked to sign in.
func patient(a answer) error {
	if err := a.signedOut(); err != nil {
		return err
	}
	if isLater(a) {
		return nil
	}
	return check(a)
}

func isLater(a answer) bool {
	return a.err == nil && a.status == http.StatusServiceUnavailable && a.header.Get("Retry-After") != ""
}

// awaitLater waits until every sidecar answers 503 to every visitor.
func (c *crowd) awaitLater(t *testing.T, w *world) {
	t.Helper()
	for _, v := range c.visitors {
		for _, s := range w.sidecars {
			await(t, s.name+" to answer 503", func(ctx context.Context) error {
				a := v.do(ctx, s, http.MethodGet, "/", "")
				if err := a.signedOut(); err != nil {
					t.Fatal(err)
				}
				if !isLater(a) {
					return fmt.Errorf("%s", a)
				}
				return nil
			})
		}
	}
}

// awaitBack waits until every sidecar serves every visitor again, and logs the duration.
func (c *crowd) awaitBack(t *testing.T) {
	t.Helper()
	began := time.Now()
	for _, v := range c.visitors {
		v.wantOK(t)
	}
	took := time.Since(began)
	t.Logf("everybody is served by every sidecar %v after the outage", took.Round(time.Millisecond))
	if os.Getenv(outageEnv) != "" && took > 10*time.Second {
		t.Error("recovery took more than 10 s")
	}
}

// awaitUp waits until every auth service reports a store as reachable (1) or unreachable (0). Each
// must be ready in both cases.
func (w *world) awaitUp(t *testing.T, store string, up float64) {
	t.Helper()
	want := fmt.Sprintf("dependency_up{dependency=%q} %v\n", store, up)
	for _, p := range w.auth {
		await(t, fmt.Sprintf("%s to report %s as %v", p.name, store, up), func(ctx context.Context) error {
			text, err := p.ask(ctx, "/metrics")
			if err == nil && !strings.Contains(text, want) {
				err = fmt.Errorf("metrics lack %s", want)
			}
			return err
		})
		if err := p.wantsTraffic(t.Context()); err != nil {
			t.Errorf("%s is not ready with dependency_up of %s = %v: %v", p.name, store, up, err)
		}
	}
}

// wantNobodyOut checks that no session ended and no cookie was cleared.
func (w *world) wantNobodyOut(t *testing.T) {
	t.Helper()
	if n := w.count("SELECT count(*) FROM sessions WHERE revoked_at IS NOT NULL"); n != 0 {
		t.Errorf("%d sessions ended, want 0", n)
	}
	if n := metric(w.auth, "family_revoked_total"); n != 0 {
		t.Errorf("%v families revoked, want 0", n)
	}
	if n := metric(w.sidecars, "session_end_total"); n != 0 {
		t.Errorf("%v cookies cleared, want 0", n)
	}
}

// TestRedisAway: under load, Redis is unreachable for several lifetimes of an access token. Nobody
// is signed out, and service recovers without intervention.
func TestRedisAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shortLived)
	crowd := w.crowd(6, patient, "/")
	crowd.awaitRequests(t)
	w.toRedis.shut()
	over := time.After(outage(t))
	crowd.awaitLater(t, w)
	w.awaitUp(t, "redis", 0)
	<-over
	w.toRedis.unlock()
	crowd.awaitBack(t)
	crowd.awaitRequests(t)
	crowd.leave()
	t.Logf("%d requests answered with 200", crowd.answered.Load())
	w.wantNobodyOut(t)
}

// TestPostgresAway: nobody can sign in, but no request of a signed-in user fails, and sessions are
// refreshed.
func TestPostgresAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shortLived)
	crowd := w.crowd(6, check, "/")
	w.toPostgres.shut()
	over := time.After(outage(t))
	stranger := w.stranger()
	const credentials = `{"email":"fred@pond.example","password":"a pond full of tadpoles"}`
	if a := stranger.do(t.Context(), w.anySidecar(), http.MethodPost, "/auth/login", credentials); !isLater(a) {
		t.Errorf("login: %s, want 503", a)
	}
	w.awaitUp(t, "postgres", 0)
	before := metric(w.auth, `refresh_total{outcome="rotated"}`)
	<-over
	if n := metric(w.auth, `refresh_total{outcome="rotated"}`) - before; n < float64(len(crowd.visitors)) {
		t.Errorf("%v rotations without Postgres, want at least %d", n, len(crowd.visitors))
	}
	w.toPostgres.unlock()
	w.awaitUp(t, "postgres", 1)
	w.visitor().wantOK(t) // the pool has reconnected: a new account can sign in
	crowd.awaitRequests(t)
	crowd.leave()
	w.wantNobodyOut(t)
}

// TestAnAuthServiceThatFindsNoStoreWaits: without its stores it is live but not ready, ends on
// SIGTERM, and serves when the stores become reachable.
func TestAnAuthServiceThatFindsNoStoreWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, settings{accessTTL: time.Minute, minInterval: 5 * time.Second})
	v, p := w.visitor(), w.auth[0]
	begin := func() {
		p.start()
		await(t, p.name+" to live", func(ctx context.Context) error { _, err := p.ask(ctx, "/livez"); return err })
		if err := p.wantsTraffic(t.Context()); err == nil {
			t.Errorf("%s is ready without its stores", p.name)
		}
	}
	for _, missing := range [][]*door{{w.toRedis}, {w.toPostgres}, {w.toRedis, w.toPostgres}} {
		p.stop()
		for _, d := range missing {
			d.shut()
		}
		begin()
		p.stop()
		begin()
		for _, d := range missing {
			d.unlock()
		}
		p.awaitReady()
		v.wantOK(t)
	}
}

// TestAuthServiceAway: without any auth service, a sidecar serves until its access tokens expire,
// and then answers 503. A sidecar that restarts meanwhile becomes ready and answers 503.
func TestAuthServiceAway(t *testing.T) {
	t.Parallel()
	// Tokens live long enough to be used after the service has ended.
	w := newWorld(t, settings{accessTTL: 10 * time.Second, minInterval: time.Second})
	crowd := w.crowd(4, patient, "/")
	for _, v := range crowd.visitors {
		v.wantOK(t)
	}
	for _, p := range w.auth {
		p.kill()
	}
	served := crowd.answered.Load()
	await(t, "requests served without the auth service", func(context.Context) error {
		if crowd.answered.Load() == served {
			return errTooFew
		}
		return nil
	})
	crowd.awaitLater(t, w)
	for _, p := range w.sidecars {
		p.leaving.Store(true)
		p.stop()
		p.start()
		p.awaitReady()
		p.leaving.Store(false)
		if _, err := p.ask(t.Context(), "/livez"); err != nil {
			t.Errorf("%s: %v", p.name, err)
		}
		if a := w.stranger().do(t.Context(), p, http.MethodGet, "/", ""); a.status != http.StatusUnauthorized {
			t.Errorf("without a session: %s, want 401", a)
		}
	}
	crowd.awaitLater(t, w)
	for _, p := range w.sidecars {
		if err := p.run.Load().Err(); err != nil {
			t.Errorf("%s ended (%v), want it to run", p.name, err)
		}
	}
	for _, p := range w.auth {
		p.start()
	}
	for _, p := range w.auth {
		p.awaitReady()
	}
	crowd.awaitBack(t)
	crowd.leave()
	w.wantNobodyOut(t)
}

// TestRedisComesBackEmptyOrOld: under load, Redis is replaced by an empty one, and then by one with
// an old copy. Nobody is signed out, and a session that ended before stays ended.
func TestRedisComesBackEmptyOrOld(t *testing.T) {
	t.Parallel()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal("redis-server is not on PATH: run `make test`, which installs it")
	}
	w := newWorld(t, shortLived)
	crowd := w.crowd(6, patient, "/")
	gone := w.visitor()
	stolen := gone.held()
	if answer, err := redisCommand(t.Context(), w.redis.address, "SAVE"); err != nil || answer != "+OK" {
		t.Fatalf("SAVE: %s, %v; want +OK", answer, err)
	}
	if a := gone.do(t.Context(), w.anySidecar(), http.MethodPost, "/auth/logout", "{}"); a.status != http.StatusNoContent {
		t.Fatalf("%s", a)
	}
	crowd.awaitRequests(t)

	empty, old := w.redisAt(path, "redis-empty"), w.redisAt(path, "redis-old")
	copied, err := os.ReadFile(w.file("redis/dump.rdb"))
	if err != nil {
		t.Fatal(err)
	}
	w.write("redis-old/dump.rdb", string(copied))
	before := w.redis
	for _, next := range []*program{empty, old} {
		next.start()
		next.awaitReady()
		w.toRedis.lead(next.address)
		before.kill()
		before = next
		crowd.awaitBack(t)
		crowd.awaitRequests(t)
		await(t, next.name+" to know who signed out", func(ctx context.Context) error {
			g, err := w.use(ctx, w.auth[0], stolen, "lilypad-replicas", gone.address)
			if err == nil && g.status == http.StatusOK {
				t.Fatalf("%s: the ended session is accepted", next.name)
			}
			if err == nil && g.Error != "invalid_grant" {
				err = errors.New(g.Error)
			}
			return err
		})
	}
	crowd.leave()
	if n := w.count("SELECT count(*) FROM sessions WHERE revoked_at IS NOT NULL"); n != 1 {
		t.Errorf("%d sessions ended, want 1", n)
	}
	if n := metric(w.sidecars, "session_end_total"); n != 1 {
		t.Errorf("%v cookies cleared, want 1", n)
	}
}

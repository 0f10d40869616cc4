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

// outageEnv names the variable with the length of an outage, such as 60s; the
// suite's own is short.
const outageEnv = "LILYPAD_TEST_OUTAGE"

// outage is how long something is away: several lives of an access token.
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

// shortLived has every session refreshed all the time, and a token in memory
// soon over.
var shortLived = settings{accessTTL: 2 * time.Second, minInterval: time.Second}

// patient is the judgement of who may be asked to come back later, and never to
// sign in: 503 with Retry-After, and the cookie stays.
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

// awaitLater returns when every sidecar asks every visitor to come back later.
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

// awaitBack returns when every sidecar serves every visitor again, and says how long that took.
func (c *crowd) awaitBack(t *testing.T) {
	t.Helper()
	began := time.Now()
	for _, v := range c.visitors {
		v.wantOK(t)
	}
	took := time.Since(began)
	t.Logf("everybody is served by every sidecar %v after the outage", took.Round(time.Millisecond))
	if os.Getenv(outageEnv) != "" && took > 10*time.Second {
		t.Error("that is more than 10 s")
	}
}

// awaitUp waits until every auth service reports a store as reachable (1) or
// not (0). Each must want traffic all the same.
func (w *world) awaitUp(t *testing.T, store string, up float64) {
	t.Helper()
	want := fmt.Sprintf("dependency_up{dependency=%q} %v\n", store, up)
	for _, p := range w.auth {
		await(t, fmt.Sprintf("%s to report %s as %v", p.name, store, up), func(ctx context.Context) error {
			text, err := p.ask(ctx, "/metrics")
			if err == nil && !strings.Contains(text, want) {
				err = fmt.Errorf("no %s", want)
			}
			return err
		})
		if err := p.wantsTraffic(t.Context()); err != nil {
			t.Errorf("%s, dependency_up of %s being %v: %v", p.name, store, up, err)
		}
	}
}

// wantNobodyOut fails if any session was ended or any cookie cleared.
func (w *world) wantNobodyOut(t *testing.T) {
	t.Helper()
	if n := w.count("SELECT count(*) FROM sessions WHERE revoked_at IS NOT NULL"); n != 0 {
		t.Errorf("%d sessions were ended", n)
	}
	if n := metric(w.auth, "family_revoked_total"); n != 0 {
		t.Errorf("%v families revoked", n)
	}
	if n := metric(w.sidecars, "session_end_total"); n != 0 {
		t.Errorf("%v cookies cleared", n)
	}
}

// TestRedisAway: under load, Redis is away for several lives of an access
// token. Nobody is signed out, and all recovers by itself.
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

// TestPostgresAway: nobody can sign in, and whoever is signed in notices
// nothing: no request fails, and sessions are refreshed.
func TestPostgresAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shortLived)
	crowd := w.crowd(6, check, "/")
	w.toPostgres.shut()
	over := time.After(outage(t))
	stranger := w.stranger()
	const credentials = `{"email":"fred@pond.example","password":"a pond full of tadpoles"}`
	if a := stranger.do(t.Context(), w.anySidecar(), http.MethodPost, "/auth/login", credentials); !isLater(a) {
		t.Errorf("login: %s", a)
	}
	w.awaitUp(t, "postgres", 0)
	before := metric(w.auth, `refresh_total{outcome="rotated"}`)
	<-over
	if n := metric(w.auth, `refresh_total{outcome="rotated"}`) - before; n < float64(len(crowd.visitors)) {
		t.Errorf("%v rotations without Postgres, of %d sessions", n, len(crowd.visitors))
	}
	w.toPostgres.unlock()
	w.awaitUp(t, "postgres", 1)
	w.visitor().wantOK(t) // the pool heals by itself: a new account, signed in
	crowd.awaitRequests(t)
	crowd.leave()
	w.wantNobodyOut(t)
}

// TestAnAuthServiceThatFindsNoStoreWaits: it lives, wants no traffic, ends when
// it is told to, and serves when the stores have come.
func TestAnAuthServiceThatFindsNoStoreWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, settings{accessTTL: time.Minute, minInterval: 5 * time.Second})
	v, p := w.visitor(), w.auth[0]
	begin := func() {
		p.start()
		await(t, p.name+" to live", func(ctx context.Context) error { _, err := p.ask(ctx, "/livez"); return err })
		if err := p.wantsTraffic(t.Context()); err == nil {
			t.Errorf("%s wants traffic without its stores", p.name)
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

// TestAuthServiceAway: with all replicas of the auth service gone, a sidecar
// serves until its access tokens are over and then asks for patience. One that
// restarts meanwhile starts, lives, and asks for patience too.
func TestAuthServiceAway(t *testing.T) {
	t.Parallel()
	// Tokens live so long that they are used after the service has gone.
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
			t.Errorf("a stranger: %s", a)
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

// TestRedisComesBackEmptyOrOld: under load, Redis is replaced by one that
// has nothing, and then by one with a copy from before. Nobody is signed out,
// and who signed out before stays so.
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
		t.Fatalf("%s, %v", answer, err)
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
				t.Fatalf("%s: who signed out is back", next.name)
			}
			if err == nil && g.Error != "invalid_grant" {
				err = errors.New(g.Error)
			}
			return err
		})
	}
	crowd.leave()
	if n := w.count("SELECT count(*) FROM sessions WHERE revoked_at IS NOT NULL"); n != 1 {
		t.Errorf("%d sessions were ended, and one visitor signed out", n)
	}
	if n := metric(w.sidecars, "session_end_total"); n != 1 {
		t.Errorf("%v cookies cleared", n)
	}
}

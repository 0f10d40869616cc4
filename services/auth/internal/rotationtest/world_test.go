package rotationtest

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"lilypad.example/services/auth/internal/memory"
	"lilypad.example/services/auth/internal/redis"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/pkg/redistest"
)

const (
	ringKey1 = "k1 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
	ringKey2 = "k2 AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
)

// A world is what the replicas of a test share: one real Redis, the records, and two ring keys.
// Even replicas sign with the first key and odd ones with the second, as during a key change.
type world struct {
	redis   *redistest.Server
	records *memory.Sessions
	policy  session.Policy
	rings   [2]*session.Ring
	epoch   atomic.Value // string; tests change it to simulate a failover
	use     string       // the command that presents a token, as in sent.command
}

func newWorld(t *testing.T, p session.Policy) *world {
	t.Helper()
	w := &world{redis: redistest.Start(t), records: new(memory.Sessions), policy: p}
	w.epoch.Store("initial")
	for i, lines := range []string{ringKey1 + ringKey2, ringKey2 + ringKey1} {
		ring, err := session.ParseRing([]byte(lines))
		if err != nil {
			t.Fatal(err)
		}
		w.rings[i] = ring
	}
	return w
}

// A replica is the session part of one auth service.
type replica struct {
	*session.Service

	ring *session.Ring
}

// replica starts replica n. It uses the clock of Redis unless now is given. wrap, if not nil, wraps
// its store.
func (w *world) replica(n int, client goredis.UniversalClient, now func() time.Time, wrap wrapper) *replica {
	epoch := func() session.Epoch { return session.Epoch(w.epoch.Load().(string)) }
	families := redis.NewFamilies(client, w.policy).WithEpoch(epoch)
	if now == nil {
		now = time.Now
	} else {
		families = families.WithClock(now)
	}
	var store session.Store = families
	if wrap != nil {
		store = wrap(store, now)
	}
	ring := w.rings[n%len(w.rings)]
	return &replica{ring: ring, Service: session.NewService(session.Config{
		Store: store, Records: w.records, Stream: redis.NewStream(client, time.Hour).WithEpoch(epoch),
		Ring: func() *session.Ring { return ring }, Absolute: absolute, Rebuild: true, Now: now, Observer: noObserver{},
	})}
}

const absolute = 30 * 24 * time.Hour

// noObserver is a session.Observer that does nothing.
type noObserver struct{}

func (noObserver) Refreshed(session.Outcome) {}
func (noObserver) Ended(session.Record)      {}

// loadScripts loads all scripts into Redis, so that each operation is one command from then on, and
// sets w.use.
func (w *world) loadScripts(t *testing.T) {
	t.Helper()
	c := newCutter(t, w.redis, func(string) delivery { return delivered }, func() int64 { return 0 })
	r := w.replica(0, c.client(t, goredis.Options{}), nil, nil)
	s := r.begin(t)
	c.drain()
	r.refresh(t, s.RefreshToken, home)
	w.use = c.drain()[0].command
	err1 := r.Confirm(t.Context(), s.RefreshToken, "app")
	err2 := r.Revoke(t.Context(), s.RefreshToken, "app")
	for _, err := range []error{err1, err2} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

var (
	home = session.Evidence{UserAgent: "Firefox", Network: "192.0.2.0/24"}
	away = session.Evidence{UserAgent: "Firefox", Network: "198.51.100.0/24"}
)

func (r *replica) begin(t *testing.T) session.Session {
	t.Helper()
	s, err := r.Begin(t.Context(), session.Account{ID: "u1", Roles: []string{"keeper"}}, "app", "Firefox")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// refresh makes a refresh that must be granted.
func (r *replica) refresh(t *testing.T, token string, by session.Evidence) session.Session {
	t.Helper()
	s, err := r.Refresh(t.Context(), token, "app", by)
	if err != nil {
		t.Fatalf("refresh with %s: %v, want success", shorten(token), err)
	}
	return s
}

// shorten reduces a token to its key ID and generation, for failure messages.
func shorten(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 5 {
		return token
	}
	return parts[1] + "…" + parts[3]
}

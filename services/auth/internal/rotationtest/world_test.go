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

// A world is what the replicas of a test share: one real Redis, the records,
// and two ring keys, of which every other replica signs with the second: the
// ring is being changed all the time.
type world struct {
	redis   *redistest.Server
	records *memory.Sessions
	policy  session.Policy
	rings   [2]*session.Ring
	epoch   atomic.Value // string; a test changes it where Redis would in a failover
	use     string       // the command that presents a token, as a cutter sees it
}

func newWorld(t *testing.T, p session.Policy) *world {
	t.Helper()
	w := &world{redis: redistest.Start(t), records: new(memory.Sessions), policy: p}
	w.epoch.Store("begun")
	for i, lines := range []string{ringKey1 + ringKey2, ringKey2 + ringKey1} {
		ring, err := session.ParseRing([]byte(lines))
		if err != nil {
			t.Fatal(err)
		}
		w.rings[i] = ring
	}
	return w
}

// A replica is one auth service as far as sessions go.
type replica struct {
	*session.Service

	ring *session.Ring
}

// replica starts the n-th one. Its time is Redis's own unless now is given;
// spoil, if not nil, puts something broken before its store.
func (w *world) replica(n int, client goredis.UniversalClient, now func() time.Time, spoil spoiler) *replica {
	epoch := func() session.Epoch { return session.Epoch(w.epoch.Load().(string)) }
	families := redis.NewFamilies(client, w.policy).WithEpoch(epoch)
	if now == nil {
		now = time.Now
	} else {
		families = families.WithClock(now)
	}
	var store session.Store = families
	if spoil != nil {
		store = spoil(store, now)
	}
	ring := w.rings[n%len(w.rings)]
	return &replica{ring: ring, Service: session.NewService(session.Config{
		Store: store, Records: w.records, Stream: redis.NewStream(client, time.Hour).WithEpoch(epoch),
		Ring: func() *session.Ring { return ring }, Absolute: absolute, Rebuild: true, Now: now, Observer: deaf{},
	})}
}

const absolute = 30 * 24 * time.Hour

// deaf is a session.Observer.
type deaf struct{}

func (deaf) Refreshed(session.Outcome) {}
func (deaf) Ended(session.Record)      {}

// loadScripts makes Redis know all scripts, so that each step is one command
// from now on, and finds out how the one that presents a token looks.
func (w *world) loadScripts(t *testing.T) {
	t.Helper()
	c := newCutter(t, w.redis, func(string) fate { return delivered }, func() int64 { return 0 })
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

// refresh is a refresh that must be granted.
func (r *replica) refresh(t *testing.T, token string, by session.Evidence) session.Session {
	t.Helper()
	s, err := r.Refresh(t.Context(), token, "app", by)
	if err != nil {
		t.Fatalf("%s: %v", shorten(token), err)
	}
	return s
}

// shorten leaves what a failure needs of a token: key and generation.
func shorten(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 5 {
		return token
	}
	return parts[1] + "…" + parts[3]
}

package rollover_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lilypad.example/services/auth/internal/rollover"
	"lilypad.example/services/auth/internal/signer"
)

// secret is a rollover.Store in memory. Like the API server, it refuses writes that are based on an
// older version.
type secret struct {
	mu      sync.Mutex
	data    map[string][]byte
	version int
	away    bool

	conflicts int
}

var errAway = errors.New("connection refused")

func (s *secret) Read(context.Context) (rollover.Secret, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return rollover.Secret{}, errAway
	}
	return rollover.Secret{Data: maps.Clone(s.data), Version: strconv.Itoa(s.version)}, nil
}

func (s *secret) Write(_ context.Context, w rollover.Secret) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.away:
		return errAway
	case w.Version != strconv.Itoa(s.version):
		s.conflicts++
		return rollover.ErrConflict
	}
	s.version++
	s.data = maps.Clone(w.Data)
	return nil
}

func (s *secret) setAway(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
}

func (s *secret) keys(t *testing.T) []rollover.Key {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	keys, err := rollover.Parse(s.data[rollover.SigningEntry])
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// changes counts the changes that keepers made.
type changes struct {
	mu   sync.Mutex
	seen map[rollover.Change]int
}

func (c *changes) add(_ context.Context, change rollover.Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen == nil {
		c.seen = make(map[rollover.Change]int)
	}
	c.seen[change]++
}

func (c *changes) count(t *testing.T, event rollover.Event) (n int) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for change, times := range c.seen {
		if times > 1 {
			t.Errorf("%v was reported %d times, want once", change, times)
		}
		if change.Event == event {
			n++
		}
	}
	return n
}

// replica is the part of an auth service that handles signing keys.
type replica struct {
	keeper *rollover.Keeper
	keys   atomic.Pointer[signer.Keys]
}

func newReplica(store rollover.Store, s rollover.Schedule, now func() time.Time, changed func(context.Context, rollover.Change)) *replica {
	r := &replica{}
	var last string
	r.keeper = rollover.NewKeeper(rollover.Config{
		Store: store, Schedule: s, Now: now, Changed: changed,
		Use: func(data map[string][]byte) {
			text := data[rollover.SigningEntry]
			if len(text) == 0 || string(text) == last {
				return
			}
			last = string(text)
			if keys, err := signer.Parse(text); err == nil {
				r.keys.Store(keys)
			}
		},
	})
	return r
}

// balancer sends each request for the JWKS to the next replica, like a Kubernetes Service.
type balancer struct {
	replicas []*replica
	turn     atomic.Int64
}

func (b *balancer) RoundTrip(*http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	if keys := b.replicas[int(b.turn.Add(1))%len(b.replicas)].keys.Load(); keys == nil {
		rec.WriteHeader(http.StatusServiceUnavailable)
	} else {
		_, _ = rec.Write(keys.JWKS())
	}
	return rec.Result(), nil
}

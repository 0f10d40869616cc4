// Package memory is a frog.Store in this process, for `make run` and for tests. It passes the same
// conformance suite as package postgres. Its data is lost when the process ends.
package memory

import (
	"context"
	"sync"
	"time"

	"lilypad.example/services/frogs/internal/frog"
)

// Store is a frog.Store in memory.
type Store struct {
	catalogue []frog.Species

	mu    sync.Mutex
	total map[string]int64
	last  map[petting]time.Time
}

type petting struct{ frog, user string }

// New returns a Store with the whole catalogue and no pettings.
func New() *Store {
	s := &Store{catalogue: frog.Catalogue(), total: make(map[string]int64), last: make(map[petting]time.Time)}
	for _, c := range s.catalogue {
		s.total[c.ID] = 0
	}
	return s
}

// Frogs implements frog.Store.
func (s *Store) Frogs(ctx context.Context, user string) ([]frog.Frog, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]frog.Frog, 0, len(s.catalogue))
	for _, c := range s.catalogue {
		all = append(all, s.see(c, user))
	}
	return all, nil
}

// Pet implements frog.Store.
func (s *Store) Pet(ctx context.Context, user, id string, at time.Time) (frog.Frog, error) {
	if err := ctx.Err(); err != nil {
		return frog.Frog{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.catalogue {
		if c.ID != id {
			continue
		}
		s.total[id]++
		if key := (petting{id, user}); at.After(s.last[key]) {
			s.last[key] = at
		}
		return s.see(c, user), nil
	}
	return frog.Frog{}, frog.ErrUnknown
}

// see must be called with the lock held.
func (s *Store) see(c frog.Species, user string) frog.Frog {
	return frog.Frog{Species: c, Pets: s.total[c.ID], PettedAt: s.last[petting{c.ID, user}]}
}

var _ frog.Store = (*Store)(nil)

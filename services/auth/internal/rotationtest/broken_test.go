package rotationtest

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"lilypad.example/services/auth/internal/redis"
	"lilypad.example/services/auth/internal/session"
)

// A spoiler puts something broken before a replica's store, whose time is now's.
type spoiler func(s session.Store, now func() time.Time) session.Store

// forgetful answers every other revocation of a family with success and does nothing.
func forgetful(s session.Store, _ func() time.Time) session.Store { return &forgets{Store: s} }

type forgets struct {
	session.Store

	n atomic.Int64
}

func (f *forgets) Revoke(ctx context.Context, all []session.Revocation) error {
	if f.n.Add(1)%2 == 0 {
		return nil
	}
	return f.Store.Revoke(ctx, all)
}

// fork answers every other repetition of an exchange with a token of its own.
func fork(s session.Store, _ func() time.Time) session.Store { return &forks{Store: s} }

type forks struct {
	session.Store

	n atomic.Int64
}

func (f *forks) Use(ctx context.Context, family session.FamilyID, p session.Presentation) (session.Grant, error) {
	g, err := f.Store.Use(ctx, family, p)
	if err == nil && g.Outcome == session.Concurrent && f.n.Add(1)%2 == 0 {
		g.Generation++
	}
	return g, err
}

// torn reads a family, decides, and writes it, in three steps: what a store
// without atomic scripts would do.
func torn() spoiler {
	shared := &families{all: map[session.FamilyID]session.Family{}}
	return func(s session.Store, now func() time.Time) session.Store {
		return &tears{Store: s, families: shared, now: now}
	}
}

type families struct {
	mu  sync.Mutex
	all map[session.FamilyID]session.Family
}

func (f *families) read(id session.FamilyID) session.Family {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.all[id]
}

func (f *families) write(id session.FamilyID, v session.Family) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all[id] = v
}

type tears struct {
	session.Store
	*families

	now func() time.Time
}

func (s *tears) Begin(ctx context.Context, b session.Beginning) error {
	s.write(b.Family, session.Family{
		Generation: 1, Rotated: b.Rotated, Confirmed: true, Client: b.Client, KeyID: b.KeyID, End: b.End,
	})
	return s.Store.Begin(ctx, b)
}

func (s *tears) Use(ctx context.Context, family session.FamilyID, p session.Presentation) (session.Grant, error) {
	f := s.read(family)
	if err := s.Store.Confirm(ctx, family, 0, ""); err != nil { // a round trip, as a write after a read would be
		return session.Grant{}, err
	}
	p.Now = s.now()
	outcome, after := redis.Decide(f, p, policy)
	s.write(family, after)
	return session.Grant{Outcome: outcome, Family: family, Generation: after.Generation, KeyID: after.KeyID, End: f.End}, nil
}

func (s *tears) Generation(_ context.Context, family session.FamilyID) (uint64, bool, error) {
	f := s.read(family)
	return f.Generation, f.Revoked, nil
}

func (s *tears) Confirm(ctx context.Context, family session.FamilyID, generation uint64, client string) error {
	f := s.read(family)
	f.Confirmed = f.Confirmed || f.Generation == generation
	s.write(family, f)
	return s.Store.Confirm(ctx, family, generation, client)
}

func (s *tears) Revoke(ctx context.Context, all []session.Revocation) error {
	for _, r := range all {
		f := s.read(r.Family)
		f.Revoked = true
		s.write(r.Family, f)
	}
	return s.Store.Revoke(ctx, all)
}

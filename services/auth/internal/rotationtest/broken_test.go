package rotationtest

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"lilypad.example/services/auth/internal/redis"
	"lilypad.example/services/auth/internal/session"
)

// A wrapper wraps a replica's store in a broken one. now is the store's clock.
type wrapper func(s session.Store, now func() time.Time) session.Store

// forgetsRevocations reports success for every other revocation without doing it.
func forgetsRevocations(s session.Store, _ func() time.Time) session.Store {
	return &forgetfulStore{Store: s}
}

type forgetfulStore struct {
	session.Store

	n atomic.Int64
}

func (f *forgetfulStore) Revoke(ctx context.Context, all []session.Revocation) error {
	if f.n.Add(1)%2 == 0 {
		return nil
	}
	return f.Store.Revoke(ctx, all)
}

// forksSuccessors returns a different successor for every other concurrent use of a token.
func forksSuccessors(s session.Store, _ func() time.Time) session.Store {
	return &forkingStore{Store: s}
}

type forkingStore struct {
	session.Store

	n atomic.Int64
}

func (f *forkingStore) Use(ctx context.Context, family session.FamilyID, p session.Presentation) (session.Grant, error) {
	g, err := f.Store.Use(ctx, family, p)
	if err == nil && g.Outcome == session.Concurrent && f.n.Add(1)%2 == 0 {
		g.Generation++
	}
	return g, err
}

// nonAtomic reads a family, decides, and writes it in three steps, like a store without atomic
// scripts.
func nonAtomic() wrapper {
	shared := &families{all: map[session.FamilyID]session.Family{}}
	return func(s session.Store, now func() time.Time) session.Store {
		return &nonAtomicStore{Store: s, families: shared, now: now}
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

type nonAtomicStore struct {
	session.Store
	*families

	now func() time.Time
}

func (s *nonAtomicStore) Begin(ctx context.Context, b session.Beginning) error {
	s.write(b.Family, session.Family{
		Generation: 1, Rotated: b.Rotated, Confirmed: true, Client: b.Client, KeyID: b.KeyID, End: b.End,
	})
	return s.Store.Begin(ctx, b)
}

func (s *nonAtomicStore) Use(ctx context.Context, family session.FamilyID, p session.Presentation) (session.Grant, error) {
	f := s.read(family)
	if err := s.Store.Confirm(ctx, family, 0, ""); err != nil { // a round trip, like that of a write after a read
		return session.Grant{}, err
	}
	p.Now = s.now()
	outcome, after := redis.Decide(f, p, policy)
	s.write(family, after)
	return session.Grant{Outcome: outcome, Family: family, Generation: after.Generation, KeyID: after.KeyID, End: f.End}, nil
}

func (s *nonAtomicStore) Generation(_ context.Context, family session.FamilyID) (uint64, bool, error) {
	f := s.read(family)
	return f.Generation, f.Revoked, nil
}

func (s *nonAtomicStore) Confirm(ctx context.Context, family session.FamilyID, generation uint64, client string) error {
	f := s.read(family)
	f.Confirmed = f.Confirmed || f.Generation == generation
	s.write(family, f)
	return s.Store.Confirm(ctx, family, generation, client)
}

func (s *nonAtomicStore) Revoke(ctx context.Context, all []session.Revocation) error {
	for _, r := range all {
		f := s.read(r.Family)
		f.Revoked = true
		s.write(r.Family, f)
	}
	return s.Store.Revoke(ctx, all)
}

package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// A revocation whose replica crashed between its tombstone and the stream is
	// late by Grace, reconcileEvery and, if that was the leader, leaderLife.
	reconcileEvery = 500 * time.Millisecond
	leaderLife     = 2 * time.Second
	// batch keeps a step with many sessions far from its timeout.
	batch    = 500
	seeEvery = 15 * time.Second
	seeBatch = 1000
	// seenLag is how far a Record's Seen may be behind; see seeEvery.
	seenLag    = time.Minute
	pruneEvery = time.Hour
	// keepEnded is how long the record of a session stays after its end.
	keepEnded = 30 * 24 * time.Hour
	// maxSightings bounds what waits to be written; beyond it the newest wait.
	maxSightings = 100_000
)

// Revoke ends the session of a refresh token of any generation (RFC 7009). A
// text that is no token of ours, and a session that is over, are no errors
// (section 2.2). nil says that it is over for good: see End.
func (s *Service) Revoke(ctx context.Context, refreshToken, client string) error {
	t, err := s.parse(refreshToken)
	switch {
	case errors.Is(err, ErrUnavailable):
		return wrap("revoke", err)
	case err != nil:
		return nil //nolint:nilerr // RFC 7009 section 2.2: an invalid token is a success
	}
	ended, err := s.End(ctx, Which{Family: t.Family, Client: client}, ReasonLogout)
	if err != nil || len(ended) > 0 {
		return err
	}
	if _, err := s.Records.Get(ctx, t.Family); !errors.Is(err, ErrNotFound) {
		return wrap("revoke", err)
	}
	// The records were lost, the family was not.
	return wrap("revoke", s.Store.RevokeUnrecorded(ctx, t.Family, client, ReasonLogout))
}

// End ends the sessions that w selects: the one way for logout, logout
// elsewhere, a changed password, reuse and an end by age. The tombstone is
// committed first, then the Store and the stream get it. nil says that all of
// this is done; after an error the sessions may be over already, and will be
// if the tombstone was written, for Run finishes it. It fails with ErrUnavailable.
func (s *Service) End(ctx context.Context, w Which, reason Reason) ([]Revocation, error) {
	if err := s.Records.Revoke(ctx, w, reason, s.Now()); err != nil {
		return nil, wrap("end session", err)
	}
	return s.finish(ctx, w.Family, w.Subject)
}

// Finish is the second half of End for sessions of subject that were ended
// together with a change of the account. nil says that they are over everywhere.
func (s *Service) Finish(ctx context.Context, subject string) error {
	_, err := s.finish(ctx, "", subject)
	return err
}

func (s *Service) finish(ctx context.Context, family FamilyID, subject string) ([]Revocation, error) {
	ended, err := s.Records.PendingOf(ctx, family, subject)
	if err != nil {
		return nil, wrap("end session", err)
	}
	return ended, wrap("end session", s.propagate(ctx, Pending{Ended: ended}))
}

// List returns the sessions of a user that live, newest first. It fails with ErrUnavailable.
func (s *Service) List(ctx context.Context, subject string) ([]Record, error) {
	all, err := s.Records.Live(ctx, subject, s.Now())
	if errors.Is(err, ErrNotFound) { // no such user
		return nil, nil
	}
	return all, wrap("list sessions", err)
}

// endReused ends a family because a stale token of it was shown. It goes on
// without the request, and says it in the stream even when the tombstone cannot
// be written: that a thief holds a token is worth telling at once.
func (s *Service) endReused(ctx context.Context, family FamilyID) {
	ctx = context.WithoutCancel(ctx)
	if _, err := s.End(ctx, Which{Family: family}, ReasonReuse); err != nil {
		_ = s.Store.RevokeUnrecorded(ctx, family, "", ReasonReuse)
		_ = s.Stream.Publish(ctx, []Revocation{{family, ReasonReuse}})
	}
}

// note writes down that a session has ended by itself, once somebody comes for
// it. It is over also when that fails: the next to come will try again.
func (s *Service) note(ctx context.Context, family FamilyID, reason Reason) {
	_, _ = s.End(context.WithoutCancel(ctx), Which{Family: family}, reason)
}

// propagate takes what is pending to the Store and the stream. Doing it twice
// harms nobody.
func (s *Service) propagate(ctx context.Context, p Pending) error {
	for ended := range slices.Chunk(p.Ended, batch) {
		if err := s.Store.Revoke(ctx, ended); err != nil {
			return err
		}
		if err := s.Stream.Publish(ctx, ended); err != nil {
			return err
		}
		settled, err := s.Records.Settle(ctx, Pending{Ended: ended})
		if err != nil {
			return err
		}
		for _, r := range settled {
			s.Observer.Ended(r)
		}
	}
	if len(p.Changed) == 0 {
		return nil
	}
	if err := s.Store.Unverify(ctx, p.Changed); err != nil {
		return err
	}
	_, err := s.Records.Settle(ctx, Pending{Changed: p.Changed, AsOf: p.AsOf})
	return err
}

// Run finishes what crashes and outages left undone, and writes what may be
// written late, until ctx ends. report is told of failures, which are retried.
func (s *Service) Run(ctx context.Context, report func(error)) {
	reconcile, see, prune := time.NewTicker(reconcileEvery), time.NewTicker(seeEvery), time.NewTicker(pruneEvery)
	defer reconcile.Stop()
	defer see.Stop()
	defer prune.Stop()
	tell := func(err error) {
		if err != nil && ctx.Err() == nil {
			report(err)
		}
	}
	for {
		select {
		case <-ctx.Done():
			if err := s.lastSightings(ctx); err != nil {
				report(err)
			}
			return
		case <-reconcile.C:
			tell(s.Reconcile(ctx, 0))
		case <-see.C:
			tell(s.flushSightings(ctx))
		case <-prune.C:
			tell(s.Records.Prune(ctx, s.Now().Add(-keepEnded)))
		}
	}
}

// Reconcile brings the Store and the stream up to what the records say, if this
// replica leads: everything that is pending and due within a time, and all late
// revocations once the stream may have lost some. What it costs depends on
// what is new. Families that a failover took back need nothing: their next use
// is Unverified.
func (s *Service) Reconcile(ctx context.Context, within time.Duration) error {
	lead, err := s.Stream.Lead(ctx, s.replica, leaderLife)
	if err != nil {
		return wrap("reconcile", err)
	}
	if !lead.Leader {
		return nil
	}
	if lead.Incomplete != "" {
		again := func(all []Revocation) error {
			if err := s.Store.Revoke(ctx, all); err != nil {
				return err
			}
			return s.Stream.Publish(ctx, all)
		}
		if err := s.Records.RevokedSince(ctx, lead.Since, again); err != nil {
			return wrap("complete stream", err)
		}
		if err := s.Stream.Complete(ctx, lead.Incomplete); err != nil {
			return wrap("complete stream", err)
		}
	}
	for {
		pending, err := s.Records.Pending(ctx, within, batch)
		if err != nil {
			return wrap("reconcile", err)
		}
		if err := s.propagate(ctx, pending); err != nil {
			return wrap("reconcile", err)
		}
		if len(pending.Ended)+len(pending.Changed) < batch {
			return nil
		}
	}
}

// lastSightings writes what would go with the process.
func (s *Service) lastSightings(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	return s.flushSightings(ctx)
}

func (s *Service) flushSightings(ctx context.Context) error {
	seen := s.sightings.take()
	// In one order, so that two replicas' batches never wait for each other's rows.
	slices.SortFunc(seen, func(a, b Sighting) int { return cmp.Compare(a.Family, b.Family) })
	for len(seen) > 0 {
		n := min(len(seen), seeBatch)
		if err := s.Records.See(ctx, seen[:n]); err != nil {
			for _, v := range seen {
				s.sightings.add(v)
			}
			return wrap("see sessions", err)
		}
		seen = seen[n:]
	}
	return nil
}

// sightings are what waits to be written: the newest of each session.
type sightings struct {
	mu  sync.Mutex
	all map[FamilyID]Sighting
}

func (s *sightings) add(v Sighting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = make(map[FamilyID]Sighting)
	}
	if old, ok := s.all[v.Family]; ok && old.Generation >= v.Generation || !ok && len(s.all) >= maxSightings {
		return
	}
	s.all[v.Family] = v
}

func (s *sightings) take() []Sighting {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Sighting, 0, len(s.all))
	for _, v := range s.all {
		out = append(out, v)
	}
	s.all = nil
	return out
}

func wrap(step string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", step, err)
}

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
	// If a replica crashes between the tombstone and the stream, the revocation is late by up to
	// Grace + reconcileEvery, plus leaderLife if that replica was the leader.
	reconcileEvery = 500 * time.Millisecond
	leaderLife     = 2 * time.Second
	// batch bounds the sessions per command, so that it stays far below its timeout.
	batch    = 500
	seeEvery = 15 * time.Second
	seeBatch = 1000
	// seenLag is how far Record.Seen may lag behind: a multiple of seeEvery.
	seenLag    = time.Minute
	pruneEvery = time.Hour
	// keepEnded is how long a record is kept after Record.End.
	keepEnded = 30 * 24 * time.Hour
	// maxSightings bounds the sessions whose sightings wait to be written. Sightings of further
	// sessions are dropped.
	maxSightings = 100_000
)

// Revoke ends the session of a refresh token of any generation (RFC 7009). An invalid token and a
// session that is over already are not errors (section 2.2). When it returns nil, the session is
// over everywhere; see End for errors.
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
	// The record was lost, but the family may still exist.
	return wrap("revoke", s.Store.RevokeUnrecorded(ctx, t.Family, client, ReasonLogout))
}

// End ends the sessions that w selects, whatever the reason. It commits the tombstones first, then
// marks the families in the Store, then publishes to the stream. When it returns nil, all three are
// done. It fails with ErrUnavailable: then the sessions may be over already, and if the tombstones
// were committed, Run completes the rest.
func (s *Service) End(ctx context.Context, w Which, reason Reason) ([]Revocation, error) {
	if err := s.Records.Revoke(ctx, w, reason, s.Now()); err != nil {
		return nil, wrap("end session", err)
	}
	return s.finish(ctx, w.Family, w.Subject)
}

// Finish propagates the end of sessions of subject that ended in the transaction that changed the
// account. When it returns nil, they are over everywhere. It fails with ErrUnavailable.
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

// List returns the live sessions of a user, newest first. It fails with ErrUnavailable.
func (s *Service) List(ctx context.Context, subject string) ([]Record, error) {
	all, err := s.Records.Live(ctx, subject, s.Now())
	if errors.Is(err, ErrNotFound) { // no such user
		return nil, nil
	}
	return all, wrap("list sessions", err)
}

// endReused ends a family after reuse of a refresh token. It continues when the request is
// canceled. If the tombstone cannot be written it still revokes the family and publishes, because
// somebody may hold a stolen token.
func (s *Service) endReused(ctx context.Context, family FamilyID) {
	ctx = context.WithoutCancel(ctx)
	if _, err := s.End(ctx, Which{Family: family}, ReasonReuse); err != nil {
		_ = s.Store.RevokeUnrecorded(ctx, family, "", ReasonReuse)
		_ = s.Stream.Publish(ctx, []Revocation{{family, ReasonReuse}})
	}
}

// note records that a session has expired. An error is ignored: the session is over anyway, and the
// next refresh tries again.
func (s *Service) note(ctx context.Context, family FamilyID, reason Reason) {
	_, _ = s.End(context.WithoutCancel(ctx), Which{Family: family}, reason)
}

// propagate applies pending changes to the Store and the stream, then settles them. It is
// idempotent.
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

// Run does the background work until ctx is done: it completes revocations that crashes and outages
// interrupted, writes sightings, and prunes records. It passes errors to report and retries.
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

// Reconcile propagates the pending changes that are due within the given time, if this replica is
// the leader. If the stream may have lost entries, it first publishes all recent revocations again.
// Its cost depends on the number of changes, not on the number of sessions. Families that lost
// writes in a failover need no work here: their next use is Unverified.
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

// lastSightings writes the remaining sightings before the process exits.
func (s *Service) lastSightings(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	return s.flushSightings(ctx)
}

func (s *Service) flushSightings(ctx context.Context) error {
	seen := s.sightings.take()
	// A fixed order of rows avoids deadlocks between the batches of two replicas.
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

// sightings holds the newest unwritten sighting of each session.
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

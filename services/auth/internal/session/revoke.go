package session

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// outboxEvery bounds how late a revocation is after a crash between its
	// tombstone and the stream, or after the stream lost its end.
	outboxEvery = time.Second
	outboxBatch = 500
	seeEvery    = 15 * time.Second
	// seeBatch keeps a write far from its timeout, whatever has come together.
	seeBatch   = 1000
	pruneEvery = time.Hour
	// seenLag is how far a Record's Seen may be behind; see seeEvery.
	seenLag = time.Minute
	// keepEnded is how long the record of a session stays after its end.
	keepEnded = 30 * 24 * time.Hour
	// maxSightings bounds what waits to be written; beyond it the newest wait.
	maxSightings = 100_000
)

// Revoke ends the session of a refresh token of any generation (RFC 7009). A
// text that is no token of ours, and a session that is over, are no errors
// (section 2.2). nil says that it is over for good: see End.
func (s *Service) Revoke(ctx context.Context, refreshToken, client string) error {
	t, err := s.Ring().Parse(refreshToken)
	if err != nil {
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
	_, err = s.Store.Revoke(ctx, t.Family, client, ReasonLogout)
	return wrap("revoke", err)
}

// End ends the sessions that w selects: the one way for logout, logout
// elsewhere, a disabled user, a changed password, reuse and an end by age. The tombstone is
// committed first, then the Store and the stream get it. nil says that all of
// this is done; after an error the sessions may be over already, and will be
// if the tombstone was written, for Run finishes it. It fails with ErrUnavailable.
func (s *Service) End(ctx context.Context, w Which, reason Reason) ([]Revocation, error) {
	ended, err := s.Records.Revoke(ctx, w, reason, s.Now())
	if err != nil {
		return nil, wrap("end session", err)
	}
	for _, r := range ended {
		if err := s.propagate(ctx, r); err != nil {
			return nil, wrap("end session", err)
		}
	}
	return ended, nil
}

// List returns the sessions of a user that live, newest first. It fails with ErrUnavailable.
func (s *Service) List(ctx context.Context, subject string) ([]Record, error) {
	all, err := s.Records.Live(ctx, subject, s.Now())
	if errors.Is(err, ErrNotFound) { // no such user
		return nil, nil
	}
	return all, wrap("list sessions", err)
}

// endReused ends a family that the Store has ended already. It goes on without
// the request, and says it in the stream even when the tombstone cannot be
// written: that a thief holds a token is worth telling at once.
func (s *Service) endReused(ctx context.Context, family FamilyID) {
	ctx = context.WithoutCancel(ctx)
	if _, err := s.End(ctx, Which{Family: family}, ReasonReuse); err != nil {
		_, _ = s.Store.Revoke(ctx, family, "", ReasonReuse)
		_, _ = s.Stream.Publish(ctx, Revocation{family, ReasonReuse})
	}
}

// note writes down that a session has ended by itself, once somebody comes for
// it. It is over also when that fails: the next to come will try again.
func (s *Service) note(ctx context.Context, family FamilyID, reason Reason) {
	_, _ = s.End(context.WithoutCancel(ctx), Which{Family: family}, reason)
}

// propagate takes a tombstone to the Store and the stream. Doing it twice
// harms nobody.
func (s *Service) propagate(ctx context.Context, r Revocation) error {
	if _, err := s.Store.Revoke(ctx, r.Family, "", r.Reason); err != nil {
		return err
	}
	mark, err := s.Stream.Publish(ctx, r)
	if err != nil {
		return err
	}
	first, err := s.Records.Propagated(ctx, r.Family, mark)
	if err != nil || !first {
		return err
	}
	record, err := s.Records.Get(ctx, r.Family)
	if err != nil {
		record = Record{Family: r.Family, Reason: r.Reason} // told once, with what is known
	}
	s.Observer.Ended(record)
	return nil
}

// Run finishes what crashes and outages left undone, and writes what may be
// written late, until ctx ends. report is told of failures, which are retried.
func (s *Service) Run(ctx context.Context, report func(error)) {
	outbox, see, prune := time.NewTicker(outboxEvery), time.NewTicker(seeEvery), time.NewTicker(pruneEvery)
	defer outbox.Stop()
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
		case <-outbox.C:
			tell(s.FlushOutbox(ctx))
		case <-see.C:
			tell(s.flushSightings(ctx))
		case <-prune.C:
			tell(s.Records.Prune(ctx, s.Now().Add(-keepEnded)))
		}
	}
}

// FlushOutbox propagates every tombstone that is not in the stream: those of a
// crash, and those that the stream lost when its Redis went back in time, and
// with them the ends of the families.
func (s *Service) FlushOutbox(ctx context.Context) error {
	for {
		held, err := s.Stream.Window(ctx)
		if err != nil {
			return wrap("outbox", err)
		}
		pending, err := s.Records.Unpropagated(ctx, held, s.Now(), outboxBatch)
		if err != nil {
			return wrap("outbox", err)
		}
		for _, r := range pending {
			if err := s.propagate(ctx, r); err != nil {
				return wrap("outbox", err)
			}
		}
		if len(pending) < outboxBatch {
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

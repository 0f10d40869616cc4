package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrInvalidGrant says that the refresh token is good for nothing any more
// (RFC 6749 section 5.2): the client drops it.
var ErrInvalidGrant = errors.New("session: invalid grant")

// ErrInvalidClient says that the token was issued to another client.
var ErrInvalidClient = errors.New("session: issued to another client")

// A Session is a refresh token to hand out and what its access token says.
type Session struct {
	Grant

	RefreshToken string
}

// A Presenter is who shows a refresh token: the two things that a lost
// response is judged by. Neither is stored: see Ring.Presenter.
type Presenter struct{ UserAgent, Network string }

// An Observer is told what happens, for metrics and audit.
type Observer interface {
	Refreshed(Outcome)
	// Ended is called once for each session that was ended, by the one replica
	// that told the stream of it first; never, if that crashes in between. Only
	// Family and Reason are sure to be set.
	Ended(Record)
}

// Config is what a Service works with. All of it is required.
type Config struct {
	Store   Store
	Records Records
	Stream  Stream
	// Ring returns the current ring.
	Ring func() *Ring
	// Absolute is the life of a session at the most, Idle that of one that
	// nobody uses; 0 for as long as the Store says.
	Absolute, Idle time.Duration
	// Rebuild lets a session that the Store has lost go on from its Record.
	Rebuild  bool
	Now      func() time.Time
	Observer Observer
}

// A Service hands out and takes back refresh tokens.
type Service struct {
	Config

	sightings sightings
}

// NewService returns a Service. Its Run finishes what a crash left undone.
func NewService(c Config) *Service { return &Service{Config: c} }

// Begin starts a session for subject at client; device is the user agent, for
// the user to know it by. It fails with ErrUnavailable.
func (s *Service) Begin(ctx context.Context, subject string, roles []string, client, device string) (Session, error) {
	ring, now := s.Ring(), s.Now().Truncate(time.Millisecond) // as stores keep it
	b := Beginning{
		Family: NewFamilyID(), Generation: 1, Rotated: now, Subject: subject, Roles: roles, Client: client,
		KeyID: ring.SigningKey(), AuthTime: now, End: now.Add(s.Absolute),
	}
	if err := s.Store.Begin(ctx, b); err != nil {
		return Session{}, fmt.Errorf("begin session: %w", err)
	}
	// A crash between the two leaves a family that nobody has the token of.
	if err := s.Records.Add(ctx, Record{
		Family: b.Family, Subject: subject, Roles: roles, Client: client, Device: device, Begun: now, End: b.End,
	}); err != nil {
		return Session{}, fmt.Errorf("begin session: %w", err)
	}
	return s.session(ring, Grant{
		Outcome: Rotated, Family: b.Family, Generation: 1, KeyID: b.KeyID,
		Subject: subject, Roles: roles, AuthTime: b.AuthTime, End: b.End,
	})
}

// Refresh exchanges a refresh token: RFC 6749 section 6 with rotation. It
// fails with ErrInvalidGrant, ErrInvalidClient or ErrUnavailable; with the
// first two, Session holds the outcome and, if the token was ours, the family,
// with the first also the reason.
func (s *Service) Refresh(ctx context.Context, refreshToken, client string, by Presenter) (Session, error) {
	ring := s.Ring()
	t, err := ring.Parse(refreshToken)
	if err != nil {
		return Session{Grant: Grant{Reason: ReasonUnusable}}, fmt.Errorf("%w: %w", ErrInvalidGrant, err)
	}
	grant, err := s.use(ctx, t, Presentation{
		Generation: t.Generation, Client: client, KeyID: t.KeyID,
		Presenter:      ring.Presenter(t, by.UserAgent, by.Network),
		SuccessorKeyID: ring.SigningKey(),
	})
	if err != nil {
		return Session{}, fmt.Errorf("refresh: %w", err)
	}
	s.Observer.Refreshed(grant.Outcome)
	switch {
	case grant.Outcome.Granted():
		if grant.Generation > t.Generation {
			s.sightings.add(Sighting{Family: t.Family, Generation: t.Generation, At: s.Now()})
		}
		return s.session(ring, grant)
	case grant.Outcome == Foreign:
		return Session{Grant: grant}, ErrInvalidClient
	}
	grant.Reason = cmp.Or(grant.Reason, grant.Outcome.reason())
	return Session{Grant: grant}, fmt.Errorf("%w: %s", ErrInvalidGrant, grant.Outcome)
}

// use presents t to the Store. What the Store alone cannot know, because it
// lost it, is looked up in the Records.
func (s *Service) use(ctx context.Context, t Token, p Presentation) (Grant, error) {
	grant, err := s.Store.Use(ctx, t.Family, p)
	if err != nil {
		return Grant{}, err
	}
	switch grant.Outcome { //nolint:exhaustive // all others are what they are
	case Missing:
		return s.restore(ctx, t, p)
	case Healed:
		// The Store went back in time: what it says of the session is worth
		// nothing unless the record agrees.
		r, refusal, err := s.recorded(ctx, t, p)
		if refusal != nil || err != nil {
			return s.refuse(ctx, r, refusal, err)
		}
	case Reused:
		s.endReused(ctx, t.Family)
	case Ended:
		s.note(ctx, t.Family, ReasonExpired)
	case Revoked:
		// The replica that found a reuse may not have lived to write it down.
		if r, err := s.Records.Get(ctx, t.Family); err == nil && r.Revoked.IsZero() {
			s.endReused(ctx, t.Family)
		}
	}
	return grant, nil
}

// restore is for a family that the Store does not have: flushed, failed over,
// or moved. It goes on from the record, at the generation that is presented,
// which only we can have signed.
func (s *Service) restore(ctx context.Context, t Token, p Presentation) (Grant, error) {
	r, refusal, err := s.recorded(ctx, t, p)
	if refusal != nil || err != nil {
		return s.refuse(ctx, r, refusal, err)
	}
	if s.idle(r) {
		s.note(ctx, t.Family, ReasonIdle)
		return Grant{Outcome: Ended, Family: t.Family, Reason: ReasonIdle}, nil
	}
	if !s.Rebuild {
		return Grant{Outcome: Missing, Family: t.Family}, nil
	}
	err = s.Store.Begin(ctx, Beginning{
		Family: t.Family, Generation: t.Generation, Subject: r.Subject, Roles: r.Roles, Client: r.Client,
		KeyID: t.KeyID, AuthTime: r.Begun, End: r.End,
	})
	if err != nil && !errors.Is(err, ErrExists) { // another replica was first
		return Grant{}, err
	}
	// Ended between the look at the record and its return to the Store?
	if r, refusal, err = s.recorded(ctx, t, p); refusal != nil || err != nil {
		return s.refuse(ctx, r, refusal, err)
	}
	grant, err := s.Store.Use(ctx, t.Family, p)
	if err == nil && grant.Outcome == Rotated {
		grant.Outcome = Rebuilt
	}
	return grant, err
}

// idle reports whether the Store has forgotten a session because nobody used it.
func (s *Service) idle(r Record) bool {
	return s.Idle > 0 && s.Now().Sub(r.Seen) > s.Idle+seenLag
}

// recorded looks at a session's record, and returns a refusal if that alone
// decides.
func (s *Service) recorded(ctx context.Context, t Token, p Presentation) (Record, *Grant, error) {
	r, err := s.Records.Get(ctx, t.Family)
	r.Family = t.Family // also when there is no record
	refusal := &Grant{Family: t.Family}
	switch {
	case errors.Is(err, ErrNotFound):
		refusal.Outcome = Missing
	case err != nil:
		return r, nil, err
	case !r.Revoked.IsZero():
		refusal.Outcome, refusal.Reason = Revoked, r.Reason
	case !s.Now().Before(r.End):
		refusal.Outcome = Ended
	case r.Client != p.Client:
		refusal.Outcome = Foreign
	case t.Generation < r.Floor:
		refusal.Outcome = Reused
	default:
		return r, nil, nil
	}
	return r, refusal, nil
}

// refuse makes a refusal of the record r true in the Store too.
func (s *Service) refuse(ctx context.Context, r Record, refusal *Grant, err error) (Grant, error) {
	if err != nil {
		return Grant{}, err
	}
	switch refusal.Outcome { //nolint:exhaustive // the others need nothing
	case Reused:
		s.endReused(ctx, r.Family)
	case Ended:
		s.note(ctx, r.Family, ReasonExpired)
	case Revoked:
		if _, err := s.Store.Revoke(ctx, r.Family, "", r.Reason); err != nil {
			return Grant{}, err
		}
	}
	return *refusal, nil
}

func (s *Service) session(ring *Ring, g Grant) (Session, error) {
	text, err := ring.Mint(Token{KeyID: g.KeyID, Family: g.Family, Generation: g.Generation})
	if err != nil {
		// Another replica signs with a key that this one has not read yet.
		return Session{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return Session{Grant: g, RefreshToken: text}, nil
}

// Owner returns the session that a refresh token of any generation belongs to
// at client, also when that is over. It fails with ErrInvalidGrant,
// ErrInvalidClient or ErrUnavailable.
func (s *Service) Owner(ctx context.Context, refreshToken, client string) (Record, error) {
	t, err := s.Ring().Parse(refreshToken)
	if err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrInvalidGrant, err)
	}
	r, err := s.Records.Get(ctx, t.Family)
	switch {
	case errors.Is(err, ErrNotFound):
		return Record{}, fmt.Errorf("%w: %w", ErrInvalidGrant, err)
	case err != nil:
		return Record{}, fmt.Errorf("owner: %w", err)
	case r.Client != client:
		return Record{}, ErrInvalidClient
	}
	return r, nil
}

// Confirm notes that a browser has shown this refresh token. A text that is no
// token of ours is passed over. It fails with ErrUnavailable.
func (s *Service) Confirm(ctx context.Context, refreshToken string) error {
	t, err := s.Ring().Parse(refreshToken)
	if err != nil {
		return nil //nolint:nilerr // there is nothing to confirm
	}
	if err := s.Store.Confirm(ctx, t.Family, t.Generation); err != nil {
		return fmt.Errorf("confirm: %w", err)
	}
	return nil
}

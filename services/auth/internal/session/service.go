package session

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"
)

// ErrInvalidGrant says that the refresh token is good for nothing any more
// (RFC 6749 section 5.2): the client drops it.
var ErrInvalidGrant = errors.New("session: invalid grant")

// ErrChallenge says that the refresh token looks stolen, and that nothing has
// been done about it yet: the client repeats its request at once with
// Session.At as the challenge in Evidence. A request that was held up on its
// way, whose sender has long gone, is thus never judged.
var ErrChallenge = errors.New("session: repeat with the challenge")

// ErrInvalidClient says that the token was issued to another client.
var ErrInvalidClient = errors.New("session: issued to another client")

// A Session is a refresh token to hand out and what its access token says.
type Session struct {
	Grant

	RefreshToken string
}

// Evidence is what a stale refresh token is judged by: the presenter's user agent
// and network, neither of which is stored (see Ring.PresenterDigest), and
// Presentation.Challenge.
type Evidence struct {
	UserAgent, Network string
	Challenge          time.Time
}

// An Observer is told what happens, for metrics and audit.
type Observer interface {
	Refreshed(Outcome)
	// Ended is called once for each session that was ended, by the one replica
	// that told the stream of it first; never, if that crashes in between.
	Ended(Record)
}

// Config is what a Service works with.
type Config struct {
	Store   Store
	Records Records
	Stream  Stream
	// Ring returns the current ring.
	Ring func() *Ring
	// RingAsOf returns a moment after which the ring may have changed where it is
	// kept: Ring has every key that was added before. Nil for a ring that never
	// changes.
	RingAsOf func() time.Time
	// MaxSessions is how many sessions a user has at the most: the oldest ends.
	// 0 for as many as they like.
	MaxSessions int
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

	replica     string // names this Service among others
	sightings   sightings
	unknownKeys unknownKeys
}

// NewService returns a Service. Its Run finishes what a crash left undone.
func NewService(c Config) *Service { return &Service{Config: c, replica: rand.Text()} }

// Begin starts a session for an account at client; device is the user agent,
// for the user to know it by. It fails with ErrAccountChanged or ErrUnavailable.
func (s *Service) Begin(ctx context.Context, account Account, client, device string) (Session, error) {
	ring, now := s.Ring(), s.Now().Truncate(time.Millisecond) // as stores keep it
	b := Beginning{
		Family: NewFamilyID(), Generation: 1, Rotated: now, Subject: account.ID, Roles: account.Roles, Client: client,
		KeyID: ring.SigningKey(), AuthTime: now, End: now.Add(s.Absolute),
	}
	if err := s.Store.Begin(ctx, b); err != nil {
		return Session{}, fmt.Errorf("begin session: %w", err)
	}
	// A crash between the two, or a refusal, leaves a family that nobody has the token of.
	if err := s.Records.Add(ctx, Record{
		Family: b.Family, Subject: account.ID, Roles: account.Roles, Client: client, Device: device, Begun: now, End: b.End,
	}, account.Version, s.MaxSessions); err != nil {
		if errors.Is(err, ErrAccountChanged) {
			_ = s.Store.Revoke(ctx, []Revocation{{b.Family, ReasonUserRequest}}) // not to keep it for its idle life
		}
		return Session{}, fmt.Errorf("begin session: %w", err)
	}
	return s.session(ring, Grant{
		Outcome: Rotated, Family: b.Family, Generation: 1, KeyID: b.KeyID,
		Subject: account.ID, Roles: account.Roles, AuthTime: b.AuthTime, End: b.End,
	})
}

// Refresh exchanges a refresh token: RFC 6749 section 6 with rotation. It
// fails with ErrInvalidGrant, ErrInvalidClient, ErrChallenge or ErrUnavailable;
// with all but the last, Session holds the outcome and, if the token was ours,
// the family, with the first also the reason.
func (s *Service) Refresh(ctx context.Context, refreshToken, client string, evidence Evidence) (Session, error) {
	t, err := s.parse(refreshToken)
	switch {
	case errors.Is(err, ErrUnavailable):
		return Session{}, fmt.Errorf("refresh: %w", err)
	case err != nil:
		return Session{Grant: Grant{Reason: ReasonUnusable}}, fmt.Errorf("%w: %w", ErrInvalidGrant, err)
	}
	ring := s.Ring()
	grant, err := s.use(ctx, t, Presentation{
		Generation: t.Generation, Client: client, KeyID: t.KeyID,
		Presenter:      ring.PresenterDigest(t, evidence.UserAgent, evidence.Network),
		SuccessorKeyID: ring.SigningKey(), Challenge: evidence.Challenge,
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
	case grant.Outcome == Stale:
		return Session{Grant: grant}, ErrChallenge
	}
	grant.Reason = cmp.Or(grant.Reason, grant.Outcome.reason())
	return Session{Grant: grant}, fmt.Errorf("%w: %s", ErrInvalidGrant, grant.Outcome)
}

// maxUses bounds how often a presentation is repeated because the Store lost the
// family or began a new epoch while the record was read. Three are ordinary.
const maxUses = 6

// use presents t to the Store. What the Store cannot know, because it lost it or
// may have lost it, is looked up in the Records first.
func (s *Service) use(ctx context.Context, t Token, p Presentation) (Grant, error) {
	rebuilt := false
	for range maxUses {
		grant, err := s.Store.Use(ctx, t.Family, p)
		if err != nil {
			return Grant{}, err
		}
		switch grant.Outcome { //nolint:exhaustive // all others are what they are
		case Missing, Unverified:
			r, refusal, err := s.recorded(ctx, t, p, grant)
			if err != nil || refusal != nil {
				return s.refuse(ctx, r, refusal, err)
			}
			if grant.Outcome == Unverified {
				p.Settled, p.Roles = grant.Doubt, r.Roles
				continue
			}
			if err := s.putBack(ctx, t, r); err != nil {
				return Grant{}, err
			}
			rebuilt = true
			continue
		case Reused:
			s.endReused(ctx, t.Family)
		case Ended:
			s.note(ctx, t.Family, ReasonExpired)
		case Revoked:
			// The replica that found a reuse may not have lived to write it down.
			if r, err := s.Records.Get(ctx, t.Family); err == nil && r.Revoked.IsZero() {
				s.endReused(ctx, t.Family)
			}
		case Rotated:
			if rebuilt {
				grant.Outcome = Rebuilt
			}
		}
		return grant, nil
	}
	return Grant{}, fmt.Errorf("%w: the family was lost again and again", ErrUnavailable)
}

// putBack begins a family anew that the Store has lost, at the generation that
// is presented, which only we can have signed. It stays Unverified: it may be
// ended while it comes back, so that its record is read once more.
func (s *Service) putBack(ctx context.Context, t Token, r Record) error {
	err := s.Store.Begin(ctx, Beginning{
		Family: t.Family, Generation: t.Generation, Subject: r.Subject, Roles: r.Roles, Client: r.Client,
		KeyID: t.KeyID, AuthTime: r.Begun, End: r.End, Lost: true,
	})
	if errors.Is(err, ErrExists) { // another replica was first, or it was ended
		return nil
	}
	return err
}

// over returns why a session is over, as far as its record says, and "" while it
// lives. Seen lags behind, so that a session is idle a little later here than in
// the Store, which forgets it then.
func (s *Service) over(r Record) Reason {
	switch now := s.Now(); {
	case !r.Revoked.IsZero():
		return r.Reason
	case !now.Before(r.End):
		return ReasonExpired
	case s.Idle > 0 && now.Sub(r.Seen) > s.Idle+seenLag:
		return ReasonIdle
	}
	return ""
}

// recorded looks at a session's record because the Store answered so, and
// returns a refusal if the record decides.
func (s *Service) recorded(ctx context.Context, t Token, p Presentation, answer Grant) (Record, *Grant, error) {
	r, err := s.Records.Get(ctx, t.Family)
	r.Family = t.Family // also when there is no record
	refusal := &Grant{Family: t.Family}
	switch over := s.over(r); {
	case errors.Is(err, ErrNotFound):
		refusal.Outcome = Missing
	case err != nil:
		return r, nil, err
	case !r.Revoked.IsZero():
		refusal.Outcome, refusal.Reason = Revoked, r.Reason
	case over != "":
		refusal.Outcome, refusal.Reason = Ended, over
	case r.Client != p.Client:
		refusal.Outcome = Foreign
	case t.Generation < r.Floor && !p.Challenged(answer.At):
		refusal.Outcome, refusal.At = Stale, answer.At
	case t.Generation < r.Floor:
		refusal.Outcome = Reused
	case answer.Outcome == Missing && !s.Rebuild:
		refusal.Outcome = Missing
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
		s.note(ctx, r.Family, refusal.Reason)
	case Revoked:
		if err := s.Store.Revoke(ctx, []Revocation{{r.Family, r.Reason}}); err != nil {
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
	t, err := s.parse(refreshToken)
	switch {
	case errors.Is(err, ErrUnavailable):
		return Record{}, fmt.Errorf("owner: %w", err)
	case err != nil:
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

// Confirm notes that a browser has shown this refresh token of client's. Texts
// that are no tokens of ours are skipped: a missing confirmation only leaves the
// predecessor good for longer. It fails with ErrUnavailable.
func (s *Service) Confirm(ctx context.Context, refreshToken, client string) error {
	t, err := s.Ring().Parse(refreshToken)
	if err != nil {
		return nil //nolint:nilerr // there is nothing to confirm
	}
	if err := s.Store.Confirm(ctx, t.Family, t.Generation, client); err != nil {
		return fmt.Errorf("confirm: %w", err)
	}
	return nil
}

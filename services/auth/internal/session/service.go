package session

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"
)

// ErrInvalidGrant means that the refresh token is invalid, expired or revoked (RFC 6749 section
// 5.2): the client must discard it.
var ErrInvalidGrant = errors.New("session: invalid grant")

// ErrChallenge means that the refresh token looks reused, and that nothing has changed yet. The
// client repeats the request at once with Session.At as Evidence.Challenge. So a delayed request,
// whose sender has given up, never ends a session.
var ErrChallenge = errors.New("session: repeat with the challenge")

// ErrInvalidClient means that the refresh token was issued to another client.
var ErrInvalidClient = errors.New("session: issued to another client")

// A Session is a refresh token for the client, with the Grant that its access token is made from.
type Session struct {
	Grant

	RefreshToken string
}

// Evidence is what distinguishes a lost response from reuse of a refresh token. User agent and
// network are stored only as a digest (see Ring.PresenterDigest). See Presentation.Challenge.
type Evidence struct {
	UserAgent, Network string
	Challenge          time.Time
}

// An Observer receives events for metrics and audit.
type Observer interface {
	Refreshed(Outcome)
	// Ended is called once for each ended session, by the replica that published it first. It is
	// not called if that replica crashes just after it settled the record.
	Ended(Record)
}

// An Upstream knows the sessions that users have at identity providers.
type Upstream interface {
	// Over reports whether the provider has ended its session, so that this one must end too. It is
	// called for one request at a time of each family. An outage is not an end.
	Over(ctx context.Context, g Grant) bool
}

// Config configures a Service.
type Config struct {
	Store   Store
	Records Records
	Stream  Stream
	// Ring returns the current ring.
	Ring func() *Ring
	// RingAsOf returns a time such that Ring holds every key that was added to the ring's source
	// before it. It is nil for a ring that never changes.
	RingAsOf func() time.Time
	// MaxSessions is the maximum number of sessions of a user; the oldest end. 0 means no limit.
	MaxSessions int
	// Absolute is the maximum life of a session. Idle is the maximum time without use; with 0 only
	// the Store enforces one.
	Absolute, Idle time.Duration
	// Rebuild allows sessions that the Store lost to be rebuilt from their Record.
	Rebuild bool
	// Upstream is asked about each session of a provider that was just rotated. Nil asks nobody.
	Upstream Upstream
	Now      func() time.Time
	Observer Observer
}

// A Service issues, rotates and revokes refresh tokens.
type Service struct {
	Config

	replica     string // unique among replicas, for Stream.Lead
	sightings   sightings
	unknownKeys unknownKeys
}

// NewService returns a Service. The caller runs its Run.
func NewService(c Config) *Service { return &Service{Config: c, replica: rand.Text()} }

// Begin starts a session of account at client. device is the user agent: see Record.Device. It
// fails with ErrAccountChanged or ErrUnavailable.
func (s *Service) Begin(ctx context.Context, account Account, client, device string) (Session, error) {
	ring, now := s.Ring(), s.Now().Truncate(time.Millisecond) // the precision of the Store
	life, login := s.Absolute, account.Login
	if login.MaxLife > 0 {
		life = min(life, login.MaxLife)
	}
	if login.AuthTime.IsZero() {
		login.AuthTime = now
	}
	b := Beginning{
		Family: NewFamilyID(), Generation: 1, Rotated: now, Subject: account.ID, Roles: account.Roles, Client: client,
		KeyID: ring.SigningKey(), AuthTime: login.AuthTime, Provider: login.Provider, ACR: login.ACR, End: now.Add(life),
	}
	if err := s.Store.Begin(ctx, b); err != nil {
		return Session{}, fmt.Errorf("begin session: %w", err)
	}
	// If this fails or the process crashes here, the family is unusable: nobody has its token.
	if err := s.Records.Add(ctx, Record{
		Family: b.Family, Subject: account.ID, Roles: account.Roles, Client: client, Device: device, Begun: now, End: b.End,
		AuthTime: b.AuthTime, Provider: b.Provider, ACR: b.ACR,
	}, account.Version, s.MaxSessions); err != nil {
		if errors.Is(err, ErrAccountChanged) {
			_ = s.Store.Revoke(ctx, []Revocation{{b.Family, ReasonUserRequest}}) // frees the memory early
		}
		return Session{}, fmt.Errorf("begin session: %w", err)
	}
	return s.session(ring, Grant{
		Outcome: Rotated, Family: b.Family, Generation: 1, KeyID: b.KeyID,
		Subject: account.ID, Roles: account.Roles, AuthTime: b.AuthTime, Provider: b.Provider, ACR: b.ACR, End: b.End,
	})
}

// Refresh exchanges a refresh token (RFC 6749 section 6) and rotates it. It fails with
// ErrInvalidGrant, ErrInvalidClient, ErrChallenge or ErrUnavailable. With the first three, the
// Session holds Outcome and Family if the token was authentic. With ErrInvalidGrant it also holds
// Reason.
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
	if grant.Outcome == Rotated && grant.Provider != "" && s.Upstream != nil && s.Upstream.Over(ctx, grant) {
		if _, err := s.End(context.WithoutCancel(ctx), Which{Family: grant.Family}, ReasonProvider); err != nil {
			return Session{}, fmt.Errorf("refresh: %w", err)
		}
		return Session{Grant: Grant{Outcome: Revoked, Family: grant.Family, Reason: ReasonProvider}}, fmt.Errorf("%w: the provider ended it", ErrInvalidGrant)
	}
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

// maxUses bounds how often a token is presented to the Store again because the Store lost the
// family or began a new epoch while the record was read. Rebuilding a family takes three.
const maxUses = 6

// use presents t to the Store. If the Store has lost the family, or may have lost writes, it reads
// the record and presents t again.
func (s *Service) use(ctx context.Context, t Token, p Presentation) (Grant, error) {
	rebuilt := false
	for range maxUses {
		grant, err := s.Store.Use(ctx, t.Family, p)
		if err != nil {
			return Grant{}, err
		}
		switch grant.Outcome { //nolint:exhaustive // the others need no action
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
			// The replica that detected reuse may have crashed before it wrote the tombstone.
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

// putBack rebuilds a family that the Store has lost, at the presented generation, which the MAC
// proves to be authentic. The session may end in the meantime, so the family starts Unverified and
// its record is read again.
func (s *Service) putBack(ctx context.Context, t Token, r Record) error {
	err := s.Store.Begin(ctx, Beginning{
		Family: t.Family, Generation: t.Generation, Subject: r.Subject, Roles: r.Roles, Client: r.Client,
		KeyID: t.KeyID, AuthTime: r.AuthTime, Provider: r.Provider, ACR: r.ACR, End: r.End, Lost: true,
	})
	if errors.Is(err, ErrExists) { // another replica was faster, or the session ended
		return nil
	}
	return err
}

// over returns why a session is over according to its record, or "" if it is live. Record.Seen lags
// behind by up to seenLag, so that much is added to the idle time.
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

// recorded returns the record of t's session after the Store answered Missing or Unverified. It
// also returns a refusal if the record forbids the use of t.
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

// refuse returns refusal and applies it to the Store and the record r. If err is not nil, it only
// returns err.
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
		// Another replica signed with a key that this one has not read yet.
		return Session{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return Session{Grant: g, RefreshToken: text}, nil
}

// Owner returns the record of the session of a refresh token of any generation that was issued to
// client, whether or not the session is over. It fails with ErrInvalidGrant, ErrInvalidClient or
// ErrUnavailable.
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

// Confirm records that a browser has presented this refresh token, issued to client. It ignores
// texts that are not our tokens: without a confirmation the predecessor is only accepted for
// longer. It fails with ErrUnavailable.
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

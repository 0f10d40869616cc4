package session

import (
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

// ReasonLogout is why a family ends at its user's wish.
const ReasonLogout = "logout"

// A Session is a refresh token to hand out and what its access token says.
type Session struct {
	Grant

	RefreshToken string
}

// A Presenter is who shows a refresh token: the two things that a lost
// response is judged by. Neither is stored: see Ring.Presenter.
type Presenter struct{ UserAgent, Network string }

// A Service hands out and takes back refresh tokens.
type Service struct {
	store    Store
	ring     func() *Ring
	absolute time.Duration
	now      func() time.Time
	observe  func(Outcome)
}

// NewService returns a Service whose families end at the latest absolute after
// they began. ring returns the current ring. observe is told of the outcome of
// each use, for metrics.
func NewService(store Store, ring func() *Ring, absolute time.Duration, now func() time.Time, observe func(Outcome)) *Service {
	return &Service{store: store, ring: ring, absolute: absolute, now: now, observe: observe}
}

// Begin starts a family for subject at client. It fails with ErrUnavailable.
func (s *Service) Begin(ctx context.Context, subject string, roles []string, client string) (Session, error) {
	ring, now := s.ring(), s.now().Truncate(time.Millisecond) // as stores keep it
	b := Beginning{
		Family: NewFamilyID(), Subject: subject, Roles: roles, Client: client,
		KeyID: ring.SigningKey(), AuthTime: now, End: now.Add(s.absolute),
	}
	if err := s.store.Begin(ctx, b); err != nil {
		return Session{}, fmt.Errorf("begin session: %w", err)
	}
	return s.session(ring, Grant{
		Outcome: Rotated, Family: b.Family, Generation: 1, KeyID: b.KeyID,
		Subject: subject, Roles: roles, AuthTime: b.AuthTime, End: b.End,
	})
}

// Refresh exchanges a refresh token: RFC 6749 section 6 with rotation. It
// fails with ErrInvalidGrant, ErrInvalidClient or ErrUnavailable; with the
// first two, Session holds the outcome and, if the token was ours, the family.
func (s *Service) Refresh(ctx context.Context, refreshToken, client string, by Presenter) (Session, error) {
	ring := s.ring()
	t, err := ring.Parse(refreshToken)
	if err != nil {
		return Session{}, fmt.Errorf("%w: %w", ErrInvalidGrant, err)
	}
	grant, err := s.store.Use(ctx, t.Family, Presentation{
		Generation: t.Generation, Client: client, KeyID: t.KeyID,
		Presenter:      ring.Presenter(t, by.UserAgent, by.Network),
		SuccessorKeyID: ring.SigningKey(),
	})
	if err != nil {
		return Session{}, fmt.Errorf("refresh: %w", err)
	}
	s.observe(grant.Outcome)
	switch {
	case grant.Outcome.Granted():
		return s.session(ring, grant)
	case grant.Outcome == Foreign:
		return Session{Grant: grant}, ErrInvalidClient
	}
	return Session{Grant: grant}, fmt.Errorf("%w: %s", ErrInvalidGrant, grant.Outcome)
}

// Revoke ends the family of a refresh token of any generation (RFC 7009). A
// text that is no token of ours, and a family that is gone, are no errors
// (section 2.2). It fails with ErrUnavailable.
func (s *Service) Revoke(ctx context.Context, refreshToken, client string) (FamilyID, bool, error) {
	t, err := s.ring().Parse(refreshToken)
	if err != nil {
		return "", false, nil //nolint:nilerr // RFC 7009 section 2.2: an invalid token is a success
	}
	ended, err := s.store.Revoke(ctx, t.Family, client, ReasonLogout)
	if err != nil {
		return t.Family, false, fmt.Errorf("revoke: %w", err)
	}
	return t.Family, ended, nil
}

func (s *Service) session(ring *Ring, g Grant) (Session, error) {
	text, err := ring.Mint(Token{KeyID: g.KeyID, Family: g.Family, Generation: g.Generation})
	if err != nil {
		// Another replica signs with a key that this one has not read yet.
		return Session{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return Session{Grant: g, RefreshToken: text}, nil
}

package session

import (
	"context"
	"errors"
)

// Introspect returns the session record of an active refresh token (RFC 7662 section 2.2): one that
// was issued to client and is the newest of a live session. It changes nothing and does not count
// as a use of the token. It fails with ErrMalformed if the text is not one of our refresh tokens,
// with ErrInvalidGrant if the token is not active, or with ErrUnavailable.
func (s *Service) Introspect(ctx context.Context, refreshToken, client string) (Record, error) {
	t, err := s.parse(refreshToken)
	switch {
	case errors.Is(err, ErrUnknownKey) && !errors.Is(err, ErrUnavailable):
		return Record{}, ErrInvalidGrant
	case err != nil:
		return Record{}, err
	}
	r, err := s.Alive(ctx, t.Family)
	if err != nil {
		return Record{}, err
	}
	if r.Client != client || t.Generation < r.Floor {
		return Record{}, ErrInvalidGrant
	}
	generation, revoked, err := s.Store.Generation(ctx, t.Family)
	switch {
	case err != nil:
		return Record{}, wrap("introspect", err)
	case revoked, t.Generation < generation, generation == 0 && !s.Rebuild:
		return Record{}, ErrInvalidGrant
	}
	return r, nil
}

// Alive returns the record of a live session. It fails with ErrInvalidGrant if the session is over
// or unknown, or with ErrUnavailable.
func (s *Service) Alive(ctx context.Context, family FamilyID) (Record, error) {
	r, err := s.Records.Get(ctx, family)
	switch {
	case errors.Is(err, ErrNotFound):
		return Record{}, ErrInvalidGrant
	case err != nil:
		return Record{}, wrap("introspect", err)
	case s.over(r) != "":
		return Record{}, ErrInvalidGrant
	}
	r.Family = family
	return r, nil
}

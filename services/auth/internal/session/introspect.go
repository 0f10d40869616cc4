package session

import (
	"context"
	"errors"
)

// Introspect returns the record of a refresh token's session if the token is
// good: it was issued to client, its session lives, and it is the newest one
// (RFC 7662 section 2.2). It changes nothing, so it is no use of the token.
// It fails with ErrMalformed if the text is no refresh token of ours, with
// ErrInvalidGrant if it is a bad one, or with ErrUnavailable.
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

// Alive returns the record of a session that is not over. It fails with
// ErrInvalidGrant if it does not, or with ErrUnavailable.
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

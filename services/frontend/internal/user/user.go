// Package user knows who is looking at a page: the verified principal, with
// the name and address that the auth service has for it.
//
// A User belongs to one request. It travels in that request's context and is
// kept nowhere else, so that two people at once can never see each other.
package user

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/frontend/internal/upstream"
	"lilypad.example/services/pkg/authn"
)

// A User is who is signed in.
type User struct {
	Name, Email string
	Roles       []string
	SignedInAt  time.Time
	// Known is false while the auth service cannot be asked: the token still
	// says that this is a user, but not by which name.
	Known bool
}

type contextKey struct{}

// NewContext returns ctx with u as its user.
func NewContext(ctx context.Context, u User) context.Context {
	return context.WithValue(ctx, contextKey{}, u)
}

// FromContext returns the user of the request that ctx belongs to; false for a
// stranger.
func FromContext(ctx context.Context) (User, bool) {
	u, ok := ctx.Value(contextKey{}).(User)
	return u, ok
}

// Directory looks users up at the auth service.
type Directory struct {
	service *upstream.Service
	log     *slog.Logger
}

// NewDirectory returns the directory of the auth service at base.
func NewDirectory(base string, log *slog.Logger) Directory {
	return Directory{upstream.New(base), log}
}

// Load returns ctx with its principal's User, or ctx itself for a stranger.
// An auth service that is away is no error: the page goes on without a name.
// It fails with upstream.ErrUnauthorized if the auth service refuses the token.
func (d Directory) Load(ctx context.Context) (context.Context, error) {
	p, ok := authn.FromContext(ctx)
	if !ok {
		return ctx, nil
	}
	u := User{Roles: p.Roles, SignedInAt: p.AuthTime}
	var me api.User
	switch err := d.service.Do(ctx, api.NewGetMeRequest, &me); {
	case errors.Is(err, upstream.ErrUnauthorized), ctx.Err() != nil:
		return ctx, err
	case err != nil:
		d.log.WarnContext(ctx, "no profile: the page goes on without a name", "error", err)
	case me.Sub != p.Subject:
		d.log.ErrorContext(ctx, "no profile: the auth service answered for somebody else")
	default:
		u.Name, u.Email, u.Known = me.Name, me.Email, true
	}
	return NewContext(ctx, u), nil
}

// Package user holds the signed-in user of a request: the verified principal, with the name and
// e-mail address from the auth service.
//
// A User exists only in the context of its request, so that concurrent requests of different users
// cannot see each other's data.
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

// A User is the signed-in user.
type User struct {
	Name, Email string
	Roles       []string
	SignedInAt  time.Time
	// Known is false if the auth service did not provide the profile. The token proves that this is
	// a user, but does not hold the name.
	Known bool
}

type contextKey struct{}

// NewContext returns ctx with u as its user.
func NewContext(ctx context.Context, u User) context.Context {
	return context.WithValue(ctx, contextKey{}, u)
}

// FromContext returns the user of the request that ctx belongs to, or false if nobody is signed in.
func FromContext(ctx context.Context) (User, bool) {
	u, ok := ctx.Value(contextKey{}).(User)
	return u, ok
}

// Directory loads users from the auth service.
type Directory struct {
	service *upstream.Service
	log     *slog.Logger
}

// NewDirectory returns a directory that uses the auth service at base.
func NewDirectory(base string, log *slog.Logger) Directory {
	return Directory{upstream.New(base), log}
}

// Load returns ctx with the User of its principal, or ctx itself if nobody is signed in. If the
// auth service is down, Load succeeds and the page is shown without a name. It fails with
// upstream.ErrUnauthorized if the auth service rejects the token.
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

// Package authn verifies bearer access tokens (RFC 6750, RFC 9068) and puts the Principal of a
// token into the request's context. It is a service's only source of identity: no other header is
// used.
//
// Cookies, refresh tokens and the permissions of roles are not its concern.
package authn

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"lilypad.example/services/pkg/problem"
)

// ErrInvalid means that a token is not from the issuer, not for this audience, or not valid now.
// The error's text says which, for the log.
var ErrInvalid = errors.New("authn: invalid token")

// ErrUnavailable means that no token can be verified, because the issuer's keys have never been
// fetched.
var ErrUnavailable = errors.New("authn: verification keys unavailable")

// A Principal is the user and session of a verified access token.
type Principal struct {
	Subject   string
	SessionID string
	Roles     []string
	AuthTime  time.Time
	Expires   time.Time
}

// HasRole reports whether the token grants role.
func (p Principal) HasRole(role string) bool { return slices.Contains(p.Roles, role) }

type contextKey struct{}

type identity struct {
	principal Principal
	token     string
}

// FromContext returns the principal of the request that ctx belongs to, or false if the request is
// anonymous.
func FromContext(ctx context.Context) (Principal, bool) {
	id, ok := ctx.Value(contextKey{}).(identity)
	return id.principal, ok
}

// Authorization returns the Authorization header for calling another service as the same principal,
// or "" if the request is anonymous. The token is not part of Principal, so that printing a
// Principal never prints a token.
func Authorization(ctx context.Context) string {
	id, ok := ctx.Value(contextKey{}).(identity)
	if !ok {
		return ""
	}
	return "Bearer " + id.token
}

// Refuse answers with p a request whose token is missing or invalid. A page may answer with HTML;
// for an API, see JSON.
type Refuse func(w http.ResponseWriter, r *http.Request, p *problem.Problem)

// JSON is the Refuse of an API.
func JSON(w http.ResponseWriter, _ *http.Request, p *problem.Problem) { problem.Write(w, p) }

// Optional returns middleware that lets anonymous requests pass. It refuses an invalid token: if it
// treated the request as anonymous, the client would not know that it has to refresh the token.
func (v *Verifier) Optional(refuse Refuse) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if len(r.Header.Values("Authorization")) == 0 {
				next.ServeHTTP(w, r)
				return
			}
			ctx, p := v.authenticate(r)
			if p != nil {
				refuse(w, r, p)
				return
			}
			next.ServeHTTP(w, r.WithContext(ctx))
		})
	}
}

// Require returns middleware that refuses anonymous requests and invalid tokens.
func (v *Verifier) Require(refuse Refuse) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return v.Optional(refuse)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, ok := FromContext(r.Context()); !ok {
				refuse(w, r, missing())
				return
			}
			next.ServeHTTP(w, r)
		}))
	}
}

func (v *Verifier) authenticate(r *http.Request) (context.Context, *problem.Problem) {
	values := r.Header.Values("Authorization")
	scheme, token, ok := strings.Cut(values[0], " ")
	if len(values) != 1 || !ok || !strings.EqualFold(scheme, "Bearer") {
		return nil, InvalidToken()
	}
	principal, err := v.Verify(r.Context(), token)
	switch {
	case errors.Is(err, ErrUnavailable):
		p := problem.New(http.StatusServiceUnavailable, problem.Unavailable, "Sign-in cannot be checked at the moment. Please try again shortly.")
		p.RetryAfter = time.Second
		return nil, p
	case err != nil:
		return nil, InvalidToken()
	}
	return context.WithValue(r.Context(), contextKey{}, identity{principal, token}), nil
}

// missing returns the challenge for a request without credentials. It has no error code (RFC 6750
// section 3.1).
func missing() *problem.Problem {
	p := problem.New(http.StatusUnauthorized, problem.Unauthorized, "Sign in to go on.")
	p.Challenge = "Bearer"
	return p
}

// InvalidToken returns the problem for a token that is refused. It is the same for every reason, so
// that probing reveals nothing.
func InvalidToken() *problem.Problem {
	p := problem.New(http.StatusUnauthorized, problem.Unauthorized, "The access token is not valid. Sign in again.")
	p.Challenge = `Bearer error="invalid_token"`
	return p
}

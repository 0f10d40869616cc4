// Package authn verifies bearer access tokens (RFC 6750, RFC 9068) and puts
// the Principal they name into the request's context. It is the only source of
// identity in a service: no header but Authorization is ever looked at (R1).
//
// It owns verification and the key cache; it knows neither cookies nor refresh
// tokens nor what a role may do.
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

// ErrInvalid says that a token is not one of ours, not for this audience, or
// not valid now. Which of these it is, is in the wrapped text, for the log.
var ErrInvalid = errors.New("authn: invalid token")

// ErrUnavailable says that no token can be verified now, because the issuer's
// keys have never been reached.
var ErrUnavailable = errors.New("authn: verification keys unavailable")

// A Principal is who a verified access token speaks for.
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

// FromContext returns the principal of the request that ctx belongs to; false
// for a stranger.
func FromContext(ctx context.Context) (Principal, bool) {
	id, ok := ctx.Value(contextKey{}).(identity)
	return id.principal, ok
}

// Authorization returns the value of the Authorization header that speaks for
// the same principal to another service, or "" for a stranger. The token is
// not part of Principal, so that printing a Principal never prints a token.
func Authorization(ctx context.Context) string {
	id, ok := ctx.Value(contextKey{}).(identity)
	if !ok {
		return ""
	}
	return "Bearer " + id.token
}

// Refuse answers a request that carries a bad token or none; a page may answer
// HTML where problem.Write answers JSON.
type Refuse func(w http.ResponseWriter, r *http.Request, p *problem.Problem)

// JSON is the Refuse of an API.
func JSON(w http.ResponseWriter, _ *http.Request, p *problem.Problem) { problem.Write(w, p) }

// Optional returns middleware that lets strangers pass as such. A token that
// does not verify is refused all the same: taking its holder for a stranger
// would hide the fault from who could refresh it.
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

// Require returns middleware that refuses strangers.
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
		return nil, invalid()
	}
	principal, err := v.Verify(r.Context(), token)
	switch {
	case errors.Is(err, ErrUnavailable):
		p := problem.New(http.StatusServiceUnavailable, problem.Unavailable, "Sign-in cannot be checked at the moment. Please try again shortly.")
		p.RetryAfter = time.Second
		return nil, p
	case err != nil:
		return nil, invalid()
	}
	return context.WithValue(r.Context(), contextKey{}, identity{principal, token}), nil
}

// missing is the challenge without an error code: RFC 6750 section 3.1 says
// that a request without any credentials gets no more than the scheme.
func missing() *problem.Problem {
	p := problem.New(http.StatusUnauthorized, problem.Unauthorized, "Sign in to go on.")
	p.Challenge = "Bearer"
	return p
}

// invalid is one answer for every fault, so that it explains nothing to who
// probes (T46).
func invalid() *problem.Problem {
	p := problem.New(http.StatusUnauthorized, problem.Unauthorized, "The access token is not valid. Sign in again.")
	p.Challenge = `Bearer error="invalid_token"`
	return p
}

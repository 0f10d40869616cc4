package authclient

import (
	"context"
	"time"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/pkg/problem"
)

// Codes of problems at the beginning and the end of a sign-in with an identity provider.
const (
	UnknownProvider      problem.Code = "unknown_provider"
	UnknownAuthorization problem.Code = "unknown_authorization"
)

// An Authorization is a sign-in with an identity provider that begins.
type Authorization struct {
	// Provider is the provider's ID. Without it, Issuer is the provider's issuer.
	Provider, Issuer string
	// Binding is what only this browser has.
	Binding string
	// RedirectURI is where the provider sends the browser back to.
	RedirectURI string
	// Next comes back at the end.
	Next              string
	LoginHint, Prompt string
	// MaxAge and ACRValues are what the sign-in must satisfy; zero for anything.
	MaxAge    time.Duration
	ACRValues string
	// RefreshToken is that of the session whose account must come back, or, with Link, that
	// the identity is connected to.
	RefreshToken string
	Link         bool
}

// Completed is a sign-in with an identity provider that is over. Either it began a
// session, or Refusal says why not.
type Completed struct {
	Next    string
	Begun   Begun
	Refusal problem.Code
}

// BeginAuthorization begins a sign-in with an identity provider, and returns where to
// send the browser. A refusal is a *problem.Problem.
func (c *Client) BeginAuthorization(ctx context.Context, a Authorization, by Browser) (string, error) {
	sign, err := c.sign()
	if err != nil {
		return "", err
	}
	r, err := c.api.BeginAuthorizationWithResponse(ctx, api.NewAuthorization{
		Provider: optional(a.Provider), Issuer: optional(a.Issuer), Browser: a.Binding, RedirectUri: a.RedirectURI, Next: optional(a.Next),
		LoginHint: optional(a.LoginHint), Prompt: optional(a.Prompt), MaxAge: optional(int(a.MaxAge / time.Second)), AcrValues: optional(a.ACRValues),
		RefreshToken: optional(a.RefreshToken), Link: optional(a.Link), Presenter: presenter(by),
	}, sign)
	switch {
	case err != nil:
		return "", unavailable(err)
	case r.JSON201 != nil:
		return r.JSON201.AuthorizationUrl, nil
	}
	// Its status may be 502 or 503, but the auth service itself is there.
	if p := r.ApplicationproblemJSONDefault; p != nil && api.RefusalCode(p.Code).Valid() {
		return "", problem.New(r.StatusCode(), problem.Code(p.Code), deref(p.Detail))
	}
	return "", refusal(r.HTTPResponse, r.ApplicationproblemJSONDefault)
}

// CompleteAuthorization completes a sign-in with the query that the provider sent the
// browser back with. Without such a sign-in it fails with a *problem.Problem.
func (c *Client) CompleteAuthorization(ctx context.Context, provider, binding, query string, by Browser) (Completed, error) {
	start := c.now()
	sign, err := c.sign()
	if err != nil {
		return Completed{}, err
	}
	r, err := c.api.CompleteAuthorizationWithResponse(ctx, api.AuthorizationResponse{
		Provider: provider, Browser: binding, Query: query, Presenter: presenter(by),
	}, sign)
	switch {
	case err != nil:
		return Completed{}, unavailable(err)
	case r.JSON200 == nil:
		return Completed{}, refusal(r.HTTPResponse, r.ApplicationproblemJSONDefault)
	}
	done := Completed{Next: r.JSON200.Next}
	if r.JSON200.Refusal != nil {
		done.Refusal = problem.Code(r.JSON200.Refusal.Code)
		return done, nil
	}
	done.Begun, err = begun(r.JSON200.Session, start, r.HTTPResponse, nil)
	return done, err
}

// optional returns nil for a zero value, which then is left out.
func optional[T comparable](value T) *T {
	if value == *new(T) {
		return nil
	}
	return &value
}

// Package authclient calls the auth service. It wraps the generated client with client
// assertions, time and size limits, and three kinds of results: success, a definite
// refusal, or an outage.
package authclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"time"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/pkg/problem"
)

// An EndedError reports that a refresh token is not valid any more, and why. It is the
// only error that ends a session: invalid_grant of RFC 6749 section 5.2.
type EndedError struct{ Reason api.EndReason }

func (e *EndedError) Error() string { return "authclient: the session has ended: " + string(e.Reason) }

// Unknown stands for a missing or unknown reason. Reasons are metric labels, so their
// list is closed.
const Unknown api.EndReason = "unknown"

// Ended returns the EndedError for a reason from the auth service or its feed.
func Ended(reason string) *EndedError {
	if r := api.EndReason(reason); r.Valid() {
		return &EndedError{r}
	}
	return &EndedError{Unknown}
}

// ErrFormClaimed reports that another request is sending the form.
var ErrFormClaimed = errors.New("authclient: the form is claimed")

// ErrNoForm reports that no such form is kept.
var ErrNoForm = errors.New("authclient: no such form")

// ErrUnavailable reports that the auth service did not answer, or that its answer was
// malformed. The session may still be alive.
var ErrUnavailable = errors.New("authclient: auth service unavailable")

// A StatusError is wrapped with ErrUnavailable if the auth service answered with a
// status that is neither a success nor a definite refusal.
type StatusError struct {
	Status int
	// RetryAfter is the answer's Retry-After, or 0.
	RetryAfter time.Duration
}

func (e *StatusError) Error() string { return "status " + strconv.Itoa(e.Status) }

// RetryAfter returns the Retry-After of the answer that caused err, or 0.
func RetryAfter(err error) time.Duration {
	if e, ok := errors.AsType[*StatusError](err); ok {
		return e.RetryAfter
	}
	return 0
}

const (
	timeout = 5 * time.Second
	// maxAnswer is the maximum size of an answer in bytes, far above any real one.
	maxAnswer = 128 << 10
	// maxConns bounds concurrent calls; more calls wait, within timeout. A flood of
	// unknown cookies does not become a flood of connections.
	maxConns = 64
)

// A Browser is the client that a call is made for.
type Browser struct {
	UserAgent, Address string
	// Sessions are refresh tokens of its current and former sessions, the newest first.
	// They make it a known device at Login.
	Sessions []string
}

// Begun is a session that has just begun.
type Begun struct {
	User   api.User
	Tokens Tokens
	// Others are those of Browser.Sessions that belong to other accounts.
	Others []string
}

// Tokens are the tokens of a session and what the auth service says about it.
type Tokens struct {
	RefreshToken  string
	Authorization string // "Bearer " and the access token
	Expires       time.Time
	Life          time.Duration
	SessionID     string
	Roles         []string
	// AuthTime is when the user entered the password, or proved who they are at Provider.
	AuthTime time.Time
	// Provider is the ID of the identity provider that the user signed in with, and ACR the
	// authentication context class that it named. Both are "" for a password.
	Provider, ACR string
	End           time.Time
}

// Client calls the auth service in one client's name.
type Client struct {
	api       *api.ClientWithResponses
	assertion Assertion
	now       func() time.Time
}

// New returns a client of the auth service at url that authenticates with assertion.
func New(url string, assertion Assertion, transport http.RoundTripper, now func() time.Time) (*Client, error) {
	c, err := api.NewClientWithResponses(url, api.WithHTTPClient(&http.Client{
		Timeout:   timeout,
		Transport: bounded{transport},
		// The auth service never redirects.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}))
	if err != nil {
		return nil, fmt.Errorf("auth client: %w", err)
	}
	return &Client{api: c, assertion: assertion, now: now}, nil
}

// Transport returns the RoundTripper for New.
func Transport() http.RoundTripper {
	return &http.Transport{
		MaxConnsPerHost: maxConns, MaxIdleConnsPerHost: maxConns, IdleConnTimeout: 90 * time.Second, ResponseHeaderTimeout: timeout,
		MaxResponseHeaderBytes: 16 << 10, DisableCompression: true,
	}
}

// Register creates a user and begins a session. A refusal is a *problem.Problem.
func (c *Client) Register(ctx context.Context, email, name, password string, by Browser) (Begun, error) {
	start := c.now()
	sign, err := c.sign()
	if err != nil {
		return Begun{}, err
	}
	r, err := c.api.CreateUserWithResponse(ctx, api.NewUser{Email: email, Name: name, Password: password, Presenter: presenter(by)}, sign)
	if err != nil {
		return Begun{}, unavailable(err)
	}
	return begun(r.JSON201, start, r.HTTPResponse, r.ApplicationproblemJSONDefault)
}

// Login begins a session. A refusal is a *problem.Problem.
func (c *Client) Login(ctx context.Context, email, password string, by Browser) (Begun, error) {
	start := c.now()
	sign, err := c.sign()
	if err != nil {
		return Begun{}, err
	}
	r, err := c.api.CreateSessionWithResponse(ctx, api.Credentials{Email: email, Password: password, Presenter: presenter(by)}, sign)
	if err != nil {
		return Begun{}, unavailable(err)
	}
	return begun(r.JSON201, start, r.HTTPResponse, r.ApplicationproblemJSONDefault)
}

// Refresh exchanges a refresh token. It fails with an EndedError or ErrUnavailable.
//
// The auth service answers a stale token with a challenge first. Answering it proves
// that this client is still waiting, so that a delayed request does not end an honest
// session.
func (c *Client) Refresh(ctx context.Context, refreshToken string, by Browser) (Tokens, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout) // for both requests
	defer cancel()
	t, challenge, err := c.refresh(ctx, refreshToken, by, 0)
	if challenge != 0 {
		t, _, err = c.refresh(ctx, refreshToken, by, challenge)
	}
	return t, err
}

func (c *Client) refresh(ctx context.Context, refreshToken string, by Browser, challenge int64) (t Tokens, next int64, err error) {
	start := c.now()
	p := presenter(by)
	r, err := repeat(ctx, func(ctx context.Context) (*api.TokenResponse, error) {
		assertion, err := c.assertion.Assertion()
		if err != nil {
			return nil, err
		}
		return c.api.TokenWithFormdataBodyWithResponse(ctx, api.TokenRequest{
			GrantType: api.GrantRefreshToken, RefreshToken: refreshToken,
			ClientAssertionType: api.ClientAssertionType, ClientAssertion: assertion,
			UserAgent: &p.UserAgent, ClientAddress: &p.ClientAddress, Challenge: &challenge,
		})
	})
	switch {
	case err != nil:
		return Tokens{}, 0, unavailable(err)
	case r.JSON200 != nil:
		t, err = tokens(*r.JSON200, start)
		return t, 0, err
	case r.JSON400 != nil && r.JSON400.Error == api.InvalidGrant:
		return Tokens{}, 0, Ended(string(deref(r.JSON400.Reason)))
	case r.JSON400 != nil && r.JSON400.Error == api.UseChallenge && r.JSON400.Challenge != nil:
		next = *r.JSON400.Challenge
	}
	return Tokens{}, next, unanswered("token", r.HTTPResponse)
}

// Revoke ends the session of a refresh token. A nil error means that it has ended for
// good. With returnTo, logoutURL is where to send the browser to sign out at the identity
// provider, which sends it back there; "" if there is nothing to do.
func (c *Client) Revoke(ctx context.Context, refreshToken, returnTo string) (logoutURL string, err error) {
	r, err := repeat(ctx, func(ctx context.Context) (*api.RevokeResponse, error) {
		assertion, err := c.assertion.Assertion()
		if err != nil {
			return nil, err
		}
		return c.api.RevokeWithFormdataBodyWithResponse(ctx, api.RevocationRequest{
			Token: refreshToken, ClientAssertionType: api.ClientAssertionType, ClientAssertion: assertion,
			PostLogoutRedirectUri: optional(returnTo),
		})
	})
	switch {
	case err != nil:
		return "", unavailable(err)
	case r.StatusCode() != http.StatusOK:
		return "", unanswered("revoke", r.HTTPResponse)
	case r.JSON200 == nil:
		return "", nil
	}
	return deref(r.JSON200.LogoutUrl), nil
}

// Confirm reports that browsers have sent these refresh tokens.
func (c *Client) Confirm(ctx context.Context, refreshTokens []string) error {
	r, err := repeat(ctx, func(ctx context.Context) (*api.ConfirmResponse, error) {
		sign, err := c.sign()
		if err != nil {
			return nil, err
		}
		return c.api.ConfirmWithResponse(ctx, api.Confirmation{RefreshTokens: refreshTokens}, sign)
	})
	if err != nil {
		return unavailable(err)
	}
	return noContent("confirm", r.HTTPResponse)
}

// KeepForm stores an encrypted form for the user of a refresh token whose session has
// ended. A refusal is a *problem.Problem.
func (c *Client) KeepForm(ctx context.Context, refreshToken string, sealed []byte) error {
	sign, err := c.sign()
	if err != nil {
		return err
	}
	r, err := c.api.KeepFormWithResponse(ctx, api.KeptForm{RefreshToken: refreshToken, Sealed: sealed}, sign)
	if err != nil {
		return unavailable(err)
	}
	if r.StatusCode() != http.StatusNoContent {
		return refusal(r.HTTPResponse, r.ApplicationproblemJSONDefault)
	}
	return nil
}

// Form returns the encrypted form of session sid that is kept for the user of
// authorization. It fails with ErrNoForm or ErrUnavailable.
func (c *Client) Form(ctx context.Context, authorization, sid string) ([]byte, error) {
	r, err := c.api.GetFormWithResponse(ctx, sid, header(authorization))
	if err != nil {
		return nil, unavailable(err)
	}
	return sealed(r.JSON200, r.HTTPResponse)
}

// ClaimForm is Form, and claims the form until SettleForm. claim is a random ID. It
// also fails with ErrFormClaimed.
func (c *Client) ClaimForm(ctx context.Context, authorization, sid, claim string) ([]byte, error) {
	r, err := c.api.ClaimFormWithResponse(ctx, sid, claim, header(authorization))
	if err != nil {
		return nil, unavailable(err)
	}
	return sealed(r.JSON200, r.HTTPResponse)
}

// SettleForm ends a claim. A form that was sent is deleted.
func (c *Client) SettleForm(ctx context.Context, authorization, sid, claim string, sent bool) error {
	r, err := c.api.SettleFormWithResponse(ctx, sid, claim, &api.SettleFormParams{Sent: sent}, header(authorization))
	if err != nil {
		return unavailable(err)
	}
	return noContent("settle form", r.HTTPResponse)
}

// DiscardForm deletes a form, if there is one.
func (c *Client) DiscardForm(ctx context.Context, authorization, sid string) error {
	r, err := c.api.DiscardFormWithResponse(ctx, sid, header(authorization))
	if err != nil {
		return unavailable(err)
	}
	return noContent("discard form", r.HTTPResponse)
}

func noContent(what string, r *http.Response) error {
	if r.StatusCode != http.StatusNoContent {
		return unanswered(what, r)
	}
	return nil
}

func sealed(f *api.SealedForm, r *http.Response) ([]byte, error) {
	switch {
	case f != nil:
		return f.Sealed, nil
	case r.StatusCode == http.StatusNotFound:
		return nil, ErrNoForm
	case r.StatusCode == http.StatusConflict:
		return nil, ErrFormClaimed
	}
	return nil, unanswered("form", r)
}

// Me returns the user of authorization, a header value.
func (c *Client) Me(ctx context.Context, authorization string) (api.User, error) {
	r, err := c.api.GetMeWithResponse(ctx, header(authorization))
	if err != nil {
		return api.User{}, unavailable(err)
	}
	if r.JSON200 == nil {
		return api.User{}, unanswered("me", r.HTTPResponse)
	}
	return *r.JSON200, nil
}

func (c *Client) sign() (api.RequestEditorFn, error) {
	assertion, err := c.assertion.Assertion()
	if err != nil {
		return nil, unavailable(err)
	}
	return header("Bearer " + assertion), nil
}

func header(authorization string) api.RequestEditorFn {
	return func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", authorization)
		return nil
	}
}

// repeat makes an idempotent call, and makes it again if it failed on a reused
// connection: a server that shuts down closes its idle connections, one of which the
// call may have chosen. net/http would retry by itself (Idempotency-Key), but with the
// same assertion, which the auth service accepts once.
func repeat[T any](ctx context.Context, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		reused := false
		traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
			GotConn: func(c httptrace.GotConnInfo) { reused = c.Reused },
		})
		answer, err := call(traced)
		if _, unanswered := errors.AsType[*url.Error](err); !unanswered || !reused || ctx.Err() != nil {
			return answer, err
		}
	}
}

func presenter(by Browser) api.Presenter {
	p := api.Presenter{UserAgent: by.UserAgent[:min(len(by.UserAgent), 512)], ClientAddress: by.Address}
	if len(by.Sessions) > 0 {
		p.Sessions = &by.Sessions
	}
	return p
}

// begun returns the session in the answer of a login or registration.
func begun(s *api.Session, start time.Time, r *http.Response, p *api.Problem) (Begun, error) {
	if s == nil {
		return Begun{}, refusal(r, p)
	}
	t, err := tokens(s.Token, start)
	return Begun{User: s.User, Tokens: t, Others: s.OtherSessions}, err
}

// refusal returns a definite refusal as a *problem.Problem. invalid_client is not one:
// it means that this installation is misconfigured.
func refusal(r *http.Response, p *api.Problem) error {
	if p == nil || r.StatusCode >= http.StatusInternalServerError || p.Code == "invalid_client" {
		return unanswered("refused", r)
	}
	out := problem.New(r.StatusCode, problem.Code(p.Code), deref(p.Detail))
	out.RetryAfter = retryAfter(r)
	if p.Errors != nil {
		for _, e := range *p.Errors {
			out.Errors = append(out.Errors, problem.FieldError{Field: e.Field, Code: e.Code, Detail: e.Detail})
		}
	}
	return out
}

func deref[T ~string](s *T) T {
	if s == nil {
		return ""
	}
	return *s
}

// tokens converts an answer. Expiry counts from before the call, so that it is never
// late.
func tokens(t api.Token, start time.Time) (Tokens, error) {
	life := time.Duration(t.ExpiresIn) * time.Second
	if t.AccessToken == "" || t.RefreshToken == "" || t.Sid == "" || life <= 0 {
		return Tokens{}, unavailable(errors.New("incomplete token response"))
	}
	return Tokens{
		RefreshToken: t.RefreshToken, Authorization: "Bearer " + t.AccessToken,
		Expires: start.Add(life), Life: life, SessionID: t.Sid, Roles: t.Roles, AuthTime: t.AuthTime, End: t.ExpiresAt,
		Provider: deref(t.Provider), ACR: deref(t.Acr),
	}, nil
}

// unanswered returns the error for a status that is neither success nor refusal.
func unanswered(call string, r *http.Response) error {
	return fmt.Errorf("%w: %s: %w", ErrUnavailable, call, &StatusError{r.StatusCode, retryAfter(r)})
}

// retryAfter returns the Retry-After in seconds of an answer (RFC 9110 section
// 10.2.3), or 0.
func retryAfter(r *http.Response) time.Duration {
	seconds, err := strconv.ParseUint(r.Header.Get("Retry-After"), 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// unavailable wraps err without the URL that net/http adds: that may contain the ID
// of a session, and errors are logged.
func unavailable(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// bounded limits the size of answers.
type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err //nolint:wrapcheck // a RoundTripper passes errors on
	}
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(res.Body, maxAnswer), res.Body}
	return res, nil
}

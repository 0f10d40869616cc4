// Package authclient speaks to the auth service: the client that is generated
// from its contract, with an assertion on every call, bounded times and sizes,
// and three kinds of answer: yes, a definite no, or an outage.
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

// An EndedError says that a refresh token is good for nothing any more, and
// why. It is the only answer that may end a session: invalid_grant of RFC 6749
// section 5.2.
type EndedError struct{ Reason api.EndReason }

func (e *EndedError) Error() string { return "authclient: the session has ended: " + string(e.Reason) }

// Unknown is the reason of an auth service that does not say one, or one that
// we do not know: reasons are labels of metrics, and the list of them is closed.
const Unknown api.EndReason = "unknown"

// Ended is an EndedError of the reason that the auth service or its feed gave.
func Ended(reason string) *EndedError {
	if r := api.EndReason(reason); r.Valid() {
		return &EndedError{r}
	}
	return &EndedError{Unknown}
}

// ErrFormClaimed says that somebody is sending the form at this moment.
var ErrFormClaimed = errors.New("authclient: the form is claimed")

// ErrNoForm says that no such form is kept.
var ErrNoForm = errors.New("authclient: no such form")

// ErrUnavailable says that the auth service could not answer, or answered
// nonsense: the session may well live.
var ErrUnavailable = errors.New("authclient: auth service unavailable")

// A StatusError is the ErrUnavailable of an auth service that answered, but
// with neither a yes nor a definite no.
type StatusError struct {
	Status int
	// RetryAfter is when it may be tried again, 0 if it does not say.
	RetryAfter time.Duration
}

func (e *StatusError) Error() string { return "status " + strconv.Itoa(e.Status) }

// RetryAfter returns what the auth service said with err about when to try
// again, 0 for nothing.
func RetryAfter(err error) time.Duration {
	if e, ok := errors.AsType[*StatusError](err); ok {
		return e.RetryAfter
	}
	return 0
}

const (
	timeout = 5 * time.Second
	// maxAnswer is far above any answer of the auth service (T45).
	maxAnswer = 128 << 10
	// maxConns is how many calls are under way at a time; the next ones wait,
	// within timeout. A crowd of unknown cookies does not become one of
	// connections (R11).
	maxConns = 64
)

// A Browser is the client that a call is made for.
type Browser struct {
	UserAgent, Address string
	// Sessions are refresh tokens of sessions that it has or had, the newest
	// first. They make it a known device at Login.
	Sessions []string
}

// Begun is a session that has just begun.
type Begun struct {
	User   api.User
	Tokens Tokens
	// Others are the browser's Sessions that belong to other accounts.
	Others []string
}

// Tokens is what the auth service hands out for a session.
type Tokens struct {
	RefreshToken  string
	Authorization string // "Bearer " and the access token
	Expires       time.Time
	Life          time.Duration
	SessionID     string
	Roles         []string
	// AuthTime is when the user gave the password; zero, which is long ago, if
	// the auth service is of a release that does not say.
	AuthTime time.Time
	End      time.Time
}

// Client calls the auth service in one client's name.
type Client struct {
	api       *api.ClientWithResponses
	assertion Assertion
	now       func() time.Time
}

// New returns a client of the auth service at url. assertion proves who we are.
func New(url string, assertion Assertion, transport http.RoundTripper, now func() time.Time) (*Client, error) {
	c, err := api.NewClientWithResponses(url, api.WithHTTPClient(&http.Client{
		Timeout:   timeout,
		Transport: bounded{transport},
		// The auth service never redirects; whoever does is not it.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}))
	if err != nil {
		return nil, fmt.Errorf("auth client: %w", err)
	}
	return &Client{api: c, assertion: assertion, now: now}, nil
}

// Transport returns a RoundTripper for the auth service's calls.
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
// A stale token is answered with a challenge first: that this client still waits
// proves that its request was not held up, for which an honest session would end.
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

// Revoke ends the session of a refresh token. nil says that it is over for good.
func (c *Client) Revoke(ctx context.Context, refreshToken string) error {
	r, err := repeat(ctx, func(ctx context.Context) (*api.RevokeResponse, error) {
		assertion, err := c.assertion.Assertion()
		if err != nil {
			return nil, err
		}
		return c.api.RevokeWithFormdataBodyWithResponse(ctx, api.RevocationRequest{
			Token: refreshToken, ClientAssertionType: api.ClientAssertionType, ClientAssertion: assertion,
		})
	})
	if err != nil {
		return unavailable(err)
	}
	if r.StatusCode() != http.StatusOK {
		return unanswered("revoke", r.HTTPResponse)
	}
	return nil
}

// Confirm says that browsers have shown these refresh tokens.
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

// KeepForm keeps a sealed form for the user of a refresh token whose session is
// over. A refusal is a *problem.Problem.
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

// Form returns a sealed form that is kept for the user that authorization
// speaks for, from session sid. It fails with ErrNoForm or ErrUnavailable.
func (c *Client) Form(ctx context.Context, authorization, sid string) ([]byte, error) {
	r, err := c.api.GetFormWithResponse(ctx, sid, header(authorization))
	if err != nil {
		return nil, unavailable(err)
	}
	return sealed(r.JSON200, r.HTTPResponse)
}

// ClaimForm is Form, and until SettleForm nobody else gets the form. claim is a
// random id. It fails with ErrFormClaimed, too.
func (c *Client) ClaimForm(ctx context.Context, authorization, sid, claim string) ([]byte, error) {
	r, err := c.api.ClaimFormWithResponse(ctx, sid, claim, header(authorization))
	if err != nil {
		return nil, unavailable(err)
	}
	return sealed(r.JSON200, r.HTTPResponse)
}

// SettleForm ends a claim. A form that was sent is removed, any other one stays.
func (c *Client) SettleForm(ctx context.Context, authorization, sid, claim string, sent bool) error {
	r, err := c.api.SettleFormWithResponse(ctx, sid, claim, &api.SettleFormParams{Sent: sent}, header(authorization))
	if err != nil {
		return unavailable(err)
	}
	return noContent("settle form", r.HTTPResponse)
}

// DiscardForm removes a form, if there is one.
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

// Me returns the user that authorization, a header value, speaks for.
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

// repeat makes a call that may be made twice: the same token has the same
// successor, and a session ends once. An auth service that is told to end closes
// its idle connections, and a request may be on its way on one of them; the call
// is then made again, until a connection that is new fails too. net/http would do
// that by itself (Idempotency-Key), but with the same assertion, which the auth
// service may have seen, and accepts once.
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

// begun reads the answer to a beginning of a session.
func begun(s *api.Session, start time.Time, r *http.Response, p *api.Problem) (Begun, error) {
	if s == nil {
		return Begun{}, refusal(r, p)
	}
	t, err := tokens(s.Token, start)
	return Begun{User: s.User, Tokens: t, Others: s.OtherSessions}, err
}

// refusal is a definite no as the auth service words it. That it does not know
// us (its 401 without credentials being wrong) is a fault of the installation.
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

// tokens reckons the expiry from before the call, so that it never is late.
func tokens(t api.Token, start time.Time) (Tokens, error) {
	life := time.Duration(t.ExpiresIn) * time.Second
	if t.AccessToken == "" || t.RefreshToken == "" || t.Sid == "" || life <= 0 {
		return Tokens{}, unavailable(errors.New("token answer is not whole"))
	}
	return Tokens{
		RefreshToken: t.RefreshToken, Authorization: "Bearer " + t.AccessToken,
		Expires: start.Add(life), Life: life, SessionID: t.Sid, Roles: t.Roles, AuthTime: t.AuthTime, End: t.ExpiresAt,
	}, nil
}

// unanswered is an answer that is neither a yes nor a definite no.
func unanswered(call string, r *http.Response) error {
	return fmt.Errorf("%w: %s: %w", ErrUnavailable, call, &StatusError{r.StatusCode, retryAfter(r)})
}

// retryAfter returns what an answer says about when to try again (RFC 9110
// section 10.2.3), 0 for nothing.
func retryAfter(r *http.Response) time.Duration {
	seconds, err := strconv.ParseUint(r.Header.Get("Retry-After"), 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// unavailable leaves out the URL that net/http puts into an error: it may hold
// the id of a session, and errors are logged.
func unavailable(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// bounded caps what is read of an answer.
type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err //nolint:wrapcheck // a RoundTripper hands errors through
	}
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(res.Body, maxAnswer), res.Body}
	return res, nil
}

// Package signin signs users in with identity providers. It decides whose account an identity is,
// what a provider's claims grant, and when a session ends with the provider's. A Client speaks the
// protocol of a provider; package provider has them. See docs/adr/0023 and 0024.
package signin

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"time"

	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/auth/internal/user"
)

// FlowLife is how long a sign-in can take.
const FlowLife = 10 * time.Minute

// Errors of a Service.
var (
	// ErrUnknownProvider means that no provider has this ID or issuer.
	ErrUnknownProvider = errors.New("signin: unknown provider")
	// ErrUnknownFlow means that the state is unknown, was used, expired, or belongs to another
	// browser, client or provider.
	ErrUnknownFlow = errors.New("signin: unknown authorization")
	// ErrBadRequest means that a request to begin a sign-in is not valid.
	ErrBadRequest = errors.New("signin: bad request")
	// ErrUnavailable means that a store did not answer.
	ErrUnavailable = errors.New("signin: store unavailable")
)

// Errors of a Client.
var (
	// ErrProviderUnavailable means that the provider did not answer. A later attempt can succeed.
	ErrProviderUnavailable = errors.New("signin: provider unavailable")
	// ErrDenied means that the person or the provider refused.
	ErrDenied = errors.New("signin: denied")
	// ErrStepUp means that the provider cannot ask for credentials as strictly as it should.
	ErrStepUp = errors.New("signin: step-up failed")
	// ErrOver means that the provider has ended its session.
	ErrOver = errors.New("signin: over at the provider")
	// ErrLogoutToken means that a logout token is not valid.
	ErrLogoutToken = errors.New("signin: not a valid logout token")
)

// A Fault is the error of a Client for an invalid answer, or for a setting that the provider does
// not accept.
type Fault struct {
	// Setting is what an operator should look at, in the words of the providers file.
	Setting string
	Err     error
}

func (f *Fault) Error() string { return f.Setting + ": " + f.Err.Error() }

// Unwrap returns the cause.
func (f *Fault) Unwrap() error { return f.Err }

// A Provider is a configured identity provider.
type Provider struct {
	ID, Name, Issuer string
	Rules
	Client

	// RefreshEvery is how often the provider is asked whether its session goes on.
	RefreshEvery time.Duration
	// MaxSession bounds a session of this provider. 0 means DefaultMaxSession where the provider
	// cannot be asked, and no further bound otherwise.
	MaxSession time.Duration
	// LocalLogout leaves the user signed in at the provider.
	LocalLogout bool
}

// DefaultMaxSession bounds a session whose provider cannot be asked whether its own goes on.
const DefaultMaxSession = 12 * time.Hour

// A Request is what a Client asks the provider for.
type Request struct {
	State, Nonce, Verifier, RedirectURI string
	LoginHint, Prompt, UILocales        string
	MaxAge                              *int
	ACRValues                           []string
}

// An Answer is what a provider says about a user. It is verified.
type Answer struct {
	Subject, Email, Name string
	EmailVerified        bool
	Groups               []string
	// GroupsKnown is set if the provider said which groups the user is in. Overage is set if it
	// left them out because there are too many.
	GroupsKnown, Overage bool
	// AuthTime is when the provider asked for credentials, or the zero time.
	AuthTime time.Time
	ACR      string
	// SID is the provider's ID of its session, or empty.
	SID    string
	Tokens Tokens
	// CanCheck is set if Client.Check can ask whether the provider's session goes on.
	CanCheck bool
}

// Tokens are a provider's tokens for one session.
type Tokens struct {
	Refresh string    `json:"refresh,omitempty"`
	Access  string    `json:"access,omitempty"`
	ID      string    `json:"id,omitempty"`
	Expires time.Time `json:"expires,omitzero"` // of Access; the zero time if the provider did not say
}

// A Logout is a verified logout token. Subject or SID is set.
type Logout struct {
	Subject, SID, ID string
	Expires          time.Time
}

// A Client speaks the protocol of one provider. Its methods fail with the errors of a Client above,
// or with a Fault.
type Client interface {
	// ACRValues returns the configured authentication context classes.
	ACRValues() []string
	// AuthorizationURL returns where to send the browser.
	AuthorizationURL(ctx context.Context, r Request) (string, error)
	// Redeem verifies the parameters that the redirect URI was called with, and exchanges the code.
	Redeem(ctx context.Context, r Request, response url.Values) (Answer, error)
	// Check asks whether the provider's session goes on. The Answer has new tokens, where there are
	// some, and a Subject if the provider named one. It fails with ErrOver.
	Check(ctx context.Context, t Tokens) (Answer, error)
	// LogoutURL returns where to sign out at the provider, or "".
	LogoutURL(ctx context.Context, idToken, returnTo string) string
	// VerifyLogout verifies a logout token (OpenID Connect Back-Channel Logout 1.0 section 2.6),
	// except that it was not used before. It fails with ErrLogoutToken or ErrProviderUnavailable.
	VerifyLogout(ctx context.Context, token string) (Logout, error)
	// Down reports whether the provider did not answer when it was last asked.
	Down() bool
}

// A Flow is a sign-in that has begun.
type Flow struct {
	Request

	Next string
	// Account is who has to come back, or empty for anyone. With Link the identity is connected to
	// that account.
	Account string
	Link    bool
	Begun   time.Time
}

// Flows keeps sign-ins for FlowLife. Errors: ErrUnavailable.
type Flows interface {
	Keep(ctx context.Context, key string, f Flow) error
	// Take removes and returns a flow, atomically. It fails with ErrUnknownFlow.
	Take(ctx context.Context, key string) (Flow, error)
}

// flowKey returns the key of a flow. It binds the state to browser, client and provider: with any
// other of them the flow is not found, and stays.
func flowKey(state, browser, client, provider string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d:%s%d:%s%d:%s%s", len(state), state, len(browser), browser, len(client), client, provider))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Users are the accounts; see user.Service.
type Users interface {
	ByID(ctx context.Context, id string) (user.User, error)
	ByEmail(ctx context.Context, email string) (user.User, error)
	SetRoles(ctx context.Context, email string, roles []string) (user.User, error)
}

// Replays remembers the IDs of logout tokens; see clientauth.Replays.
type Replays interface {
	First(ctx context.Context, client, jti string, remember time.Duration) (bool, error)
}

// Config configures a Service.
type Config struct {
	// Providers returns the current providers, in the order of the file.
	Providers  func() []*Provider
	Flows      Flows
	Users      Users
	Identities Identities
	Sessions   ProviderSessions
	Replays    Replays
	Ring       func() *session.Ring
	Now        func() time.Time
	Log        *slog.Logger
}

// A Service signs users in with providers.
type Service struct{ Config }

// NewService returns a Service.
func NewService(c Config) *Service { return &Service{c} }

// A Listed provider is shown on the sign-in page.
type Listed struct {
	ID, Name string
	// Down is set while the provider does not answer.
	Down bool
}

// List returns the providers in the order of the file.
func (s *Service) List() []Listed {
	listed := make([]Listed, 0, len(s.Providers()))
	for _, p := range s.Providers() {
		listed = append(listed, Listed{p.ID, p.Name, p.Down()})
	}
	return listed
}

func (s *Service) provider(match func(*Provider) bool) (*Provider, error) {
	all := s.Providers()
	if i := slices.IndexFunc(all, match); i >= 0 {
		return all[i], nil
	}
	return nil, ErrUnknownProvider
}

// Named returns the provider with this ID. It fails with ErrUnknownProvider.
func (s *Service) Named(id string) (*Provider, error) {
	return s.provider(func(p *Provider) bool { return p.ID == id })
}

// A Start is a request to begin a sign-in.
type Start struct {
	// Provider is the ID; if it is empty, Issuer names the provider, whose ID is appended to
	// RedirectURI.
	Provider, Issuer string
	// Client is the sidecar, and Browser is what only this browser has.
	Client, Browser                                          string
	RedirectURI, Next, LoginHint, Prompt, UILocales, Account string
	MaxAge                                                   *int
	ACRValues                                                []string
	Link                                                     bool
}

// Begin begins a sign-in and returns where to send the browser. It fails with ErrUnknownProvider,
// ErrBadRequest, ErrProviderUnavailable, ErrUnavailable or a Refusal.
func (s *Service) Begin(ctx context.Context, b Start) (string, error) {
	p, err := s.provider(func(p *Provider) bool {
		return b.Provider != "" && p.ID == b.Provider || b.Provider == "" && b.Issuer != "" && p.Issuer == b.Issuer
	})
	if err != nil {
		return "", err
	}
	if b.Provider == "" {
		b.RedirectURI += p.ID
	}
	if to, err := url.Parse(b.RedirectURI); err != nil || to.Host == "" || to.Scheme != "https" && to.Scheme != "http" || to.Fragment != "" {
		return "", fmt.Errorf("%w: redirect_uri is not an http or https URL", ErrBadRequest)
	}
	if len(b.ACRValues) == 0 {
		b.ACRValues = p.ACRValues()
	}
	f := Flow{
		Request: Request{
			State: rand.Text(), Nonce: rand.Text(), Verifier: rand.Text() + rand.Text(), RedirectURI: b.RedirectURI,
			LoginHint: b.LoginHint, Prompt: b.Prompt, UILocales: b.UILocales, MaxAge: b.MaxAge, ACRValues: b.ACRValues,
		},
		Next: b.Next, Account: b.Account, Link: b.Link, Begun: s.Now(),
	}
	to, err := p.AuthorizationURL(ctx, f.Request)
	if err != nil {
		return "", s.explain(ctx, p, "begin", err)
	}
	key := flowKey(f.State, b.Browser, b.Client, p.ID)
	f.State = "" // the key has it
	if err := s.Flows.Keep(ctx, key, f); err != nil {
		return "", err
	}
	return to, nil
}

// explain turns the error of a Client into a Refusal, and logs a Fault once.
func (s *Service) explain(ctx context.Context, p *Provider, step string, err error) error {
	if f, ok := errors.AsType[*Fault](err); ok {
		s.Log.WarnContext(ctx, "sign-in with a provider failed", "provider", p.ID, "step", step, "setting", f.Setting, "error", f.Err)
		return &Refusal{Code: Failed, err: err}
	}
	switch {
	case errors.Is(err, ErrProviderUnavailable):
		s.Log.WarnContext(ctx, "a provider does not answer", "provider", p.ID, "step", step, "error", err)
		return &Refusal{Code: ProviderUnavailable, err: err}
	case errors.Is(err, ErrDenied):
		return &Refusal{Code: Denied, err: err}
	case errors.Is(err, ErrStepUp):
		return &Refusal{Code: StepUpFailed, err: err}
	}
	return err
}

// A Callback is a request to complete a sign-in.
type Callback struct {
	Provider, Client, Browser string
	// Query is what the redirect URI was called with.
	Query string
}

// A Result is a completed sign-in.
type Result struct {
	// Next is set also with an error that is not ErrUnknownFlow.
	Next string
	User user.User
	// Created and Linked are set if the account, or its connection with the identity, is new.
	Created, Linked bool
	Login           session.Login
	provider        *Provider
	answer          Answer
}

// Complete verifies the provider's response and finds or creates the account. It fails with
// ErrUnknownFlow, a Refusal, user.ErrUnavailable or ErrUnavailable.
func (s *Service) Complete(ctx context.Context, c Callback) (Result, error) {
	response, err := url.ParseQuery(c.Query)
	if err != nil || len(response["state"]) != 1 {
		return Result{}, ErrUnknownFlow
	}
	p, err := s.Named(c.Provider)
	if err != nil {
		return Result{}, ErrUnknownFlow
	}
	f, err := s.Flows.Take(ctx, flowKey(response.Get("state"), c.Browser, c.Client, p.ID))
	if err != nil {
		return Result{}, err
	}
	r := Result{Next: f.Next, provider: p}
	for name, values := range response {
		if len(values) > 1 { // RFC 6749 section 3.1
			return r, s.explain(ctx, p, "response", &Fault{"issuer", fmt.Errorf("the response has the parameter %.20q twice", name)})
		}
	}
	if r.answer, err = p.Redeem(ctx, f.Request, response); err != nil {
		return r, s.explain(ctx, p, "redeem", err)
	}
	if err := s.admit(ctx, &r, f); err != nil {
		return r, err
	}
	r.Login = session.Login{Provider: p.ID, ACR: r.answer.ACR, AuthTime: r.answer.AuthTime, MaxLife: p.MaxSession}
	if r.Login.AuthTime.IsZero() {
		r.Login.AuthTime = session.UnknownAuthTime
	}
	if r.Login.MaxLife == 0 && !r.answer.CanCheck {
		r.Login.MaxLife = DefaultMaxSession
	}
	return r, nil
}

package httpapi

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/auth/internal/audit"
	"lilypad.example/services/auth/internal/ratelimit"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/auth/internal/signin"
	"lilypad.example/services/auth/internal/user"
)

// Bounds of a request, which the contract states too. What is longer would fill the store of flows.
const (
	minBrowser = 20
	maxShort   = 100
	maxText    = 500
	maxNext    = 4096
	maxQuery   = 16 << 10
)

// beginAuthorization handles POST /v1/authorizations: it begins a sign-in with a provider.
func (a *API) beginAuthorization(c *gin.Context) error {
	client, err := a.client(c)
	if err != nil {
		return err
	}
	var in api.NewAuthorization
	if err := decode(c, &in); err != nil {
		return err
	}
	start := signin.Start{
		Provider: value(in.Provider), Issuer: value(in.Issuer), Client: client, Browser: in.Browser, RedirectURI: in.RedirectUri, Next: value(in.Next),
		LoginHint: value(in.LoginHint), Prompt: value(in.Prompt), UILocales: value(in.UiLocales), MaxAge: in.MaxAge,
		ACRValues: strings.Fields(value(in.AcrValues)), Link: in.Link != nil && *in.Link,
	}
	if len(in.Browser) < minBrowser || len(in.Browser) > maxShort || len(start.Next) > maxNext || len(start.Prompt) > maxShort || len(start.UILocales) > maxShort ||
		max(len(start.Issuer), len(start.RedirectURI), len(start.LoginHint), len(value(in.AcrValues))) > maxText || in.MaxAge != nil && *in.MaxAge < 0 {
		return errMalformed
	}
	from := address(in.Presenter.ClientAddress)
	who := []audit.Attr{audit.Client(client), audit.Address(from)}
	if err := a.limit(c, ratelimit.ProviderAddress, from, who...); err != nil {
		return err
	}
	if err := a.limit(c, ratelimit.ProviderTotal, "", who...); err != nil {
		return err
	}
	// The same account has to come back where more is asked of it than to sign in.
	if start.Link || start.MaxAge != nil || len(start.ACRValues) > 0 {
		if start.Account, err = a.live(c, value(in.RefreshToken), client); err != nil {
			return err
		}
	}
	if start.Link && start.Account == "" {
		return signin.ErrBadRequest
	}
	to, err := a.Signin.Begin(c.Request.Context(), start)
	if err != nil {
		return err
	}
	c.Header("Cache-Control", "no-store")
	c.JSON(http.StatusCreated, api.Authorization{AuthorizationUrl: to})
	return nil
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// live returns the account of a refresh token of a live session, or "" if it is not one.
func (a *API) live(c *gin.Context, refreshToken, client string) (string, error) {
	if refreshToken == "" {
		return "", nil
	}
	r, err := a.Sessions.Owner(c.Request.Context(), refreshToken, client)
	if err == nil {
		r, err = a.Sessions.Alive(c.Request.Context(), r.Family)
	}
	switch {
	case errors.Is(err, session.ErrInvalidGrant), errors.Is(err, session.ErrInvalidClient):
		return "", nil
	case err != nil:
		return "", err
	}
	return r.Subject, nil
}

// completeAuthorization handles POST /v1/authorizations/complete: it signs in with what the
// provider sent.
func (a *API) completeAuthorization(c *gin.Context) error {
	client, err := a.client(c)
	if err != nil {
		return err
	}
	var in api.AuthorizationResponse
	if err := decode(c, &in); err != nil {
		return err
	}
	if len(in.Query) > maxQuery || len(in.Browser) < minBrowser || len(in.Browser) > maxShort {
		return errMalformed
	}
	from := address(in.Presenter.ClientAddress)
	who := []audit.Attr{audit.Client(client), audit.Address(from), audit.Provider(in.Provider)}
	if err := a.limit(c, ratelimit.ProviderAddress, from, who...); err != nil {
		return err
	}
	r, err := a.Signin.Complete(c.Request.Context(), signin.Callback{Provider: in.Provider, Client: client, Browser: in.Browser, Query: in.Query})
	out := api.CompletedAuthorization{Next: r.Next}
	if err == nil {
		out.Session, err = a.beginWith(c, &r, client, in.Presenter, who)
	}
	if refusal, ok := errors.AsType[*signin.Refusal](err); ok {
		a.Audit.Record(c.Request.Context(), audit.UserLoginFailed, slices.Concat(who, []audit.Attr{audit.User(refusal.UserID), audit.Reason(refusal.Code)})...)
		out.Refusal, err = &api.Refusal{Code: api.RefusalCode(refusal.Code), Detail: refusal.Code.Detail()}, nil
	}
	if err != nil {
		return err
	}
	c.Header("Cache-Control", "no-store")
	c.JSON(http.StatusOK, out)
	return nil
}

// beginWith begins a session for a completed sign-in.
func (a *API) beginWith(c *gin.Context, r *signin.Result, client string, by api.Presenter, who []audit.Attr) (*api.Session, error) {
	ctx := c.Request.Context()
	who = slices.Concat(who, []audit.Attr{audit.User(r.User.ID)})
	if r.Created {
		a.Audit.Record(ctx, audit.UserRegistered, who...)
	}
	if r.Created || r.Linked {
		a.Audit.Record(ctx, audit.IdentityLinked, who...)
	}
	a.Audit.Record(ctx, audit.UserLogin, who...)
	s, err := a.Sessions.Begin(ctx, account(r.User, r.Login), client, device(by.UserAgent))
	// Another sign-in of the same user may have changed the roles meanwhile.
	for tries := 1; errors.Is(err, session.ErrAccountChanged) && tries < loginTries; tries++ {
		r.User, err = a.Users.ByID(ctx, r.User.ID)
		switch {
		case errors.Is(err, user.ErrNotFound), err == nil && r.User.Disabled:
			return nil, &signin.Refusal{Code: signin.AccountDisabled, UserID: r.User.ID}
		case err != nil:
			return nil, err
		}
		s, err = a.Sessions.Begin(ctx, account(r.User, r.Login), client, device(by.UserAgent))
	}
	if err != nil {
		return nil, err
	}
	if err := a.Signin.Bind(ctx, s.Family, *r); err != nil {
		// Without its provider session it would not end with it. Nobody has its token yet.
		_, _ = a.Sessions.End(ctx, session.Which{Family: s.Family}, session.ReasonProvider)
		return nil, err
	}
	begun, err := a.begun(c, s, r.User, client, by, a.formerSessions(c, client, by))
	if err != nil {
		return nil, err
	}
	return &begun, nil
}

// backchannelLogout handles POST /auth/backchannel-logout/{provider} (OpenID Connect Back-Channel
// Logout 1.0 section 2.5). The answer 200 means that the sessions have ended everywhere.
func (a *API) backchannelLogout(c *gin.Context) error {
	c.Header("Cache-Control", "no-store")
	ctx, by := c.Request.Context(), audit.Provider(c.Param("provider"))
	params, err := readParams(c.Request)
	if err != nil {
		return err
	}
	families, err := a.Signin.BackchannelLogout(ctx, c.Param("provider"), params.Get("logout_token"))
	if errors.Is(err, signin.ErrLogoutToken) {
		a.Audit.Record(ctx, audit.ProviderLogoutFailed, by)
		a.Log.InfoContext(ctx, "a logout token was refused", "provider", c.Param("provider"), "error", err)
		return &oauthError{status: http.StatusBadRequest, code: api.InvalidRequest}
	}
	if err != nil {
		return err
	}
	a.Audit.Record(ctx, audit.ProviderLogout, by)
	for _, family := range families {
		if _, err := a.Sessions.End(ctx, session.Which{Family: family}, session.ReasonProvider); err != nil {
			return err
		}
	}
	c.Status(http.StatusOK)
	return nil
}

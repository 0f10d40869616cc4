package httpapi

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/auth/internal/audit"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/auth/internal/token"
)

// token handles POST /oauth2/token (RFC 6749 section 6).
func (a *API) token(c *gin.Context) error {
	params, client, err := a.oauthRequest(c)
	if err != nil {
		return err
	}
	if params.Get("grant_type") != api.GrantRefreshToken {
		return &oauthError{status: http.StatusBadRequest, code: api.UnsupportedGrantType}
	}
	refresh := params.Get("refresh_token")
	if refresh == "" {
		return &oauthError{status: http.StatusBadRequest, code: api.InvalidRequest}
	}
	evidence := session.Evidence{UserAgent: params.Get("user_agent"), Network: network(params.Get("client_address"))}
	if params.Has("challenge") {
		ms, err := strconv.ParseInt(params.Get("challenge"), 10, 64)
		if err != nil {
			return &oauthError{status: http.StatusBadRequest, code: api.InvalidRequest}
		}
		evidence.Challenge = time.UnixMilli(ms)
	}
	s, err := a.Sessions.Refresh(c.Request.Context(), refresh, client, evidence)
	a.auditRefresh(c, client, params.Get("client_address"), s.Grant)
	switch {
	case errors.Is(err, session.ErrInvalidGrant):
		return &oauthError{status: http.StatusBadRequest, code: api.InvalidGrant, reason: s.Reason}
	case errors.Is(err, session.ErrChallenge):
		return &oauthError{status: http.StatusBadRequest, code: api.UseChallenge, challenge: s.At.UnixMilli()}
	case err != nil:
		return oauth(err)
	}
	t, err := a.tokens(s)
	if err != nil {
		return err
	}
	c.JSON(http.StatusOK, t)
	return nil
}

// tokens returns the token response for s, with a new access token.
func (a *API) tokens(s session.Session) (api.Token, error) {
	access, life, err := a.Tokens.Access(s.Grant)
	if err != nil {
		return api.Token{}, err
	}
	t := api.Token{
		AccessToken: access, TokenType: api.Bearer, ExpiresIn: int(life.Seconds()),
		RefreshToken: s.RefreshToken, Sid: string(s.Family), Roles: token.Roles(s.Grant), AuthTime: s.AuthTime.UTC(), ExpiresAt: s.End.UTC(),
	}
	if s.Provider != "" {
		t.Provider = &s.Provider
	}
	if s.ACR != "" {
		t.Acr = &s.ACR
	}
	return t, nil
}

// auditRefresh records the outcomes that may point to a stolen token or to data loss in Redis.
func (a *API) auditRefresh(c *gin.Context, client, from string, g session.Grant) {
	var event audit.Event
	switch g.Outcome {
	case session.Reused:
		event = audit.SessionReuseDetected
	case session.Healed:
		event = audit.SessionHealed
	case session.Pardoned:
		event = audit.SessionPardoned
	default:
		return
	}
	a.Audit.Record(c.Request.Context(), event, audit.Session(string(g.Family)), audit.User(g.Subject), audit.Client(client), audit.Address(address(from)))
}

// oauth maps a client authentication error to invalid_client (RFC 6749 section 5.2). It returns
// other errors unchanged: the RFC has no code for an outage, so that one becomes a problem with
// status 503, and the client keeps its token.
func oauth(err error) error {
	if errors.Is(err, session.ErrInvalidClient) || errors.Is(err, errNoAssertion) || isInvalidClient(err) {
		return &oauthError{status: http.StatusUnauthorized, code: api.InvalidClient}
	}
	return err
}

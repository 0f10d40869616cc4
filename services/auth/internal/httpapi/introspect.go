package httpapi

import (
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/pkg/authn"
)

// introspect handles POST /oauth2/introspect (RFC 7662). Besides verifying the token, it looks up
// whether the session is still active. An inactive token yields {"active":false} and nothing else,
// whatever the reason (section 2.2).
func (a *API) introspect(c *gin.Context) error {
	params, client, err := a.oauthRequest(c)
	if err != nil {
		return err
	}
	text := params.Get("token")
	if text == "" {
		return &oauthError{status: http.StatusBadRequest, code: api.InvalidRequest}
	}
	// The two kinds of token differ in syntax, so token_type_hint is not needed.
	found, err := a.introspectRefresh(c, text, client)
	if errors.Is(err, session.ErrMalformed) {
		found, err = a.introspectAccess(c, text)
	}
	switch {
	case errors.Is(err, session.ErrInvalidGrant), errors.Is(err, authn.ErrInvalid):
		found = api.Introspection{}
	case err != nil:
		return err
	}
	c.Header("Cache-Control", "no-store")
	c.JSON(http.StatusOK, found)
	return nil
}

func (a *API) introspectRefresh(c *gin.Context, text, client string) (api.Introspection, error) {
	r, err := a.Sessions.Introspect(c.Request.Context(), text, client)
	if err != nil {
		return api.Introspection{}, err
	}
	found := a.introspection(r)
	found.Exp = new(r.End.Unix())
	return found, nil
}

func (a *API) introspectAccess(c *gin.Context, text string) (api.Introspection, error) {
	p, err := a.Verifier.Verify(c.Request.Context(), text)
	if err != nil {
		return api.Introspection{}, err
	}
	r, err := a.Sessions.Alive(c.Request.Context(), session.FamilyID(p.SessionID))
	if err != nil {
		return api.Introspection{}, err
	}
	found := a.introspection(r)
	found.Exp, found.AuthTime, found.Roles = new(p.Expires.Unix()), new(p.AuthTime.Unix()), &p.Roles
	found.TokenType = new(string(api.Bearer))
	return found, nil
}

// introspection returns the members that both kinds of token share.
func (a *API) introspection(r session.Record) api.Introspection {
	return api.Introspection{Active: true, Iss: &a.Issuer, Sub: &r.Subject, ClientId: &r.Client, Sid: new(string(r.Family))}
}

package httpapi

import (
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/pkg/authn"
)

// introspect is POST /oauth2/introspect: RFC 7662. It knows more than a verifier
// does, for it asks the records whether the session lives. Of a token that is
// not good it says that and nothing else (section 2.2), whatever the reason.
func (a *API) introspect(c *gin.Context) error {
	params, client, err := a.oauthRequest(c)
	if err != nil {
		return err
	}
	text := params.Get("token")
	if text == "" {
		return &oauthError{status: http.StatusBadRequest, code: api.InvalidRequest}
	}
	// Either kind is known by its syntax, so that token_type_hint says nothing new.
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

// introspection is what any token says of its session.
func (a *API) introspection(r session.Record) api.Introspection {
	return api.Introspection{Active: true, Iss: &a.Issuer, Sub: &r.Subject, ClientId: &r.Client, Sid: new(string(r.Family))}
}

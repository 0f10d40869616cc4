package httpapi

import (
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/auth/internal/clientauth"
)

// revoke is POST /oauth2/revoke: RFC 7009. 200 says that the session is over,
// whoever ended it and whenever.
func (a *API) revoke(c *gin.Context) error {
	params, client, err := a.oauthRequest(c)
	// To end a session twice does nothing more, and while Redis is away a logout
	// must reach the records all the same: a replay is let through.
	if err != nil && !errors.Is(err, clientauth.ErrMaybeReplayed) {
		return err
	}
	refresh := params.Get("token")
	if refresh == "" {
		return &oauthError{status: http.StatusBadRequest, code: api.InvalidRequest}
	}
	if err := a.Sessions.Revoke(c.Request.Context(), refresh, client); err != nil {
		return err
	}
	c.Status(http.StatusOK)
	return nil
}

package httpapi

import (
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/auth/internal/clientauth"
)

// revoke handles POST /oauth2/revoke (RFC 7009). It responds with 200 if the session has ended,
// even if it had ended before.
func (a *API) revoke(c *gin.Context) error {
	params, client, err := a.oauthRequest(c)
	// Accept an assertion that may be a replay: ending a session twice is harmless, and while Redis
	// is unavailable a logout must still reach the records.
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
	c.JSON(http.StatusOK, api.Revoked{})
	return nil
}

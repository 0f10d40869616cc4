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
	out := api.Revoked{LogoutUrl: a.logoutURL(c, refresh, client, params.Get("post_logout_redirect_uri"))}
	if err := a.Sessions.Revoke(c.Request.Context(), refresh, client); err != nil {
		return err
	}
	c.JSON(http.StatusOK, out)
	return nil
}

// logoutURL returns where to sign out at the provider of a session, or nil. It is best effort: a
// logout here must not depend on it.
func (a *API) logoutURL(c *gin.Context, refresh, client, returnTo string) *string {
	if returnTo == "" {
		return nil
	}
	r, err := a.Sessions.Owner(c.Request.Context(), refresh, client)
	if err != nil || r.Provider == "" {
		return nil
	}
	if to := a.Signin.LogoutURL(c.Request.Context(), r.Family, returnTo); to != "" {
		return &to
	}
	return nil
}

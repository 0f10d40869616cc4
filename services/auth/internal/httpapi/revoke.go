package httpapi

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/auth/internal/audit"
)

// revoke is POST /oauth2/revoke: RFC 7009. 200 says that the session is over,
// whoever ended it and whenever.
func (a *API) revoke(c *gin.Context) error {
	form, err := readForm(c.Request)
	if err != nil {
		return err
	}
	client, err := a.formClient(c, form)
	if err != nil {
		return oauth(err)
	}
	refresh := form.Get("token")
	if refresh == "" {
		return &oauthError{http.StatusBadRequest, api.InvalidRequest}
	}
	ended, err := a.Sessions.Revoke(c, refresh, client)
	if err != nil {
		return err
	}
	a.auditEnded(c, ended, audit.Client(client))
	c.Status(http.StatusOK)
	return nil
}

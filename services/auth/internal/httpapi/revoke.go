package httpapi

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/auth/internal/audit"
	"lilypad.example/services/auth/internal/session"
)

// revoke is POST /oauth2/revoke: RFC 7009. 200 says that the session is over,
// whoever ended it and whenever.
func (a *API) revoke(c *gin.Context) error {
	client, err := a.formClient(c)
	if err != nil {
		return oauth(err)
	}
	refresh := c.PostForm("token")
	if refresh == "" {
		return &oauthError{http.StatusBadRequest, api.InvalidRequest}
	}
	family, ended, err := a.Sessions.Revoke(c, refresh, client)
	if err != nil {
		return err
	}
	if ended {
		a.Audit.Record(c, audit.SessionRevoked, audit.Session(string(family)), audit.Client(client), audit.Reason(session.ReasonLogout))
	}
	c.Status(http.StatusOK)
	return nil
}

package httpapi

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/pkg/authn"
)

// me handles GET /v1/me: it returns the account of the access token.
func (a *API) me(c *gin.Context) error {
	p, _ := authn.FromContext(c.Request.Context())
	u, err := a.Users.ByID(c.Request.Context(), p.Subject)
	if err != nil {
		return err
	}
	c.JSON(http.StatusOK, person(u))
	return nil
}

// changePassword handles POST /v1/me/password. A changed password ends all other sessions of the
// account.
func (a *API) changePassword(c *gin.Context) error {
	var in api.PasswordChange
	if err := decode(c, &in); err != nil {
		return err
	}
	if err := a.Account().ChangePassword(c.Request.Context(), in.CurrentPassword, in.NewPassword); err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}

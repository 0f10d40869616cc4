package httpapi

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/auth/internal/audit"
	"lilypad.example/services/auth/internal/form"
	"lilypad.example/services/auth/internal/ratelimit"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/pkg/authn"
	"lilypad.example/services/pkg/problem"
)

// keepForm is POST /v1/forms: keeps a sealed form for whose session the refresh
// token was. The token may be stale or over, but it must be one that we signed:
// strangers cannot fill the store, nor can all accounts together.
func (a *API) keepForm(c *gin.Context) error {
	client, err := a.client(c)
	if err != nil {
		return err
	}
	var in api.KeptForm
	if err := decode(c, &in); err != nil {
		return err
	}
	if len(in.Sealed) > form.MaxBytes {
		return problem.New(http.StatusRequestEntityTooLarge, problem.TooLarge, "The form is too large.")
	}
	owner, err := a.Sessions.Owner(c, in.RefreshToken, client)
	if err != nil {
		return err
	}
	who := []audit.Attr{audit.Client(client), audit.User(owner.Subject)}
	if err := a.limit(c, ratelimit.FormAccount, owner.Subject, who...); err != nil {
		return err
	}
	if err := a.limit(c, ratelimit.FormTotal, "", who...); err != nil {
		return err
	}
	if err := a.Forms.Keep(c, form.Key{Subject: owner.Subject, Session: owner.Family}, in.Sealed); err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}

// getForm is GET /v1/forms/{sid}: looks at a form of who asks.
func (a *API) getForm(c *gin.Context) error {
	k, err := formKey(c)
	if err != nil {
		return err
	}
	sealed, err := a.Forms.Get(c, k)
	if err != nil {
		return err
	}
	c.JSON(http.StatusOK, api.SealedForm{Sealed: sealed})
	return nil
}

// takeForm is DELETE /v1/forms/{sid}: hands a form of who asks out, once.
func (a *API) takeForm(c *gin.Context) error {
	k, err := formKey(c)
	if err != nil {
		return err
	}
	sealed, err := a.Forms.Take(c, k)
	if err != nil {
		return err
	}
	c.JSON(http.StatusOK, api.SealedForm{Sealed: sealed})
	return nil
}

// formKey is the form that a request names: of a session that is over, and of
// the account that asks, whatever it names.
func formKey(c *gin.Context) (form.Key, error) {
	p, _ := authn.FromContext(c)
	family, err := session.ParseFamilyID(c.Param("sid"))
	if err != nil {
		return form.Key{}, form.ErrNotFound
	}
	return form.Key{Subject: p.Subject, Session: family}, nil
}

package httpapi

import (
	"net/http"
	"strconv"

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
	owner, err := a.Sessions.Owner(c.Request.Context(), in.RefreshToken, client)
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
	if err := a.Forms.Keep(c.Request.Context(), form.Key{Subject: owner.Subject, Session: owner.Family}, in.Sealed); err != nil {
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
	sealed, err := a.Forms.Get(c.Request.Context(), k)
	if err != nil {
		return err
	}
	c.JSON(http.StatusOK, api.SealedForm{Sealed: sealed})
	return nil
}

// discardForm is DELETE /v1/forms/{sid}: removes a form of who asks.
func (a *API) discardForm(c *gin.Context) error {
	k, err := formKey(c)
	if err != nil {
		return err
	}
	if err := a.Forms.Discard(c.Request.Context(), k); err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}

// claimForm is PUT /v1/forms/{sid}/claims/{claim}: hands a form of who asks out
// to whoever sends it now, and to nobody else meanwhile.
func (a *API) claimForm(c *gin.Context) error {
	k, claim, err := formClaim(c)
	if err != nil {
		return err
	}
	sealed, err := a.Forms.Claim(c.Request.Context(), k, claim)
	if err != nil {
		return err
	}
	c.JSON(http.StatusOK, api.SealedForm{Sealed: sealed})
	return nil
}

// settleForm is DELETE /v1/forms/{sid}/claims/{claim}?sent=true: says what became
// of a form that was claimed. One that was not sent waits for the next claim.
func (a *API) settleForm(c *gin.Context) error {
	k, claim, err := formClaim(c)
	if err != nil {
		return err
	}
	sent, err := strconv.ParseBool(c.Query("sent"))
	if err != nil {
		return problem.New(http.StatusBadRequest, problem.BadRequest, "The parameter sent is true or false.")
	}
	if err := a.Forms.Settle(c.Request.Context(), k, claim, sent); err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}

// maxClaim bounds the id of a claim, in bytes.
const maxClaim = 64

func formClaim(c *gin.Context) (k form.Key, claim string, err error) {
	if k, err = formKey(c); err != nil {
		return k, "", err
	}
	if claim = c.Param("claim"); len(claim) > maxClaim {
		return k, "", problem.New(http.StatusBadRequest, problem.BadRequest, "The id of the claim is too long.")
	}
	return k, claim, nil
}

// formKey is the form that a request names: of a session that is over, and of
// the account that asks, whatever it names.
func formKey(c *gin.Context) (form.Key, error) {
	p, _ := authn.FromContext(c.Request.Context())
	family, err := session.ParseFamilyID(c.Param("sid"))
	if err != nil {
		return form.Key{}, form.ErrNotFound
	}
	return form.Key{Subject: p.Subject, Session: family}, nil
}

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

// keepForm handles POST /v1/forms: it stores a sealed form for the owner of the refresh token. The
// token may be stale and its session may have ended, but this service must have signed it. With the
// limits per account and in total, this bounds how much anyone can store.
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

// getForm handles GET /v1/forms/{sid}: it returns a form of the caller and keeps it.
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

// discardForm handles DELETE /v1/forms/{sid}: it removes a form of the caller.
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

// claimForm handles PUT /v1/forms/{sid}/claims/{claim}: it returns a form of the caller for
// sending. Until the claim is settled or expires, other claims fail.
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

// settleForm handles DELETE /v1/forms/{sid}/claims/{claim}?sent={true|false}: it ends a claim. A
// form that was sent is removed; otherwise it can be claimed again.
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

// maxClaim is the maximum length of a claim ID, in bytes.
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

// formKey returns the key of the form that a request names. The session ID comes from the path, the
// account always from the access token, so that nobody reaches a form of another account.
func formKey(c *gin.Context) (form.Key, error) {
	p, _ := authn.FromContext(c.Request.Context())
	family, err := session.ParseFamilyID(c.Param("sid"))
	if err != nil {
		return form.Key{}, form.ErrNotFound
	}
	return form.Key{Subject: p.Subject, Session: family}, nil
}

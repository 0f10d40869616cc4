package httpapi

import (
	"errors"
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/auth/internal/audit"
	"lilypad.example/services/auth/internal/ratelimit"
	"lilypad.example/services/auth/internal/user"
	"lilypad.example/services/pkg/authn"
	"lilypad.example/services/pkg/problem"
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
	p, _ := authn.FromContext(c.Request.Context())
	if !a.Passwords {
		return problem.New(http.StatusForbidden, codePasswordsOff, "Passwords are switched off. Sign in with a provider.")
	}
	var in api.PasswordChange
	if err := decode(c, &in); err != nil {
		return err
	}
	// A browser with a session is a known device, so this counts against the limit of the device:
	// strangers who exhaust the limit of the account cannot block the owner.
	device := ratelimit.DeviceSubject(p.Subject, p.SessionID)
	who := []audit.Attr{audit.User(p.Subject), audit.Session(p.SessionID)}
	if err := a.limit(c, ratelimit.LoginDevice, device, who...); err != nil {
		return err
	}
	err := a.Users.ChangePassword(c.Request.Context(), p.Subject, in.CurrentPassword, in.NewPassword, p.SessionID)
	switch faults, refused := errors.AsType[user.FieldErrors](err); {
	case slices.Contains(faults, user.FieldError{Field: user.FieldCurrentPassword, Code: user.CodeWrong}):
		a.Audit.Record(c.Request.Context(), audit.PasswordChangeFailed, append(who, audit.Reason(user.CauseWrongPassword))...)
	case err == nil || refused:
		// The current password was correct, even if the new one was refused. Ignore an error: the
		// password may have been changed already.
		_ = a.Limits.Reset(c.Request.Context(), ratelimit.LoginDevice, device)
	}
	if err != nil {
		return err
	}
	a.Audit.Record(c.Request.Context(), audit.PasswordChanged, audit.User(p.Subject))
	if err := a.Sessions.Finish(c.Request.Context(), p.Subject); err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}

package httpapi

import (
	"errors"
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/auth/internal/audit"
	"lilypad.example/services/auth/internal/ratelimit"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/auth/internal/user"
	"lilypad.example/services/pkg/problem"
)

// loginTries is how often a login may check the credentials. A change of the account between the
// check and the start of the session requires another check.
const loginTries = 2

// createSession handles POST /v1/sessions: a login.
func (a *API) createSession(c *gin.Context) error {
	client, err := a.client(c)
	if err != nil {
		return err
	}
	if !a.Passwords {
		return problem.New(http.StatusForbidden, codePasswordsOff, "Passwords are switched off. Sign in with a provider.")
	}
	var in api.Credentials
	if err := decode(c, &in); err != nil {
		return err
	}
	from := address(in.Presenter.ClientAddress)
	who := []audit.Attr{audit.Client(client), audit.Address(from)}
	// Check the limits before hashing, which is expensive. A malformed e-mail address is counted
	// under its text, so that it does not bypass the limit.
	account, err := user.ParseEmail(in.Email)
	if err != nil {
		account = in.Email
	}
	had := a.formerSessions(c, client, in.Presenter)
	limit, subject := ratelimit.LoginAccount, account
	device, known := had.of(account)
	if known {
		limit, subject = ratelimit.LoginDevice, device
	}
	// The address limit does not refuse a known device, so that an attacker who shares the user's
	// network address cannot lock the user out. The attempt still counts.
	if err := a.limit(c, ratelimit.LoginAddress, from, who...); err != nil && !known {
		return err
	}
	if err := a.limit(c, limit, subject, who...); err != nil {
		return err
	}
	for range loginTries {
		var u user.User
		if u, err = a.Users.Authenticate(c.Request.Context(), in.Email, in.Password); err != nil {
			a.auditRefusal(c, err, who)
			return err
		}
		if err := a.Limits.Reset(c.Request.Context(), limit, subject); err != nil {
			return err
		}
		a.Audit.Record(c.Request.Context(), audit.UserLogin, slices.Concat(who, []audit.Attr{audit.User(u.ID)})...)
		if err = a.begin(c, u, client, in.Presenter, had); !errors.Is(err, session.ErrAccountChanged) {
			return err
		}
	}
	return err
}

func (a *API) auditRefusal(c *gin.Context, err error, who []audit.Attr) {
	if refusal, ok := errors.AsType[*user.Refusal](err); ok {
		a.Audit.Record(c.Request.Context(), audit.UserLoginFailed, slices.Concat(who, []audit.Attr{audit.User(refusal.UserID), audit.Reason(refusal.Cause)})...)
	}
}

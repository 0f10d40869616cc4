package httpapi

import (
	"github.com/gin-gonic/gin"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/auth/internal/ratelimit"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/auth/internal/user"
)

// maxFormerSessions is how many former sessions one login looks up.
const maxFormerSessions = 4

// formerSessions are sessions, active or ended, that a browser had. They make it a known device of
// their accounts and grant nothing else.
type formerSessions []formerSession

type formerSession struct {
	refreshToken string
	family       session.FamilyID
	owner        user.User
}

// formerSessions looks up the sessions whose refresh tokens the presenter sent. It skips those that
// it cannot look up; without any, the browser is not a known device. Its duration must not depend
// on the account of the login, which would reveal whether the account exists.
func (a *API) formerSessions(c *gin.Context, client string, by api.Presenter) formerSessions {
	if by.Sessions == nil {
		return nil
	}
	var found formerSessions
	for _, refreshToken := range (*by.Sessions)[:min(len(*by.Sessions), maxFormerSessions)] {
		r, err := a.Sessions.Owner(c.Request.Context(), refreshToken, client)
		if err != nil {
			continue
		}
		owner, err := a.Users.ByID(c.Request.Context(), r.Subject)
		if err != nil {
			continue
		}
		found = append(found, formerSession{refreshToken, r.Family, owner})
	}
	return found
}

// of returns the subject for ratelimit.LoginDevice if the browser is a known device of the account
// with this e-mail address.
func (f formerSessions) of(email string) (subject string, known bool) {
	for _, s := range f {
		if s.owner.Email == email {
			return ratelimit.DeviceSubject(s.owner.ID, string(s.family)), true
		}
	}
	return "", false
}

// ofOthers returns the refresh tokens of all other accounts. The new session replaces those of this
// account.
func (f formerSessions) ofOthers(account string) []string {
	others := []string{}
	for _, s := range f {
		if s.owner.ID != account {
			others = append(others, s.refreshToken)
		}
	}
	return others
}

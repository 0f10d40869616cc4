package httpapi

import (
	"github.com/gin-gonic/gin"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/auth/internal/ratelimit"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/auth/internal/user"
)

// maxFormerSessions bounds what is looked up for one login.
const maxFormerSessions = 4

// formerSessions are sessions that a browser had, over or not. They make it a
// known device of their accounts, and grant nothing else.
type formerSessions []formerSession

type formerSession struct {
	refreshToken string
	family       session.FamilyID
	owner        user.User
}

// formerSessions looks up the sessions that by shows. What cannot be looked up
// is none: the browser is a stranger then. The work depends on what is shown,
// and not on who wants to sign in.
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

// of returns the subject of ratelimit.LoginDevice, if the browser is a known
// device of the account with an address.
func (f formerSessions) of(email string) (subject string, known bool) {
	for _, s := range f {
		if s.owner.Email == email {
			return ratelimit.DeviceSubject(s.owner.ID, string(s.family)), true
		}
	}
	return "", false
}

// ofOthers returns the refresh tokens of other accounts than this one: its own
// are superseded by the session that begins.
func (f formerSessions) ofOthers(account string) []string {
	others := []string{}
	for _, s := range f {
		if s.owner.ID != account {
			others = append(others, s.refreshToken)
		}
	}
	return others
}

package httpapi

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"unicode"

	"github.com/gin-gonic/gin"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/auth/internal/audit"
	"lilypad.example/services/auth/internal/ratelimit"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/auth/internal/user"
	"lilypad.example/services/pkg/problem"
)

// createUser handles POST /v1/users: it registers an account and begins a session.
func (a *API) createUser(c *gin.Context) error {
	client, err := a.client(c)
	if err != nil {
		return err
	}
	if !a.Passwords || !a.Registration {
		return problem.New(http.StatusForbidden, codeRegistrationOff, "Registration is switched off.")
	}
	var in api.NewUser
	if err := decode(c, &in); err != nil {
		return err
	}
	from := address(in.Presenter.ClientAddress)
	if err := a.limit(c, ratelimit.RegistrationAddress, from, audit.Client(client), audit.Address(from)); err != nil {
		return err
	}
	u, err := a.Users.Register(c.Request.Context(), in.Email, in.Name, in.Password)
	if err != nil {
		return err
	}
	a.Audit.Record(c.Request.Context(), audit.UserRegistered, audit.User(u.ID), audit.Client(client), audit.Address(from))
	return a.begin(c, u, client, in.Presenter, a.formerSessions(c, client, in.Presenter))
}

// begin begins a session for u and responds with it. had are the sessions that the browser had
// before.
func (a *API) begin(c *gin.Context, u user.User, client string, by api.Presenter, had formerSessions) error {
	s, err := a.Sessions.Begin(c.Request.Context(), account(u, session.Login{}), client, device(by.UserAgent))
	if err != nil {
		return err
	}
	begun, err := a.begun(c, s, u, client, by, had)
	if err != nil {
		return err
	}
	c.JSON(http.StatusCreated, begun)
	return nil
}

func account(u user.User, login session.Login) session.Account {
	return session.Account{ID: u.ID, Roles: u.Roles, Version: u.Version, Login: login}
}

// begun audits a session that has begun, and returns it as an answer.
func (a *API) begun(c *gin.Context, s session.Session, u user.User, client string, by api.Presenter, had formerSessions) (api.Session, error) {
	t, err := a.tokens(s)
	if err != nil {
		return api.Session{}, err
	}
	a.Audit.Record(c.Request.Context(), audit.SessionBegun, audit.User(u.ID), audit.Session(string(s.Family)), audit.Client(client), audit.Address(address(by.ClientAddress)))
	return api.Session{User: person(u), Token: t, OtherSessions: had.ofOthers(u.ID)}, nil
}

// device returns the description of a session's device that is stored and shown to the user: the
// first 300 bytes of the user agent, as valid UTF-8 without control characters.
func device(userAgent string) string {
	const most = 300
	return strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, userAgent[:min(len(userAgent), most)]), "")
}

func person(u user.User) api.User {
	roles := u.Roles
	if roles == nil {
		roles = []string{}
	}
	return api.User{Sub: u.ID, Email: u.Email, Name: u.Name, Roles: roles}
}

// limit counts one attempt of subject and fails if that exceeds the limit. All requests with an
// unknown address share the subject "".
func (a *API) limit(ctx context.Context, limit ratelimit.Limit, subject string, who ...audit.Attr) error {
	d, err := a.Limits.Allow(ctx, limit, subject)
	if err != nil {
		return err
	}
	if d.Allowed {
		return nil
	}
	a.Audit.Record(ctx, audit.LimitExceeded, slices.Concat(who, []audit.Attr{audit.Reason(limit)})...)
	p := problem.New(http.StatusTooManyRequests, problem.RateLimited, "Too many attempts. Please try again later.")
	p.RetryAfter = d.RetryAfter
	return p
}

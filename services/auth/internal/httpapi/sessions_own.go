package httpapi

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/pkg/authn"
)

// listSessions handles GET /v1/sessions: it lists the sessions of the caller.
func (a *API) listSessions(c *gin.Context) error {
	p, _ := authn.FromContext(c.Request.Context())
	records, err := a.Sessions.List(c.Request.Context(), p.Subject)
	if err != nil {
		return err
	}
	out := api.SessionList{Sessions: []api.SessionInfo{}}
	for _, r := range records {
		out.Sessions = append(out.Sessions, api.SessionInfo{
			Sid: string(r.Family), Device: r.Device, Begun: r.Begun.UTC(), Seen: r.Seen.UTC(), ExpiresAt: r.End.UTC(),
			Current: string(r.Family) == p.SessionID,
		})
	}
	c.JSON(http.StatusOK, out)
	return nil
}

// endSession handles DELETE /v1/sessions/{sid}: it ends one session of the caller.
func (a *API) endSession(c *gin.Context) error {
	return done(c, a.Account().End(c.Request.Context(), c.Param("sid")))
}

// endSessions handles DELETE /v1/sessions: it ends all sessions of the caller, or with ?others=true
// all except the current one.
func (a *API) endSessions(c *gin.Context) error {
	if c.Query("others") == "true" {
		return done(c, a.Account().EndOthers(c.Request.Context()))
	}
	p, _ := authn.FromContext(c.Request.Context())
	return done(c, a.end(c.Request.Context(), session.Which{Subject: p.Subject}, session.ReasonUserRequest))
}

// done responds with 204, or fails with err.
func done(c *gin.Context, err error) error {
	if err == nil {
		c.Status(http.StatusNoContent)
	}
	return err
}

// confirm handles POST /v1/sessions/confirm: it notes refresh tokens that browsers have presented.
func (a *API) confirm(c *gin.Context) error {
	client, err := a.client(c)
	if err != nil {
		return err
	}
	var in api.Confirmation
	if err := decode(c, &in); err != nil {
		return err
	}
	for _, refreshToken := range in.RefreshTokens {
		if err := a.Sessions.Confirm(c.Request.Context(), refreshToken, client); err != nil {
			return err
		}
	}
	c.Status(http.StatusNoContent)
	return nil
}

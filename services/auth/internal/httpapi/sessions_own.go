package httpapi

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/pkg/authn"
	"lilypad.example/services/pkg/problem"
)

// listSessions is GET /v1/sessions: the sessions of who asks.
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

// endSession is DELETE /v1/sessions/{sid}: ends one session of who asks.
func (a *API) endSession(c *gin.Context) error {
	p, _ := authn.FromContext(c.Request.Context())
	family, err := session.ParseFamilyID(c.Param("sid"))
	if err != nil {
		return problem.New(http.StatusNotFound, problem.NotFound, "There is no such session.")
	}
	reason := session.ReasonUserRequest
	if string(family) == p.SessionID {
		reason = session.ReasonLogout
	}
	return a.end(c, session.Which{Family: family, Subject: p.Subject}, reason)
}

// endSessions is DELETE /v1/sessions: ends all sessions of who asks, or with
// ?others=true all but the one that asks.
func (a *API) endSessions(c *gin.Context) error {
	p, _ := authn.FromContext(c.Request.Context())
	which := session.Which{Subject: p.Subject}
	if c.Query("others") == "true" {
		which.Except = session.FamilyID(p.SessionID)
	}
	return a.end(c, which, session.ReasonUserRequest)
}

// end ends sessions and answers 204: they are over for good, everywhere.
func (a *API) end(c *gin.Context, which session.Which, reason session.Reason) error {
	if _, err := a.Sessions.End(c.Request.Context(), which, reason); err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}

// confirm is POST /v1/sessions/confirm: refresh tokens that browsers have shown.
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

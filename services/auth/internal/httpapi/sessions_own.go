package httpapi

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/pkg/authn"
	"lilypad.example/services/pkg/problem"
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

// endSessions handles DELETE /v1/sessions: it ends all sessions of the caller, or with ?others=true
// all except the current one.
func (a *API) endSessions(c *gin.Context) error {
	p, _ := authn.FromContext(c.Request.Context())
	which := session.Which{Subject: p.Subject}
	if c.Query("others") == "true" {
		which.Except = session.FamilyID(p.SessionID)
	}
	return a.end(c, which, session.ReasonUserRequest)
}

// end ends sessions. A 204 response means that they have ended for good, on all replicas.
func (a *API) end(c *gin.Context, which session.Which, reason session.Reason) error {
	if _, err := a.Sessions.End(c.Request.Context(), which, reason); err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
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

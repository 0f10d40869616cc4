package endpoints

import (
	"mime"
	"net/http"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/pkg/problem"
	"lilypad.example/sidecar/internal/authclient"
	"lilypad.example/sidecar/internal/cookie"
	"lilypad.example/sidecar/internal/page"
	"lilypad.example/sidecar/internal/visitor"
)

// logout serves POST /auth/logout. Success means that the session has ended
// everywhere. If the auth service cannot confirm that, the response is 503, but the
// browser is signed out all the same. Its refresh token may still be valid then, so it
// is not kept in the known-device cookie.
func (e *Endpoints) logout(w http.ResponseWriter, r *http.Request, v *visitor.Visitor) error {
	w.Header().Set("Set-Cookie", cookie.Clear())
	if v.State != cookie.None {
		e.CountEnd(api.EndLogout)
	}
	if v.Former() != "" {
		w.Header().Add("Set-Cookie", cookie.ClearFormer())
	}
	// Without its cache, Back does not show pages of the session.
	w.Header().Set("Clear-Site-Data", `"cache", "storage"`)
	if v.Token != "" {
		if err := e.Auth.Revoke(r.Context(), v.Token); err != nil {
			e.Sessions.Forget(v.Token)
			e.Log.WarnContext(r.Context(), "logout: session could not be revoked", "error", err)
			p := problem.New(http.StatusServiceUnavailable, problem.Unavailable,
				"You are signed out in this browser, but the session could not be ended everywhere yet. It ends by itself when it is not used.")
			p.RetryAfter = authclient.RetryAfter(err)
			return p
		}
		e.Sessions.Forget(v.Token)
		w.Header().Add("Set-Cookie", cookie.AddKnown(v.Token, v.Known()))
	}
	// The content type tells a form from a program; without a body, Accept does.
	switch kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); {
	case kind == "application/json":
	case kind == "application/x-www-form-urlencoded", page.WantsPage(r.Method, r.Header.Get):
		http.Redirect(w, r, e.Paths.Login, http.StatusSeeOther)
		return nil
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

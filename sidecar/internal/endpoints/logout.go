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

// logout is POST /auth/logout. Success says that the session is over
// everywhere; when the auth service cannot say so the answer is 503, but this
// browser is signed out all the same. Then it does not remember the session as
// a known device either: the refresh token may still be good.
func (e *Endpoints) logout(w http.ResponseWriter, r *http.Request, v *visitor.Visitor) error {
	// No form of who signs out is kept.
	w.Header().Set("Set-Cookie", cookie.Clear())
	if v.State != cookie.None {
		e.CountEnd(api.EndLogout)
	}
	if v.Former() != "" {
		w.Header().Add("Set-Cookie", cookie.ClearFormer())
	}
	// What the browser keeps of the pages goes too, so that Back shows nothing.
	w.Header().Set("Clear-Site-Data", `"cache", "storage"`)
	if v.Token != "" {
		if err := e.Auth.Revoke(r.Context(), v.Token); err != nil {
			e.Sessions.Forget(v.Token)
			e.Log.WarnContext(r.Context(), "logout could not be made durable", "error", err)
			p := problem.New(http.StatusServiceUnavailable, problem.Unavailable,
				"You are signed out in this browser, but the session could not be ended everywhere yet. It ends by itself when it is not used.")
			p.RetryAfter = authclient.RetryAfter(err)
			return p
		}
		e.Sessions.Forget(v.Token)
		w.Header().Add("Set-Cookie", cookie.AddKnown(v.Token, v.Known()))
	}
	// What was sent says who sent it; where nothing was, what is expected does.
	switch kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); {
	case kind == "application/json":
	case kind == "application/x-www-form-urlencoded", page.WantsPage(r.Method, r.Header.Get):
		http.Redirect(w, r, e.Paths.Login, http.StatusSeeOther)
		return nil
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

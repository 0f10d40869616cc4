package endpoints

import (
	"mime"
	"net/http"
	"time"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/pkg/problem"
	"lilypad.example/sidecar/internal/cookie"
	"lilypad.example/sidecar/internal/page"
)

// logout is POST /auth/logout. Success says that the session is over
// everywhere (R9); when the auth service cannot say so the answer is 503, but
// this browser is signed out all the same.
func (e *Endpoints) logout(w http.ResponseWriter, r *http.Request, by Caller) error {
	// Who signs out leaves nothing behind, and no form of theirs is kept.
	w.Header().Set("Set-Cookie", cookie.Clear())
	if by.State != cookie.None {
		e.Ended(api.EndLogout)
	}
	if by.Former != "" {
		w.Header().Add("Set-Cookie", cookie.ClearFormer())
	}
	// What the browser keeps of the pages goes too, so that Back shows nothing.
	w.Header().Set("Clear-Site-Data", `"cache", "storage"`)
	if by.State == cookie.One {
		if err := e.Auth.Revoke(r.Context(), by.Cookie); err != nil {
			e.Sessions.Forget(by.Cookie)
			e.Log.WarnContext(r.Context(), "logout could not be made durable", "error", err)
			p := problem.New(http.StatusServiceUnavailable, problem.Unavailable,
				"You are signed out in this browser, but the session could not be ended everywhere yet. It ends by itself when it is not used.")
			p.RetryAfter = 5 * time.Second
			return p
		}
		e.Sessions.Forget(by.Cookie)
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

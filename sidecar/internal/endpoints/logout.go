package endpoints

import (
	"encoding/json"
	"mime"
	"net/http"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/pkg/problem"
	"lilypad.example/sidecar/internal/authclient"
	"lilypad.example/sidecar/internal/cookie"
	"lilypad.example/sidecar/internal/page"
	"lilypad.example/sidecar/internal/redirect"
	"lilypad.example/sidecar/internal/visitor"
)

// logout serves POST /auth/logout. Success means that the session has ended
// everywhere. If the auth service cannot confirm that, the response is 503, but the
// browser is signed out all the same. Its refresh token may still be valid then, so it
// is not kept in the known-device cookie.
//
// A user of an identity provider goes on there, to be signed out there too, unless the
// request has local=true.
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
	// Who is signed out is not signed in again without being asked.
	back := e.Paths.Login + "?signed_out=1"
	away, returnTo := "", ""
	if !local(r) {
		returnTo = v.Origin + back
	}
	if v.Token != "" {
		var err error
		if away, err = e.Auth.Revoke(r.Context(), v.Token, returnTo); err != nil {
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
	away = redirect.Away(away)
	// The content type tells a form from a program; without a body, Accept does.
	kind := mediaType(r)
	form := kind == formType || kind != "application/json" && page.WantsPage(r.Method, r.Header.Get)
	switch {
	case form && away != "":
		e.leave(w, away, "You are signed out here. Your identity provider signs you out next.")
	case form:
		http.Redirect(w, r, back, http.StatusSeeOther)
	case away != "":
		return writeJSON(w, http.StatusOK, map[string]string{"logout_url": away})
	default:
		w.WriteHeader(http.StatusNoContent)
	}
	return nil
}

func mediaType(r *http.Request) string {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return kind
}

// local reports whether the user wants to stay signed in at the identity provider.
func local(r *http.Request) bool {
	if mediaType(r) == formType {
		return r.ParseForm() == nil && r.PostForm.Get("local") == "true"
	}
	var in struct {
		Local bool `json:"local"`
	}
	return json.NewDecoder(r.Body).Decode(&in) == nil && in.Local
}

// leave responds with a page that goes on to a page elsewhere. A redirect would not do:
// browsers apply the form-action of the page with the form to it.
func (e *Endpoints) leave(w http.ResponseWriter, address, text string) {
	header, body := e.Pages.Leave(address, text)
	write(w, http.StatusOK, header, body)
}

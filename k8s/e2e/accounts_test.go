package e2e

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

func accountScenarios() []scenario {
	return []scenario{
		{"RegisterByJSON", registerByJSON},
		{"RegisterByForm", registerByForm},
		{"RegisterRefusesByJSON", registerRefusesByJSON},
		{"RegisterRefusesByForm", registerRefusesByForm},
		{"LoginByJSON", loginByJSON},
		{"LoginByForm", loginByForm},
		{"LoginRefusesByJSON", loginRefusesByJSON},
		{"LoginRefusesByForm", loginRefusesByForm},
		{"LogoutByJSON", logoutByJSON},
		{"LogoutByForm", logoutByForm},
		{"AKnownDeviceIsNotLockedOut", knownDeviceIsNotLockedOut},
	}
}

func (a account) json() map[string]string {
	return map[string]string{"email": a.Email, "name": a.Name, "password": a.Password}
}

func (a account) form() url.Values {
	return url.Values{"email": {a.Email}, "name": {a.Name}, "password": {a.Password}}
}

func wantUser(t *testing.T, v *visitor, who account) session {
	t.Helper()
	s := v.session(t)
	if s.User.Email != who.Email || s.User.Name != who.Name {
		t.Errorf("session of %+v, want %s", s.User, who.Email)
	}
	if s.SID == "" || s.ExpiresAt == "" {
		t.Errorf("sid %q, expires_at %q; want both", s.SID, s.ExpiresAt)
	}
	return s
}

func registerByJSON(t *testing.T, w *World) {
	v := w.visitor(t)
	v.wantStranger(t)
	who := v.register(t)
	wantUser(t, v, who)
}

func registerByForm(t *testing.T, w *World) {
	v, who := w.visitor(t), newAccount()
	if to := v.submit(t, "/auth/register", who.form()).wantRedirect(t); to.String() != "/" {
		t.Errorf("redirected to %q, want /", to)
	}
	wantUser(t, v, who)
}

func registerRefusesByJSON(t *testing.T, w *World) {
	v := w.visitor(t)
	taken := v.register(t)
	stranger := w.visitor(t)

	p := stranger.sendJSON(t, "/auth/register", taken.json()).wantProblem(t, http.StatusConflict)
	if p.Code != "email_taken" {
		t.Errorf("code %q for a taken address, want email_taken", p.Code)
	}
	p = stranger.sendJSON(t, "/auth/register", map[string]string{"email": "frog", "name": "", "password": "short"}).wantProblem(t, http.StatusUnprocessableEntity)
	if len(p.Errors) != 3 {
		t.Errorf("errors %s, want one for each of three invalid fields", p.Errors)
	}
	stranger.do(t, http.MethodPost, "/auth/register", "application/json", `{"email":`, script()).wantProblem(t, http.StatusBadRequest)
	stranger.wantStranger(t)
}

func registerRefusesByForm(t *testing.T, w *World) {
	v, who := w.visitor(t), newAccount()
	who.Password = "tadpole"
	to := v.submit(t, "/auth/register", who.form()).wantRedirect(t)
	q := to.Query()
	if to.Path != "/register" || q.Get("error") != "invalid_fields" || q.Get("field") != "password:too_short" {
		t.Errorf("redirected to %q, want /register with error=invalid_fields and field=password:too_short", to)
	}
	if q.Get("email") != who.Email || q.Get("name") != who.Name || strings.Contains(to.String(), who.Password) {
		t.Errorf("redirected to %q, want e-mail and name in the query, and not the password", to)
	}
	page := v.navigate(t, to.String()).want(t, http.StatusOK)
	if !strings.Contains(page.body, who.Email) || !strings.Contains(page.body, who.Name) {
		t.Errorf("the form does not show the entered e-mail and name")
	}
	v.wantStranger(t)

	taken := w.visitor(t).register(t)
	if to := v.submit(t, "/auth/register", taken.form()).wantRedirect(t); to.Path != "/register" || to.Query().Get("error") != "email_taken" {
		t.Errorf("redirected to %q for a taken address, want /register with error=email_taken", to)
	}
}

func loginByJSON(t *testing.T, w *World) {
	who := w.visitor(t).register(t)
	v := w.visitor(t)
	v.login(t, who)
	wantUser(t, v, who)
}

func loginByForm(t *testing.T, w *World) {
	who := w.visitor(t).register(t)
	for next, want := range map[string]string{"": "/", "/account": "/account", "/frogs?sort=pets": "/frogs?sort=pets"} {
		v, form := w.visitor(t), who.form()
		form.Del("name")
		form.Set("next", next)
		if to := v.submit(t, "/auth/login", form).wantRedirect(t); to.String() != want {
			t.Errorf("next %q: redirected to %q, want %q", next, to, want)
		}
		wantUser(t, v, who)
	}
}

func loginRefusesByJSON(t *testing.T, w *World) {
	who := w.visitor(t).register(t)
	v := w.visitor(t)
	wrong := v.sendJSON(t, "/auth/login", map[string]string{"email": who.Email, "password": who.Password + "x"})
	unknown := v.sendJSON(t, "/auth/login", map[string]string{"email": newAccount().Email, "password": who.Password})
	if p := wrong.wantProblem(t, http.StatusUnauthorized); p.Code != "invalid_credentials" {
		t.Errorf("code %q, want invalid_credentials", p.Code)
	}
	unknown.wantProblem(t, http.StatusUnauthorized)
	if withoutInstance(t, wrong) != withoutInstance(t, unknown) {
		t.Errorf("responses to a wrong password and to an unknown address differ:\n%s\n%s", wrong.body, unknown.body)
	}
	v.do(t, http.MethodPost, "/auth/login", "application/json", `nonsense`, script()).wantProblem(t, http.StatusBadRequest)
	v.wantStranger(t)
}

// withoutInstance returns the body of a problem without its instance (RFC 9457 section 3.1.5).
func withoutInstance(t *testing.T, a *answer) string {
	t.Helper()
	var doc map[string]any
	a.decode(t, &doc)
	delete(doc, "instance")
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func loginRefusesByForm(t *testing.T, w *World) {
	who := w.visitor(t).register(t)
	v, form := w.visitor(t), who.form()
	form.Set("password", "a wrong password of mine")
	form.Set("next", "/account")
	to := v.submit(t, "/auth/login", form).wantRedirect(t)
	q := to.Query()
	if to.Path != "/login" || q.Get("error") != "invalid_credentials" || q.Get("email") != who.Email || q.Get("next") != "/account" {
		t.Errorf("redirected to %q, want /login with error=invalid_credentials, email and next", to)
	}
	if strings.Contains(to.RawQuery, "wrong") {
		t.Errorf("the password is in the URL: %q", to)
	}
	page := v.navigate(t, to.String()).want(t, http.StatusOK)
	if !strings.Contains(page.body, who.Email) {
		t.Error("the form does not show the entered e-mail address")
	}
	v.wantStranger(t)
}

func logoutByJSON(t *testing.T, w *World) {
	v := w.visitor(t)
	v.register(t)
	kept := v.jar.cookie
	out := v.sendJSON(t, "/auth/logout", struct{}{}).want(t, http.StatusNoContent)
	if !out.clearsCookie(t) {
		t.Error("the response to the logout does not clear the cookie")
	}
	w.awaitEnd(t, kept)
}

func logoutByForm(t *testing.T, w *World) {
	v := w.visitor(t)
	v.register(t)
	kept := v.jar.cookie
	out := v.submit(t, "/auth/logout", url.Values{})
	if to := out.wantRedirect(t); to.String() != "/login?signed_out=1" {
		t.Errorf("redirected to %q, want /login", to)
	}
	if !out.clearsCookie(t) {
		t.Error("the response to the logout does not clear the cookie")
	}
	if out.header.Get("Clear-Site-Data") == "" {
		t.Error("no header Clear-Site-Data after a logout")
	}
	w.awaitEnd(t, kept)
	w.visitor(t).submit(t, "/auth/logout", url.Values{}).wantRedirect(t) // logging out without a session is no error
}

// knownDeviceIsNotLockedOut: after an attacker guessed passwords until logins are refused, the user
// can still sign in from a browser in which they were signed in before.
func knownDeviceIsNotLockedOut(t *testing.T, w *World) {
	v := w.visitor(t)
	who := v.register(t)
	known := ""
	for _, c := range v.sendJSON(t, "/auth/logout", struct{}{}).want(t, http.StatusNoContent).cookies {
		if c.Name == knownName {
			known = c.Value
		}
	}
	// Not with do, which resets the limits and tries again.
	login := func(v *visitor, password string) *answer {
		text, err := json.Marshal(map[string]string{"email": who.Email, "password": password})
		if err != nil {
			t.Fatal(err)
		}
		return v.ask(t, http.MethodPost, "/auth/login", "application/json", string(text), script())
	}
	attacker := w.visitor(t)
	for range 30 {
		if login(attacker, "a wrong password of mine").status == http.StatusTooManyRequests {
			break
		}
	}
	a := login(w.visitor(t), who.Password).want(t, http.StatusTooManyRequests)
	if wait, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || wait < 1 || wait > 60 {
		t.Errorf("Retry-After %q, want 1 to 60 seconds", a.header.Get("Retry-After"))
	}
	login(v.with("Cookie", knownName+"="+known), who.Password).want(t, http.StatusOK)
}

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
		{"AKnownDeviceIsNotKeptOut", knownDeviceIsNotKeptOut},
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
		t.Errorf("the session is of %+v, not of %s", s.User, who.Email)
	}
	if s.SID == "" || s.ExpiresAt == "" {
		t.Errorf("sid %q, expires_at %q", s.SID, s.ExpiresAt)
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
		t.Errorf("redirected to %q", to)
	}
	wantUser(t, v, who)
}

func registerRefusesByJSON(t *testing.T, w *World) {
	v := w.visitor(t)
	taken := v.register(t)
	stranger := w.visitor(t)

	p := stranger.sendJSON(t, "/auth/register", taken.json()).wantProblem(t, http.StatusConflict)
	if p.Code != "email_taken" {
		t.Errorf("code %q of a taken address", p.Code)
	}
	p = stranger.sendJSON(t, "/auth/register", map[string]string{"email": "frog", "name": "", "password": "short"}).wantProblem(t, http.StatusUnprocessableEntity)
	if len(p.Errors) != 3 {
		t.Errorf("errors %s of three bad fields", p.Errors)
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
		t.Errorf("redirected to %q", to)
	}
	if q.Get("email") != who.Email || q.Get("name") != who.Name || strings.Contains(to.String(), who.Password) {
		t.Errorf("entered values: %q", to)
	}
	page := v.navigate(t, to.String()).want(t, http.StatusOK)
	if !strings.Contains(page.body, who.Email) || !strings.Contains(page.body, who.Name) {
		t.Errorf("the page does not keep what was entered")
	}
	v.wantStranger(t)

	taken := w.visitor(t).register(t)
	if to := v.submit(t, "/auth/register", taken.form()).wantRedirect(t); to.Path != "/register" || to.Query().Get("error") != "email_taken" {
		t.Errorf("redirected to %q for a taken address", to)
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
			t.Errorf("next %q: redirected to %q", next, to)
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
		t.Errorf("code %q", p.Code)
	}
	unknown.wantProblem(t, http.StatusUnauthorized)
	if withoutInstance(t, wrong) != withoutInstance(t, unknown) {
		t.Errorf("a wrong password and an unknown address are told apart:\n%s\n%s", wrong.body, unknown.body)
	}
	v.do(t, http.MethodPost, "/auth/login", "application/json", `nonsense`, script()).wantProblem(t, http.StatusBadRequest)
	v.wantStranger(t)
}

// withoutInstance is a problem's body without what names the single occurrence (RFC 9457 section 3.1.5).
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
		t.Errorf("redirected to %q", to)
	}
	if strings.Contains(to.RawQuery, "wrong") {
		t.Errorf("the password is in the address: %q", to)
	}
	page := v.navigate(t, to.String()).want(t, http.StatusOK)
	if !strings.Contains(page.body, who.Email) {
		t.Error("the page does not keep the e-mail address")
	}
	v.wantStranger(t)
}

func logoutByJSON(t *testing.T, w *World) {
	v := w.visitor(t)
	v.register(t)
	kept := v.jar.cookie
	out := v.sendJSON(t, "/auth/logout", struct{}{}).want(t, http.StatusNoContent)
	if !out.clearsCookie(t) {
		t.Error("the cookie is not cleared")
	}
	w.awaitEnd(t, kept)
}

func logoutByForm(t *testing.T, w *World) {
	v := w.visitor(t)
	v.register(t)
	kept := v.jar.cookie
	out := v.submit(t, "/auth/logout", url.Values{})
	if to := out.wantRedirect(t); to.String() != "/login" {
		t.Errorf("redirected to %q", to)
	}
	if !out.clearsCookie(t) {
		t.Error("the cookie is not cleared")
	}
	if out.header.Get("Clear-Site-Data") == "" {
		t.Error("no Clear-Site-Data")
	}
	w.awaitEnd(t, kept)
	w.visitor(t).submit(t, "/auth/logout", url.Values{}).wantRedirect(t) // a stranger may log out too
}

// knownDeviceIsNotKeptOut: somebody guesses at a password until strangers are
// refused, and its owner, who has signed out here, signs in all the same.
func knownDeviceIsNotKeptOut(t *testing.T, w *World) {
	v := w.visitor(t)
	who := v.register(t)
	known := ""
	for _, c := range v.sendJSON(t, "/auth/logout", struct{}{}).want(t, http.StatusNoContent).cookies {
		if c.Name == knownName {
			known = c.Value
		}
	}
	// Not by do, which has the limits forgotten and tries again.
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
		t.Errorf("Retry-After %q, want the minute at most until the next attempt", a.header.Get("Retry-After"))
	}
	login(v.with("Cookie", knownName+"="+known), who.Password).want(t, http.StatusOK)
}

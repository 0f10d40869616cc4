package account_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"

	"lilypad.example/services/frontend/internal/fakes"
)

const replacement = "planted-replacement of some length"

func change(t *testing.T, w *fakes.World, as, current, next string) (*httptest.ResponseRecorder, *goquery.Document) {
	t.Helper()
	return do(t, w, http.MethodPost, "/account/password", as, fakes.Form(url.Values{"current_password": {current}, "new_password": {next}}))
}

func TestTheFormToChangeThePassword(t *testing.T) {
	w, ann := open(t)
	_, d := do(t, w, http.MethodGet, "/account", ann)
	form := d.Find(`#password form[method=post][action="/account/password"]`)
	for _, input := range []string{
		"input[name=current_password][type=password][required][autocomplete=current-password]",
		"input[name=new_password][type=password][required][minlength='15'][maxlength='128'][autocomplete=new-password][aria-describedby=new_password-hint]",
		"input[autocomplete=username][value='ann@example.org'][readonly][hidden]", // for password managers
	} {
		if form.Find(input).Length() != 1 {
			t.Errorf("the form has no %s", input)
		}
	}
	if d.Find("#password h2").Text() != "Change password" || !strings.Contains(d.Find("#new_password-hint").Text(), "15 to 128 characters") {
		t.Errorf("password section %q, want its heading and the length of a password", d.Find("#password").Text())
	}
	if d.Find("[autofocus], .fault, .alert, [aria-invalid]").Length() != 0 {
		t.Error("the page shows an error on the first visit")
	}
}

func TestChangingThePasswordEndsAllOtherSessions(t *testing.T) {
	w, ann := open(t)
	rec, _ := change(t, w, ann, fakes.Password, replacement)
	if rec.Code != http.StatusSeeOther || rec.Header().Get("Location") != "/account?changed=password" {
		t.Fatalf("status %d to %q, want 303 to /account?changed=password", rec.Code, rec.Header().Get("Location"))
	}
	if w.PasswordOf("ann") != replacement || w.PasswordOf("bob") != fakes.Password || !slices.Equal(w.Sessions("ann"), []string{fakes.SessionID("ann")}) {
		t.Errorf("password %q, sessions %q, want the new password and the current session", w.PasswordOf("ann"), w.Sessions("ann"))
	}
	_, d := do(t, w, http.MethodGet, rec.Header().Get("Location"), ann)
	if flash := d.Find(".toast").Text(); flash != "Password changed. All other sessions were ended." {
		t.Errorf("flash %q, want that the password changed and other sessions ended", flash)
	}
}

func TestAFieldErrorMarksItsFieldAndKeepsNothing(t *testing.T) {
	w, ann := open(t)
	for name, c := range map[string]struct{ current, next, field, want string }{
		"wrong":     {"planted-wrong", replacement, "current_password", "not your current password"},
		"required":  {fakes.Password, "", "new_password", "Required"},
		"too short": {fakes.Password, "planted-14-chr", "new_password", "At least 15"},
		"too long":  {fakes.Password, "planted" + strings.Repeat("x", 128), "new_password", "At most 128"},
		"common":    {fakes.Password, "passwordpasswordplanted", "new_password", "Too easy to guess"},
	} {
		rec, d := change(t, w, ann, c.current, c.next)
		input := d.Find("input[name=" + c.field + "][aria-invalid=true][autofocus]")
		fault := d.Find("#" + c.field + "-fault").Text()
		if rec.Code != http.StatusUnprocessableEntity || input.Length() != 1 || !strings.Contains(input.AttrOr("aria-describedby", ""), c.field+"-fault") || !strings.Contains(fault, c.want) {
			t.Errorf("%s: status %d, field error %q, want 422 and %q", name, rec.Code, fault, c.want)
		}
		if d.Find("[aria-invalid]").Length() != 1 || d.Find("[autofocus]").Length() != 1 || d.Find(".fault").Length() != 1 || d.Find(".alert[role=alert]").Length() != 1 {
			t.Errorf("%s: want exactly one field marked, focused and explained, and one alert", name)
		}
		if d.Find("input[type=password][value]").Length() != 0 || strings.Contains(rec.Body.String(), "planted") || strings.Contains(w.Log(), "planted") {
			t.Errorf("%s: a password or text of the auth service is in the page or the log", name)
		}
		if d.Find(".account-name").Text() != "Ann" || d.Find(".session").Length() != 3 || rec.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: want the profile and the sessions on the page, and no-store", name)
		}
	}
	if w.PasswordOf("ann") != fakes.Password {
		t.Errorf("password %q, want it unchanged", w.PasswordOf("ann"))
	}
}

func TestAChangeThatDidNotComeThroughIsSaid(t *testing.T) {
	w, ann := open(t)
	for status, c := range map[int]struct {
		want       int
		text       string
		retryAfter string
	}{
		429: {429, "Too many attempts", "17"},
		503: {503, "was not confirmed", "5"},
		409: {503, "was not confirmed", "5"},
		422: {422, "not accepted", ""}, // no known field
	} {
		w.AccountsSay("POST /v1/me/password", status)
		rec, d := change(t, w, ann, fakes.Password, replacement)
		if rec.Code != c.want || rec.Header().Get("Retry-After") != c.retryAfter || !strings.Contains(d.Find("#password .alert[role=alert]").Text(), c.text) {
			t.Errorf("auth service responds %d: status %d, Retry-After %q, text %q, want %d, %q and %q", status, rec.Code, rec.Header().Get("Retry-After"), d.Find("#password").Text(), c.want, c.retryAfter, c.text)
		}
		if d.Find("input[name=current_password][autofocus]").Length() != 1 || d.Find(".session").Length() != 3 || strings.Contains(rec.Body.String(), "planted") {
			t.Errorf("auth service responds %d: page %q, want focus on the current password, the sessions and no password", status, d.Find("main").Text())
		}
	}
	w.AccountsSay("POST /v1/me/password", http.StatusOK)
	w.AccountsSay("GET /v1/sessions", http.StatusServiceUnavailable)
	if rec, d := change(t, w, ann, "wrong", replacement); rec.Code != http.StatusUnprocessableEntity || d.Find("#sessions [role=alert]").Length() != 1 {
		t.Errorf("sessions unavailable too: status %d, want 422 and an alert for the sessions", rec.Code)
	}
	w.AccountsSay("POST /v1/me/password", http.StatusUnauthorized)
	if rec, _ := change(t, w, ann, fakes.Password, replacement); rec.Code != http.StatusUnauthorized || rec.Header().Get("WWW-Authenticate") == "" {
		t.Errorf("token rejected by the auth service: status %d, want 401", rec.Code)
	}
}

func TestAPasswordInTheAddressIsNone(t *testing.T) {
	w, ann := open(t)
	q := url.Values{"current_password": {fakes.Password}, "new_password": {replacement}}.Encode()
	rec, _ := do(t, w, http.MethodPost, "/account/password?"+q, ann, fakes.Form(nil))
	if rec.Code != http.StatusUnprocessableEntity || w.PasswordOf("ann") != fakes.Password {
		t.Errorf("passwords in the query: status %d, want 422 and the password unchanged", rec.Code)
	}
	rec, _ = do(t, w, http.MethodPost, "/account/password", ann, fakes.Form(nil), func(r *http.Request) { r.Header.Set("Content-Type", "a/b/c;;") })
	if rec.Code != http.StatusBadRequest {
		t.Errorf("body is not a form: status %d, want 400", rec.Code)
	}
}

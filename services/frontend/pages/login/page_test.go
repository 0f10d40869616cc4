package login_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"

	"lilypad.example/services/frontend/internal/fakes"
)

func open(t *testing.T) *fakes.World {
	t.Helper()
	w, err := fakes.New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	w.Add(fakes.Person{Sub: "ann", Email: "ann@example.org", Name: "Ann"})
	return w
}

func get(t *testing.T, w *fakes.World, q url.Values) (*httptest.ResponseRecorder, *goquery.Document) {
	t.Helper()
	rec := w.Do(t.Context(), http.MethodGet, "/login?"+q.Encode(), "")
	d, err := goquery.NewDocumentFromReader(strings.NewReader(rec.Body.String()))
	if err != nil {
		t.Fatal(err)
	}
	return rec, d
}

func TestTheFormGoesToTheSidecar(t *testing.T) {
	rec, d := get(t, open(t), nil)
	form := d.Find(`form[method=post][action="/auth/login"]`)
	if rec.Code != http.StatusOK || d.Find("h1").Text() != "Sign In" || form.Length() != 1 {
		t.Fatalf("status %d, title %q, want 200, Sign In and a form to /auth/login", rec.Code, d.Find("h1").Text())
	}
	for _, input := range []string{"input[name=email][type=email][required][autocomplete=username]", "input[name=password][type=password][required][autocomplete=current-password]"} {
		if form.Find(input).Length() != 1 {
			t.Errorf("the form has no %s", input)
		}
	}
	if d.Find("input[name=next], .alert, .fault, [aria-invalid]").Length() != 0 {
		t.Error("the page shows an error or a hidden target on the first visit")
	}
	if d.Find(`a[href="/register"]`).FilterFunction(text("Register instead")).Length() != 1 || d.Find(`a[href="/"]`).FilterFunction(text("Go to phrogs")).Length() != 1 {
		t.Error("no link Register instead or Go to phrogs")
	}
	if d.Find("input[name=email][autofocus]").Length() != 1 {
		t.Error("the e-mail field does not have the focus")
	}
}

func text(want string) func(int, *goquery.Selection) bool {
	return func(_ int, s *goquery.Selection) bool { return s.Text() == want }
}

func TestEveryKnownErrorHasItsSentenceAndKeepsTheAddress(t *testing.T) {
	w := open(t)
	for code, want := range map[string]string{
		"invalid_credentials": "do not go together", "rate_limited": "Too many attempts", "unavailable": "does not work at the moment", "invalid_fields": "marked fields", "form_kept": "kept for ten minutes",
	} {
		_, d := get(t, w, url.Values{"error": {code}, "email": {"ann@example.org"}, "password": {"planted"}})
		if alert := d.Find(".alert[role=alert]").Text(); !strings.Contains(alert, want) {
			t.Errorf("%s: alert %q, want %q", code, alert, want)
		}
		if email := d.Find("input[name=email]").AttrOr("value", ""); email != "ann@example.org" {
			t.Errorf("%s: e-mail %q, want the entered one", code, email)
		}
		if _, ok := d.Find("input[name=password]").Attr("value"); ok || d.Find("input[name=password][autofocus]").Length() != 1 {
			t.Errorf("%s: the password field is filled in or does not have the focus", code)
		}
	}
	for _, code := range []string{"", "x", "INVALID_CREDENTIALS", "Your account was closed, call 555", "invalid_credentials "} {
		if _, d := get(t, w, url.Values{"error": {code}, "field": {"email:invalid"}}); d.Find(".alert, .fault").Length() != 0 {
			t.Errorf("%q: shows %q, want no message", code, d.Find(".alert, .fault").Text())
		}
	}
}

func TestNextIsCarriedWhenItIsAPathOfOurs(t *testing.T) {
	w := open(t)
	for next, want := range map[string]string{
		"/account": "/account", "/frogs?petted=a&b=1#x": "/frogs?petted=a&b=1#x", "/%2f%2fevil.test": "/%2f%2fevil.test",
		"": "", "//evil.test": "", "https://evil.test": "", "/\\evil.test": "", "\\\\evil.test": "", "javascript:alert(1)": "", "/\t/evil.test": "",
		"account": "", "\u0020/account": "", "/\n/evil.test": "", "/" + strings.Repeat("a", 4000): "",
	} {
		_, d := get(t, w, url.Values{"next": {next}})
		if got := d.Find("input[name=next][type=hidden]").AttrOr("value", ""); got != want {
			t.Errorf("%q: next is %q, want %q", next, got, want)
		}
		href := "/register"
		if want != "" {
			href += "?next=" + url.QueryEscape(want)
		}
		if got := d.Find(".links a").First().AttrOr("href", ""); unescape(t, got) != unescape(t, href) {
			t.Errorf("%q: link to the other form is %q, want %q", next, got, href)
		}
	}
}

func unescape(t *testing.T, s string) string {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u.Path + "|" + u.Query().Get("next")
}

func TestWhoIsSignedInGoesToTheFrogs(t *testing.T) {
	w := open(t)
	ann, err := w.Token("ann")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range []string{"/login", "/register", "/login?next=//evil.test"} {
		if rec := w.Do(t.Context(), http.MethodGet, page, ann); rec.Code != http.StatusSeeOther || rec.Header().Get("Location") != "/" {
			t.Errorf("%s: status %d to %q, want 303 to /", page, rec.Code, rec.Header().Get("Location"))
		}
	}
}

func TestWhoIsToSignInAgainMay(t *testing.T) {
	w := open(t)
	ann, err := w.Token("ann")
	if err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]string{
		"error=insufficient_user_authentication&next=/admin":          "Please sign in again to go on.",
		"error=invalid_credentials&next=/admin&email=ann@example.org": "This e-mail and password do not go together. Please try again.",
	} {
		rec := w.Do(t.Context(), http.MethodGet, "/login?"+query, ann)
		d, err := goquery.NewDocumentFromReader(rec.Body)
		if err != nil {
			t.Fatal(err)
		}
		if rec.Code != http.StatusOK || d.Find(".alert").Text() != want {
			t.Errorf("%s: status %d, alert %q, want 200 and %q", query, rec.Code, d.Find(".alert").Text(), want)
		}
		if d.Find("input[name=next]").AttrOr("value", "") != "/admin" || d.Find("input[name=email]").AttrOr("value", "") != "ann@example.org" {
			t.Errorf("%s: the form lost the target or the e-mail address", query)
		}
		if d.Find("input[name=password][autofocus]").Length() != 1 {
			t.Errorf("%s: the password field does not have the focus", query)
		}
	}
}

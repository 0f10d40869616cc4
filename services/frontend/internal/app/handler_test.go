package app_test

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"
	"github.com/golang-jwt/jwt/v5"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/frontend/internal/fakes"
)

func world(t *testing.T) *fakes.World {
	t.Helper()
	w, err := fakes.New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	w.Add(fakes.Person{Sub: "ann", Email: "ann@example.org", Name: "Ann", Roles: []string{"user"}})
	for _, name := range []string{"ann", "phone", "tablet"} {
		w.Begin("ann", api.SessionInfo{Sid: fakes.SessionID(name), Device: "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0", Begun: fakes.Noon(), Seen: fakes.Noon()})
	}
	return w
}

func token(t *testing.T, w *fakes.World, sub string, change ...func(jwt.MapClaims)) string {
	t.Helper()
	s, err := w.Token(sub, change...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func document(t *testing.T, w *httptest.ResponseRecorder) *goquery.Document {
	t.Helper()
	d, err := goquery.NewDocumentFromReader(strings.NewReader(w.Body.String()))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// pages returns all paths that respond with a page, errors included.
func pages() []string {
	return []string{
		"/", "/frogs", "/?petted=glass-frog", "/account", "/nothing", "/frogs/glass-frog/pet", "/login", "/register", "/static/nothing",
		"/account?ended=one", "/account?ended=others", "/account?changed=password", "/account/password", "/account/sessions/end-others",
		"/account/sessions/end",
		"/login?error=invalid_credentials&email=x&next=/account", "/register?error=invalid_fields&field=email:invalid",
	}
}

func TestHeadersOfEveryAnswer(t *testing.T) {
	w := world(t)
	for _, as := range []string{"", token(t, w, "ann"), "not a token"} {
		for _, page := range append(pages(), "/static/logo.svg", "/static/lilypad.css") {
			h := w.Do(t.Context(), http.MethodGet, page, as).Header()
			csp := h.Get("Content-Security-Policy")
			for _, want := range []string{"default-src 'none'", "style-src 'self'", "img-src 'self'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'", "object-src 'none'"} {
				if !strings.Contains(csp, want) {
					t.Errorf("%s: CSP without %s: %s", page, want, csp)
				}
			}
			if strings.Contains(csp, "unsafe") || strings.Contains(csp, "script-src") || strings.Contains(csp, "*") {
				t.Errorf("%s: CSP allows too much: %s", page, csp)
			}
			for name, want := range map[string]string{
				"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
				"Cross-Origin-Resource-Policy": "same-origin",
			} {
				if h.Get(name) != want {
					t.Errorf("%s: %s is %q, want %q", page, name, h.Get(name), want)
				}
			}
			if !strings.HasPrefix(h.Get("Strict-Transport-Security"), "max-age=63072000") || h.Get("Permissions-Policy") == "" {
				t.Errorf("%s: HSTS %q, Permissions-Policy %q, want both", page, h.Get("Strict-Transport-Security"), h.Get("Permissions-Policy"))
			}
			if len(h.Values("Set-Cookie")) > 0 {
				t.Errorf("%s sets a cookie", page)
			}
			if static := strings.HasPrefix(page, "/static/l"); !static && h.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: Cache-Control %q, want no-store", page, h.Get("Cache-Control"))
			}
			if h.Get("Content-Type") == "" || strings.HasPrefix(h.Get("Content-Type"), "text/html") && h.Get("Content-Type") != "text/html; charset=utf-8" {
				t.Errorf("%s: Content-Type %q, want one, and UTF-8 for HTML", page, h.Get("Content-Type"))
			}
		}
	}
}

func TestPagesNeedNoScriptAndNothingFromElsewhere(t *testing.T) {
	w := world(t)
	for _, as := range []string{"", token(t, w, "ann")} {
		for _, page := range pages() {
			rec := w.Do(t.Context(), http.MethodGet, page, as)
			if rec.Code == http.StatusSeeOther {
				continue // a signed-in user is redirected
			}
			d := document(t, rec)
			if n := d.Find("script, style, iframe, object, embed, base, [style]").Length(); n > 0 {
				t.Errorf("%s has %d elements that its CSP forbids", page, n)
			}
			d.Find("[src], [href], [action]").Each(func(_ int, s *goquery.Selection) {
				for _, name := range []string{"src", "href", "action"} {
					if v, ok := s.Attr(name); ok && !strings.HasPrefix(v, "#") && (!strings.HasPrefix(v, "/") || strings.HasPrefix(v, "//")) {
						t.Errorf("%s: %s=%q leaves the origin", page, name, v)
					}
				}
			})
			d.Find("input:not([type=hidden]), img").Each(func(_ int, s *goquery.Selection) {
				if id, _ := s.Attr("id"); goquery.NodeName(s) == "input" && d.Find("label[for="+id+"]").Length() != 1 {
					t.Errorf("%s: input %q has no label", page, id)
				}
				if _, ok := s.Attr("alt"); goquery.NodeName(s) == "img" && !ok {
					t.Errorf("%s: an image without alt", page)
				}
			})
			if d.Find("h1").Length() != 1 || d.Find("html[lang]").Length() != 1 || d.Find("title").Text() == "" {
				t.Errorf("%s: want one h1, a language and a title", page)
			}
		}
	}
}

// Two users request pages concurrently; each must see only their own data.
func TestTwoUsersAtOnceSeeOnlyThemselves(t *testing.T) {
	w := world(t)
	w.Add(fakes.Person{Sub: "bob", Email: "bob@example.org", Name: "Bob", Roles: []string{"user"}})
	tokens := map[string]string{"Ann": token(t, w, "ann"), "Bob": token(t, w, "bob"), "": ""}
	if rec := w.Do(t.Context(), http.MethodPost, "/frogs/glass-frog/pet", tokens["Ann"]); rec.Code != http.StatusSeeOther {
		t.Fatalf("status %d, want 303", rec.Code)
	}
	var group sync.WaitGroup
	for i := range 200 {
		name := []string{"Ann", "Bob", ""}[i%3]
		page := []string{"/", "/account", "/nothing"}[i/3%3]
		group.Go(func() {
			rec := w.Do(t.Context(), http.MethodGet, page, tokens[name])
			body := rec.Body.String()
			for other := range tokens {
				if shows := strings.Contains(body, "Hi, <b dir=\"auto\">"+other); other != "" && shows != (other == name) {
					t.Errorf("%s for %q: greets %q: %t, want %t", page, name, other, shows, other == name)
				}
			}
			if page == "/" && strings.Contains(body, "You: <time") != (name == "Ann") {
				t.Errorf("for %q: want Ann's petting to be shown to Ann only", name)
			}
			if page == "/account" && name != "" && !strings.Contains(body, strings.ToLower(name)+"@example.org") {
				t.Errorf("for %q: the account page does not show their address", name)
			}
		})
	}
	group.Wait()
}

func TestNoPageHoldsAToken(t *testing.T) {
	w := world(t)
	secret := token(t, w, "ann")
	parts := strings.Split(secret, ".")
	for _, away := range []bool{false, true} {
		if away {
			w.FrogsSay(http.StatusBadGateway)
		}
		for _, page := range pages() {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				rec := w.Do(t.Context(), method, page, secret)
				all := rec.Body.String() + fmt.Sprint(rec.Header())
				for _, planted := range append(parts, secret, base64.StdEncoding.EncodeToString([]byte(secret)), fakes.SessionID("ann"), "eyJ") {
					if strings.Contains(all, planted) {
						t.Errorf("%s %s: response contains %q", method, page, planted)
					}
				}
			}
		}
	}
	for _, planted := range append(parts, secret) {
		if strings.Contains(w.Log(), planted) {
			t.Errorf("the log contains %q", planted)
		}
	}
}

func TestABadTokenIs401AndNeverAStranger(t *testing.T) {
	w, other := world(t), world(t)
	for name, bad := range map[string]string{
		"expired":        token(t, w, "ann", func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-time.Minute).Unix() }),
		"other audience": token(t, w, "ann", func(c jwt.MapClaims) { c["aud"] = "frogs" }),
		"other issuer":   token(t, w, "ann", func(c jwt.MapClaims) { c["iss"] = "https://evil.test" }),
		"other key":      token(t, other, "ann"),
		"no token":       "x",
	} {
		for _, page := range []string{"/", "/account", "/login", "/nothing"} {
			rec := w.Do(t.Context(), http.MethodGet, page, bad)
			if rec.Code != http.StatusUnauthorized || !strings.Contains(rec.Header().Get("WWW-Authenticate"), "invalid_token") {
				t.Errorf("%s, %s: status %d, challenge %q, want 401 and invalid_token", name, page, rec.Code, rec.Header().Get("WWW-Authenticate"))
			}
			if strings.Contains(rec.Body.String(), "Login to pet the phrog") {
				t.Errorf("%s, %s: treated as an unauthenticated request", name, page)
			}
		}
	}
}

// A token that another service rejects has expired in the meantime, or its session was ended: the
// sidecar refreshes the token on 401 and retries.
func TestATokenThatAnotherServiceRefusesIs401(t *testing.T) {
	w := world(t)
	ann := token(t, w, "ann")
	w.FrogsSay(http.StatusUnauthorized)
	for _, target := range []string{"GET /", "POST /frogs/glass-frog/pet"} {
		method, path, _ := strings.Cut(target, " ")
		if rec := w.Do(t.Context(), method, path, ann); rec.Code != http.StatusUnauthorized || rec.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%s: status %d, want 401 with a challenge", target, rec.Code)
		}
	}
	w.FrogsSay(http.StatusOK)
	w.AuthSays(http.StatusUnauthorized)
	if rec := w.Do(t.Context(), http.MethodGet, "/", ann); rec.Code != http.StatusUnauthorized {
		t.Errorf("token rejected by the auth service: status %d, want 401", rec.Code)
	}
}

func TestAuthServiceAway(t *testing.T) {
	w := world(t)
	ann := token(t, w, "ann")
	if rec := w.Do(t.Context(), http.MethodGet, "/", ann); rec.Code != http.StatusOK {
		t.Fatalf("status %d, want 200", rec.Code)
	}
	w.AuthSays(http.StatusInternalServerError)
	rec := w.Do(t.Context(), http.MethodGet, "/", ann)
	d := document(t, rec)
	if greeting := d.Find(".greeting").Text(); rec.Code != http.StatusOK || greeting != "Hi there" || d.Find(".frog form").Length() != 3 {
		t.Errorf("status %d, greeting %q, %d frogs, want 200, Hi there and 3", rec.Code, greeting, d.Find(".frog form").Length())
	}
	if rec := w.Do(t.Context(), http.MethodGet, "/account", ann); rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" {
		t.Errorf("account: status %d, Retry-After %q, want 503 with Retry-After", rec.Code, rec.Header().Get("Retry-After"))
	}
	w.AuthSays(http.StatusOK)
	if greeting := document(t, w.Do(t.Context(), http.MethodGet, "/", ann)).Find(".greeting").Text(); greeting != "Hi, Ann" {
		t.Errorf("auth service up again: greeting %q, want Hi, Ann", greeting)
	}
}

func TestSafeMethodsChangeNothing(t *testing.T) {
	w := world(t)
	ann := token(t, w, "ann")
	override := func(r *http.Request) { r.Header.Set("X-HTTP-Method-Override", http.MethodPost) }
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete} {
		rec := w.Do(t.Context(), method, "/frogs/glass-frog/pet?_method=POST", ann, override)
		if rec.Code != http.StatusMethodNotAllowed || rec.Header().Get("Allow") != "POST" {
			t.Errorf("%s: status %d, Allow %q, want 405 and POST", method, rec.Code, rec.Header().Get("Allow"))
		}
		for _, page := range pages() {
			w.Do(t.Context(), method, page, ann, override)
		}
	}
	if n := w.Pets("ann", "glass-frog"); n != 0 {
		t.Errorf("petted %d times, want 0", n)
	}
	for _, path := range []string{"/account/password", "/account/sessions/end-others", "/account/sessions/end"} {
		rec := w.Do(t.Context(), http.MethodGet, path+"?current_password=a&new_password=b&_method=POST", ann, override)
		if rec.Code != http.StatusMethodNotAllowed || rec.Header().Get("Allow") != "POST" {
			t.Errorf("GET %s: status %d, Allow %q, want 405 and POST", path, rec.Code, rec.Header().Get("Allow"))
		}
	}
	if n := w.AccountWrites(); n != 0 {
		t.Errorf("the auth service received %d writes, want 0", n)
	}
}

func TestHeadAnswersAsGetDoes(t *testing.T) {
	w := world(t)
	for _, page := range []string{"/", "/frogs", "/login", "/register", "/account", "/nothing", "/static/logo.svg"} {
		get, head := w.Do(t.Context(), http.MethodGet, page, ""), w.Do(t.Context(), http.MethodHead, page, "")
		if get.Code != head.Code || get.Header().Get("Content-Type") != head.Header().Get("Content-Type") {
			t.Errorf("%s: GET %d %s, HEAD %d %s", page, get.Code, get.Header().Get("Content-Type"), head.Code, head.Header().Get("Content-Type"))
		}
	}
}

func TestCacheDeception(t *testing.T) {
	w := world(t)
	ann := token(t, w, "ann")
	for _, path := range []string{
		"/account/x.css", "/account%2fx.js", "/account;.png", "/account%3b.png", "/account.css", "/account/", "/ACCOUNT", "//account", "/account%00.css",
		"/account%0a.css", "/account%23.css", "/account%3f.css", "/static/../account", "/static/%2e%2e/account", "/static/x.css", "/frogs/x.css", "/frogs;.css",
	} {
		rec := w.Do(t.Context(), http.MethodGet, path, ann)
		if rec.Code != http.StatusNotFound || rec.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: status %d, Cache-Control %q, want 404 and no-store", path, rec.Code, rec.Header().Get("Cache-Control"))
		}
		if strings.Contains(rec.Body.String(), "ann@example.org") {
			t.Errorf("%s shows the account", path)
		}
	}
}

func TestHostileValuesAreInert(t *testing.T) {
	w := world(t)
	hostile := []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`, `</title><script>alert(1)</script>`,
		`javascript:alert(1)`, `{{.User}}`, "\u202Eevil", `<svg/onload=alert(1)>`, `&lt;script&gt;`, `--><script>alert(1)</script>`, `x" autofocus onfocus=alert(1) y="`,
	}
	for i, h := range hostile {
		sub := fmt.Sprintf("h%d", i)
		w.Add(fakes.Person{Sub: sub, Email: h, Name: h, Roles: []string{h}})
		w.Begin(sub, api.SessionInfo{Sid: fakes.SessionID("other"), Device: h})
		w.Begin(sub, api.SessionInfo{Sid: fakes.SessionID(sub), Device: h + " Firefox/140.0 Linux " + h})
		as := token(t, w, sub, func(c jwt.MapClaims) { c["roles"] = []string{h} })
		q := url.Values{
			"error": {h, "invalid_fields"}, "email": {h}, "name": {h}, "next": {h}, "petted": {h}, "ended": {h}, "changed": {h},
			"field": {"email:" + h, h + ":required", "email:invalid"},
		}.Encode()
		for _, target := range []string{"/", "/account", "/nothing", "/login?" + q, "/register?" + q, "/?" + q, "/frogs?" + q, "/account?" + q} {
			for _, who := range []string{as, ""} {
				rec := w.Do(t.Context(), http.MethodGet, target, who)
				if strings.Contains(rec.Header().Get("Location"), "alert") {
					t.Errorf("%s: Location %s", target, rec.Header().Get("Location"))
				}
				inert(t, target, h, document(t, rec))
			}
		}
	}
	page := w.Do(t.Context(), http.MethodGet, "/account", token(t, w, "h0")).Body.String()
	if !strings.Contains(page, html.EscapeString(hostile[0])) {
		t.Error("the hostile name is not on the page, want it escaped")
	}
}

// inert fails if the hostile value became anything but text or the value of an input.
func inert(t *testing.T, target, hostile string, d *goquery.Document) {
	t.Helper()
	if n := d.Find("script, img[src=x], [onerror], [onload], [onfocus], [onmouseover], svg:not(.icon)").Length(); n > 0 {
		t.Errorf("%s: %q became %d elements", target, hostile, n)
	}
	d.Find("a[href], form[action], input[name=next]").Each(func(_ int, s *goquery.Selection) {
		for _, name := range []string{"href", "action", "value"} {
			if v, ok := s.Attr(name); ok && !strings.HasPrefix(v, "/") && !strings.HasPrefix(v, "#") {
				t.Errorf("%s: %q became %s=%q", target, hostile, name, v)
			}
		}
	})
}

func TestErrorsArePagesForBrowsersAndProblemsForPrograms(t *testing.T) {
	w := world(t)
	ann := token(t, w, "ann")
	for _, c := range []struct {
		method, path, as string
		status           int
	}{
		{http.MethodGet, "/nothing", ann, 404},
		{http.MethodPost, "/frogs/toad/pet", ann, 404},
		{http.MethodGet, "/account", "", 401},
		{http.MethodPost, "/frogs/glass-frog/pet", "", 401},
		{http.MethodDelete, "/account", ann, 405},
		{http.MethodPost, "/", ann, 405},
		{http.MethodPost, "/account/password", "", 401},
		{http.MethodPost, "/account/sessions/end-others", "", 401},
		{http.MethodPost, "/account/sessions/end", "", 401},
		{http.MethodPost, "/account/sessions/end", ann, 404},
	} {
		rec := w.Do(t.Context(), c.method, c.path, c.as)
		if rec.Code != c.status || !strings.HasPrefix(rec.Header().Get("Content-Type"), "text/html") || document(t, rec).Find(".notice-page h1").Length() != 1 {
			t.Errorf("%s %s from a browser: status %d, Content-Type %q, want %d and an HTML error page", c.method, c.path, rec.Code, rec.Header().Get("Content-Type"), c.status)
		}
		for _, accept := range []string{"application/json", "*/*", ""} {
			rec := w.Do(t.Context(), c.method, c.path, c.as, func(r *http.Request) { r.Header.Set("Accept", accept) })
			if rec.Code != c.status || rec.Header().Get("Content-Type") != "application/problem+json" {
				t.Errorf("%s %s with Accept %q: status %d, Content-Type %q, want %d and application/problem+json", c.method, c.path, accept, rec.Code, rec.Header().Get("Content-Type"), c.status)
			}
		}
	}
}

func TestNoSessionIDIsLogged(t *testing.T) {
	w := world(t)
	ann, sid := token(t, w, "ann"), fakes.SessionID("phone")
	for _, status := range []int{http.StatusOK, http.StatusBadGateway} {
		w.AccountsSay("DELETE /v1/sessions/"+sid, status)
		for target, route := range map[string]string{"POST /account/sessions/end": "/account/sessions/end", "GET /account/sessions/" + sid: "", "GET /account?ended=" + sid: "/account"} {
			method, path, _ := strings.Cut(target, " ")
			before := len(w.Log())
			w.Do(t.Context(), method, path, ann, fakes.Form(url.Values{"session": {sid}}))
			if text := w.Log()[before:]; !strings.Contains(text, "route="+cmp.Or(route, `""`)+" ") || strings.Contains(text, sid) {
				t.Errorf("%s, auth service responds %d: want route %q and no session id in %s", target, status, route, text)
			}
		}
	}
}

func TestALargeBodyIsRefused(t *testing.T) {
	w := world(t)
	rec := w.Do(t.Context(), http.MethodPost, "/frogs/glass-frog/pet", token(t, w, "ann"), func(r *http.Request) { r.ContentLength = 1 << 20 })
	if rec.Code != http.StatusRequestEntityTooLarge || w.Pets("ann", "glass-frog") != 0 {
		t.Errorf("status %d, want 413", rec.Code)
	}
	rec = w.Do(t.Context(), http.MethodPost, "/account/password", token(t, w, "ann"),
		fakes.Form(url.Values{"current_password": {fakes.Password}, "new_password": {strings.Repeat("x", 9<<10)}}), func(r *http.Request) { r.ContentLength = -1 })
	if rec.Code != http.StatusRequestEntityTooLarge || w.AccountWrites() != 0 {
		t.Errorf("without Content-Length: status %d, want 413", rec.Code)
	}
}

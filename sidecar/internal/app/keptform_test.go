package app_test

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"lilypad.example/services/auth/api"
	"lilypad.example/sidecar/internal/cookie"
)

// browser stores cookies and posts forms.
type browser struct {
	*world

	jar map[string]string
}

func newBrowser(t *testing.T) *browser { t.Helper(); return &browser{newWorld(t), map[string]string{}} }

func (b *browser) do(method, path, contentType, body string) reply {
	b.t.Helper()
	pairs := []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Site", "same-origin", "Accept", pageTypes}
	if contentType != "" {
		pairs = append(pairs, "Content-Type", contentType)
	}
	for name, value := range b.jar {
		pairs = append(pairs, "Cookie", name+"="+value)
	}
	r := b.send(method, path, body, pairs...)
	for _, line := range r.header.Values("Set-Cookie") {
		c, err := http.ParseSetCookie(line)
		if err != nil {
			b.t.Fatal(err)
		}
		if b.jar[c.Name] = c.Value; c.MaxAge < 0 {
			delete(b.jar, c.Name)
		}
	}
	return r
}

func (b *browser) open(path string) reply {
	b.t.Helper()
	return b.do(http.MethodGet, path, "", "")
}

func (b *browser) post(path, body string) reply {
	b.t.Helper()
	return b.do(http.MethodPost, path, form, body)
}

// signIn logs in as who and returns where the response redirects to.
func (b *browser) signIn(who, next string) string {
	b.t.Helper()
	r := b.post("/auth/login", url.Values{"email": {who}, "password": {password}, "next": {next}}.Encode())
	if _, set := r.setCookie(b.t); r.status != http.StatusSeeOther || !set {
		b.t.Fatalf("login: status %d, want 303: %s", r.status, r.body)
	}
	return r.header.Get("Location")
}

// killSession ends all sessions at the auth service.
func (b *browser) killSession() {
	b.t.Helper()
	b.auth.set(func(a *auth) {
		for family := range a.sessions {
			delete(a.sessions, family)
			a.ended <- family
		}
	})
	for b.open("/account").status == http.StatusOK { // until the feed has reported it
	}
}

// expire is killSession, but the browser keeps the session cookie.
func (b *browser) expire() {
	b.t.Helper()
	session := b.jar[cookie.Name]
	b.killSession()
	b.jar = map[string]string{cookie.Name: session}
}

const (
	entered      = "text=a+long+letter%0D%0A&password=planted-secret"
	toForm       = "/login?error=form_kept&next=%2Fauth%2Fform"
	confirmation = "lilypad-form="
)

// confirm submits the confirmation on the page of the kept form.
func (b *browser) confirm(path string) reply {
	b.t.Helper()
	return b.post(path, confirmation+strings.Split(b.jar[cookie.Former], ".")[2])
}

func TestAFormOutlivesItsSession(t *testing.T) {
	for name, end := range map[string]func(*browser){
		"found out by the form itself":   (*browser).expire,
		"found out before, by some page": (*browser).killSession,
	} {
		for kind, content := range map[string]string{form: entered, "multipart/form-data; boundary=b": "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x\"\r\n\r\n\x00\xff\r\n--b--\r\n"} {
			t.Run(name+", "+kind, func(t *testing.T) {
				b := newBrowser(t)
				b.signIn(email, "")
				end(b)
				hits := b.hits()
				r := b.do(http.MethodPost, "/api/letters?draft=1&x=(a'b)", kind, content)
				if r.status != http.StatusSeeOther || r.header.Get("Location") != toForm || r.header.Get("Cache-Control") != "no-store" {
					t.Fatalf("status %d, Location %q, Cache-Control %q; want 303 to %s, no-store: %s", r.status, r.header.Get("Location"), r.header.Get("Cache-Control"), toForm, r.body)
				}
				if b.jar[cookie.Name] != "" || b.jar[cookie.Former] == "" {
					t.Errorf("the browser has cookies %v, want only the former token", b.jar)
				}
				if to := b.signIn(email, "/auth/form"); to != "/auth/form" {
					t.Fatalf("login redirects to %s, want /auth/form", to)
				}
				for range 2 { // opening the page repeatedly sends nothing
					r = b.open("/auth/form")
					if r.status != http.StatusOK || !strings.Contains(r.body, `<form method="post" action="/api/letters?draft=1&amp;x=%28a%27b%29">`) {
						t.Fatalf("GET /auth/form: status %d, want 200 and a form that posts to the target: %s", r.status, r.body)
					}
					for _, shown := range []string{"<code>/api/letters</code>", email, "Fred &lt;b&gt;"} {
						if !strings.Contains(r.body, shown) {
							t.Errorf("the page does not show %s", shown)
						}
					}
				}
				if strings.Contains(r.body, "planted") || strings.Contains(r.body, "letter%0D") || strings.Contains(r.body, strings.Split(b.jar[cookie.Former], ".")[4]) {
					t.Errorf("the page shows what was entered or the token's MAC: %s", r.body)
				}
				if b.hits() != hits {
					t.Fatal("the application got a request before the form was confirmed")
				}
				r = b.confirm("/api/letters?draft=1&x=%28a%27b%29")
				s := r.seen(t)
				if s.Method != http.MethodPost || s.Body != content && kind == form || s.Header.Get("Content-Type") != kind || !strings.HasPrefix(s.Path, "/api/letters?draft=1") {
					t.Errorf("the application got %+v, want the POST as it was entered", s)
				}
				if len(s.Header.Values("Authorization")) != 1 || s.Header.Get("Cookie") != "" || len(s.Header.Values("Content-Type")) != 1 {
					t.Errorf("the application got fields %v, want one Authorization, one Content-Type, no Cookie", s.Header)
				}
				if b.jar[cookie.Former] != "" || b.jar[cookie.Name] == "" {
					t.Errorf("the browser has cookies %v, want a session and no former token", b.jar)
				}
				if strings.Contains(b.logs.String(), "planted") {
					t.Error("the log contains what was entered")
				}
			})
		}
	}
}

func TestAFormThatNeedsARecentLoginWaitsForIt(t *testing.T) {
	b := newBrowser(t)
	b.auth.set(func(a *auth) { a.age = time.Hour })
	b.signIn(email, "")
	if r := b.post("/vault/x", entered); r.status != http.StatusSeeOther || r.header.Get("Location") != toForm || b.hits() != 0 {
		t.Fatalf("status %d, want 303 to the login page and no request to the application: %s", r.status, r.body)
	}
	// Not signed in again yet: a confirmation has no effect, and the form stays.
	if r := b.confirm("/vault/x"); r.status != http.StatusSeeOther || r.header.Get("Location") != toForm || b.hits() != 0 {
		t.Errorf("confirmed without a recent login: status %d, want 303 to the login page: %s", r.status, r.body)
	}
	b.auth.set(func(a *auth) { a.age = 0 })
	b.signIn(email, "/auth/form")
	if r := b.confirm("/vault/x"); r.status != http.StatusOK || r.seen(t).Body != entered || len(b.jar) != 1 {
		t.Errorf("status %d, cookies %v; want 200, the form sent and one cookie: %s", r.status, b.jar, r.body)
	}
}

// keepForm posts a form after its session has ended, then logs in as who unless who is "".
func keepForm(t *testing.T, who string) *browser {
	t.Helper()
	b := newBrowser(t)
	b.signIn(email, "")
	b.expire()
	if r := b.post("/api/letters", entered); r.header.Get("Location") != toForm {
		t.Fatalf("status %d, want 303 to the login page: %s", r.status, r.body)
	}
	if who != "" {
		b.signIn(who, "/auth/form")
	}
	return b
}

func TestAFormIsSentOnce(t *testing.T) {
	b := keepForm(t, email)
	copied := b.jar[cookie.Former]
	hits := b.hits()
	if r := b.confirm("/api/letters"); r.status != http.StatusOK {
		t.Fatalf("confirm: status %d, want 200: %s", r.status, r.body)
	}
	b.jar[cookie.Former] = copied // a reload, or a second tab
	if r := b.confirm("/api/letters"); r.status != http.StatusGone || !strings.Contains(r.body, "not kept any more") {
		t.Errorf("confirm again: status %d, want 410: %s", r.status, r.body)
	}
	if r := b.open("/auth/form"); r.status != http.StatusNotFound {
		t.Errorf("GET /auth/form after sending: status %d, want 404", r.status)
	}
	if n := b.hits() - hits; n != 1 {
		t.Errorf("the form was sent %d times, want once", n)
	}
}

func TestADiscardedFormIsGone(t *testing.T) {
	b := keepForm(t, email)
	copied := b.jar[cookie.Former]
	hits := b.hits()
	if r := b.post("/auth/form/discard", ""); r.status != http.StatusSeeOther || r.header.Get("Location") != "/" || b.jar[cookie.Former] != "" {
		t.Errorf("discard: status %d, fields %v; want 303 to / and no former token", r.status, r.header)
	}
	b.jar[cookie.Former] = copied
	if r := b.confirm("/api/letters"); r.status != http.StatusGone || b.hits() != hits {
		t.Errorf("confirm after discard: status %d, want 410 and no request to the application", r.status)
	}
}

func TestNobodySendsAnothersForm(t *testing.T) {
	b := keepForm(t, otherEmail)
	hits, mine := b.hits(), b.jar[cookie.Former]
	if r := b.open("/auth/form"); r.status != http.StatusNotFound || strings.Contains(r.body, "letters") {
		t.Errorf("GET /auth/form as another user: status %d, want 404: %s", r.status, r.body)
	}
	if r := b.confirm("/api/letters"); r.status != http.StatusGone || b.hits() != hits {
		t.Errorf("confirm as another user: status %d, want 410 and no request to the application", r.status)
	}
	// The form is still kept for its user, in the browser that has the key.
	b.signIn(email, "/auth/form")
	b.jar[cookie.Former] = mine
	if r := b.confirm("/api/letters"); r.status != http.StatusOK || r.seen(t).Body != entered {
		t.Errorf("confirm as the form's user: status %d, want 200 and the form sent: %s", r.status, r.body)
	}
}

func TestTheKeyIsInTheBrowserAlone(t *testing.T) {
	b := keepForm(t, email)
	var sealed []byte
	b.auth.set(func(a *auth) {
		for _, s := range a.forms {
			sealed = s
		}
	})
	if len(sealed) == 0 || bytes.Contains(sealed, []byte("letter")) || bytes.Contains(sealed, []byte("account")) {
		t.Fatalf("the auth service stores %q, want ciphertext", sealed)
	}
	// Another token of the session finds the form, but cannot decrypt it.
	parts := strings.Split(b.jar[cookie.Former], ".")
	parts[4] = strings.Repeat("n", 43)
	b.jar[cookie.Former] = strings.Join(parts, ".")
	if r := b.open("/auth/form"); r.status != http.StatusNotFound {
		t.Errorf("GET /auth/form with another token: status %d, want 404: %s", r.status, r.body)
	}
}

func TestWhatIsNotKeptIsSaid(t *testing.T) {
	large := "text=" + strings.Repeat("x", 64<<10)
	for name, c := range map[string]struct {
		path, contentType, body string
		before                  func(*browser)
		want                    string
	}{
		"too large":        {"/api/x", form, large, nil, "could not be kept"},
		"not a form":       {"/api/x", "text/plain", "x", nil, "could not be kept"},
		"a long address":   {"/api/x?" + strings.Repeat("x", 1100), form, "x=y", nil, "could not be kept"},
		"auth is away":     {"/api/x", form, "x=y", func(b *browser) { b.auth.set(func(a *auth) { a.instead = refuse(http.StatusServiceUnavailable) }) }, "could not be kept"},
		"too many":         {"/api/x", form, "x=y", func(b *browser) { b.auth.set(func(a *auth) { a.instead = refuse(http.StatusTooManyRequests) }) }, "could not be kept"},
		"a stranger":       {"/api/x", form, "x=y", func(b *browser) { clear(b.jar) }, "could not be kept"},
		"a forged session": {"/api/x", form, "x=y", func(b *browser) { b.jar[cookie.Former] = "v1.k1.family9999999999999999.1." + strings.Repeat("m", 43) }, "could not be kept"},
		"a planted cookie": {"/api/x", form, "x=y", func(b *browser) { b.jar[cookie.Former] = "../../etc/passwd" }, "could not be kept"},
	} {
		b := newBrowser(t)
		b.signIn(email, "")
		b.killSession()
		if c.before != nil {
			c.before(b)
		}
		hits := b.hits()
		r := b.do(http.MethodPost, c.path, c.contentType, c.body)
		if r.status != http.StatusUnauthorized || !strings.Contains(r.body, c.want) || !strings.Contains(r.body, "Go back in your browser") || !strings.Contains(r.body, `href="/login"`) {
			t.Errorf("%s: status %d, want 401 and a page that says %q: %s", name, r.status, c.want, r.body)
		}
		if r.header.Get("Location") != "" || b.hits() != hits {
			t.Errorf("%s: fields %v, %d requests to the application; want no redirect and none", name, r.header, b.hits()-hits)
		}
	}
}

func refuse(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		answer(w, status, api.Problem{Status: status, Code: "x"})
	}
}

func TestAFormAsLargeAsTheCapIsKept(t *testing.T) {
	b := newBrowser(t)
	b.signIn(email, "")
	b.killSession()
	large := "text=" + strings.Repeat("x", 63<<10)
	if r := b.post("/api/x", large); r.header.Get("Location") != toForm {
		t.Fatalf("status %d, want 303 to the login page: %s", r.status, r.body)
	}
	b.signIn(email, "/auth/form")
	if r := b.confirm("/api/x"); r.status != http.StatusOK || r.seen(t).Body != large {
		t.Errorf("confirm: status %d, %d bytes; want 200 and the whole form sent", r.status, len(r.body))
	}
}

func TestPasswordFormsOfOurOwnAndProgramsAreNotKept(t *testing.T) {
	b := newBrowser(t)
	b.signIn(email, "")
	b.expire()
	dead := cookie.Name + "=" + b.jar[cookie.Name]
	b.post("/auth/login", url.Values{"email": {email}, "password": {"wrong"}}.Encode())
	for name, pairs := range map[string][]string{
		"fetch":      {"Sec-Fetch-Mode", "cors", "Sec-Fetch-Site", "same-origin", "Content-Type", form, "Accept", pageTypes},
		"JSON":       {"Sec-Fetch-Site", "same-origin", "Content-Type", jsonType, "Accept", jsonType},
		"program":    {"Sec-Fetch-Site", "same-origin", "Content-Type", form, "Accept", "*/*"},
		"XHR":        {"Sec-Fetch-Site", "same-origin", "X-Requested-With", "XMLHttpRequest", "Content-Type", form, "Accept", "*/*"},
		"cross-site": {"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Site", "cross-site", "Content-Type", form},
	} {
		r := b.send(http.MethodPost, "/api/x", entered, append(pairs, "Cookie", dead)...)
		want := http.StatusUnauthorized
		if name == "cross-site" {
			want = http.StatusForbidden
		}
		if r.status != want || r.header.Get("Location") != "" {
			t.Errorf("%s: status %d, Location %q; want %d and no redirect", name, r.status, r.header.Get("Location"), want)
		}
	}
	b.auth.set(func(a *auth) {
		if len(a.forms) != 0 {
			t.Errorf("%d forms are kept, want none", len(a.forms))
		}
	})
}

func TestAConfirmationCountsForItsOwnFormOnly(t *testing.T) {
	b := keepForm(t, email)
	hits := b.hits()
	sid := strings.Split(b.jar[cookie.Former], ".")[2]
	// A form of the application with the same length as a confirmation passes.
	own := confirmation + strings.Repeat("x", len(sid))
	if r := b.post("/api/letters", own); r.status != http.StatusOK || r.seen(t).Body != own || r.seen(t).Header.Get("Content-Type") != form {
		t.Errorf("the application's own form: status %d, want 200 and the form unchanged: %s", r.status, r.body)
	}
	// From another site, a confirmation is refused.
	r := b.send(http.MethodPost, "/api/letters", confirmation+sid, "Content-Type", form, "Sec-Fetch-Site", "cross-site",
		"Cookie", cookie.Name+"="+b.jar[cookie.Name]+"; "+cookie.Former+"="+b.jar[cookie.Former])
	if r.status != http.StatusForbidden {
		t.Errorf("cross-site confirmation: status %d, want 403", r.status)
	}
	if r := b.confirm("/api/elsewhere"); r.status != http.StatusBadRequest || !strings.Contains(r.body, "still kept") {
		t.Errorf("confirm at another path: status %d, want 400: %s", r.status, r.body)
	}
	if r := b.open("/auth/form"); r.status != http.StatusOK {
		t.Errorf("GET /auth/form after a refused confirmation: status %d, want 200: %s", r.status, r.body)
	}
	if n := b.hits() - hits; n != 1 {
		t.Errorf("the application got %d requests, want 1", n)
	}
}

func TestTheFormWaitsWhileSigningInAgainAndAgain(t *testing.T) {
	b := keepForm(t, "")
	// Nobody is signed in: the page requires that first.
	if r := b.open("/auth/form"); r.status != http.StatusSeeOther || r.header.Get("Location") != "/login?next=%2Fauth%2Fform" {
		t.Errorf("GET /auth/form signed out: status %d, fields %v; want 303 to the login page", r.status, r.header)
	}
	// A failed login attempt changes nothing.
	r := b.post("/auth/login", url.Values{"email": {email}, "password": {"wrong"}, "next": {"/auth/form"}}.Encode())
	if !strings.Contains(r.header.Get("Location"), "next=%2Fauth%2Fform") || b.jar[cookie.Former] == "" {
		t.Errorf("login with a wrong password: fields %v; want next and the former token kept", r.header)
	}
	// The new session ends before the confirmation.
	b.signIn(email, "/auth/form")
	former, dead := b.jar[cookie.Former], b.jar[cookie.Name]
	b.auth.set(func(a *auth) {
		for family := range a.sessions {
			delete(a.sessions, family)
			a.ended <- family
		}
	})
	var answered reply
	for answered = b.open("/auth/form"); answered.status == http.StatusOK; answered = b.open("/auth/form") {
	}
	if answered.status != http.StatusSeeOther {
		t.Fatalf("GET /auth/form after the session has ended: status %d, want 303", answered.status)
	}
	b.jar = map[string]string{cookie.Name: dead, cookie.Former: former}
	if r := b.confirm("/api/letters"); r.header.Get("Location") != toForm || b.jar[cookie.Former] != former || b.jar[cookie.Name] != "" {
		t.Errorf("confirm after the session has ended: status %d, fields %v; want 303 to the login page and the former token kept", r.status, r.header)
	}
	b.signIn(email, "/auth/form")
	// The auth service is unavailable for a moment: the form is still kept.
	b.auth.set(func(a *auth) { a.instead = refuse(http.StatusServiceUnavailable) })
	if r := b.confirm("/api/letters"); r.status != http.StatusServiceUnavailable || r.header.Get("Retry-After") == "" || b.jar[cookie.Former] != former {
		t.Errorf("confirm while the auth service is down: status %d, fields %v; want 503, Retry-After and the former token kept", r.status, r.header)
	}
	b.auth.set(func(a *auth) { a.instead = nil })
	if r := b.confirm("/api/letters"); r.status != http.StatusOK || r.seen(t).Body != entered {
		t.Errorf("confirm: status %d, want 200 and the form sent: %s", r.status, r.body)
	}
}

func TestSigningOutAndSigningInOtherwiseForgetTheFormerSession(t *testing.T) {
	b := keepForm(t, email)
	if b.post("/auth/logout", ""); len(b.jar) != 1 || b.jar[cookie.Known] == "" {
		t.Errorf("after logout the browser keeps %v, want only what makes it a known device", b.jar)
	}
	b = keepForm(t, "")
	if b.signIn(email, "/account"); len(b.jar) != 1 {
		t.Errorf("after another login the browser keeps %v, want one cookie", b.jar)
	}
}

func TestThePageOfAKeptFormIsGuarded(t *testing.T) {
	b := keepForm(t, email)
	r := b.open("/auth/form")
	for name, want := range map[string]string{
		"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
		"Content-Type": "text/html; charset=utf-8", "Strict-Transport-Security": "max-age=63072000",
	} {
		if got := r.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	csp := r.header.Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", "form-action 'self' https:"} {
		if !strings.Contains(csp, part) {
			t.Errorf("Content-Security-Policy %q, want it to contain %q", csp, part)
		}
	}
	if strings.Contains(r.body, "<script") {
		t.Error("the page has a script, want none")
	}
	for _, path := range []string{"/auth/form", "/auth/form/discard"} {
		method := http.MethodPost
		if path == "/auth/form/discard" {
			method = http.MethodGet
		}
		if r := b.do(method, path, form, ""); r.status != http.StatusMethodNotAllowed {
			t.Errorf("%s %s: status %d, want 405", method, path, r.status)
		}
	}
}

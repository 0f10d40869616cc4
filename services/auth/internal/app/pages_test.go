package app_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"lilypad.example/services/pkg/look"
)

// page asks for a page as the sidecar does for a browser, with an optional form and token.
func (s *service) page(method, path, token string, form url.Values, pairs ...string) answer {
	s.t.Helper()
	kind := ""
	if form != nil {
		kind = "application/x-www-form-urlencoded"
	}
	r := s.request(method, path, token, kind, form.Encode())
	r.Header.Set("Accept", "text/html,application/xhtml+xml")
	for i := 0; i < len(pairs); i += 2 {
		r.Header.Set(pairs[i], pairs[i+1])
	}
	return s.do(r, true)
}

var (
	inlineStyle = regexp.MustCompile(`(?s)<style>.*?</style>`)
	foreign     = regexp.MustCompile(`(?:src|href|action)="(?:https?:)?//`)
	heading     = regexp.MustCompile(`<h1>([^<]*)</h1>`)
)

func (a answer) heading() string {
	if found := heading.FindSubmatch(a.body); found != nil {
		return string(found[1])
	}
	return ""
}

func TestEveryPageHasTheHeadersOfAPage(t *testing.T) {
	s := embedded(t)
	user := s.register("fred@pond.test").Token.AccessToken
	for _, token := range []string{"", user, "forged"} {
		for _, path := range []string{
			"/auth/login", "/auth/login?next=/x&error=invalid_credentials&email=a", "/auth/login?signed_out=1", "/auth/register", "/auth/logout", "/auth/account",
			"/auth/account?ended=one", "/auth/nothing", "/auth/", "/auth/account/password",
		} {
			a := s.page(http.MethodGet, path, token, nil)
			if a.status == http.StatusSeeOther {
				continue
			}
			csp := a.header.Get("Content-Security-Policy")
			for _, want := range []string{"default-src 'none'", "style-src 'sha256-", "frame-ancestors 'none'", "base-uri 'none'", "object-src 'none'"} {
				if !strings.Contains(csp, want) {
					t.Errorf("%s: policy %s, want %s", path, csp, want)
				}
			}
			if strings.Contains(csp, "unsafe") || strings.Contains(csp, "script-src") {
				t.Errorf("%s: policy %s allows too much", path, csp)
			}
			for name, want := range map[string]string{
				"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
				"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin", "X-Frame-Options": "DENY",
			} {
				if got := a.header.Values(name); len(got) != 1 || got[0] != want {
					t.Errorf("%s: %s %q, want %q", path, name, got, want)
				}
			}
			if a.header.Get("Set-Cookie") != "" {
				t.Errorf("%s sets a cookie", path)
			}
			text := inlineStyle.ReplaceAllString(string(a.body), "")
			if strings.Contains(text, "<script") || strings.Contains(text, "style=") || strings.Contains(text, " on") && regexp.MustCompile(` on[a-z]+="`).MatchString(text) {
				t.Errorf("%s contains a script or a style attribute", path)
			}
			if found := foreign.FindString(text); found != "" {
				t.Errorf("%s refers to another host: %s", path, found)
			}
			if len(a.body) > 30_000 || a.heading() == "" {
				t.Errorf("%s: %d bytes, heading %q, want at most 30 kB and a heading", path, len(a.body), a.heading())
			}
			if token != "" && strings.Contains(text, token) {
				t.Errorf("%s contains the token", path)
			}
			if method := s.page(http.MethodHead, path, token, nil); method.status != a.status || len(method.body) != 0 {
				t.Errorf("HEAD %s: status %d, want %d without a body", path, method.status, a.status)
			}
		}
	}
}

func TestTheLoginPageNeverRedirectsWhoIsSignedIn(t *testing.T) {
	s := embedded(t)
	user := s.register("fred@pond.test").Token.AccessToken
	for path, want := range map[string]struct{ stranger, user string }{
		"/auth/login":                                        {"Sign In", "You are signed in"},
		"/auth/login?next=%2Fadmin":                          {"Sign In", "You are signed in"},
		"/auth/login?error=forbidden&next=%2Fadmin":          {"Sign In", "Sign In"},
		"/auth/login?error=whatever":                         {"Sign In", "Sign In"},
		"/auth/login?error=":                                 {"Sign In", "Sign In"},
		"/auth/login?signed_out=1":                           {"Sign In", "You are signed in"},
		"/auth/register":                                     {"Sign Up", "You are signed in"},
		"/auth/register?error=email_taken":                   {"Sign Up", "Sign Up"},
		"/auth/logout":                                       {"You are signed out", "Sign out?"},
		"/auth/login?error=insufficient_user_authentication": {"Sign In", "Sign In"},
	} {
		for who, token := range map[string]string{"": "", "user": user} {
			wanted := want.stranger
			if who != "" {
				wanted = want.user
			}
			if a := s.page(http.MethodGet, path, token, nil); a.status != http.StatusOK || a.heading() != wanted {
				t.Errorf("%s for %q: status %d, heading %q, want 200 and %q", path, who, a.status, a.heading(), wanted)
			}
		}
	}
}

func TestWhatTheQuerySaysIsNeverShownAsAMessage(t *testing.T) {
	s := embedded(t)
	for _, evil := range []string{`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, "{{.}}", "Call 555 now"} {
		q := url.Values{"error": {evil}, "email": {evil}, "name": {evil}, "next": {evil}, "field": {"email:" + evil, evil}, "provider": {evil}, "ended": {evil}}
		for _, path := range []string{"/auth/login?", "/auth/register?", "/auth/account?"} {
			a := s.page(http.MethodGet, path+q.Encode(), "", nil)
			if strings.Contains(string(a.body), evil) && strings.ContainsAny(evil, "<>") || strings.Contains(string(a.body), `class="alert"`) {
				t.Errorf("%s with %q: %s", path, evil, a.body)
			}
		}
	}
	for _, next := range []string{"//evil.test", "https://evil.test", "/\\evil.test", "javascript:alert(1)", "/\tx", "x"} {
		a := s.page(http.MethodGet, "/auth/login?"+url.Values{"next": {next}}.Encode(), "", nil)
		if strings.Contains(string(a.body), `name="next"`) {
			t.Errorf("next %q is in the form", next)
		}
	}
}

func TestTheAccountPageShowsAndEndsSessions(t *testing.T) {
	s := embedded(t)
	mine := s.register("fred@pond.test").Token
	phone := s.mustLogin(password)
	other := s.register("mina@pond.test").Token
	for _, path := range []string{"/auth/account"} {
		a := s.page(http.MethodGet, path, "", nil)
		if a.status != http.StatusSeeOther || a.header.Get("Location") != "/auth/login?next=%2Fauth%2Faccount" {
			t.Errorf("stranger: status %d to %q, want 303 to the login page and back", a.status, a.header.Get("Location"))
		}
	}
	a := s.page(http.MethodGet, "/auth/account", mine.AccessToken, nil)
	if a.status != http.StatusOK || !strings.Contains(string(a.body), "fred@pond.test") || !strings.Contains(string(a.body), phone.Sid) || strings.Contains(string(a.body), other.Sid) {
		t.Errorf("status %d, want the account with its own sessions alone", a.status)
	}
	// Nobody ends a session of somebody else.
	s.page(http.MethodPost, "/auth/account/sessions/end", mine.AccessToken, url.Values{"session": {other.Sid}})
	s.mustRefresh(other.RefreshToken)
	for _, sid := range []string{"", "x", "../me", strings.Repeat("A", 21)} {
		if a := s.page(http.MethodPost, "/auth/account/sessions/end", mine.AccessToken, url.Values{"session": {sid}}); a.status != http.StatusNotFound {
			t.Errorf("session %q: status %d, want 404", sid, a.status)
		}
	}
	a = s.page(http.MethodPost, "/auth/account/sessions/end", mine.AccessToken, url.Values{"session": {phone.Sid}})
	if a.status != http.StatusSeeOther || a.header.Get("Location") != "/auth/account?ended=one" {
		t.Errorf("end: status %d to %q, want 303 to the page", a.status, a.header.Get("Location"))
	}
	s.mustBeEnded(phone.RefreshToken)
	tablet := s.mustLogin(password)
	a = s.page(http.MethodPost, "/auth/account/sessions/end-others", mine.AccessToken, url.Values{})
	if a.status != http.StatusSeeOther {
		t.Errorf("end others: status %d, want 303", a.status)
	}
	s.mustBeEnded(tablet.RefreshToken)
	s.mustRefresh(other.RefreshToken)
	s.mustRefresh(mine.RefreshToken)
}

func TestTheAccountPageChangesThePassword(t *testing.T) {
	s := embedded(t)
	mine := s.register("fred@pond.test").Token
	phone := s.mustLogin(password)
	change := func(current, replacement string) answer {
		return s.page(http.MethodPost, "/auth/account/password", mine.AccessToken, url.Values{"current_password": {current}, "new_password": {replacement}})
	}
	for _, c := range []struct {
		current, replacement, id, want string
	}{
		{"wrong", newPassword, "current_password-fault", "not your current password"},
		{password, "short", "new_password-fault", "At least 15"},
	} {
		a := change(c.current, c.replacement)
		if a.status != http.StatusUnprocessableEntity || !strings.Contains(string(a.body), c.id) || !strings.Contains(string(a.body), c.want) || strings.Contains(string(a.body), c.replacement) {
			t.Errorf("%+v: status %d, want 422 with a mark at the field: %s", c, a.status, a.body)
		}
	}
	if a := change(password, newPassword); a.status != http.StatusSeeOther || a.header.Get("Location") != "/auth/account?changed=password" {
		t.Fatalf("status %d, want 303", a.status)
	}
	s.mustBeEnded(phone.RefreshToken)
	s.mustLogin(newPassword)
}

// Guesses on the page count like those at the endpoint.
func TestThePasswordFormHasTheLimitOfTheEndpoint(t *testing.T) {
	s := embedded(t)
	mine := s.register("fred@pond.test").Token
	form := url.Values{"current_password": {"wrong"}, "new_password": {newPassword}}
	for range 12 {
		a := s.page(http.MethodPost, "/auth/account/password", mine.AccessToken, form)
		if a.status == http.StatusTooManyRequests {
			if a.header.Get("Retry-After") == "" || !strings.Contains(string(a.body), "Too many attempts") {
				t.Errorf("429 without Retry-After or a sentence: %s", a.body)
			}
			if a := s.changePassword(mine, password, newPassword); a.status != http.StatusTooManyRequests {
				t.Errorf("the endpoint: status %d, want 429 too", a.status)
			}
			return
		}
	}
	t.Error("twelve guesses, want 429 by then")
}

// The access token of an ended session does nothing, and tells the sidecar to get another one.
func TestPagesTakeNoTokenOfAnEndedSession(t *testing.T) {
	s := embedded(t)
	mine := s.register("fred@pond.test").Token
	phone := s.mustLogin(password)
	s.bearer(http.MethodDelete, "/v1/sessions/"+mine.Sid, phone)
	for _, c := range []struct{ method, path string }{
		{"GET", "/auth/account"}, {"POST", "/auth/account/sessions/end-others"}, {"POST", "/auth/account/password"}, {"POST", "/auth/account/sessions/end"},
	} {
		form := url.Values{"session": {phone.Sid}, "current_password": {password}, "new_password": {newPassword}}
		if c.method == http.MethodGet {
			form = nil
		}
		for name, token := range map[string]string{"ended": mine.AccessToken, "forged": "x", "none": ""} {
			if name == "none" && c.method == http.MethodGet {
				continue
			}
			a := s.page(c.method, c.path, token, form)
			if a.status != http.StatusUnauthorized || a.header.Get("WWW-Authenticate") == "" || !strings.Contains(string(a.body), `href="/auth/login"`) {
				t.Errorf("%s %s with token %s: status %d, challenge %q, want 401 and a link to the login page", c.method, c.path, name, a.status, a.header.Get("WWW-Authenticate"))
			}
		}
	}
	s.mustRefresh(phone.RefreshToken)
	s.mustLogin(password)
}

func TestTheBrandOfTheRequestIsCheckedAgain(t *testing.T) {
	s := embedded(t)
	site := look.Site{Brand: look.Brand{Name: "Pond & Co", Logo: "/pond.svg", Color: "#336699", Links: []look.Link{{Text: "Help", URL: "/help"}}}, Home: "/start"}
	a := s.page(http.MethodGet, "/auth/login", "", nil, look.Header, site.Encode())
	for _, want := range []string{"Pond &amp; Co", `src="/pond.svg"`, "--pad:#336699", `href="/help"`, `href="/start"`} {
		if !strings.Contains(string(a.body), want) {
			t.Errorf("no %s in %s", want, a.body)
		}
	}
	for _, value := range []string{"x", strings.Repeat("A", 9000), look.Site{Brand: look.Brand{Color: "red;}body{display:none"}}.Encode(), look.Site{Home: "//evil.test"}.Encode()} {
		a := s.page(http.MethodGet, "/auth/login", "", nil, look.Header, value)
		if a.status != http.StatusOK || !strings.Contains(string(a.body), "<span>Lilypad</span>") || strings.Contains(string(a.body), "evil.test") || strings.Contains(string(a.body), "red;") {
			t.Errorf("brand %.40q: status %d, want the page with the product's own brand", value, a.status)
		}
	}
}

func TestProgramsGetProblemsOfPages(t *testing.T) {
	s := embedded(t)
	for _, c := range []struct {
		method, path string
		status       int
	}{{"GET", "/auth/nothing", 404}, {"POST", "/auth/login", 405}, {"POST", "/auth/account/password", 401}, {"GET", "/auth/account", 401}, {"GET", "/auth/account/password", 405}} {
		a := s.do(s.request(c.method, c.path, "", "", ""), true)
		if a.status != c.status || a.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s: status %d, Content-Type %q, want %d as a problem", c.method, c.path, a.status, a.header.Get("Content-Type"), c.status)
		}
	}
}

// The pages offer the providers of the file, and no password to who has none.
func TestThePagesOfferTheProviders(t *testing.T) {
	s := federated(t)
	login := string(s.page(http.MethodGet, "/auth/login?next=%2Flily", "", nil).body)
	if !strings.Contains(login, `href="/auth/login/pond?next=%2Flily"`) || !strings.Contains(login, "Continue with pond") || !strings.Contains(login, `action="/auth/login"`) {
		t.Errorf("no button and form in %s", login)
	}
	own := string(s.page(http.MethodGet, "/auth/account", s.register("fred@pond.test").Token.AccessToken, nil).body)
	if !strings.Contains(own, `action="/auth/account/password"`) || !strings.Contains(own, `action="/auth/login/pond"`) {
		t.Errorf("no form for the password and to connect the provider in %s", own)
	}
	theirs := string(s.page(http.MethodGet, "/auth/account", s.mustSignIn(nil).Token.AccessToken, nil).body)
	if strings.Contains(theirs, `action="/auth/account/password"`) || !strings.Contains(theirs, "Where you are signed in") {
		t.Errorf("account without a password: %s, want its sessions and no form for a password", theirs)
	}
}

package app_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"lilypad.example/services/auth/api"
	"lilypad.example/sidecar/internal/cookie"
)

// traveller is a browser on its way to the provider corp and back.
type traveller struct {
	w       *world
	cookies map[string]string
}

func (w *world) traveller() *traveller { return &traveller{w, map[string]string{}} }

// send sends a request like a navigation, with the browser's cookies, and keeps what it gets.
func (b *traveller) send(method, path, body string, pairs ...string) reply {
	b.w.t.Helper()
	for name, value := range b.cookies {
		pairs = append(pairs, "Cookie", name+"="+value)
	}
	r := b.w.send(method, path, body, append(pairs, "Sec-Fetch-Mode", "navigate", "Accept", pageTypes)...)
	for _, line := range r.header.Values("Set-Cookie") {
		c, err := http.ParseSetCookie(line)
		switch {
		case err != nil:
			b.w.t.Fatal(err)
		case c.MaxAge < 0:
			delete(b.cookies, c.Name)
		default:
			b.cookies[c.Name] = c.Value
		}
	}
	return r
}

func (b *traveller) get(path string) reply { b.w.t.Helper(); return b.send("GET", path, "") }

// begin begins a sign-in and returns the state of the authorization request.
func (b *traveller) begin(path string) string {
	b.w.t.Helper()
	r := b.get(path)
	state, ok := strings.CutPrefix(r.header.Get("Location"), "https://corp.test/authorize?state=")
	if r.status != http.StatusSeeOther || !ok || b.cookies[cookie.Flow] == "" {
		b.w.t.Fatalf("%s: status %d, Location %q, cookies %v, want 303 to the provider and the flow cookie", path, r.status, r.header.Get("Location"), b.cookies)
	}
	return state
}

// signIn signs in at the provider, which names an acr.
func (b *traveller) signIn(acr string) {
	b.w.t.Helper()
	r := b.get("/auth/callback/corp?code=x&acr=" + acr + "&state=" + b.begin("/auth/login/corp"))
	if r.status != http.StatusSeeOther || b.cookies[cookie.Name] == "" {
		b.w.t.Fatalf("callback: status %d, Location %q, want 303 and a session", r.status, r.header.Get("Location"))
	}
}

func (b *traveller) wantAt(r reply, location string) {
	b.w.t.Helper()
	if r.status != http.StatusSeeOther || r.header.Get("Location") != location {
		b.w.t.Errorf("status %d, Location %q, want 303 to %s", r.status, r.header.Get("Location"), location)
	}
}

func TestASignInWithAProvider(t *testing.T) {
	w := newWorld(t)
	b := w.traveller()
	state := b.begin("/auth/login/corp?next=/account%3Fa%3Db&prompt=select_account&link=true")
	began := w.auth.last
	if want := "https://" + strings.TrimPrefix(w.url, "http://") + "/auth/callback/corp"; began.RedirectUri != want {
		t.Errorf("redirect URI %s, want %s", began.RedirectUri, want)
	}
	if began.Browser == b.cookies[cookie.Flow] || len(began.Browser) < 20 {
		t.Errorf("binding %q, want a digest of the cookie", began.Browser)
	}
	if text(began.Prompt) != "select_account" || began.RefreshToken != nil || began.Link != nil || began.MaxAge != nil || began.AcrValues != nil {
		t.Errorf("began with %+v, want prompt select_account and nothing else", began)
	}
	b.wantAt(b.get("/auth/callback/corp?code=x&state="+state), "/account?a=b")
	r := b.get("/account")
	if got := r.seen(t).Header; got.Get("Authorization") == "" || got.Get("Cookie") != "" {
		t.Errorf("the application sees %v, want a token and none of our cookies", got)
	}
}

func TestTwoTabsSignInAtOnce(t *testing.T) {
	w := newWorld(t)
	b := w.traveller()
	one := b.begin("/auth/login/corp?next=/one")
	before := b.cookies[cookie.Flow]
	two := b.begin("/auth/login/corp?next=/two")
	if b.cookies[cookie.Flow] != before {
		t.Error("the second sign-in replaces the flow cookie, want one for both")
	}
	b.wantAt(b.get("/auth/callback/corp?code=x&state="+two), "/two")
	first := b.cookies[cookie.Name]
	b.wantAt(b.get("/auth/callback/corp?code=x&state="+one), "/one")
	if r := b.get("/account"); r.status != http.StatusOK {
		t.Errorf("status %d, want 200", r.status)
	}
	if r := w.get("/account", "Cookie", cookie.Name+"="+first); r.status != http.StatusUnauthorized {
		t.Errorf("the session of the first tab: status %d, want 401: it is replaced", r.status)
	}
}

// Only the browser that began a sign-in can complete it, and once.
func TestACallbackThatIsNotUnderWayHereBeginsNoSession(t *testing.T) {
	w := newWorld(t)
	thief, stranger, planted := w.traveller(), w.traveller(), w.traveller()
	thief.begin("/auth/login/corp")
	planted.cookies[cookie.Flow] = "not-of-our-shape"
	for name, c := range map[string]struct {
		browser *traveller
		path    string
	}{
		"no cookie":                {stranger, "/auth/callback/corp?code=x&state=%s"},
		"another browser's cookie": {thief, "/auth/callback/corp?code=x&state=%s"},
		"a planted cookie":         {planted, "/auth/callback/corp?code=x&state=%s"},
		"no state":                 {nil, "/auth/callback/corp?code=x#%s"},
		"an error without state":   {nil, "/auth/callback/corp?error=provider_denied#%s"},
		"another provider":         {nil, "/auth/callback/other?code=x&state=%s"},
	} {
		own := w.traveller()
		state := own.begin("/auth/login/corp?next=/account")
		browser := own
		if c.browser != nil {
			browser = c.browser
		}
		path, _, _ := strings.Cut(fmt.Sprintf(c.path, state), "#")
		r := browser.get(path)
		if to := r.header.Get("Location"); r.status != http.StatusSeeOther || !strings.HasPrefix(to, "/login?error=unknown_authorization&provider=") || browser.cookies[cookie.Name] != "" {
			t.Errorf("%s: status %d, Location %q, cookies %v, want 303 to the login page and no session", name, r.status, to, browser.cookies)
		}
	}
}

func TestALiveSessionWinsOverACallbackThatIsOver(t *testing.T) {
	w := newWorld(t)
	b := w.traveller()
	path := "/auth/callback/corp?code=x&state=" + b.begin("/auth/login/corp?next=/account")
	b.wantAt(b.get(path), "/account")
	session := b.cookies[cookie.Name]
	b.wantAt(b.get(path), "/") // Back, or a replay
	if r := b.get("/account"); r.status != http.StatusOK {
		t.Errorf("after a replay: status %d, want 200", r.status)
	}
	thief := w.traveller()
	thief.cookies[cookie.Flow] = b.cookies[cookie.Flow]
	if r := thief.get(path); thief.cookies[cookie.Name] != "" || !strings.HasPrefix(r.header.Get("Location"), "/login?") {
		t.Errorf("a replay with a stolen flow cookie: status %d, cookies %v, want no session", r.status, thief.cookies)
	}
	if session == "" {
		t.Error("no session")
	}
}

func TestOfTwoCallbacksAtOnceOneBeginsASession(t *testing.T) {
	w := newWorld(t)
	b := w.traveller()
	path := "/auth/callback/corp?code=x&state=" + b.begin("/auth/login/corp?next=/account")
	var wg sync.WaitGroup
	replies := make([]reply, 8)
	for i := range replies {
		wg.Go(func() { replies[i] = w.get(path, "Cookie", cookie.Flow+"="+b.cookies[cookie.Flow]) })
	}
	wg.Wait()
	began := 0
	for _, r := range replies {
		if _, ok := r.setCookie(t); ok {
			began++
		}
		if r.status != http.StatusSeeOther {
			t.Errorf("status %d, want 303", r.status)
		}
	}
	if began != 1 {
		t.Errorf("%d sessions began, want 1", began)
	}
}

func TestNextLeadsNowhereElse(t *testing.T) {
	w := newWorld(t)
	for _, next := range []string{
		"https://evil.test/", "//evil.test", "/\\evil.test", "\\\\evil.test", "/%5cevil.test", "/%2f/evil.test", "/x/..//evil.test", "javascript:alert(1)",
		"/a\r\nSet-Cookie: a=b", "/a\tb", " /a", "/auth/logout", "/auth/login/corp", "/auth/callback/corp", "/auth/initiate?iss=x", "/" + strings.Repeat("a", 2000),
		"http://" + w.url, w.url + "@evil.test/", w.url + ".evil.test/",
	} {
		for _, path := range []string{
			"/auth/login/corp?next=" + url.QueryEscape(next),
			"/auth/initiate?iss=https://corp.test&target_link_uri=" + url.QueryEscape(next),
			"/auth/initiate?iss=https://corp.test&target_link_uri=" + url.QueryEscape("https://"+strings.TrimPrefix(w.url, "http://")+next),
		} {
			b := w.traveller()
			state := b.begin(path)
			if got := text(w.auth.last.Next); got != "" {
				t.Errorf("%s: next %q, want none", path, got)
			}
			// Not even if the auth service returns it.
			w.auth.set(func(a *auth) { f := a.flows[state]; f.Next = &next; a.flows[state] = f })
			b.wantAt(b.get("/auth/callback/corp?code=x&state="+state), "/")
		}
	}
}

func TestAPlaceThatIsNoWebPageElsewhereIsNotGoneTo(t *testing.T) {
	w := newWorld(t)
	for _, address := range []string{
		"javascript:alert(1)", "/account", "//corp.test/", "http://corp.test/", "ftp://corp.test/", "https:corp.test", "https://", "https:///x", "https://user@corp.test/",
		"https://corp.test/\r\nSet-Cookie: a=b", "https://corp.test/\nX: y", "https://corp.test/a b", "https://corp.test\\@evil.test/", "https://corp.test/\x00", "",
	} {
		w.auth.set(func(a *auth) { a.idp, a.leave = address, address })
		if address != "" { // the fake has a default
			b := w.traveller()
			r := b.get("/auth/login/corp")
			if r.status != http.StatusInternalServerError || r.header.Get("Location") != "" || len(b.cookies) != 0 {
				t.Errorf("%q: status %d, fields %v, want 500", address, r.status, r.header)
			}
		}
		r := w.send("POST", "/auth/logout", "", "Cookie", w.login(), "Sec-Fetch-Site", "same-origin", "Content-Type", form)
		if r.status != http.StatusSeeOther || r.header.Get("Location") != "/login?signed_out=1" || r.header.Get("Refresh") != "" {
			t.Errorf("logout with %q: status %d, fields %v, want 303 to the login page", address, r.status, r.header)
		}
	}
}

func TestAPathThatNamesNoProviderIsNothing(t *testing.T) {
	w := newWorld(t)
	b := w.traveller()
	b.begin("/auth/login/corp")
	before := w.auth.count()
	for _, id := range []string{
		"", "%2e%2e", "..", "../callback/corp", "a/b", "a%2fb", "corp/", "corp%2f", "corp%00", "corp%0d%0aX:%20y", "CORP", "corp;x=1", "corp%3fx", "corp%20", "c%C3%B6rp", "%63%6frp%2e", strings.Repeat("a", 65),
	} {
		for _, path := range []string{"/auth/login/" + id, "/auth/callback/" + id + "?code=x&state=y"} {
			r := b.get(path)
			if r.status != http.StatusNotFound && r.status != http.StatusBadRequest || r.header.Get("Location") != "" {
				t.Errorf("%s: status %d, Location %q, want 404 or 400", path, r.status, r.header.Get("Location"))
			}
		}
	}
	if w.auth.count() != before {
		t.Errorf("%d calls of the auth service, want none", w.auth.count()-before)
	}
	if r := b.get("/auth/login/other"); r.status != http.StatusNotFound {
		t.Errorf("a provider that is not configured: status %d, want 404", r.status)
	}
}

func TestAnEndlessCallbackIsRefused(t *testing.T) {
	w := newWorld(t)
	b := w.traveller()
	b.begin("/auth/login/corp")
	before := w.auth.count()
	for _, length := range []int{16<<10 + 1, 31 << 10, 1 << 20} {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(w.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		go func() {
			_, _ = fmt.Fprintf(conn, "GET /auth/callback/corp?code=%s HTTP/1.1\r\nHost: a\r\nCookie: %s=%s\r\n\r\n", strings.Repeat("x", length), cookie.Flow, b.cookies[cookie.Flow])
		}()
		line, _ := bufio.NewReader(conn).ReadString('\n')
		if !strings.HasPrefix(line, "HTTP/1.1 414") && !strings.HasPrefix(line, "HTTP/1.1 431") {
			t.Errorf("%d bytes: %q, want 414 or 431", length, line)
		}
		_ = conn.Close()
	}
	if w.auth.count() != before {
		t.Error("the auth service was asked")
	}
}

func TestARefusedSignInLeadsToTheLoginPageAndEndsNothing(t *testing.T) {
	w := newWorld(t)
	b := w.traveller()
	b.signIn("")
	session := b.cookies[cookie.Name]
	for _, code := range []api.RefusalCode{api.RefusalDenied, api.RefusalUnavailable, api.RefusalFailed, api.RefusalNotAllowed, api.RefusalEmailHasPassword, api.RefusalStepUpFailed} {
		state := b.begin("/auth/login/corp?next=/account")
		b.wantAt(b.get("/auth/callback/corp?state="+state+"&error="+string(code)), "/login?error="+string(code)+"&next=%2Faccount&provider=corp")
	}
	b.wantAt(b.get("/auth/login/down?next=/account"), "/login?error=provider_unavailable&next=%2Faccount&provider=down")
	b.wantAt(b.get("/auth/login/wrong"), "/login?error=provider_failed&provider=wrong")
	if r := w.get("/auth/login/down", "Sec-Fetch-Mode", "cors"); r.status != http.StatusServiceUnavailable || !strings.Contains(r.body, `"provider_unavailable"`) {
		t.Errorf("a program: status %d, body %s, want 503", r.status, r.body)
	}
	state := b.begin("/auth/login/corp")
	w.auth.set(func(a *auth) { a.fails = "/v1/authorizations/complete" })
	if r := b.get("/auth/callback/corp?code=x&state=" + state); r.status != http.StatusServiceUnavailable {
		t.Errorf("the auth service is down: status %d, want 503", r.status)
	}
	if r := b.get("/account"); r.status != http.StatusOK || session == "" {
		t.Errorf("the session that was there before: status %d, want 200", r.status)
	}
	w.auth.set(func(a *auth) { a.fails = "" }) // the sign-in was not lost
	b.wantAt(b.get("/auth/callback/corp?code=x&state="+state), "/")
}

func TestAThirdPartyInitiatesALogin(t *testing.T) {
	w := newWorld(t)
	b := w.traveller()
	origin := "https://" + strings.TrimPrefix(w.url, "http://")
	b.begin("/auth/login/corp")
	flow := b.cookies[cookie.Flow]
	before := w.auth.count()
	values := url.Values{"iss": {"https://corp.test"}, "login_hint": {"fred"}, "target_link_uri": {origin + "/account?a=b"}, "next": {"/x"}}
	// A browser sends no cookies with it.
	r := w.send("POST", "/auth/initiate", values.Encode(), "Content-Type", form, "Origin", "https://corp.test", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate")
	to := r.header.Get("Location")
	if r.status != http.StatusSeeOther || !strings.HasPrefix(to, "/auth/initiate?") || len(r.header.Values("Set-Cookie")) != 0 || w.auth.count() != before {
		t.Fatalf("status %d, fields %v, want 303 to the same address and no effect", r.status, r.header)
	}
	b.begin(to)
	if b.cookies[cookie.Flow] != flow {
		t.Error("the flow cookie is replaced, want the one of the sign-in that is under way")
	}
	if began := w.auth.last; text(began.Issuer) != "https://corp.test" || text(began.LoginHint) != "fred" || text(began.Next) != "/account?a=b" || began.Provider != nil {
		t.Errorf("began with %+v, want what the third party said", began)
	}
	for name, c := range map[string]struct {
		query  string
		status int
	}{
		"no issuer":      {"login_hint=x", 400},
		"unknown issuer": {"iss=https://evil.test", 404},
		"long hint":      {"iss=https://corp.test&login_hint=" + strings.Repeat("x", 321), 400},
		"long issuer":    {"iss=" + strings.Repeat("x", 501), 400},
	} {
		if r := b.get("/auth/initiate?" + c.query); r.status != c.status {
			t.Errorf("%s: status %d, want %d", name, r.status, c.status)
		}
	}
	if r := w.send("POST", "/auth/initiate", "iss="+strings.Repeat("x", 5000), "Content-Type", form); r.status != http.StatusBadRequest {
		t.Errorf("a long form: status %d, want 400", r.status)
	}
}

// The only address that takes a write from another site is /auth/initiate.
func TestNoOtherWriteFromElsewhereIsAllowed(t *testing.T) {
	w := newWorld(t)
	b := w.traveller()
	b.signIn("")
	before := w.auth.count()
	for _, path := range []string{"/auth/login/corp", "/auth/callback/corp", "/auth/initiate/", "/auth/initiate/x", "/auth//initiate", "/auth/logout", "/initiate"} {
		r := b.send("POST", path, "link=true&iss=https://corp.test", "Content-Type", form, "Origin", "https://corp.test", "Sec-Fetch-Site", "cross-site")
		if r.status != http.StatusForbidden && r.status != http.StatusBadRequest {
			t.Errorf("%s: status %d, want 403", path, r.status)
		}
	}
	r := w.get("/auth/initiate?iss=https://corp.test", "Origin", "https://corp.test", "Sec-Fetch-Site", "cross-site",
		"Connection", "Upgrade", "Upgrade", "websocket", "Sec-Websocket-Key", "x", "Sec-Websocket-Version", "13", "Cookie", cookie.Name+"="+b.cookies[cookie.Name])
	if r.status != http.StatusForbidden || w.auth.count() != before {
		t.Errorf("WebSocket: status %d, want 403", r.status)
	}
}

func TestARouteThatAsksForMoreSendsAUserOfAProviderBackThere(t *testing.T) {
	w := newWorld(t)
	b := w.traveller()
	b.signIn("bronze")
	session := b.cookies[cookie.Name]
	to := b.get("/safe/x?y")
	b.wantAt(to, "/auth/login/corp?next=%2Fsafe%2Fx%3Fy")
	if r := w.get("/safe", "Cookie", cookie.Name+"="+b.cookies[cookie.Name]); r.status != http.StatusUnauthorized ||
		r.header.Get("WWW-Authenticate") != `Bearer error="insufficient_user_authentication", error_description="A different authentication level is required", max_age="600", acr_values="gold silver"` {
		t.Errorf("a program: status %d, challenge %s, want 401 and both conditions (RFC 9470)", r.status, r.header.Get("WWW-Authenticate"))
	}
	// What the browser adds to the address counts for nothing.
	state := b.begin(to.header.Get("Location") + "&max_age=999999&acr_values=bronze&acr=bronze&refresh_token=x")
	began := w.auth.last
	if text(began.AcrValues) != "gold silver" || began.MaxAge == nil || *began.MaxAge != 600 || text(began.RefreshToken) != b.cookies[cookie.Name] {
		t.Errorf("began with %+v, want what the route asks for, and the session", began)
	}
	b.wantAt(b.get("/auth/callback/corp?code=x&acr=silver&state="+state), "/safe/x?y")
	if r := b.get("/safe/x?y"); r.status != http.StatusOK {
		t.Errorf("after the step-up: status %d, want 200", r.status)
	}
	if r := w.get("/account", "Cookie", cookie.Name+"="+session); r.status != http.StatusUnauthorized {
		t.Errorf("the session before: status %d, want 401", r.status)
	}
	// Without next, the browser gets a session that the route still refuses.
	b.signIn("bronze")
	b.wantAt(b.get("/safe/x?y"), "/auth/login/corp?next=%2Fsafe%2Fx%3Fy")
	// To use another account is no step-up.
	b.begin("/auth/login/corp?next=/safe&prompt=select_account")
	if began := w.auth.last; began.RefreshToken != nil || text(began.AcrValues) != "gold silver" {
		t.Errorf("began with %+v, want any account that the route takes", began)
	}
	// Too old alone: the route /vault has no acr.
	w.auth.set(func(a *auth) { a.age = time.Hour })
	b.signIn("gold")
	b.wantAt(b.get("/vault"), "/auth/login/corp?next=%2Fvault")
	b.begin("/auth/login/corp?next=/vault")
	if began := w.auth.last; began.MaxAge == nil || *began.MaxAge != 900 || began.AcrValues != nil || began.RefreshToken == nil {
		t.Errorf("began with %+v, want max_age 900 and the session", began)
	}
}

func TestAFormForARouteThatAsksForMoreIsKept(t *testing.T) {
	w := newWorld(t)
	b := w.traveller()
	b.signIn("bronze")
	r := b.send("POST", "/safe/note", "text=ribbit", "Content-Type", form, "Sec-Fetch-Site", "same-origin")
	b.wantAt(r, "/login?error=form_kept&next=%2Fauth%2Fform")
	state := b.begin("/auth/login/corp?next=/auth/form")
	if began := w.auth.last; text(began.AcrValues) != "gold silver" || began.RefreshToken == nil || text(began.Next) != "/auth/form" {
		t.Errorf("began with %+v, want what the form's route asks for", began)
	}
	b.wantAt(b.get("/auth/callback/corp?code=x&acr=gold&state="+state), "/auth/form")
	if r := b.get("/auth/form"); r.status != http.StatusOK || !strings.Contains(r.body, "/safe/note") {
		t.Errorf("the kept form: status %d: %s", r.status, r.body)
	}
}

func TestAPasswordNeverSatisfiesAnACR(t *testing.T) {
	w := newWorld(t)
	c := w.login()
	for name, pairs := range map[string][]string{"page": {"Sec-Fetch-Mode", "navigate"}, "fetch": {"Sec-Fetch-Mode", "cors"}} {
		r := w.get("/safe", append(pairs, "Cookie", c)...)
		if r.status != http.StatusUnauthorized || !strings.Contains(r.body, "stronger sign-in than a password") || !strings.Contains(r.header.Get("WWW-Authenticate"), `acr_values="gold silver"`) {
			t.Errorf("%s: status %d, challenge %s, body %s, want 401 in words", name, r.status, r.header.Get("WWW-Authenticate"), r.body)
		}
	}
	r := w.send("POST", "/safe", "a=b", "Cookie", c, "Content-Type", form, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Site", "same-origin")
	if r.status != http.StatusUnauthorized || len(w.auth.forms) != 0 {
		t.Errorf("form: status %d, %d kept, want 401 and none", r.status, len(w.auth.forms))
	}
}

func TestLogoutGoesOnAtTheProvider(t *testing.T) {
	const away = "https://corp.test/end?id_token_hint=a.b.c&state=%22x"
	w := newWorld(t)
	for name, c := range map[string]struct {
		body, kind string
		local      bool
	}{
		"form": {"", form, false}, "local form": {"local=true", form, true},
		"JSON": {"{}", jsonType, false}, "local JSON": {`{"local":true}`, jsonType, true},
	} {
		b := w.traveller()
		b.signIn("")
		session := b.cookies[cookie.Name]
		w.auth.set(func(a *auth) { a.leave, a.returns = "", "?" })
		if !c.local {
			w.auth.set(func(a *auth) { a.leave = away })
		}
		r := b.send("POST", "/auth/logout", c.body, "Content-Type", c.kind, "Sec-Fetch-Site", "same-origin")
		returns := "https://" + strings.TrimPrefix(w.url, "http://") + "/login?signed_out=1"
		if c.local {
			returns = ""
		}
		if w.auth.returns != returns {
			t.Errorf("%s: the provider returns to %q, want %q", name, w.auth.returns, returns)
		}
		switch {
		case c.kind == form && c.local:
			b.wantAt(r, "/login?signed_out=1")
		case c.kind == form:
			if r.status != http.StatusOK || r.header.Get("Refresh") != "0; url="+away || !strings.Contains(r.body, `href="https://corp.test/end?id_token_hint=a.b.c&amp;state=%22x"`) || r.header.Get("Location") != "" {
				t.Errorf("%s: status %d, Refresh %q, want a page that goes on: %s", name, r.status, r.header.Get("Refresh"), r.body)
			}
		case c.local:
			if r.status != http.StatusNoContent {
				t.Errorf("%s: status %d, want 204", name, r.status)
			}
		default:
			var got map[string]string
			if err := json.Unmarshal([]byte(r.body), &got); err != nil || r.status != http.StatusOK || got["logout_url"] != away {
				t.Errorf("%s: status %d, body %s, want 200 and the logout URL", name, r.status, r.body)
			}
		}
		if r := w.get("/account", "Cookie", cookie.Name+"="+session); r.status != http.StatusUnauthorized || b.cookies[cookie.Name] != "" {
			t.Errorf("%s: status %d, want 401 and no cookie", name, r.status)
		}
	}
}

func TestAnIdentityIsConnectedByAFormOfOurOwn(t *testing.T) {
	w := newWorld(t)
	b := w.traveller()
	if r := b.send("POST", "/auth/login/corp", "link=true", "Content-Type", form, "Sec-Fetch-Site", "same-origin"); r.status != http.StatusUnauthorized {
		t.Errorf("a stranger: status %d, want 401", r.status)
	}
	name, value, _ := strings.Cut(w.login(), "=")
	b.cookies[name] = value
	if r := b.send("POST", "/auth/login/corp", "", "Content-Type", form, "Sec-Fetch-Site", "same-origin"); r.status != http.StatusBadRequest {
		t.Errorf("without link: status %d, want 400", r.status)
	}
	r := b.send("POST", "/auth/login/corp", "link=true&next=/auth/account", "Content-Type", form, "Sec-Fetch-Site", "same-origin")
	if r.status != http.StatusOK || !strings.HasPrefix(r.header.Get("Refresh"), "0; url=https://corp.test/authorize?state=") || b.cookies[cookie.Flow] == "" {
		t.Errorf("status %d, fields %v, want a page that goes on at the provider", r.status, r.header)
	}
	if began := w.auth.last; began.Link == nil || !*began.Link || text(began.RefreshToken) != b.cookies[cookie.Name] {
		t.Errorf("began with %+v, want a link to the session's account", began)
	}
	b.wantAt(b.send("POST", "/auth/login/down", "link=true", "Content-Type", form, "Sec-Fetch-Site", "same-origin"), "/login?error=provider_unavailable&provider=down")
}

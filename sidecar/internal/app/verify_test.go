package app_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"lilypad.example/sidecar/internal/app"
	"lilypad.example/sidecar/internal/cookie"
)

func forwardAuth(c *app.Config) {
	c.VerifyListen, c.TrustedProxies = "127.0.0.1:0", []string{"127.0.0.0/8"}
}

// ask asks as Traefik does about a request of its client.
func (w *world) ask(method, target string, pairs ...string) reply {
	w.t.Helper()
	return w.sendTo(w.verify, http.MethodGet, "/auth/verify", "", append([]string{
		"X-Forwarded-Method", method, "X-Forwarded-Uri", target,
		"X-Forwarded-Host", "frogs.test", "X-Forwarded-Proto", "https", "X-Forwarded-For", "203.0.113.7",
	}, pairs...)...)
}

// askBehind asks as Envoy does: by the method and behind the path.
func (w *world) askBehind(method, target string, pairs ...string) reply {
	w.t.Helper()
	return w.sendTo(w.verify, method, "/auth/verify"+target, "", append([]string{"X-Forwarded-Proto", "https", "X-Forwarded-Host", "frogs.test"}, pairs...)...)
}

func TestW17_AProxyAsksWhetherARequestMayPass(t *testing.T) {
	w := newWorld(t, forwardAuth)
	c := w.login()
	w.auth.set(func(a *auth) { a.age = time.Hour })
	stale := w.login()
	page, own, foreign := []string{"Sec-Fetch-Mode", "navigate"}, []string{"Origin", "https://frogs.test"}, []string{"Origin", "https://evil.test"}
	and := func(pairs []string, more ...string) []string { return append(append([]string{}, pairs...), more...) }
	for name, tc := range map[string]struct {
		method, target string
		pairs          []string
		status         int
		location       string
		token          bool
	}{
		"stranger":                      {"GET", "/", nil, 200, "", false},
		"stranger, public":              {"GET", "/public", []string{"Authorization", "Bearer forged"}, 200, "", false},
		"signed in, public":             {"GET", "/public", []string{"Cookie", c}, 200, "", false},
		"signed in":                     {"GET", "/account?x", []string{"Cookie", c}, 200, "", true},
		"signed in, HEAD":               {"HEAD", "/account", []string{"Cookie", c}, 200, "", true},
		"stranger's page":               {"GET", "/account?x=y", page, 303, "https://frogs.test/login?next=%2Faccount%3Fx%3Dy", false},
		"stranger's page, HEAD":         {"HEAD", "/account", page, 303, "https://frogs.test/login?next=%2Faccount", false},
		"stranger's fetch":              {"GET", "/account", nil, 401, "", false},
		"stranger's HEAD":               {"HEAD", "/account", nil, 401, "", false},
		"stranger's form":               {"POST", "/account", and(page, own...), 401, "", false},
		"without the role":              {"GET", "/admin", []string{"Cookie", c}, 403, "", false},
		"a page for the denied":         {"GET", "/club", and(page, "Cookie", c), 303, "https://frogs.test/join?error=forbidden&next=%2Fclub", false},
		"stale":                         {"GET", "/vault", and(page, "Cookie", stale), 303, "https://frogs.test/login?error=insufficient_user_authentication&next=%2Fvault", false},
		"T12: a write of our own":       {"POST", "/account", and(own, "Cookie", c), 200, "", true},
		"T12: a write from elsewhere":   {"POST", "/account", and(foreign, "Cookie", c), 403, "", false},
		"T12: DELETE, cross-site":       {"DELETE", "/public", []string{"Sec-Fetch-Site", "cross-site"}, 403, "", false},
		"T41: WebSocket of our own":     {"GET", "/account", and(own, "Cookie", c, "Sec-Websocket-Key", "x"), 200, "", true},
		"T41: WebSocket from elsewhere": {"GET", "/account", and(foreign, "Cookie", c, "Sec-Websocket-Key", "x"), 403, "", false},
		"no route of its own":           {"GET", "/auth/session", []string{"Cookie", c}, 404, "", false},
	} {
		for way, ask := range map[string]func(string, string, ...string) reply{"named": w.ask, "behind": w.askBehind} {
			r := ask(tc.method, tc.target, tc.pairs...)
			if r.status != tc.status || r.header.Get("Location") != tc.location {
				t.Errorf("%s, %s: %d to %q", name, way, r.status, r.header.Get("Location"))
			}
			if got := r.header.Get("Authorization"); (got != "") != tc.token || tc.token && !strings.HasPrefix(got, "Bearer access-") {
				t.Errorf("%s, %s: authorization %q", name, way, got)
			}
			if r.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s, %s: Cache-Control %q", name, way, r.header.Get("Cache-Control"))
			}
		}
	}
	if w.hits() != 0 {
		t.Error("a question reached the application")
	}
}

// S12: the proxy replaces Cookie by what the answer has.
func TestT29_TheProxyIsToldTheOtherCookiesOnly(t *testing.T) {
	w := newWorld(t, forwardAuth)
	c := w.login()
	for sent, want := range map[string]string{c: "", c + "; theme=dark": "theme=dark", "a=b; " + c + ";c=d": "a=b;c=d"} {
		if r := w.ask("GET", "/", "Cookie", sent); r.status != http.StatusOK || r.header.Get("Cookie") != want || r.header.Get("Authorization") == "" {
			t.Errorf("%d, %q", r.status, r.header.Get("Cookie"))
		}
	}
}

func TestW4_ARotatedCookieIsInTheAnswerToTheProxy(t *testing.T) {
	w := newWorld(t, forwardAuth)
	w.auth.set(func(a *auth) { a.life = 1 })
	c := w.login()
	eventually(t, "rotation", func() bool {
		value, set := w.ask("GET", "/account", "Cookie", c).setCookie(t)
		return set && value != "" && cookie.Name+"="+value != c
	})
}

func TestR3_AQuestionHasOneReadingOrNone(t *testing.T) {
	w := newWorld(t, forwardAuth)
	named := func(method string, uris ...string) []string {
		pairs := []string{"X-Forwarded-Method", method}
		for _, uri := range uris {
			pairs = append(pairs, "X-Forwarded-Uri", uri)
		}
		return pairs
	}
	for name, tc := range map[string]struct {
		method, path string
		pairs        []string
		status       int
	}{
		"nothing named":    {"GET", "/auth/verify", nil, 400},
		"no method":        {"GET", "/auth/verify", []string{"X-Forwarded-Uri", "/"}, 400},
		"two targets":      {"GET", "/auth/verify", named("GET", "/public", "/account"), 400},
		"dots":             {"GET", "/auth/verify", named("GET", "/public/../account"), 400},
		"encoded slash":    {"GET", "/auth/verify", named("GET", "/public%2f..%2faccount"), 400},
		"two slashes":      {"GET", "/auth/verify", named("GET", "//public"), 400},
		"no path":          {"GET", "/auth/verify", named("GET", "public"), 400},
		"absolute":         {"GET", "/auth/verify", named("GET", "https://frogs.test/public"), 400},
		"no method's form": {"GET", "/auth/verify", named("GE T", "/public"), 400},
		"TRACE":            {"GET", "/auth/verify", named("TRACE", "/public"), 400},
		"asked with POST":  {"POST", "/auth/verify", named("GET", "/public"), 400},
		"another address":  {"GET", "/public", named("GET", "/public"), 400},
		"close to it":      {"GET", "/auth/verifying", named("GET", "/public"), 400},
		"case":             {"GET", "/auth/verify", named("GET", "/Public"), 200}, // optional: T30
		"good":             {"GET", "/auth/verify", named("GET", "/public?a/../b"), 200},
	} {
		if r := w.sendTo(w.verify, tc.method, tc.path, "", tc.pairs...); r.status != tc.status {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
}

func TestR1_OnlyATrustedProxyMayAskAndOnlyAtItsPort(t *testing.T) {
	w := newWorld(t, forwardAuth)
	c := w.login()
	// A page of the application could ask this way, through the proxy.
	if r := w.get("/auth/verify", "Cookie", c, "X-Forwarded-Method", "GET", "X-Forwarded-Uri", "/account"); r.status != http.StatusNotFound || r.header.Get("Authorization") != "" {
		t.Errorf("at the browser's door: %d %v", r.status, r.header)
	}
	w = newWorld(t, func(c *app.Config) { c.VerifyListen, c.TrustedProxies = "127.0.0.1:0", []string{"192.0.2.0/24"} })
	if r := w.ask("GET", "/account", "Cookie", w.login()); r.status != http.StatusForbidden || r.header.Get("Authorization") != "" {
		t.Errorf("another peer: %d %v", r.status, r.header)
	}
	alone := app.Config{VerifyListen: ":8082"}
	if err := alone.Check(); err == nil || !strings.Contains(err.Error(), "LILYPAD_VERIFY_LISTEN needs LILYPAD_TRUSTED_PROXIES") {
		t.Errorf("%v", err)
	}
}

func TestR10_AnOutageIsAnAnswerToTheClient(t *testing.T) {
	w := newWorld(t, forwardAuth)
	w.auth.set(func(a *auth) { a.life = 1 })
	c := w.login()
	w.auth.set(func(a *auth) {
		a.instead = func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusInternalServerError) }
	})
	eventually(t, "503", func() bool {
		r := w.ask("GET", "/account", "Cookie", c)
		_, set := r.setCookie(t)
		return r.status == http.StatusServiceUnavailable && r.header.Get("Retry-After") != "" && !set
	})
}

package app_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"lilypad.example/sidecar/internal/app"
	"lilypad.example/sidecar/internal/cookie"
)

func forwardAuth(c *app.Config) {
	c.VerifyListen, c.ExtAuthzListen, c.TrustedProxies = "127.0.0.1:0", "127.0.0.1:0", []string{"127.0.0.0/8"}
}

// ask sends a verify request as Traefik does for a request of its client.
func (w *world) ask(method, target string, pairs ...string) reply {
	w.t.Helper()
	return w.sendTo(w.verify, http.MethodGet, "/auth/verify", "", append([]string{
		"X-Forwarded-Method", method, "X-Forwarded-Uri", target,
		"X-Forwarded-Host", "frogs.test", "X-Forwarded-Proto", "https", "X-Forwarded-For", "203.0.113.7",
	}, pairs...)...)
}

// askBehind sends a verify request as Envoy does: with the client's method, and the path appended.
func (w *world) askBehind(method, target string, pairs ...string) reply {
	w.t.Helper()
	return w.sendTo(w.verify, method, "/auth/verify"+target, "", append([]string{"X-Forwarded-Proto", "https", "X-Forwarded-Host", "frogs.test"}, pairs...)...)
}

func TestAProxyAsksWhetherARequestMayPass(t *testing.T) {
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
		"stranger":                 {"GET", "/", nil, 200, "", false},
		"stranger, public":         {"GET", "/public", []string{"Authorization", "Bearer forged"}, 200, "", false},
		"signed in, public":        {"GET", "/public", []string{"Cookie", c}, 200, "", false},
		"signed in":                {"GET", "/account?x", []string{"Cookie", c}, 200, "", true},
		"signed in, HEAD":          {"HEAD", "/account", []string{"Cookie", c}, 200, "", true},
		"stranger's page":          {"GET", "/account?x=y", page, 303, "https://frogs.test/login?next=%2Faccount%3Fx%3Dy", false},
		"stranger's page, HEAD":    {"HEAD", "/account", page, 303, "https://frogs.test/login?next=%2Faccount", false},
		"stranger's fetch":         {"GET", "/account", nil, 401, "", false},
		"stranger's HEAD":          {"HEAD", "/account", nil, 401, "", false},
		"stranger's form":          {"POST", "/account", and(page, own...), 401, "", false},
		"without the role":         {"GET", "/admin", []string{"Cookie", c}, 403, "", false},
		"a page for the denied":    {"GET", "/club", and(page, "Cookie", c), 303, "https://frogs.test/join?error=forbidden&next=%2Fclub", false},
		"stale":                    {"GET", "/vault", and(page, "Cookie", stale), 303, "https://frogs.test/login?error=insufficient_user_authentication&next=%2Fvault", false},
		"a write of our own":       {"POST", "/account", and(own, "Cookie", c), 200, "", true},
		"a write from elsewhere":   {"POST", "/account", and(foreign, "Cookie", c), 403, "", false},
		"DELETE, cross-site":       {"DELETE", "/public", []string{"Sec-Fetch-Site", "cross-site"}, 403, "", false},
		"WebSocket of our own":     {"GET", "/account", and(own, "Cookie", c, "Sec-Websocket-Key", "x"), 200, "", true},
		"WebSocket from elsewhere": {"GET", "/account", and(foreign, "Cookie", c, "Sec-Websocket-Key", "x"), 403, "", false},
		"no route of its own":      {"GET", "/auth/session", []string{"Cookie", c}, 404, "", false},
	} {
		for way, ask := range map[string]func(string, string, ...string) reply{"named": w.ask, "behind": w.askBehind, "gRPC": w.askEnvoy} {
			r := ask(tc.method, tc.target, tc.pairs...)
			if r.status != tc.status || r.header.Get("Location") != tc.location {
				t.Errorf("%s, %s: status %d to %q, want %d to %q", name, way, r.status, r.header.Get("Location"), tc.status, tc.location)
			}
			if got := r.header.Get("Authorization"); (got != "") != tc.token || tc.token && !strings.HasPrefix(got, "Bearer access-") {
				t.Errorf("%s, %s: Authorization %q, want an access token: %t", name, way, got, tc.token)
			}
			if (way != "gRPC" || r.status != 200) && r.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s, %s: Cache-Control %q, want no-store", name, way, r.header.Get("Cache-Control"))
			}
		}
	}
	if w.hits() != 0 {
		t.Error("a verify request reached the application")
	}
}

// The proxy replaces Cookie with the value in the response.
func TestTheProxyIsToldTheOtherCookiesOnly(t *testing.T) {
	w := newWorld(t, forwardAuth)
	c := w.login()
	for sent, want := range map[string]string{c: "", c + "; theme=dark": "theme=dark", "a=b; " + c + ";c=d": "a=b;c=d"} {
		for way, ask := range map[string]func(string, string, ...string) reply{"named": w.ask, "gRPC": w.askEnvoy} {
			if r := ask("GET", "/", "Cookie", sent); r.status != http.StatusOK || r.header.Get("Cookie") != want || r.header.Get("Authorization") == "" {
				t.Errorf("%s: status %d, Cookie %q, want 200 and %q", way, r.status, r.header.Get("Cookie"), want)
			}
		}
	}
}

func TestARotatedCookieIsInTheAnswerToTheProxy(t *testing.T) {
	w := newWorld(t, forwardAuth)
	w.auth.set(func(a *auth) { a.life = 1 })
	for _, ask := range []func(string, string, ...string) reply{w.ask, w.askEnvoy} {
		c := w.login()
		eventually(t, "rotation", func() bool {
			value, set := ask("GET", "/account", "Cookie", c).setCookie(t)
			return set && value != "" && cookie.Name+"="+value != c
		})
	}
}

// Exactly two forms of a verify request get 200. All others are refused, whether a proxy is
// misconfigured or its client manipulates it.
func TestAQuestionThatIsNotUnderstoodIsRefused(t *testing.T) {
	w := newWorld(t, forwardAuth)
	named := func(method string, uris ...string) []string {
		pairs := []string{"X-Forwarded-Method", method}
		for _, uri := range uris {
			pairs = append(pairs, "X-Forwarded-Uri", uri)
		}
		return pairs
	}
	and := func(pairs []string, more ...string) []string { return append(append([]string{}, pairs...), more...) }
	for name, tc := range map[string]struct {
		method, path string
		pairs        []string
		status       int
	}{
		// Target in header fields.
		"named":                          {"GET", "/auth/verify", named("GET", "/public?a/../b"), 200},
		"named, asked with HEAD":         {"HEAD", "/auth/verify", named("GET", "/public"), 200},
		"named, with the client's query": {"GET", "/auth/verify?a=b", named("GET", "/public?a=b"), 200}, // Caddy keeps it
		"named, a registered method":     {"GET", "/auth/verify", named("PROPFIND", "/public"), 200},
		"named, protected":               {"GET", "/auth/verify", named("GET", "/account"), 401},
		"named, protected, HEAD":         {"HEAD", "/auth/verify", named("GET", "/account"), 401},
		"named, protected, query":        {"GET", "/auth/verify?/public", named("GET", "/account?/public"), 401},
		"nothing named":                  {"GET", "/auth/verify", nil, 400},
		"no method":                      {"GET", "/auth/verify", []string{"X-Forwarded-Uri", "/"}, 400},
		"no target":                      {"GET", "/auth/verify", named("GET"), 400},
		"empty target":                   {"GET", "/auth/verify", named("GET", ""), 400},
		"empty method":                   {"GET", "/auth/verify", named("", "/public"), 400},
		"two targets":                    {"GET", "/auth/verify", named("GET", "/public", "/account"), 400},
		"one target twice":               {"GET", "/auth/verify", named("GET", "/public", "/public"), 400},
		"two methods":                    {"GET", "/auth/verify", and(named("GET", "/public"), "X-Forwarded-Method", "POST"), 400},
		"two hosts":                      {"GET", "/auth/verify", and(named("GET", "/public"), "X-Forwarded-Host", "frogs.test", "X-Forwarded-Host", "evil.test"), 400},
		"two schemes":                    {"GET", "/auth/verify", and(named("GET", "/public"), "X-Forwarded-Proto", "https", "X-Forwarded-Proto", "http"), 400},
		"a list of targets":              {"GET", "/auth/verify", named("GET", "/public, /account"), 400},
		"dots":                           {"GET", "/auth/verify", named("GET", "/public/../account"), 400},
		"encoded slash":                  {"GET", "/auth/verify", named("GET", "/public%2f..%2faccount"), 400},
		"encoded twice":                  {"GET", "/auth/verify", named("GET", "/public%252faccount"), 400},
		"broken encoding":                {"GET", "/auth/verify", named("GET", "/public%2"), 400},
		"two slashes":                    {"GET", "/auth/verify", named("GET", "//public"), 400},
		"backslash":                      {"GET", "/auth/verify", named("GET", "/public\\x"), 400},
		"fragment":                       {"GET", "/auth/verify", named("GET", "/public#x"), 400},
		"space":                          {"GET", "/auth/verify", named("GET", "/public x"), 400},
		"no UTF-8":                       {"GET", "/auth/verify", named("GET", "/public%c0%af"), 400},
		"relative":                       {"GET", "/auth/verify", named("GET", "public"), 400},
		"absolute":                       {"GET", "/auth/verify", named("GET", "https://frogs.test/public"), 400},
		"authority":                      {"GET", "/auth/verify", named("CONNECT", "frogs.test:443"), 400},
		"no method's form":               {"GET", "/auth/verify", named("GE T", "/public"), 400},
		"a list of methods":              {"GET", "/auth/verify", named("GET, POST", "/public"), 400},
		"small letters":                  {"GET", "/auth/verify", named("get", "/public"), 400},
		"unknown method":                 {"GET", "/auth/verify", named("BREW", "/public"), 400},
		"TRACE":                          {"GET", "/auth/verify", named("TRACE", "/public"), 400},
		"all of the server":              {"GET", "/auth/verify", named("OPTIONS", "*"), 404},
		"asked with POST":                {"POST", "/auth/verify", named("GET", "/public"), 400},
		"asked with OPTIONS":             {"OPTIONS", "/auth/verify", named("GET", "/public"), 400},

		// Other paths than /auth/verify, also ones that some servers treat as equal.
		"another address":       {"GET", "/public", named("GET", "/public"), 400},
		"the root":              {"GET", "/", named("GET", "/public"), 400},
		"close to it":           {"GET", "/auth/verifying", named("GET", "/public"), 400},
		"parameters":            {"GET", "/auth/verify;x", named("GET", "/public"), 400},
		"parameters and target": {"GET", "/auth/verify;x/public", nil, 400},
		"capitals":              {"GET", "/AUTH/verify", named("GET", "/public"), 400},
		"capitals and target":   {"GET", "/auth/Verify/public", nil, 400},
		"encoded letter":        {"GET", "/auth/verif%79", named("GET", "/public"), 400},
		"encoded, with target":  {"GET", "/auth/verif%79/public", nil, 400},
		"a dot behind":          {"GET", "/auth/verify.", named("GET", "/public"), 400},
		"a space behind":        {"GET", "/auth/verify%20", named("GET", "/public"), 400},
		"doubled slash":         {"GET", "//auth/verify", named("GET", "/public"), 400},
		"slash behind, doubled": {"GET", "/auth/verify//", nil, 400},
		"an encoded slash":      {"GET", "/auth/verify%2fpublic", nil, 400},

		// Target appended to the path.
		"behind":                        {"GET", "/auth/verify/public?x", nil, 200},
		"behind, the root":              {"GET", "/auth/verify/", nil, 200},
		"behind, protected":             {"GET", "/auth/verify/account", nil, 401},
		"behind, protected, respelled":  {"GET", "/auth/verify/ACCOUNT;x/", nil, 401},
		"behind, an unknown method":     {"BREW", "/auth/verify/public", nil, 400},
		"behind, dots":                  {"GET", "/auth/verify/public/../account", nil, 400},
		"behind, two slashes":           {"GET", "/auth/verify//account", nil, 400},
		"both, and the same":            {"GET", "/auth/verify/public?x", named("GET", "/public?x"), 200},
		"both, and the same, protected": {"GET", "/auth/verify/account", named("GET", "/account"), 401},
		"a slash behind our path":       {"GET", "/auth/verify/", named("GET", "/admin"), 400},
		"a slash and a query behind":    {"GET", "/auth/verify/?x", named("GET", "/?y"), 400},
		"another target":                {"GET", "/auth/verify/public", named("GET", "/account"), 400},
		"another spelling":              {"GET", "/auth/verify/public", named("GET", "/public/"), 400},
		"another method":                {"GET", "/auth/verify/public", named("POST", "/public"), 400},
		"the same and another":          {"GET", "/auth/verify/public", named("GET", "/public", "/account"), 400},
		"a target alone":                {"GET", "/auth/verify/", []string{"X-Forwarded-Uri", "/"}, 400},
		"an empty target alone":         {"GET", "/auth/verify/", []string{"X-Forwarded-Uri", ""}, 400},
		"a method alone":                {"GET", "/auth/verify/", []string{"X-Forwarded-Method", "GET"}, 400},
		"ingress-nginx":                 {"GET", "/auth/verify/", []string{"X-Original-Url", "https://frogs.test/admin", "X-Original-Method", "GET"}, 400},
		"nginx":                         {"GET", "/auth/verify/", []string{"X-Original-Uri", "/admin"}, 400},
	} {
		if r := w.sendTo(w.verify, tc.method, tc.path, "", tc.pairs...); r.status != tc.status {
			t.Errorf("%s: status %d, want %d: %s", name, r.status, tc.status, r.body)
		}
	}
}

// A body after the response to HEAD would be read as the start of the next response.
func TestAnAnswerToHEADHasNoBody(t *testing.T) {
	w := newWorld(t, forwardAuth)
	nc, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(w.verify, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	in := bufio.NewReader(nc)
	for _, client := range []string{"GET /account", "POST /account", "GET /nowhere;/.../", "DELETE /auth/session", "GET /a//b", "GET /public"} {
		method, target, _ := strings.Cut(client, " ")
		_, err := fmt.Fprintf(nc, "HEAD /auth/verify HTTP/1.1\r\nHost: a\r\nX-Forwarded-Method: %s\r\nX-Forwarded-Uri: %s\r\n\r\n", method, target)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(in, &http.Request{Method: http.MethodHead})
		if err != nil {
			t.Fatalf("%s: %v", client, err)
		}
		_ = res.Body.Close()
		if in.Buffered() > 0 {
			t.Fatalf("%s: %d bytes after the response, want none", client, in.Buffered())
		}
	}
}

func TestOnlyATrustedProxyMayAskAndOnlyAtItsPort(t *testing.T) {
	w := newWorld(t, forwardAuth)
	c := w.login()
	// A page of the application could send such a request through the proxy.
	if r := w.get("/auth/verify", "Cookie", c, "X-Forwarded-Method", "GET", "X-Forwarded-Uri", "/account"); r.status != http.StatusNotFound || r.header.Get("Authorization") != "" {
		t.Errorf("on the browser's port: status %d, want 404: %v", r.status, r.header)
	}
	w = newWorld(t, func(c *app.Config) { c.VerifyListen, c.TrustedProxies = "127.0.0.1:0", []string{"192.0.2.0/24"} })
	if r := w.ask("GET", "/account", "Cookie", w.login()); r.status != http.StatusForbidden || r.header.Get("Authorization") != "" {
		t.Errorf("another peer: status %d, want 403: %v", r.status, r.header)
	}
	alone := app.Config{VerifyListen: ":8082"}
	if err := alone.Check(); err == nil || !strings.Contains(err.Error(), "LILYPAD_VERIFY_LISTEN needs LILYPAD_TRUSTED_PROXIES") {
		t.Errorf("Check returns %v, want an error about LILYPAD_TRUSTED_PROXIES", err)
	}
}

func TestAnOutageIsAnAnswerToTheClient(t *testing.T) {
	w := newWorld(t, forwardAuth)
	w.auth.set(func(a *auth) { a.life = 1 })
	c := w.login()
	w.auth.set(func(a *auth) {
		a.instead = func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusInternalServerError) }
	})
	for _, ask := range []func(string, string, ...string) reply{w.ask, w.askEnvoy} {
		eventually(t, "503", func() bool {
			r := ask("GET", "/account", "Cookie", c)
			_, set := r.setCookie(t)
			return r.status == http.StatusServiceUnavailable && r.header.Get("Retry-After") != "" && !set
		})
	}
}

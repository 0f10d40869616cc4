//go:build traefik

package app_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// traefikConfig is the configuration in docs/forward-auth.md.
const traefikConfig = `
http:
  middlewares:
    lilypad:
      forwardAuth:
        address: VERIFY/auth/verify
        authResponseHeaders: [Authorization, Cookie]
        addAuthCookiesToResponse: [__Host-Http-lilypad, __Host-Http-lilypad-former, __Host-Http-lilypad-known]
  routers:
    auth: {rule: "PathPrefix(` + "`/auth/`" + `)", service: sidecar}
    app: {rule: "PathPrefix(` + "`/`" + `)", service: app, middlewares: [lilypad]}
  services:
    sidecar: {loadBalancer: {servers: [{url: "SIDECAR"}]}}
    app: {loadBalancer: {servers: [{url: "APP"}]}}
`

// traefik starts the program named by LILYPAD_TEST_TRAEFIK between a browser, the sidecar and an
// application that only Traefik reaches, and returns its URL.
func (w *world) traefik() string {
	w.t.Helper()
	application := httptest.NewServer(http.HandlerFunc(w.echo))
	w.t.Cleanup(application.Close)
	free, err := new(net.ListenConfig).Listen(w.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	address := free.Addr().String()
	file := filepath.Join(w.t.TempDir(), "dynamic.yaml")
	write(w.t, file, []byte(strings.NewReplacer("VERIFY", w.verify, "SIDECAR", w.url, "APP", application.URL).Replace(traefikConfig)))
	cmd := exec.CommandContext(w.t.Context(), os.Getenv("LILYPAD_TEST_TRAEFIK"), "--entryPoints.web.address="+address,
		"--providers.file.filename="+file, "--global.checkNewVersion=false", "--global.sendAnonymousUsage=false")
	cmd.Stderr = w.logs
	if err := free.Close(); err != nil {
		w.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		w.t.Fatalf("LILYPAD_TEST_TRAEFIK: %v", err)
	}
	w.t.Cleanup(func() { _ = cmd.Wait() }) // its context has ended by then
	return "http://" + address
}

func TestBehindARealTraefik(t *testing.T) {
	w := newWorld(t, forwardAuth)
	door := w.traefik()
	eventually(t, "route through Traefik", func() bool {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, door+"/public", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			return false
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	r := w.sendTo(door, "POST", "/auth/login", credentials(password), "Content-Type", jsonType)
	value, _ := r.setCookie(t)
	c := "__Host-Http-lilypad=" + value
	if r.status != http.StatusOK || value == "" {
		t.Fatalf("login: status %d, want 200: %s", r.status, r.body)
	}
	for name, tc := range map[string]struct {
		method, target string
		pairs          []string
		status         int
		location       string
		token          bool
	}{
		"stranger":             {"GET", "/", []string{"Authorization", "Bearer forged"}, 200, "", false},
		"stranger's page":      {"GET", "/account?x=y", []string{"Sec-Fetch-Mode", "navigate"}, 303, door + "/login?next=%2Faccount%3Fx%3Dy", false},
		"stranger's fetch":     {"GET", "/account", nil, 401, "", false},
		"signed in":            {"GET", "/account", []string{"Cookie", c + "; theme=dark"}, 200, "", true},
		"without the role":     {"GET", "/admin", []string{"Cookie", c}, 403, "", false},
		"a write of our own":   {"POST", "/account", []string{"Cookie", c, "Origin", door}, 200, "", true},
		"a write from abroad":  {"POST", "/account", []string{"Cookie", c, "Origin", "https://evil.test"}, 403, "", false},
		"another path named":   {"GET", "/account", []string{"X-Forwarded-Uri", "/public", "X-Forwarded-Method", "GET"}, 401, "", false},
		"a path of two kinds":  {"GET", "/public/..%2faccount", nil, 400, "", false},
		"the question, openly": {"GET", "/auth/verify", []string{"Cookie", c, "X-Forwarded-Uri", "/account", "X-Forwarded-Method", "GET"}, 404, "", false},
	} {
		r := w.sendTo(door, tc.method, tc.target, "", tc.pairs...)
		if r.status != tc.status || r.header.Get("Location") != tc.location || r.header.Get("Authorization") != "" {
			t.Errorf("%s: status %d, want %d to %q; fields %v", name, r.status, tc.status, tc.location, r.header)
		}
		if r.status != http.StatusOK {
			continue
		}
		s := r.seen(t)
		if got := s.Header.Get("Authorization"); strings.HasPrefix(got, "Bearer access-") != tc.token || got != "" && !tc.token {
			t.Errorf("%s: Authorization %q, want an access token: %t", name, got, tc.token)
		}
		if strings.Contains(s.Header.Get("Cookie"), value) {
			t.Errorf("%s: the application got the session cookie", name)
		}
	}
	// Traefik issue 3660: a token rotated by the verify request must reach the browser.
	w.auth.set(func(a *auth) { a.life = 1 })
	r = w.sendTo(door, "POST", "/auth/login", credentials(password), "Content-Type", jsonType)
	value, _ = r.setCookie(t)
	eventually(t, "rotated cookie", func() bool {
		next, set := w.sendTo(door, "GET", "/account", "", "Cookie", "__Host-Http-lilypad="+value).setCookie(t)
		return set && next != "" && next != value
	})
}

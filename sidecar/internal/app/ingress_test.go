package app_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"lilypad.example/sidecar/internal/app"
)

func trustLocal(c *app.Config) { c.TrustedProxies = []string{"127.0.0.0/8", "::1"} }

// The ingress terminates TLS and HTTP/2, and forwards the browser's header fields.
func TestLoginThroughAnIngressThatEndsTLS(t *testing.T) {
	t.Parallel()
	values := url.Values{"email": {email}, "password": {password}, "next": {"/account"}}.Encode()
	for name, c := range map[string]struct {
		change []func(*app.Config)
		host   string
		lines  []string
		status int
	}{
		"the Host passes":                       {nil, "frogs.example:8443", nil, 303},
		"the Host passes, proxy trusted":        {[]func(*app.Config){trustLocal}, "frogs.example:8443", []string{"X-Forwarded-Proto: https"}, 303},
		"another Host, said by a trusted proxy": {[]func(*app.Config){trustLocal}, "frogs-sidecar", []string{"X-Forwarded-Host: frogs.example:8443"}, 303},
		"another Host, said by anybody":         {nil, "frogs-sidecar", []string{"X-Forwarded-Host: frogs.example:8443"}, 403},
		"another port":                          {nil, "frogs.example", nil, 403},
		"another site behind a trusted proxy":   {[]func(*app.Config){trustLocal}, "frogs.example:8443", []string{"X-Forwarded-Host: other.example"}, 403},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.change...)
			// This browser sends no Sec-Fetch-Site, so the Origin decides.
			res, body := w.raw("POST", fmt.Sprintf("POST /auth/login HTTP/1.1\r\nHost: %s\r\nOrigin: https://frogs.example:8443\r\n"+
				"Accept: text/html\r\nContent-Type: %s\r\n%sContent-Length: %d\r\nConnection: close\r\n\r\n%s",
				c.host, form, strings.Join(append(c.lines, ""), "\r\n"), len(values), values))
			if res.StatusCode != c.status || c.status == 303 && (res.Header.Get("Location") != "/account" || len(res.Cookies()) != 1 || !res.Cookies()[0].Secure) {
				t.Errorf("status %d, fields %v, want %d, for 303 with a session and the location /account: %s", res.StatusCode, res.Header, c.status, body)
			}
		})
	}
}

// Rate limits, the audit log and the application see the address that the nearest trusted proxy
// adds. All other claims are ignored.
func TestTheAddressThatEverybodySeesIsTheTrustedProxys(t *testing.T) {
	t.Parallel()
	hops := func(n int) []func(*app.Config) { return []func(*app.Config){func(c *app.Config) { c.TrustedHops = n }} }
	claims := []string{
		"X-Forwarded-For", "6.6.6.6, 203.0.113.9", "X-Real-Ip", "6.6.6.6", "Forwarded", "for=6.6.6.6;proto=http;host=evil.test",
		"X-Forwarded-Host", "frogs.example:8443", "X-Forwarded-Port", "666", "X-Forwarded-Proto", "http", "X-Forwarded-Server", "evil", "True-Client-Ip", "6.6.6.6",
	}
	for name, c := range map[string]struct {
		change             []func(*app.Config)
		address, host, via string
	}{
		"nobody is trusted":         {nil, "127.0.0.1", "", "https"},
		"nobody is trusted, scheme": {[]func(*app.Config){func(c *app.Config) { c.PublicScheme = "http" }}, "127.0.0.1", "", "http"},
		"the ingress is trusted":    {[]func(*app.Config){trustLocal}, "203.0.113.9", "frogs.example:8443", "http"},
		"one hop is trusted":        {hops(1), "203.0.113.9", "frogs.example:8443", "http"},
		"two hops are trusted":      {hops(2), "6.6.6.6", "frogs.example:8443", "http"},
		"more hops than there are":  {hops(3), "127.0.0.1", "frogs.example:8443", "http"},
		"one hop of another proxy": {[]func(*app.Config){func(c *app.Config) {
			c.TrustedHops, c.TrustedProxies = 1, []string{"192.0.2.7"}
		}}, "127.0.0.1", "", "https"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.change...)
			w.send("POST", "/auth/login", credentials(password), append([]string{"Content-Type", jsonType}, claims...)...)
			w.auth.set(func(a *auth) {
				if a.address != c.address {
					t.Errorf("the auth service got the address %q, want %q", a.address, c.address)
				}
			})
			if c.host == "" {
				c.host = strings.TrimPrefix(w.url, "http://")
			}
			s := w.get("/public", claims...).seen(t)
			for field, want := range map[string]string{"X-Forwarded-For": c.address, "X-Forwarded-Host": c.host, "X-Forwarded-Proto": c.via, "X-Forwarded-Port": portOf(c.host)} {
				if got := s.Header.Values(field); !slices.Equal(got, []string{want}) {
					t.Errorf("%s is %q, want %q", field, got, want)
				}
			}
			for _, field := range []string{"X-Real-Ip", "Forwarded", "X-Forwarded-Server", "True-Client-Ip"} {
				if got := s.Header.Values(field); len(got) > 0 {
					t.Errorf("the application got %s %q, want it removed", field, got)
				}
			}
		})
	}
}

func portOf(host string) string { return host[strings.LastIndexByte(host, ':')+1:] }

// Without a trusted proxy that gives the client's address, all clients count as one for limits per
// address, whatever they claim.
func TestClientsWithoutAnAddressAreOneSubject(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *app.Config) { c.TrustedHops = 2 })
	for _, claim := range []string{"", "6.6.6.6", "frog, 203.0.113.9", "unknown, 10.0.0.1", ", 6.6.6.7,"} {
		w.send("POST", "/auth/login", credentials(password), "Content-Type", jsonType, "X-Forwarded-For", claim)
		w.auth.set(func(a *auth) {
			if a.address != "127.0.0.1" {
				t.Errorf("X-Forwarded-For %q: the auth service got the address %q, want 127.0.0.1", claim, a.address)
			}
		})
	}
}

func TestWideRangesOfTrustedProxiesAreWarnedOf(t *testing.T) {
	t.Parallel()
	for trusted, warned := range map[string]bool{
		"10.1.2.3": false, "10.1.2.0/28": false, "10.1.2.0/27": true, "10.244.0.0/16": true, "0.0.0.0/0": true, "8.8.8.0/24": true,
		"127.0.0.0/8": false, "::1": false, "fd00::7": false, "fd00::/124": false, "fd00::/64": true, "::/0": true, "126.0.0.0/7": true,
	} {
		w := newWorld(t, func(c *app.Config) { c.TrustedProxies = []string{trusted} })
		w.stop()
		if logs := w.logs.String(); strings.Contains(logs, "can forge the address of a client") != warned || warned && !strings.Contains(logs, trusted) {
			t.Errorf("%s: want a warning: %t; log %s", trusted, warned, logs)
		}
	}
}

func TestMoreHeadersAreDroppedByASetting(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *app.Config) { c.DropHeaders = []string{"X-Tenant", "Acme-*"} })
	s := w.get("/public", "X-Tenant", "theirs", "Acme-User", "theirs", "X-Tenant-Id", "ours", "Cookie", "a=b").seen(t)
	if s.Header.Get("X-Tenant") != "" || s.Header.Get("Acme-User") != "" || s.Header.Get("X-Tenant-Id") != "ours" || s.Header.Get("Cookie") != "a=b" {
		t.Errorf("the application got fields %v, want X-Tenant and Acme-User removed", s.Header)
	}
}

func TestSettingsOfProxiesAndHeadersAreCheckedAtTheStart(t *testing.T) {
	t.Parallel()
	c := app.Config{
		TrustedHops: -1, TrustedProxies: []string{"everybody", "10.0.0.0/33", "::ffff:10.0.0.1", "10.0.0.1:80", "10.0.0.1"},
		DropHeaders: []string{"X_Tenant", "*", "Acme-*"},
	}
	said := fmt.Sprint(c.Check())
	for _, want := range []string{
		"LILYPAD_TRUSTED_HOPS: -1", `LILYPAD_TRUSTED_PROXIES: "everybody"`, `LILYPAD_TRUSTED_PROXIES: "10.0.0.0/33"`, `LILYPAD_TRUSTED_PROXIES: "::ffff:10.0.0.1"`,
		`LILYPAD_TRUSTED_PROXIES: "10.0.0.1:80"`, `LILYPAD_DROP_HEADERS: "X_Tenant"`, `LILYPAD_DROP_HEADERS: "*"`,
	} {
		if !strings.Contains(said, want) {
			t.Errorf("the errors do not mention %s:\n%s", want, said)
		}
	}
	for _, good := range []string{`"10.0.0.1"`, "Acme"} {
		if strings.Contains(said, good) {
			t.Errorf("the errors mention the valid %s:\n%s", good, said)
		}
	}
}

// A signed-in client cannot smuggle requests either. Package http1 tests the parser.
func TestNoRequestIsHiddenBehindAnother(t *testing.T) {
	w := newWorld(t)
	w.app = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/canary" {
			t.Errorf("the application got the smuggled request")
		}
		return false
	}
	c := "Host: a\r\nCookie: " + w.login() + "\r\n"
	const canary = "GET /canary HTTP/1.1\r\nHost: a\r\n\r\n"
	length := fmt.Sprintf("Content-Length: %d\r\n", len(canary))
	for name, text := range map[string]string{
		"two lengths":              "POST / HTTP/1.1\r\n" + c + "Content-Length: 0\r\n" + length + "\r\n",
		"length and chunks":        "POST / HTTP/1.1\r\n" + c + length + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"obscured coding":          "POST / HTTP/1.1\r\n" + c + "Transfer-Encoding: \tchunked, identity\r\n\r\n0\r\n\r\n",
		"space before the colon":   "POST / HTTP/1.1\r\n" + c + "Content-Length : 0\r\n\r\n",
		"bare line feed":           "GET / HTTP/1.1\r\n" + c + "X: y\n\r\n",
		"folded field":             "GET / HTTP/1.1\r\n" + c + "X: y\r\n z\r\n\r\n",
		"broken chunk":             "POST / HTTP/1.1\r\n" + c + "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
		"chunk extension":          "POST / HTTP/1.1\r\n" + c + "Transfer-Encoding: chunked\r\n\r\n0;\nx\r\n\r\n",
		"trailer that frames":      "POST / HTTP/1.1\r\n" + c + "Transfer-Encoding: chunked\r\n\r\n0\r\n" + length + "\r\n",
		"upgrade that is not one":  "GET / HTTP/1.1\r\n" + c + "Connection: close, Upgrade\r\nUpgrade: h2c\r\n\r\n",
		"body of a refused method": "CONNECT a:80 HTTP/1.1\r\n" + c + length + "\r\n",
	} {
		nc := w.dial()
		_, _ = nc.Write([]byte(text + canary))
		answers := readAll(nc)
		if n := strings.Count(answers, "HTTP/1.1 "); n != 1 || strings.Contains(answers, "HTTP/1.1 2") && name != "upgrade that is not one" {
			t.Errorf("%s: %d responses, want one that is an error: %s", name, n, answers)
		}
	}
}

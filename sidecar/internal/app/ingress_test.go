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

func trustLocal(c *app.Config) { c.TrustedProxies = []string{"127.0.0.0/8", "::1/128"} }

// T20: TLS and HTTP/2 end at the ingress, which passes on what the browser said.
func TestT20_LoginThroughAnIngressThatEndsTLS(t *testing.T) {
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
			// A browser that sends no Sec-Fetch-Site, so that the Origin decides.
			res, body := w.raw("POST", fmt.Sprintf("POST /auth/login HTTP/1.1\r\nHost: %s\r\nOrigin: https://frogs.example:8443\r\n"+
				"Accept: text/html\r\nContent-Type: %s\r\n%sContent-Length: %d\r\nConnection: close\r\n\r\n%s",
				c.host, form, strings.Join(append(c.lines, ""), "\r\n"), len(values), values))
			if res.StatusCode != c.status || c.status == 303 && (res.Header.Get("Location") != "/account" || len(res.Cookies()) != 1 || !res.Cookies()[0].Secure) {
				t.Errorf("%d %v %s", res.StatusCode, res.Header, body)
			}
		})
	}
}

// T37: rate limits and audit see the last hop that no trusted proxy owns, and
// so does the application; what else is claimed is heard by nobody.
func TestT37_TheAddressThatEverybodySeesIsTheLastUntrustedHop(t *testing.T) {
	t.Parallel()
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
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.change...)
			w.send("POST", "/auth/login", credentials(password), append([]string{"Content-Type", jsonType}, claims...)...)
			w.auth.set(func(a *auth) {
				if a.address != c.address {
					t.Errorf("the auth service is told %q, want %q", a.address, c.address)
				}
			})
			if c.host == "" {
				c.host = strings.TrimPrefix(w.url, "http://")
			}
			s := w.get("/public", claims...).seen(t)
			for field, want := range map[string]string{"X-Forwarded-For": c.address, "X-Forwarded-Host": c.host, "X-Forwarded-Proto": c.via} {
				if got := s.Header.Values(field); !slices.Equal(got, []string{want}) {
					t.Errorf("%s is %q, want %q", field, got, want)
				}
			}
			for _, field := range []string{"X-Real-Ip", "Forwarded", "X-Forwarded-Port", "X-Forwarded-Server", "True-Client-Ip"} {
				if got := s.Header.Values(field); len(got) > 0 {
					t.Errorf("%s arrives: %q", field, got)
				}
			}
		})
	}
}

// T35: who is signed in cannot hide a request behind another one either. The
// parser's own cases are in package http1.
func TestT35_NoRequestIsHiddenBehindAnother(t *testing.T) {
	w := newWorld(t)
	w.app = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/canary" {
			t.Errorf("the canary arrived")
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
			t.Errorf("%s: %d answers: %s", name, n, answers)
		}
	}
}

package app_test

import (
	"net/http"
	"strings"
	"testing"

	"lilypad.example/sidecar/internal/cookie"
)

const admitting = `
upstreams:
  app: "%s"
  jenkins: {url: "%s", token: none}
routes:
  - {prefix: /pay, upstream: app, policy: optional, origins: ["https://pay.example", "http://bank.test:8080"]}
  - {prefix: /hook, upstream: app, policy: optional, authorization: pass}
  - {prefix: /git, upstream: jenkins, policy: public, authorization: pass}
  - {prefix: /jenkins, upstream: jenkins, policy: session}
  - {prefix: /, upstream: app, policy: optional}
`

func TestARouteAdmitsPostsFromNamedOrigins(t *testing.T) {
	w := newWorld(t, withRoutes(admitting), forwardAuth)
	c := w.login()
	for name, tc := range map[string]struct {
		method, path string
		pairs        []string
		status       int
	}{
		"named, our cookie":          {"POST", "/pay/done", []string{"Origin", "https://pay.example", "Sec-Fetch-Site", "cross-site", "Cookie", c}, 200},
		"named, sibling domain":      {"POST", "/pay", []string{"Origin", "https://pay.example", "Sec-Fetch-Site", "same-site", "Cookie", c}, 200},
		"named, with a port":         {"POST", "/pay", []string{"Origin", "http://bank.test:8080", "Cookie", c}, 200},
		"named, no cookie":           {"POST", "/pay", []string{"Origin", "https://pay.example", "Sec-Fetch-Site", "cross-site"}, 200},
		"another port":               {"POST", "/pay", []string{"Origin", "http://bank.test", "Cookie", c}, 403},
		"another scheme":             {"POST", "/pay", []string{"Origin", "http://pay.example", "Cookie", c}, 403},
		"a name that ends in it":     {"POST", "/pay", []string{"Origin", "https://evilpay.example", "Cookie", c}, 403},
		"a name that begins with it": {"POST", "/pay", []string{"Origin", "https://pay.example.evil", "Cookie", c}, 403},
		"null":                       {"POST", "/pay", []string{"Origin", "null", "Cookie", c}, 403},
		"two origins":                {"POST", "/pay", []string{"Origin", "https://pay.example", "Origin", "https://evil.example", "Cookie", c}, 400},
		"no origin":                  {"POST", "/pay", []string{"Sec-Fetch-Site", "cross-site", "Cookie", c}, 403},
		"another method":             {"PUT", "/pay", []string{"Origin", "https://pay.example", "Cookie", c}, 403},
		"another route":              {"POST", "/payment", []string{"Origin", "https://pay.example", "Cookie", c}, 403},
		"another spelling":           {"POST", "/PAY", []string{"Origin", "https://pay.example", "Cookie", c}, 403},
		"our own endpoint":           {"POST", "/auth/logout", []string{"Origin", "https://pay.example", "Cookie", c}, 403},
		"a WebSocket": {"GET", "/pay", []string{
			"Origin", "https://pay.example", "Cookie", c, "Connection", "Upgrade", "Upgrade", "websocket", "Sec-Websocket-Key", "x", "Sec-Websocket-Version", "13",
		}, 403},
	} {
		r := w.send(tc.method, tc.path, "", tc.pairs...)
		if r.status != tc.status {
			t.Errorf("%s: status %d, want %d: %s", name, r.status, tc.status, r.body)
		}
		if tc.path == "/auth/logout" || name == "a WebSocket" {
			continue
		}
		if r := w.ask(tc.method, tc.path, tc.pairs...); r.status != tc.status && name != "two origins" {
			t.Errorf("forward authentication: %s: status %d, want %d", name, r.status, tc.status)
		}
	}
}

func TestWhoseAuthorizationTheAppGets(t *testing.T) {
	w := newWorld(t, withRoutes(admitting), forwardAuth)
	c := w.login()
	token := w.get("/", "Cookie", c).seen(t).Header.Get("Authorization")
	if !strings.HasPrefix(token, "Bearer access-") {
		t.Fatalf("token %q, want ours", token)
	}
	const own = "Basic Z2l0OnNlY3JldA=="
	for name, tc := range map[string]struct {
		path, want string
		pairs      []string
	}{
		"passes, stranger":            {"/hook", own, []string{"Authorization", own}},
		"passes, instead of ours":     {"/hook", own, []string{"Authorization", own, "Cookie", c}},
		"passes, none, signed in":     {"/hook", token, []string{"Cookie", c}},
		"passes, none, stranger":      {"/hook", "", nil},
		"passes, named as hop-by-hop": {"/hook", own, []string{"Authorization", own, "Connection", "Authorization"}},
		"passes, public":              {"/git/info/refs", own, []string{"Authorization", own, "Cookie", c}},
		"no token":                    {"/jenkins", "", []string{"Cookie", c}},
		"no token, a forged one":      {"/jenkins", "", []string{"Cookie", c, "Authorization", own}},
		"does not pass":               {"/", "", []string{"Authorization", own}},
	} {
		r := w.get(tc.path, tc.pairs...)
		if r.status != http.StatusOK {
			t.Errorf("%s: status %d, want 200", name, r.status)
			continue
		}
		got := r.seen(t).Header
		if values := got.Values("Authorization"); got.Get("Authorization") != tc.want || len(values) > 1 {
			t.Errorf("%s: the application gets %q, want %q once", name, values, tc.want)
		}
		if strings.Contains(got.Get("Cookie"), cookie.Name) {
			t.Errorf("%s: the application gets our cookie", name)
		}
		if r := w.ask("GET", tc.path, tc.pairs...); r.status != http.StatusOK || r.header.Get("Authorization") != tc.want {
			t.Errorf("forward authentication: %s: %d, Authorization %q, want %q", name, r.status, r.header.Get("Authorization"), tc.want)
		}
	}
	if r := w.get("/jenkins", "Authorization", own); r.status != http.StatusUnauthorized {
		t.Errorf("a stranger: status %d, want 401", r.status)
	}
}

// A client's own credentials that the application refuses say nothing of the session.
func TestARefusalOfTheClientsAuthorizationRenewsNothing(t *testing.T) {
	w := newWorld(t, withRoutes(admitting))
	w.app = func(rw http.ResponseWriter, _ *http.Request) bool {
		rw.WriteHeader(http.StatusUnauthorized)
		return true
	}
	c := w.login()
	before := w.auth.count()
	for path, pairs := range map[string][]string{"/hook": {"Authorization", "Basic eDp4", "Cookie", c}, "/jenkins": {"Cookie", c}} {
		if r := w.get(path, pairs...); r.status != http.StatusUnauthorized {
			t.Errorf("%s: status %d, want the application's 401", path, r.status)
		}
	}
	if n := w.auth.count() - before; n != 0 || w.hits() != 2 {
		t.Errorf("%d calls of the auth service and %d of the application, want none and 2", n, w.hits())
	}
}

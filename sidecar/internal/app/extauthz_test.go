package app_test

import (
	"bytes"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"lilypad.example/sidecar/internal/app"
	"lilypad.example/sidecar/internal/extauthz/extauthztest"
)

// envoy sends a check request with these fields of its HttpRequest.
func (w *world) envoy(fields ...[]byte) extauthztest.Answer {
	w.t.Helper()
	message, status := extauthztest.Call(w.t, extauthztest.Client(w.t), w.extAuthz+extauthztest.Path, bytes.NewReader(extauthztest.Frame(extauthztest.Request(fields...))))
	if status != "0" {
		w.t.Fatalf("gRPC status %s, want 0", status)
	}
	return extauthztest.Decode(w.t, message)
}

// askEnvoy asks as Envoy does over gRPC, and returns what the application and the client get.
func (w *world) askEnvoy(method, target string, pairs ...string) reply {
	w.t.Helper()
	fields := [][]byte{
		extauthztest.Method(method), extauthztest.Target(target), extauthztest.Host("frogs.test"),
		extauthztest.Header("x-forwarded-proto", "https"), extauthztest.Header("x-forwarded-for", "203.0.113.7"),
	}
	for i := 0; i < len(pairs); i += 2 {
		fields = append(fields, extauthztest.Header(strings.ToLower(pairs[i]), pairs[i+1]))
	}
	a := w.envoy(fields...)
	if (a.Code == 0) != (a.Status == http.StatusOK) {
		w.t.Errorf("code %d with status %d", a.Code, a.Status)
	}
	maps.Copy(a.Header, a.Added)
	return reply{a.Status, a.Header, a.Body}
}

func TestEnvoyIsToldWhatToRemove(t *testing.T) {
	w := newWorld(t, forwardAuth)
	c := w.login()
	for name, tc := range map[string]struct {
		path, cookie string
		removed      []string
	}{
		"a stranger":                    {"/public", "", []string{"authorization", "cookie"}},
		"a stranger, with a cookie":     {"/public", "a=b", []string{"authorization"}},
		"signed in":                     {"/account", c, []string{"cookie"}},
		"signed in, with other cookies": {"/account", c + "; a=b", nil},
	} {
		a := w.envoy(extauthztest.Method("GET"), extauthztest.Target(tc.path), extauthztest.Host("frogs.test"),
			extauthztest.Header("authorization", "Bearer forged"), extauthztest.Header("cookie", tc.cookie))
		if a.Status != http.StatusOK || !slices.Equal(a.Removed, tc.removed) {
			t.Errorf("%s: status %d, removed %q, want 200 and %q", name, a.Status, a.Removed, tc.removed)
		}
		for _, name := range a.Removed {
			if a.Header.Get(name) != "" { // Envoy removes last
				t.Errorf("%s: %s is set and removed", name, name)
			}
		}
	}
}

// Envoy passes the whole header of its client on, fields that name requests elsewhere included.
func TestAClientCannotSpeakForEnvoy(t *testing.T) {
	w := newWorld(t, forwardAuth)
	c := w.login()
	for name, tc := range map[string]struct {
		method, target string
		pairs          []string
		status         int
		location       string
	}{
		"another path named":   {"GET", "/account", []string{"X-Forwarded-Uri", "/public", "X-Forwarded-Method", "GET"}, 401, ""},
		"another path, nginx":  {"GET", "/account", []string{"X-Original-Uri", "/public", "X-Original-Url", "/public"}, 401, ""},
		"another host":         {"GET", "/account", []string{"X-Forwarded-Host", "evil.test", "Sec-Fetch-Mode", "navigate"}, 303, "https://frogs.test/login?next=%2Faccount"},
		"another host, write":  {"POST", "/account", []string{"X-Forwarded-Host", "evil.test", "Origin", "https://evil.test", "Cookie", c}, 403, ""},
		"WebSocket over h2":    {"GET", "/account", []string{"Origin", "https://evil.test", "Sec-Websocket-Version", "13", "Cookie", c}, 403, ""},
		"two cookies, joined":  {"GET", "/account", []string{"Cookie", "a=b," + c}, 401, ""},
		"two origins, joined":  {"POST", "/account", []string{"Cookie", c, "Origin", "https://frogs.test,https://evil.test"}, 403, ""},
		"another spelling":     {"GET", "/ACCOUNT;x/", nil, 401, ""},
		"a dot behind":         {"GET", "/account.", nil, 401, ""},
		"spaces behind":        {"GET", "/account%20", nil, 401, ""},
		"parameters":           {"GET", "/account;jsessionid=1", nil, 401, ""},
		"fullwidth letters":    {"GET", "/%EF%BD%81ccount", nil, 401, ""},
		"a slash behind":       {"GET", "/admin/", nil, 401, ""},
		"capitals in a prefix": {"GET", "/Api/frogs", nil, 401, ""},
		"dots":                 {"GET", "/public/../account", nil, 400, ""},
		"an encoded slash":     {"GET", "/public%2f..%2faccount", nil, 400, ""},
		"encoded twice":        {"GET", "/public%252faccount", nil, 400, ""},
		"two slashes":          {"GET", "//account", nil, 400, ""},
		"a backslash":          {"GET", "/public\\..\\account", nil, 400, ""},
		"a fragment":           {"GET", "/public#x", nil, 400, ""},
		"absolute":             {"GET", "https://frogs.test/public", nil, 400, ""},
		"small letters":        {"get", "/public", nil, 400, ""},
		"unknown method":       {"BREW", "/public", nil, 400, ""},
		"CONNECT":              {"CONNECT", "frogs.test:443", nil, 400, ""},
		"TRACE":                {"TRACE", "/public", nil, 400, ""},
		"a replaced byte":      {"GET", "/acc!ount", nil, 400, ""},
		"a mark in the query":  {"GET", "/public?a!", nil, 200, ""},
		"all of the server":    {"OPTIONS", "*", nil, 404, ""},
		"the sidecar's own":    {"GET", "/auth/session", []string{"Cookie", c}, 404, ""},
		"a header of lines":    {"GET", "/public", []string{"X-A", "b\r\nX-C: d"}, 400, ""},
		"a header, too large":  {"GET", "/public", []string{"X-A", strings.Repeat("a", 33<<10)}, 431, ""},
		"far too large":        {"GET", "/public", []string{"X-A", strings.Repeat("a", 3<<20)}, 431, ""},
	} {
		r := w.askEnvoy(tc.method, tc.target, tc.pairs...)
		if r.status != tc.status || r.header.Get("Location") != tc.location {
			t.Errorf("%s: status %d to %q, want %d to %q: %s", name, r.status, r.header.Get("Location"), tc.status, tc.location, r.body)
		}
		if r.header.Get("Authorization") != "" {
			t.Errorf("%s: got an access token", name)
		}
	}
}

func TestOnlyATrustedEnvoyMayConnect(t *testing.T) {
	w := newWorld(t, func(c *app.Config) { c.ExtAuthzListen, c.TrustedProxies = "127.0.0.1:0", []string{"192.0.2.0/24"} })
	nc, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(w.extAuthz, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = nc.Close() }()
	if n, err := nc.Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d bytes, want a closed connection", n)
	}
	eventually(t, "log line", func() bool { return strings.Contains(w.logs.String(), "not in LILYPAD_TRUSTED_PROXIES") })
	alone := app.Config{ExtAuthzListen: ":8083"}
	if err := alone.Check(); err == nil || !strings.Contains(err.Error(), "LILYPAD_EXT_AUTHZ_LISTEN needs LILYPAD_TRUSTED_PROXIES") {
		t.Errorf("Check returns %v, want an error about LILYPAD_TRUSTED_PROXIES", err)
	}
}

func TestCheckRequestsAreLoggedAndCounted(t *testing.T) {
	w := newWorld(t, forwardAuth)
	w.askEnvoy("GET", "/account")
	w.askEnvoy("GET", "/account//")
	eventually(t, "log lines", func() bool {
		logs := w.logs.String()
		return strings.Contains(logs, `"method":"GET","path":"/account","status":401,"reason":""`) && strings.Contains(logs, `"status":400,"reason":"bad_request"`)
	})
	if r := w.sendTo(w.ops, "GET", "/metrics", ""); !strings.Contains(r.body, `http_requests_total{reason="bad_request",status="400"} 1`) {
		t.Error("the malformed check request was not counted")
	}
}

// The client's own fields of these names never pass.
func TestEnvoySetsAndRemovesMappedHeaders(t *testing.T) {
	w := newWorld(t, withRoutes(mapped), forwardAuth)
	c := w.login()
	ask := func(target string, fields ...[]byte) extauthztest.Answer {
		return w.envoy(append(fields, extauthztest.Method("GET"), extauthztest.Target(target), extauthztest.Host("frogs.test"),
			extauthztest.Header("acme-id", "forged"))...)
	}
	a := ask("/members", extauthztest.Header("cookie", c))
	if a.Status != http.StatusOK || a.Header.Get("Acme-Id") != "u1" || a.Header.Get("X-Webauth-User") != email || slices.Contains(a.Removed, "acme-id") {
		t.Errorf("signed in: %+v, want the mapped fields in place of the client's", a)
	}
	a = ask("/grafana")
	if a.Status != http.StatusOK || a.Header.Get("Acme-Id") != "" || !slices.Contains(a.Removed, "acme-id") || !slices.Contains(a.Removed, "x-webauth-user") {
		t.Errorf("a stranger: %+v, want the client's fields removed", a)
	}
}

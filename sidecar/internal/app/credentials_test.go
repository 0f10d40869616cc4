package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"lilypad.example/services/auth/api"
)

const mapped = `
upstreams:
  plain: "%s"
  grafana: {url: "%s", headers: {X-WEBAUTH-USER: email, Acme-Name: name, Acme-Id: sub, Acme-Groups: roles, Acme-Session: sid}}
  groups: {url: "%s", headers: {Acme-Groups: roles}}
routes:
  - {prefix: /grafana, strip: true, upstream: grafana, policy: optional}
  - {prefix: /members, upstream: grafana, policy: session}
  - {prefix: /open, upstream: grafana, policy: public}
  - {prefix: /groups, upstream: groups, policy: session}
  - {prefix: /, upstream: plain, policy: optional}
`

// sees sends lines of a header and returns those that the application got, by lower-case name.
func (w *world) sees(t *testing.T, target string, lines ...string) (path string, fields map[string][]string) {
	t.Helper()
	res, body := w.raw("GET", "GET "+target+" HTTP/1.1\r\nHost: frogs.test\r\nConnection: close\r\n"+strings.Join(append(lines, "\r\n"), "\r\n"))
	if res.StatusCode != http.StatusOK {
		t.Fatalf("%s: status %d, want 200: %s", target, res.StatusCode, body)
	}
	var got seen
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	fields = make(map[string][]string)
	for name, values := range got.Header {
		name = strings.ToLower(name)
		fields[name] = append(fields[name], values...)
	}
	return got.Path, fields
}

func TestTheAppLearnsWhoIsSignedIn(t *testing.T) {
	w := newWorld(t, withRoutes(mapped))
	w.auth.set(func(a *auth) { a.roles = []string{"admin", "keeper"} })
	c := "Cookie: " + w.login()
	forged := []string{
		"X-Webauth-User: evil", "x-webauth-user: evil", "X_WEBAUTH_USER: evil", "Acme-Name: evil", "ACME-ID: evil", "acme_id: evil", "Acme.Groups: evil",
		"Acme-Groups: evil", "Acme-Groups: root", "Acme-Session: evil", "Connection: Acme-Name",
	}
	names := []string{"x-webauth-user", "acme-name", "acme-id", "acme-groups", "acme-session"}
	want := map[string]string{"x-webauth-user": email, "acme-name": "Fred <b>", "acme-id": "u1", "acme-groups": "admin,keeper", "acme-session": "family0000000000000001"}
	for _, target := range []string{"/grafana/x", "/members"} {
		_, got := w.sees(t, target, append(forged, c)...)
		for _, name := range names {
			if fmt.Sprint(got[name]) != fmt.Sprint([]string{want[name]}) {
				t.Errorf("%s, signed in: %s is %q, want %q once", target, name, got[name], want[name])
			}
		}
		for name, values := range got {
			if strings.Contains(fmt.Sprint(values), "evil") {
				t.Errorf("%s, signed in: %s: %q passes, want no forged field", target, name, values)
			}
		}
	}
	for target, lines := range map[string][]string{"/grafana": forged, "/open": append(forged, c)} {
		_, got := w.sees(t, target, lines...)
		for name, values := range got {
			if strings.HasPrefix(name, "acme") || strings.Contains(name, "webauth") || strings.Contains(fmt.Sprint(values), "evil") {
				t.Errorf("%s, a stranger: the application gets %s: %q, want nothing", target, name, values)
			}
		}
	}
	// Only the upstream that owns a name is kept from it.
	if _, got := w.sees(t, "/", "Acme-Tenant: pond", "Acme-Name: fred"); fmt.Sprint(got["acme-name"]) != "[fred]" {
		t.Errorf("another upstream gets Acme-Name %q, want that of the client", got["acme-name"])
	}
	before := w.auth.count()
	for range 5 {
		w.sees(t, "/members", c)
	}
	if n := w.auth.count() - before; n != 0 {
		t.Errorf("the account was asked for %d times more, want once per access token", n)
	}
}

func TestTheAccountIsAskedForOnceByManyRequests(t *testing.T) {
	w := newWorld(t, withRoutes(mapped))
	c := w.login()
	before := w.auth.count()
	var all sync.WaitGroup
	for range 30 {
		all.Go(func() {
			if r := w.get("/members", "Cookie", c); r.status != http.StatusOK || r.seen(t).Header.Get("Acme-Id") != "u1" {
				t.Errorf("status %d: %s", r.status, r.body)
			}
		})
	}
	all.Wait()
	if n := w.auth.count() - before; n != 1 {
		t.Errorf("30 requests asked for the account %d times, want once", n)
	}
}

func TestWithoutTheAccountNothingIsSent(t *testing.T) {
	w := newWorld(t, withRoutes(mapped))
	c := w.login()
	w.auth.set(func(a *auth) { a.fails = "/v1/me" })
	for _, target := range []string{"/members", "/grafana"} {
		if r := w.get(target, "Cookie", c); r.status != http.StatusServiceUnavailable {
			t.Errorf("outage: %s: status %d, want 503", target, r.status)
		}
	}
	if w.hits() != 0 {
		t.Errorf("the application got %d requests without the fields that it relies on, want none", w.hits())
	}
	for target, status := range map[string]int{"/groups": 200, "/": 200} {
		if r := w.get(target, "Cookie", c); r.status != status {
			t.Errorf("outage: %s, which needs no account: status %d, want %d", target, r.status, status)
		}
	}
	if r := w.get("/grafana"); r.status != http.StatusOK {
		t.Errorf("outage: a stranger: status %d, want 200", r.status)
	}
	w.auth.set(func(a *auth) { a.fails = "" })
	if r := w.get("/members", "Cookie", c); r.status != http.StatusOK {
		t.Errorf("after the outage: status %d, want 200", r.status)
	}
}

// The auth service may know before the feed that a session is over.
func TestASessionThatEndsWhileTheAccountIsAskedForIsOver(t *testing.T) {
	for target, status := range map[string]int{"/members": 401, "/grafana": 200} {
		w := newWorld(t, withRoutes(mapped))
		c := w.login()
		w.auth.set(func(a *auth) { clear(a.sessions) })
		r := w.get(target, "Cookie", c)
		if r.status != status {
			t.Errorf("%s: status %d, want %d", target, r.status, status)
		}
		if value, ok := r.setCookie(t); !ok || value != "" {
			t.Errorf("%s: the cookie is not taken away: %v", target, r.header)
		}
		if status == 200 && (r.seen(t).Header.Get("Acme-Id") != "" || r.seen(t).Header.Get("Authorization") != "") {
			t.Errorf("%s: the application gets %v, want a stranger's request", target, r.seen(t).Header)
		}
	}
}

func TestNamesAreSentSafely(t *testing.T) {
	for name, c := range map[string]struct {
		user   api.User
		status int
		want   string
	}{
		"beyond ASCII":           {api.User{Sub: "u1", Email: email, Name: "Zoë 蛙"}, 200, "Zoë 蛙"},
		"a line break":           {api.User{Sub: "u1", Email: email, Name: "Fred\r\nX-Admin: yes"}, 200, "Fred  X-Admin: yes"},
		"no name":                {api.User{Sub: "u1", Email: email, Name: " \x00 "}, 200, ""},
		"an address with a line": {api.User{Sub: "u1", Email: "a@b\nc", Name: "x"}, 503, ""},
		"no subject":             {api.User{Email: email, Name: "x"}, 503, ""},
	} {
		w := newWorld(t, withRoutes(mapped))
		cookie := w.login()
		w.auth.set(func(a *auth) {
			a.instead = func(rw http.ResponseWriter, _ *http.Request) { answer(rw, http.StatusOK, c.user) }
		})
		r := w.get("/members", "Cookie", cookie)
		if r.status != c.status {
			t.Errorf("%s: status %d, want %d", name, r.status, c.status)
			continue
		}
		if c.status == 200 {
			if got, ok := r.seen(t).Header["Acme-Name"]; !ok || len(got) != 1 || got[0] != c.want {
				t.Errorf("%s: name %q, want %q once", name, got, c.want)
			}
		}
	}
}

func TestAStrippedPrefixIsSaid(t *testing.T) {
	w := newWorld(t, withRoutes(mapped))
	for target, want := range map[string]string{"/grafana": "/", "/grafana/d/1?x=/y": "/d/1?x=/y", "/gr%61fana/": "/", "/GRAFANA/d": "/GRAFANA/d"} {
		path, got := w.sees(t, target, "X-Forwarded-Prefix: /evil", "X-Forwarded-Port: 1")
		prefix := "[/grafana]"
		if want == target {
			prefix = "[]"
		}
		if path != want || fmt.Sprint(got["x-forwarded-prefix"]) != prefix || fmt.Sprint(got["x-forwarded-port"]) != "[443]" {
			t.Errorf("%s: the application gets %s, prefix %v, port %v, want %s, %s and 443", target, path, got["x-forwarded-prefix"], got["x-forwarded-port"], want, prefix)
		}
	}
	strict := newWorld(t, withRoutes("upstreams: {a: \"%s\"}\nroutes: [{prefix: /wiki, strip: true, upstream: a, policy: session}, {prefix: /, upstream: a, policy: public}]"))
	c := strict.login()
	for target, status := range map[string]int{"/wiki/x": 200, "/WIKI/x": 404, "/wiki;a/x": 404} {
		if r := strict.get(target, "Cookie", c); r.status != status {
			t.Errorf("%s: status %d, want %d", target, r.status, status)
		}
	}
}

func TestAProxyLearnsWhatToTellTheApp(t *testing.T) {
	w := newWorld(t, withRoutes(mapped), forwardAuth)
	c := w.login()
	r := w.ask("GET", "/members", "Cookie", c)
	if r.status != http.StatusOK || r.header.Get("X-Webauth-User") != email || r.header.Get("Acme-Id") != "u1" || !strings.HasPrefix(r.header.Get("Authorization"), "Bearer ") {
		t.Errorf("signed in: %d %v, want the mapped fields and a token", r.status, r.header)
	}
	if r := w.ask("GET", "/grafana"); r.status != http.StatusOK || r.header.Get("Acme-Id") != "" {
		t.Errorf("a stranger: %d %v, want no field", r.status, r.header)
	}
	w.auth.set(func(a *auth) { clear(a.sessions) })
	w2 := w.ask("GET", "/members", "Cookie", c)
	if w2.status != http.StatusOK {
		t.Errorf("an account in memory: status %d, want 200", w2.status)
	}
	over := newWorld(t, withRoutes(mapped), forwardAuth)
	c = over.login()
	over.auth.set(func(a *auth) { clear(a.sessions) })
	if r := over.ask("GET", "/members", "Cookie", c); r.status != http.StatusUnauthorized {
		t.Errorf("a session that is over: status %d, want 401", r.status)
	}
	over.auth.set(func(a *auth) { a.fails = "/v1/me" })
	c = over.login()
	if r := over.ask("GET", "/members", "Cookie", c); r.status != http.StatusServiceUnavailable {
		t.Errorf("an outage: status %d, want 503", r.status)
	}
}

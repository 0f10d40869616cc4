package app_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"lilypad.example/sidecar/internal/cookie"
)

func TestAStaleLoginIsAskedForAgain(t *testing.T) {
	w := newWorld(t)
	w.auth.set(func(a *auth) { a.age = time.Hour })
	old := w.login()
	const page = "/login?error=insufficient_user_authentication&next=%2Fvault%2Fx%3Fy"
	for name, c := range map[string]struct {
		method string
		pairs  []string
		status int
	}{
		"navigation":  {"GET", []string{"Sec-Fetch-Mode", "navigate"}, 303},
		"fetch":       {"GET", []string{"Sec-Fetch-Mode", "cors"}, 401},
		"posted JSON": {"POST", []string{"Sec-Fetch-Mode", "cors", "Sec-Fetch-Site", "same-origin", "Content-Type", jsonType}, 401},
	} {
		r := w.send(c.method, "/vault/x?y", "", append(c.pairs, "Cookie", old)...)
		if r.status != c.status || r.status == 303 && r.header.Get("Location") != page {
			t.Errorf("%s: status %d, Location %q, want %d", name, r.status, r.header.Get("Location"), c.status)
		}
		challenge := r.header.Get("WWW-Authenticate")
		if r.status == 401 && (!strings.HasPrefix(challenge, `Bearer error="insufficient_user_authentication",`) || !strings.HasSuffix(challenge, `, max_age="900"`)) {
			t.Errorf("%s: challenge %q, want insufficient_user_authentication with max_age (RFC 9470 section 3)", name, challenge)
		}
	}
	if r := w.get("/vault"); r.status != http.StatusUnauthorized || r.header.Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("no session: status %d, challenge %q, want 401 and Bearer", r.status, r.header.Get("WWW-Authenticate"))
	}
	if r := w.get("/account", "Cookie", old); r.status != http.StatusOK {
		t.Errorf("route without fresh: status %d, want 200", r.status)
	}
	if w.hits() != 1 {
		t.Errorf("the application got %d requests, want 1", w.hits())
	}
	// A new login creates a new session and ends the old one.
	w.auth.set(func(a *auth) { a.age = 0 })
	again, _ := w.send("POST", "/auth/login", credentials(password), "Content-Type", jsonType, "Cookie", old, "Sec-Fetch-Site", "same-origin").setCookie(t)
	if r := w.get("/vault", "Cookie", cookie.Name+"="+again); r.status != http.StatusOK {
		t.Errorf("after a new login: status %d, want 200: %s", r.status, r.body)
	}
	if r := w.get("/account", "Cookie", old); r.status != http.StatusUnauthorized {
		t.Errorf("the old session: status %d, want 401", r.status)
	}
}

func TestASpellingOfAProtectedPathIsRefused(t *testing.T) {
	w := newWorld(t, forwardAuth)
	c := w.login()
	for request, status := range map[string]int{
		"GET /account": 401, "HEAD /account": 401, "GET /ACCOUNT": 401, "HEAD /Account/": 401, "GET /account;x=1": 401, "GET /account.": 401, "GET /account%20": 401,
		"GET /%61ccount/": 401, "GET /%EF%BD%81ccount": 401, "POST /Account": 401, "GET /API/frogs": 401, "GET /api;a/frogs": 401,
		"GET /x/..%20/account": 404, "get /account": 404, "GET /accounts": 200, "GET /Public": 200,
	} {
		method, target, _ := strings.Cut(request, " ")
		if r := w.send(method, target, ""); r.status != status {
			t.Errorf("no session: %s: status %d, want %d", request, r.status, status)
		}
		if status == http.StatusUnauthorized {
			if r := w.send(method, target, "", "Cookie", c, "Sec-Fetch-Site", "same-origin"); r.status != http.StatusOK {
				t.Errorf("signed in: %s: status %d, want 200", request, r.status)
			}
		}
		if r := w.ask(method, target); r.status != status && r.status != http.StatusBadRequest || (r.status == http.StatusOK) != (status == http.StatusOK) {
			t.Errorf("forward authentication, no session: %s: status %d, want %d or 400", request, r.status, status)
		}
	}
	if r := w.get("/ADMIN;a/x", "Cookie", c); r.status != http.StatusForbidden {
		t.Errorf("without the role: status %d, want 403", r.status)
	}
}

func TestADenialSaysWhatTheRouteSays(t *testing.T) {
	w := newWorld(t)
	c := w.login()
	for name, tc := range map[string]struct {
		method string
		pairs  []string
		status int
		want   string
	}{
		"stranger's fetch":   {"GET", []string{"Sec-Fetch-Mode", "cors"}, 401, `"detail":"Login to pet the \u003cphrog\u003e 👀"`},
		"stranger's form":    {"POST", []string{"Sec-Fetch-Mode", "navigate"}, 401, "Login to pet the &lt;phrog&gt; 👀"},
		"without role, page": {"GET", []string{"Sec-Fetch-Mode", "navigate", "Cookie", c}, 403, "Login to pet the &lt;phrog&gt; 👀"},
		"without role":       {"GET", []string{"Cookie", c}, 403, `"detail":"Login to pet the \u003cphrog\u003e 👀"`},
	} {
		if r := w.send(tc.method, "/pond", "", tc.pairs...); r.status != tc.status || !strings.Contains(r.body, tc.want) {
			t.Errorf("%s: status %d, body %s, want %d and %s", name, r.status, r.body, tc.status, tc.want)
		}
	}
	// Navigation without a session still leads to the login page.
	if r := w.get("/pond", "Sec-Fetch-Mode", "navigate"); r.status != http.StatusSeeOther || r.header.Get("Location") != "/login?next=%2Fpond" {
		t.Errorf("navigation without a session: status %d, Location %q, want 303 to the login page", r.status, r.header.Get("Location"))
	}
	if w.hits() != 0 {
		t.Error("a refused request reached the application")
	}
}

func TestAPageOfTheApplicationMaySayNo(t *testing.T) {
	w := newWorld(t)
	c := w.login()
	for name, tc := range map[string]struct {
		pairs    []string
		status   int
		location string
	}{
		"stranger":               {[]string{"Sec-Fetch-Mode", "navigate"}, 303, "/join?error=unauthorized&next=%2Fclub%2Fa"},
		"without role":           {[]string{"Sec-Fetch-Mode", "navigate", "Cookie", c}, 303, "/join?error=forbidden&next=%2Fclub%2Fa"},
		"stranger's program":     {nil, 401, ""},
		"program without a role": {[]string{"Cookie", c}, 403, ""},
	} {
		if r := w.get("/club/a", tc.pairs...); r.status != tc.status || r.header.Get("Location") != tc.location {
			t.Errorf("%s: status %d, Location %q, want %d and %q", name, r.status, r.header.Get("Location"), tc.status, tc.location)
		}
	}
}

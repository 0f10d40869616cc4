package app_test

import (
	"net/http"
	"strings"
	"testing"

	"lilypad.example/sidecar/internal/cookie"
)

func TestAnOutageKeepsTheCookie(t *testing.T) {
	w := newWorld(t)
	c := w.login()
	unknown := strings.Replace(c, "family0000000000000001", "family0000000000000002", 1)
	w.auth.set(func(a *auth) {
		a.instead = func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusServiceUnavailable) }
	})
	if r := w.get("/account", "Cookie", c); r.status != http.StatusOK {
		t.Errorf("with a token in memory: status %d, want 200", r.status)
	}
	for _, path := range []string{"/", "/account", "/auth/session"} {
		r := w.get(path, "Cookie", unknown, "Sec-Fetch-Mode", "navigate")
		if _, set := r.setCookie(t); r.status != http.StatusServiceUnavailable || r.header.Get("Retry-After") == "" || set {
			t.Errorf("%s: status %d, fields %v, want 503 with Retry-After and no Set-Cookie", path, r.status, r.header)
		}
	}
	if r := w.get("/public", "Cookie", unknown); r.status != http.StatusOK {
		t.Errorf("public: status %d, want 200", r.status)
	}
	if r := w.get("/"); r.status != http.StatusOK {
		t.Errorf("stranger: status %d, want 200", r.status)
	}
	r := w.send("POST", "/auth/logout", "", "Cookie", c, "Sec-Fetch-Site", "same-origin")
	if value, set := r.setCookie(t); r.status != http.StatusServiceUnavailable || !set || value != "" {
		t.Errorf("logout in an outage: status %d, fields %v; want 503 and the cookie cleared", r.status, r.header)
	}
	w.auth.set(func(a *auth) { a.instead = nil })
	if r := w.get("/account", "Cookie", w.login()); r.status != http.StatusOK {
		t.Errorf("afterwards: status %d, want 200", r.status)
	}
}

func TestAnIllAuthServiceIsAnOutage(t *testing.T) {
	w := newWorld(t)
	c := cookie.Name + "=v1.k1.family0000000000000001.1." + strings.Repeat("m", 43)
	for name, ill := range map[string]http.HandlerFunc{
		"a gigabyte": func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", jsonType)
			chunk := []byte(`{"access_token":"` + strings.Repeat("x", 1<<20))
			for range 1024 {
				if _, err := rw.Write(chunk); err != nil {
					return
				}
			}
		},
		"garbage": func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", jsonType)
			_, _ = rw.Write([]byte("<html>"))
		},
		"half an answer":  func(rw http.ResponseWriter, _ *http.Request) { answer(rw, 200, map[string]string{"access_token": "x"}) },
		"endless headers": func(rw http.ResponseWriter, _ *http.Request) { rw.Header().Set("X-Long", strings.Repeat("x", 1<<20)) },
		"redirect": func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, "http://127.0.0.1:1/", http.StatusFound)
		},
		"400 of another": func(rw http.ResponseWriter, _ *http.Request) {
			answer(rw, 400, map[string]string{"error": "invalid_request"})
		},
		// A rejected client assertion, for example a replay, is the sidecar's error and does not
		// end the session.
		"401 invalid_client": func(rw http.ResponseWriter, _ *http.Request) {
			answer(rw, 401, map[string]string{"error": "invalid_client"})
		},
		"400 invalid_client": func(rw http.ResponseWriter, _ *http.Request) {
			answer(rw, 400, map[string]string{"error": "invalid_client"})
		},
	} {
		w.auth.set(func(a *auth) { a.instead = ill })
		r := w.get("/account", "Cookie", c)
		if _, set := r.setCookie(t); r.status != http.StatusServiceUnavailable || set {
			t.Errorf("%s: status %d, fields %v, want 503 and no Set-Cookie", name, r.status, r.header)
		}
	}
}

func TestAnApplicationThatIsAwayIs502(t *testing.T) {
	w := newWorld(t)
	w.app = func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }
	for accept, contentType := range map[string]string{pageTypes: "text/html; charset=utf-8", jsonType: "application/problem+json"} {
		r := w.get("/", "Accept", accept)
		if r.status != http.StatusBadGateway || r.header.Get("Content-Type") != contentType {
			t.Errorf("%s: status %d, fields %v, want 502 and %s", accept, r.status, r.header, contentType)
		}
	}
}

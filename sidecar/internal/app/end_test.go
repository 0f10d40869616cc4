package app_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"lilypad.example/services/auth/api"
	"lilypad.example/sidecar/internal/cookie"
)

// The auth service and the application reject the token of an ended session before the feed reports
// the end.
func TestAnEndThatTheFeedHasNotToldYetIsNoOutage(t *testing.T) {
	for _, c := range []struct {
		path   string
		status int
	}{{"/auth/session", 401}, {"/other", 200}, {"/account", 401}} {
		w := newWorld(t)
		w.app = func(rw http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("Authorization") == "" {
				return false
			}
			rw.WriteHeader(http.StatusUnauthorized)
			return true
		}
		value := w.login()
		w.auth.set(func(a *auth) { clear(a.sessions) })
		r := w.get(c.path, "Cookie", value, "Accept", jsonType)
		if set, ok := r.setCookie(t); r.status != c.status || !ok || set != "" {
			t.Errorf("%s: status %d, Set-Cookie %q %v; want %d and the cookie cleared: %s", c.path, r.status, set, ok, c.status, r.body)
		}
	}
}

func TestAnEndIsCountedWithItsReason(t *testing.T) {
	w := newWorld(t)
	refuse := func(reason string) {
		w.auth.set(func(a *auth) {
			a.instead = func(rw http.ResponseWriter, _ *http.Request) {
				if reason == "" { // no reason in the response
					answer(rw, http.StatusBadRequest, api.OAuthError{Error: api.InvalidGrant})
					return
				}
				r := api.EndReason(reason)
				answer(rw, http.StatusBadRequest, api.OAuthError{Error: api.InvalidGrant, Reason: &r})
			}
		})
	}
	ended := func(path, c string) {
		t.Helper()
		r := w.get(path, "Cookie", c)
		if value, set := r.setCookie(t); r.status != http.StatusUnauthorized || !set || value != "" {
			t.Errorf("%s: status %d, fields %v, want 401 and the cookie cleared", path, r.status, r.header)
		}
	}
	mine := w.login()
	if r := w.send("POST", "/auth/logout", "", "Cookie", w.login(), "Sec-Fetch-Site", "same-origin"); r.status/100 != 2 && r.status/100 != 3 {
		t.Errorf("logout: status %d, want 2xx or 3xx", r.status)
	}
	for i, reason := range []string{"user_request", "password_changed", "user_disabled", "admin", "reuse", "idle", "expired", "lost", "unusable", "", "a word of tomorrow"} {
		refuse(reason)
		gone := strings.Replace(mine, "family0000000000000001", fmt.Sprintf("family%016d", 100+i), 1)
		ended("/account", gone)
		ended("/auth/session", gone) // the reason is cached with the refusal
	}
	w.auth.ended <- sid(mine) // the feed reports a logout
	await(t, "the feed to end the session", func() bool {
		return w.get("/account", "Cookie", mine).status == http.StatusUnauthorized
	})
	ended("/account", cookie.Name+"=v1")

	want := map[string]string{
		"logout": "2", "user_request": "2", "password_changed": "2", "user_disabled": "2", "admin": "2", "reuse": "2",
		"idle": "2", "expired": "2", "lost": "2", "unusable": "3", "unknown": "4",
	}
	got := map[string]string{}
	for line := range strings.Lines(w.metrics()) {
		if reason, ok := strings.CutPrefix(strings.TrimSpace(line), `session_end_total{reason="`); ok {
			reason, n, _ := strings.Cut(reason, `"} `)
			got[reason] = n
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("session_end_total is\n%v, want\n%v", got, want)
	}
}

func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for deadline := time.After(20 * time.Second); !ok(); {
		select {
		case <-deadline:
			t.Fatalf("timed out waiting for %s", what)
		case <-again.C:
		}
	}
}

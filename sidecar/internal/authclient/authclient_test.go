package authclient_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lilypad.example/sidecar/internal/authclient"
)

type noAssertion struct{}

func (noAssertion) Assertion() (string, error) { return "assertion", nil }

// counted returns a different assertion on each call.
type counted struct{ n atomic.Int32 }

func (c *counted) Assertion() (string, error) { return fmt.Sprintf("assertion-%d", c.n.Add(1)), nil }

// An auth service that shuts down closes connections with calls in flight. Calls that are safe to
// repeat are retried on another connection with a new assertion. A login is not, because it would
// create a second session.
func TestAConnectionThatClosedIsNoFailure(t *testing.T) {
	var calls atomic.Int32
	var seen sync.Map
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assertion := r.FormValue("client_assertion")
		if r.Header.Get("Content-Type") == "application/json" {
			assertion = strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		}
		if _, again := seen.LoadOrStore(assertion, true); again || !strings.HasPrefix(assertion, "assertion-") {
			t.Errorf("%s: assertion %q, want a new one", r.URL.Path, assertion)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		if calls.Add(1)%2 == 0 {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_ = conn.Close()
			return
		}
		switch r.URL.Path {
		case "/oauth2/token":
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprint(w, `{"access_token":"a","token_type":"Bearer","expires_in":300,"refresh_token":"r","sid":"s","roles":[],"expires_at":"2100-01-01T00:00:00Z"}`)
		case "/oauth2/revoke":
		case "/v1/sessions/confirm":
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	defer server.Close()
	c, err := authclient.New(server.URL, &counted{}, authclient.Transport(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]func() error{
		"refresh": func() error { _, err := c.Refresh(t.Context(), "token", authclient.Browser{}); return err },
		"revoke":  func() error { _, err := c.Revoke(t.Context(), "token", ""); return err },
		"confirm": func() error { return c.Confirm(t.Context(), []string{"token"}) },
	} {
		for range 3 { // the connection is closed on the second call
			if err := call(); err != nil {
				t.Errorf("%s: %v, want no error", name, err)
			}
		}
	}
	if err := c.Confirm(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if calls.Load()%2 == 0 {
		t.Fatal("an even number of calls, want an odd one so that the login fails")
	}
	if _, err := c.Login(t.Context(), "a@b.c", "password", authclient.Browser{}); !errors.Is(err, authclient.ErrUnavailable) {
		t.Errorf("login: error %v, want ErrUnavailable", err)
	}
}

// The client answers the first challenge only; a second one counts as an outage.
func TestAStaleTokenIsChallengedOnce(t *testing.T) {
	const challenge = "1764000000000"
	for name, c := range map[string]struct {
		second string // the second response
		want   error
		ended  bool
	}{
		"a thief":                {`{"error":"invalid_grant","reason":"reuse"}`, nil, true},
		"challenged once more":   {`{"error":"use_challenge","challenge":1764000009999}`, authclient.ErrUnavailable, false},
		"a challenge of nothing": {`{"error":"use_challenge"}`, authclient.ErrUnavailable, false},
	} {
		t.Run(name, func(t *testing.T) {
			var shown []string
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				shown = append(shown, r.FormValue("challenge"))
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusBadRequest)
				if len(shown) == 1 {
					_, _ = fmt.Fprint(w, `{"error":"use_challenge","challenge":`+challenge+`}`)
					return
				}
				_, _ = fmt.Fprint(w, c.second)
			}))
			defer server.Close()
			client, err := authclient.New(server.URL, noAssertion{}, authclient.Transport(), time.Now)
			if err != nil {
				t.Fatal(err)
			}
			_, err = client.Refresh(t.Context(), "token", authclient.Browser{})
			if _, ended := errors.AsType[*authclient.EndedError](err); ended != c.ended || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("error %v, want session ended %t, error %v", err, c.ended, c.want)
			}
			if !slices.Equal(shown, []string{"0", challenge}) {
				t.Errorf("challenges sent %q, want 0 and %s", shown, challenge)
			}
		})
	}
}

// An auth service that closes every connection without a response is an outage; the call is not
// retried forever.
func TestAnAuthServiceThatNeverAnswersIsAnOutage(t *testing.T) {
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		calls.Add(1)
		panic(http.ErrAbortHandler)
	}))
	defer server.Close()
	c, err := authclient.New(server.URL, &counted{}, authclient.Transport(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Refresh(t.Context(), "token", authclient.Browser{}); !errors.Is(err, authclient.ErrUnavailable) {
		t.Errorf("error %v, want ErrUnavailable", err)
	}
	if n := calls.Load(); n != 1 {
		t.Errorf("%d calls, want 1: new connections are not retried", n)
	}
}

func TestARefusedClientEndsNoSession(t *testing.T) {
	var status int
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"error":"invalid_client"}`)
	}))
	defer server.Close()
	c, err := authclient.New(server.URL, noAssertion{}, authclient.Transport(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for _, status = range []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden} {
		_, refreshed := c.Refresh(t.Context(), "token", authclient.Browser{})
		_, revoked := c.Revoke(t.Context(), "token", "")
		for name, err := range map[string]error{"refresh": refreshed, "revoke": revoked} {
			if _, ended := errors.AsType[*authclient.EndedError](err); ended || !errors.Is(err, authclient.ErrUnavailable) {
				t.Errorf("%s, status %d: error %v, want ErrUnavailable and the session not ended", name, status, err)
			}
		}
	}
}

func TestNoErrorHoldsTheIDOfASession(t *testing.T) {
	away := httptest.NewServer(http.NotFoundHandler())
	away.Close()
	c, err := authclient.New(away.URL, noAssertion{}, authclient.Transport(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]func() ([]byte, error){
		"Form":        func() ([]byte, error) { return c.Form(t.Context(), "Bearer x", "planted-id") },
		"ClaimForm":   func() ([]byte, error) { return c.ClaimForm(t.Context(), "Bearer x", "planted-id", "claim") },
		"SettleForm":  func() ([]byte, error) { return nil, c.SettleForm(t.Context(), "Bearer x", "planted-id", "claim", true) },
		"DiscardForm": func() ([]byte, error) { return nil, c.DiscardForm(t.Context(), "Bearer x", "planted-id") },
	} {
		if _, err := call(); !errors.Is(err, authclient.ErrUnavailable) || strings.Contains(err.Error(), "planted-id") {
			t.Errorf("%s: error %v, want ErrUnavailable without the session id", name, err)
		}
	}
}

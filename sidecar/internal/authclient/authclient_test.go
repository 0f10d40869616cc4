package authclient_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"lilypad.example/sidecar/internal/authclient"
)

type noAssertion struct{}

func (noAssertion) Assertion() (string, error) { return "assertion", nil }

// TestT90_AConnectionThatClosedIsNoFailure: an auth service that ends closes a
// connection that a call is on its way on. What may be made twice is, on
// another connection; a login, which would begin a second session, is not.
func TestT90_AConnectionThatClosedIsNoFailure(t *testing.T) {
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if len(r.Header.Values("Idempotency-Key")) > 0 {
			t.Error("the mark was sent")
		}
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
	c, err := authclient.New(server.URL, noAssertion{}, authclient.Transport(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]func() error{
		"refresh": func() error { _, err := c.Refresh(t.Context(), "token", authclient.Presenter{}); return err },
		"revoke":  func() error { return c.Revoke(t.Context(), "token") },
		"confirm": func() error { return c.Confirm(t.Context(), []string{"token"}) },
	} {
		for range 3 { // the second finds its connection closed
			if err := call(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if err := c.Confirm(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if calls.Load()%2 == 0 {
		t.Fatal("the next call would not be the one that fails")
	}
	if _, err := c.Login(t.Context(), "a@b.c", "password", authclient.Presenter{}); !errors.Is(err, authclient.ErrUnavailable) {
		t.Errorf("login: %v", err)
	}
}

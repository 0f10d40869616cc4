package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"lilypad.example/services/auth/internal/clientauth"
	"lilypad.example/services/auth/internal/httpapi"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/pkg/authn"
)

// lines is a log that is safe for concurrent use.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// await waits for the access log line of route and returns its status and the whole log.
func (l *lines) await(t *testing.T, route string) (status int, log string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		log = l.String()
		for text := range strings.Lines(log) {
			var line struct {
				Msg, Route string
				Status     int
			}
			if err := json.Unmarshal([]byte(text), &line); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			if line.Msg == "request" && line.Route == route {
				return line.Status, log
			}
		}
		select {
		case <-ctx.Done():
			t.Fatalf("no access log line for route %s in %s", route, log)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestNoSessionIDOfAURLIsLogged(t *testing.T) {
	log := &lines{}
	verifier := authn.NewVerifier(t.Context(), authn.Config{JWKSURL: "http://127.0.0.1:9/", Issuer: "http://auth.test", Audience: "auth"})
	h := (&httpapi.API{Verifier: verifier, Log: slog.New(slog.NewJSONHandler(log, nil))}).Handler()
	sid := string(session.NewFamilyID())
	for target, want := range map[string]string{
		"DELETE /v1/sessions/" + sid:             "/v1/sessions/:sid",
		"GET /v1/forms/" + sid:                   "/v1/forms/:sid",
		"DELETE /v1/forms/" + sid:                "/v1/forms/:sid",
		"GET /v1/sessions?sid=" + sid:            "/v1/sessions",
		"POST /v1/forms/" + sid:                  "", // 405
		"DELETE /v1/sessions/" + sid + "/":       "", // 404
		"GET /v1/" + sid:                         "",
		"GET /v1/revocations/../sessions/" + sid: "",
	} {
		method, path, _ := strings.Cut(target, " ")
		before := len(log.String())
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), method, path, http.NoBody))
		text := log.String()[before:]
		if !strings.Contains(text, `"route":"`+want+`"`) || strings.Contains(text, sid) {
			t.Errorf("%s: want route %q and no session ID in %s", target, want, text)
		}
	}
}

// patientClients is a ClientAuthenticator that blocks until the caller disconnects.
type patientClients struct{ entered chan struct{} }

func (p patientClients) Authenticate(ctx context.Context, _, _ string) (string, error) {
	close(p.entered)
	<-ctx.Done()
	return "", fmt.Errorf("%w: %w", clientauth.ErrUnavailable, ctx.Err())
}

func (patientClients) Algorithms() []string { return nil }

func TestAClientThatLeavesIsNoError(t *testing.T) {
	log, clients := &lines{}, patientClients{make(chan struct{})}
	server := httptest.NewServer((&httpapi.API{Clients: clients, Log: slog.New(slog.NewJSONHandler(log, nil))}).Handler())
	defer server.Close()
	ctx, leave := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/v1/sessions", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer x")
	go func() {
		<-clients.entered
		leave()
	}()
	if _, err := server.Client().Do(r); err == nil {
		t.Fatal("request succeeded, want an error because the client disconnected")
	}
	status, text := log.await(t, "/v1/sessions")
	if status != 499 || strings.Contains(text, "ERROR") || strings.Contains(text, "WARN") {
		t.Errorf("status %d, want 499 and no warning or error in the log: %s", status, text)
	}
}

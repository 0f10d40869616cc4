package httpapi_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"lilypad.example/services/auth/internal/feed"
	"lilypad.example/services/auth/internal/httpapi"
	"lilypad.example/services/auth/internal/session"
)

// bounded runs the API on a server with short timeouts, sends text on a connection to it and
// returns the connection.
func bounded(t *testing.T, api *httpapi.API, text string) net.Conn {
	t.Helper()
	api.Log = slog.New(slog.DiscardHandler)
	server := httptest.NewUnstartedServer(api.Handler())
	server.Config.ReadTimeout, server.Config.WriteTimeout = 200*time.Millisecond, 400*time.Millisecond
	server.Start()
	t.Cleanup(server.Close)
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return conn
}

type anyClient struct{}

func (anyClient) Algorithms() []string { return nil }

func (anyClient) Authenticate(context.Context, string, string) (string, error) { return "app", nil }

func TestASlowBodyIs408(t *testing.T) {
	for path, media := range map[string]string{
		"/v1/sessions": "application/json", "/v1/forms": "application/json",
		"/oauth2/token": "application/x-www-form-urlencoded", "/oauth2/revoke": "application/x-www-form-urlencoded",
	} {
		conn := bounded(t, &httpapi.API{Passwords: true, Registration: true, Clients: anyClient{}},
			fmt.Sprintf("POST %s HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x\r\nContent-Type: %s\r\nContent-Length: 100\r\n\r\n{", path, media))
		answer, err := io.ReadAll(conn)
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 408 ") || !strings.Contains(string(answer), `"code":"too_slow"`) {
			t.Errorf("%s: error %v, response %s; want 408 and a closed connection", path, err, answer)
		}
	}
}

// quiet is a feed.Source that works and has no entries.
type quiet struct{}

func (quiet) Read(ctx context.Context, _ string) ([]session.Entry, error) {
	select {
	case <-ctx.Done():
	case <-time.After(100 * time.Millisecond):
	}
	return nil, ctx.Err()
}

func TestTheRevocationFeedLivesLongerThanARequestMayTake(t *testing.T) {
	f := feed.New(quiet{}, time.Hour)
	go f.Run(t.Context(), func(error) {})
	conn := bounded(t, &httpapi.API{Feed: f}, "GET /v1/revocations HTTP/1.1\r\nHost: a\r\n\r\n")
	beats := 0
	for lines := bufio.NewScanner(conn); beats < 4; {
		if !lines.Scan() {
			t.Fatalf("the feed ended after %d beats, want 4: %v", beats, lines.Err())
		}
		if lines.Text() == ": beat" {
			beats++
		}
	}
}

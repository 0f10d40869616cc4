package app_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"lilypad.example/sidecar/internal/app"
)

// A sidecar that is told to stop becomes unready first, and serves all requests of clients that
// have not noticed yet.
func TestNothingIsLostWhenItEnds(t *testing.T) {
	w := newWorld(t, func(c *app.Config) { c.ShutdownDelay = 3 * time.Second })
	const request = "GET /public HTTP/1.1\r\nHost: a\r\n\r\n"
	send := func(nc net.Conn, text string) *http.Response {
		t.Helper()
		if _, err := io.WriteString(nc, text); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(bufio.NewReader(nc), nil)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("response %+v, error %v, want status 200", res, err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		return res
	}
	kept, half := w.dial(), w.dial()
	send(kept, request)
	if _, err := io.WriteString(half, request[:10]); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.stop()
	}()
	eventually(t, "log line about the shutdown", func() bool { return strings.Contains(w.logs.String(), `"msg":"ending"`) })
	if res := w.begin(w.ops + "/readyz"); res.StatusCode == http.StatusOK {
		t.Error("/readyz is 200 during the shutdown")
	}
	for name, nc := range map[string]net.Conn{"a connection from before": kept, "a new one": w.dial()} {
		if send(nc, request).Close {
			t.Errorf("%s is closed during the delay", name)
		}
	}
	eventually(t, "response that closes its connection", func() bool {
		nc := w.dial()
		defer func() { _ = nc.Close() }()
		return send(nc, request).Close
	})
	if !send(kept, request).Close {
		t.Error("the connection from before stays open after the delay")
	}
	if !send(half, request[10:]).Close {
		t.Error("the connection with half a request stays open after the delay")
	}
	<-ended
	if nc, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://")); err == nil {
		_ = nc.Close()
		t.Error("the sidecar still accepts connections after it has stopped")
	}
}

package httpserver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"lilypad.example/services/pkg/httpmw"
)

// bound is the read timeout in these tests. The write timeout is three times as long.
const bound = 300 * time.Millisecond

// patience is how long a test waits before it fails.
const patience = time.Minute

// serve runs a server of h until the test ends, and returns its address.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	s, err := listen("test", "127.0.0.1:0", h, log, timeouts{read: bound, write: 3 * bound})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, log, patience, s) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return s.Addr().String()
}

// dial opens a connection and sends text.
func dial(t *testing.T, addr, text string) net.Conn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return conn
}

// readBody reads the request's body, as most handlers do.
func readBody(w http.ResponseWriter, r *http.Request) {
	if _, err := io.ReadAll(r.Body); err != nil {
		if p := httpmw.Unread(err); p != nil {
			http.Error(w, p.Error(), http.StatusRequestTimeout)
			return
		}
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

// ignoreBody refuses the request without reading its body.
func ignoreBody(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }

func TestASlowRequestIsCut(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		handler http.HandlerFunc
		text    string
		want    string // how the response begins
	}{
		"half a head":                   {readBody, "POST / HTTP/1.1\r\nHost: a\r\n", ""},
		"no body":                       {readBody, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n", "HTTP/1.1 408 "},
		"half a body":                   {readBody, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345", "HTTP/1.1 408 "},
		"a chunk and no end":            {readBody, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n", "HTTP/1.1 408 "},
		"a body that was asked for":     {readBody, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n", "HTTP/1.1 100 "},
		"half a body that nobody reads": {ignoreBody, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345", "HTTP/1.1 401 "},
		"a second request":              {readBody, "GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345", "HTTP/1.1 200 "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := dial(t, serve(t, tt.handler), tt.text)
			answer, err := io.ReadAll(conn) // returns when the server closes the connection
			if err != nil {
				t.Fatalf("the connection is still open after %v: %v", patience, err)
			}
			if !strings.HasPrefix(string(answer), tt.want) {
				t.Errorf("response %q, want one that begins with %q", answer, tt.want)
			}
		})
	}
}

func TestABodyThatDripsIsCut(t *testing.T) {
	conn := dial(t, serve(t, http.HandlerFunc(readBody)), "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
	drip := time.NewTicker(bound / 10)
	defer drip.Stop()
	for range drip.C {
		_, err := io.WriteString(conn, "x")
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the connection still accepts bytes after %v", patience)
		}
		if err != nil {
			return
		}
	}
}

func TestWhoDoesNotReadTheAnswerIsCut(t *testing.T) {
	cut := make(chan error, 1)
	addr := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for piece := make([]byte, 1<<20); ; {
			if _, err := w.Write(piece); err != nil {
				cut <- err
				return
			}
		}
	}))
	dial(t, addr, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	select {
	case <-cut:
	case <-time.After(patience):
		t.Errorf("the response is still being written after %v", patience)
	}
}

// TestAStreamLivesLongerThanTheBounds has a handler that sets its own write deadlines, as those of
// server-sent events do.
func TestAStreamLivesLongerThanTheBounds(t *testing.T) {
	const pieces = 12
	left := make(chan error, 1)
	addr := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		rc := http.NewResponseController(w)
		tick := time.NewTicker(bound / 2)
		defer tick.Stop()
		for i := range pieces {
			select {
			case <-r.Context().Done():
				left <- fmt.Errorf("after %d pieces: %w", i, r.Context().Err())
				return
			case <-tick.C:
			}
			if err := rc.SetWriteDeadline(time.Now().Add(patience)); err != nil {
				left <- err
				return
			}
			_, _ = fmt.Fprintf(w, "piece %d\n", i)
			if err := rc.Flush(); err != nil {
				left <- err
				return
			}
		}
		left <- nil
		<-r.Context().Done() // the handler must notice that the client leaves
	}))
	for name, request := range map[string]string{
		"without a body": "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"with a body":    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
	} {
		conn := dial(t, addr, request)
		if err := <-left; err != nil {
			t.Errorf("%s: the stream ended: %v", name, err)
		}
		seen := 0
		for lines := bufio.NewScanner(conn); seen < pieces && lines.Scan(); {
			if strings.HasPrefix(lines.Text(), "piece ") {
				seen++
			}
		}
		if seen != pieces {
			t.Errorf("%s: %d pieces, want %d", name, seen, pieces)
		}
		_ = conn.Close()
	}
}

func TestAProfileTakesLongerThanTheBounds(t *testing.T) {
	addr := serve(t, Ops(t.Context(), nil, NewRegistry()))
	conn := dial(t, addr, "GET /debug/pprof/trace?seconds=1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200 ") || !strings.HasSuffix(string(answer), "\r\n0\r\n\r\n") {
		t.Errorf("response of %d bytes, error %v, want a complete trace", len(answer), err)
	}
}

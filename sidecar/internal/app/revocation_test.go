package app_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"lilypad.example/sidecar/internal/cookie"
)

// events makes the application respond with an endless event stream.
func (w *world) events() {
	w.app = func(rw http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/events" {
			return false
		}
		rw.Header().Set("Content-Type", "text/event-stream")
		for {
			if _, err := io.WriteString(rw, "data: tick\n\n"); err != nil {
				return true
			}
			_ = http.NewResponseController(rw).Flush()
			select {
			case <-r.Context().Done():
				return true
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
}

func (w *world) open(path, c string) *http.Response {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.url+path, http.NoBody)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Cookie", c)
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = res.Body.Close() })
	if line, err := bufio.NewReader(res.Body).ReadString('\n'); err != nil || line != "data: tick\n" {
		w.t.Fatalf("first line %q, error %v, want data: tick", line, err)
	}
	return res
}

func sid(c string) string { return strings.Split(strings.TrimPrefix(c, cookie.Name+"="), ".")[2] }

func TestARevokedSessionIsOverHereAndItsStreamsEnd(t *testing.T) {
	w := newWorld(t)
	w.events()
	mine, other := w.login(), w.login()
	ending, staying := w.open("/events", mine), w.open("/events", other)
	stranger := w.open("/events", "theme=dark")
	w.auth.ended <- sid(mine)
	if _, err := io.Copy(io.Discard, ending.Body); err == nil {
		t.Error("the stream ended like a complete response, want an error")
	}
	// The stream ends after the feed reported the end of the session, so there is nothing to wait
	// for.
	if r := w.get("/account", "Cookie", mine); r.status != http.StatusUnauthorized {
		t.Errorf("the ended session: status %d, want 401", r.status)
	} else if value, set := r.setCookie(t); !set || value != "" {
		t.Errorf("fields %v, want the cookie cleared", r.header)
	}
	for name, res := range map[string]*http.Response{"another session's": staying, "a stranger's": stranger} {
		if _, err := io.ReadFull(res.Body, make([]byte, 100)); err != nil {
			t.Errorf("%s stream: error %v, want it to go on", name, err)
		}
	}
	if r := w.get("/account", "Cookie", other); r.status != http.StatusOK {
		t.Errorf("another session: status %d, want 200", r.status)
	}
}

func TestAWebSocketEndsWithItsSession(t *testing.T) {
	w := newWorld(t)
	w.app = func(rw http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Upgrade") != "websocket" {
			return false
		}
		conn, rest, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			t.Error(err)
			return true
		}
		defer func() { _ = conn.Close() }()
		_, _ = conn.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"))
		_, _ = io.Copy(conn, rest) // an echo
		return true
	}
	c := w.login()
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	host := strings.TrimPrefix(w.url, "http://")
	if _, err := io.WriteString(conn, "GET /socket HTTP/1.1\r\nHost: "+host+"\r\nOrigin: https://"+host+"\r\nCookie: "+c+
		"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("response %v, error %v, want status 101", res, err)
	}
	if _, err := io.WriteString(conn, "ping\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := in.ReadString('\n'); err != nil || line != "ping\n" {
		t.Fatalf("echo %q, error %v, want ping", line, err)
	}
	w.auth.ended <- sid(c)
	if rest, err := io.ReadAll(in); len(rest) != 0 {
		t.Errorf("%q after the session ended, error %v, want nothing", rest, err)
	}
}

// Soon after a revocation nothing more reaches the browser, whatever is in progress and however
// slow the peers are. The application continues for long and would send "second".
func TestNoAnswerOutlivesItsSession(t *testing.T) {
	w := newWorld(t)
	first := make(chan struct{})
	w.app = func(rw http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/slow/") {
			return false
		}
		rc := http.NewResponseController(rw)
		_ = rc.EnableFullDuplex()
		begin := func(text string) {
			_, _ = io.WriteString(rw, text)
			_ = rc.Flush()
		}
		switch strings.TrimPrefix(r.URL.Path, "/slow/") {
		case "short":
			rw.Header().Set("Content-Length", "11")
			begin("first")
		case "long":
			rw.Header().Set("Content-Length", "10000000")
			begin("first")
		case "much":
			first <- struct{}{}
			rw.Header().Set("Content-Length", "50000006")
			begin(strings.Repeat("x", 50_000_000))
			_, _ = io.WriteString(rw, "second")
			return true
		case "chunked":
			begin("first")
		case "closing":
			conn, _, err := rc.Hijack()
			if err != nil {
				t.Error(err)
				return true
			}
			defer func() { _ = conn.Close() }()
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\nfirst")
			first <- struct{}{}
			_, _ = io.Copy(io.Discard, conn) // until the sidecar closes it
			return true
		case "waiting":
		}
		first <- struct{}{}
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-r.Context().Done():
		case <-time.After(5 * time.Second):
			_, _ = io.WriteString(rw, "second")
		}
		return true
	}
	for name, request := range map[string]string{
		"an answer of known length":         "GET /slow/short HTTP/1.1\r\n",
		"a long answer of known length":     "GET /slow/long HTTP/1.1\r\n",
		"an answer in chunks":               "GET /slow/chunked HTTP/1.1\r\n",
		"an answer that ends by closing":    "GET /slow/closing HTTP/1.0\r\n",
		"an answer to HTTP/1.0":             "GET /slow/chunked HTTP/1.0\r\n",
		"an answer that has not begun":      "GET /slow/waiting HTTP/1.1\r\n",
		"an answer that is read slowly":     "GET /slow/much HTTP/1.1\r\n",
		"an answer to what was sent":        "POST /slow/short HTTP/1.1\r\nContent-Length: 3\r\n",
		"one to an upload":                  "POST /slow/waiting HTTP/1.1\r\nContent-Length: 1000000\r\n",
		"one to an upload in chunks":        "POST /slow/waiting HTTP/1.1\r\nTransfer-Encoding: chunked\r\n",
		"one that is faster than an upload": "POST /slow/short HTTP/1.1\r\nContent-Length: 1000000\r\n",
	} {
		c := w.login()
		nc := w.dial()
		if _, err := io.WriteString(nc, request+"Host: a\r\nSec-Fetch-Site: same-origin\r\nCookie: "+c+"\r\n\r\n4\r\n"); err != nil {
			t.Fatal(err)
		}
		select {
		case <-first:
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: the application got no request", name)
		}
		w.auth.ended <- sid(c)
		if got := readAll(nc); strings.Contains(got, "second") || strings.HasSuffix(got, "0\r\n\r\n") {
			t.Errorf("%s: got the complete response of %d bytes", name, len(got))
		}
	}
}

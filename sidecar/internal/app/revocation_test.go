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

// events makes the application answer with an event stream that goes on for ever.
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
		w.t.Fatalf("%q, %v", line, err)
	}
	return res
}

func sid(c string) string { return strings.Split(strings.TrimPrefix(c, cookie.Name+"="), ".")[2] }

func TestR9_ARevokedSessionIsOverHereAndItsStreamsEnd(t *testing.T) {
	w := newWorld(t)
	w.events()
	mine, other := w.login(), w.login()
	ending, staying := w.open("/events", mine), w.open("/events", other)
	stranger := w.open("/events", "theme=dark")
	w.auth.ended <- sid(mine)
	if _, err := io.Copy(io.Discard, ending.Body); err == nil {
		t.Error("the stream ended as if it were whole")
	}
	// The feed told of it before the stream ended, so nothing needs to be awaited.
	if r := w.get("/account", "Cookie", mine); r.status != http.StatusUnauthorized {
		t.Errorf("the session: %d", r.status)
	} else if value, set := r.setCookie(t); !set || value != "" {
		t.Errorf("not cleared: %v", r.header)
	}
	for name, res := range map[string]*http.Response{"another session's": staying, "a stranger's": stranger} {
		if _, err := io.ReadFull(res.Body, make([]byte, 100)); err != nil {
			t.Errorf("%s stream: %v", name, err)
		}
	}
	if r := w.get("/account", "Cookie", other); r.status != http.StatusOK {
		t.Errorf("another session: %d", r.status)
	}
}

func TestT41_AWebSocketEndsWithItsSession(t *testing.T) {
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
		t.Fatalf("%v, %v", res, err)
	}
	if _, err := io.WriteString(conn, "ping\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := in.ReadString('\n'); err != nil || line != "ping\n" {
		t.Fatalf("%q, %v", line, err)
	}
	w.auth.ended <- sid(c)
	if rest, err := io.ReadAll(in); len(rest) != 0 {
		t.Errorf("%q, %v", rest, err)
	}
}

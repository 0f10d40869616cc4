package app_test

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"lilypad.example/sidecar/internal/app"
)

// raw sends text on a new connection and returns the response to a request with the given method.
func (w *world) raw(method, text string) (*http.Response, string) {
	w.t.Helper()
	nc := w.dial()
	if _, err := io.WriteString(nc, text); err != nil {
		w.t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(nc), &http.Request{Method: method})
	if err != nil {
		w.t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return res, string(body)
}

func (w *world) dial() net.Conn {
	w.t.Helper()
	nc, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(30 * time.Second))
	return nc
}

func TestTheLimitsAreSettings(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *app.Config) {
		c.MaxHeaderBytes, c.MaxHeaders, c.MaxBody = 2000, 10, 1000
		c.ReadHeaderTimeout, c.ReadBodyTimeout = 100*time.Millisecond, 100*time.Millisecond
	})
	get := "GET /public HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
	post := "POST /public HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\n"
	for name, c := range map[string]struct {
		text, method string
		status       int
	}{
		"header as large as may be":     {get + "X: " + strings.Repeat("a", 1900) + "\r\n\r\n", "GET", 200},
		"header too large":              {get + "X: " + strings.Repeat("a", 2000) + "\r\n\r\n", "GET", 431},
		"as many fields as may be":      {get + strings.Repeat("X: y\r\n", 8) + "\r\n", "GET", 200},
		"too many fields":               {get + strings.Repeat("X: y\r\n", 9) + "\r\n", "GET", 431},
		"header without end":            {get, "GET", 408},
		"body as large as may be":       {post + "Connection: close\r\nContent-Length: 1000\r\n\r\n" + strings.Repeat("x", 1000), "POST", 200},
		"body announced too large":      {post + "Content-Length: 1001\r\n\r\n", "POST", 413},
		"body that asks to be sent":     {post + "Expect: 100-continue\r\nContent-Length: 1001\r\n\r\n", "POST", 413},
		"body that becomes too large":   {post + "Transfer-Encoding: chunked\r\n\r\n3e9\r\n" + strings.Repeat("x", 1001) + "\r\n0\r\n\r\n", "POST", 413},
		"body without end":              {post + "Content-Length: 1000\r\n\r\nx", "POST", 408},
		"body without end, in chunks":   {post + "Transfer-Encoding: chunked\r\n\r\n5\r\nhe", "POST", 408},
		"body without end, at a stray":  {"POST /account HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nx", "POST", 401},
		"body without end, at our door": {"POST /auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\nx", "POST", 408},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			res, body := w.raw(c.method, c.text)
			if res.StatusCode != c.status || !res.Close {
				t.Errorf("status %d, fields %v, body %s; want %d and the connection closed", res.StatusCode, res.Header, body, c.status)
			}
			if c.status >= 400 && !strings.Contains(body, "<html") && !strings.HasPrefix(res.Header.Get("Content-Type"), "application/problem+json") {
				t.Errorf("want an HTML page or a problem document, got fields %v, body %s", res.Header, body)
			}
		})
	}
}

// A body is streamed and never buffered: its first half arrives before the second is sent.
func TestBodiesOfAnySizePassWhenTheLimitIsOff(t *testing.T) {
	w := newWorld(t, func(c *app.Config) { c.MaxBody = 0 })
	arrived := make(chan string)
	w.app = func(rw http.ResponseWriter, r *http.Request) bool {
		half := make([]byte, 5)
		_, _ = io.ReadFull(r.Body, half)
		arrived <- string(half)
		rest, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(rw, "%s%s", half, rest)
		return true
	}
	nc := w.dial()
	_, _ = io.WriteString(nc, "POST /public HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")
	if got := <-arrived; got != "hello" {
		t.Errorf("%q arrived, want the first half", got)
	}
	_, _ = io.WriteString(nc, "frogs")
	res, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(res.Body); string(body) != "hellofrogs" || err != nil {
		t.Errorf("body %q, error %v, want hellofrogs", body, err)
	}
}

// Connections above the limit get 503; health checks still work.
func TestOverloadShedsAndHealthStaysUp(t *testing.T) {
	w := newWorld(t, func(c *app.Config) { c.MaxConnections = 3 })
	var held []net.Conn
	for range 3 { // each has got a response, so it counts
		nc := w.dial()
		_, _ = io.WriteString(nc, "GET /public HTTP/1.1\r\nHost: a\r\n\r\n")
		if res, err := http.ReadResponse(bufio.NewReader(nc), nil); err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("response %+v, error %v, want status 200", res, err)
		}
		held = append(held, nc)
	}
	for range 5 {
		res, _ := w.raw("GET", "GET /public HTTP/1.1\r\nHost: a\r\n\r\n")
		if res.StatusCode != http.StatusServiceUnavailable || !res.Close || res.Header.Get("Retry-After") == "" {
			t.Errorf("connection above the limit: status %d, fields %v, want 503 with Retry-After and the connection closed", res.StatusCode, res.Header)
		}
	}
	ops := regexp.MustCompile(`"server":"ops","address":"([^"]+)"`).FindStringSubmatch(w.logs.String())
	for _, path := range []string{"/livez", "/readyz"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+ops[1]+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultTransport.RoundTrip(r)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s: response %+v, error %v, want status 200", path, res, err)
		}
		_ = res.Body.Close()
	}
	_ = held[0].Close()
	for end := time.Now().Add(30 * time.Second); ; {
		if res, _ := w.raw("GET", "GET /public HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); res.StatusCode == http.StatusOK {
			break
		} else if time.Now().After(end) {
			t.Fatalf("status %d after a connection has closed, want 200", res.StatusCode)
		}
	}
}

// Far more slow anonymous clients than fit into memory, slow in every possible way, do not affect
// signed-in users.
func TestSlowStrangersDoNotKeepOutWhoIsSignedIn(t *testing.T) {
	w := newWorld(t, func(c *app.Config) { c.ClientMemory, c.MaxConnections = 1<<20, 10_000 })
	cookie := w.login()
	cookieName, _, _ := strings.Cut(cookie, "=")
	large := strings.Repeat("y", 40_000)
	hold := make(chan struct{})
	defer close(hold)
	w.app = func(rw http.ResponseWriter, r *http.Request) bool {
		switch r.URL.Path {
		case "/hang":
			rw.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(rw).Flush()
			select {
			case <-hold:
			case <-r.Context().Done():
			}
		case "/large":
			_, _ = io.WriteString(rw, strings.Repeat(large, 25))
		default:
			return false
		}
		return true
	}
	for name, text := range map[string]string{
		"heads":           "GET / HTTP/1.1\r\nHost: a\r\nX: " + large[:31_000],
		"bodies":          "POST /public HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + large,
		"chunks":          "POST /other HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n" + large,
		"logins":          "POST /auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 16000\r\n\r\n" + large[:15_000],
		"silence":         "",
		"streams":         "GET /hang HTTP/1.1\r\nHost: a\r\n\r\n",
		"unread answers":  "GET /large HTTP/1.1\r\nHost: a\r\n\r\n",
		"forms":           "POST /account HTTP/1.1\r\nHost: a\r\nContent-Type: " + form + "\r\nContent-Length: 60000\r\n\r\n" + large,
		"unknown cookies": "GET /account HTTP/1.1\r\nHost: a\r\nCookie: " + cookieName + "=v1.k1.NUMBER.7." + strings.Repeat("m", 43) + "\r\n\r\n",
	} {
		var crowd []net.Conn
		for i := range 160 {
			nc := w.dial()
			crowd = append(crowd, nc)
			_, _ = io.WriteString(nc, strings.Replace(text, "NUMBER", fmt.Sprintf("%022d", i), 1)) // may fail if the sidecar rejects it
			if i%20 == 19 {
				for path, want := range map[string]int{"/account": 200, "/public": 200, "/auth/session": 200} {
					if res, body := w.raw("GET", "GET "+path+" HTTP/1.1\r\nHost: a\r\nCookie: "+cookie+"\r\nConnection: close\r\n\r\n"); res.StatusCode != want {
						t.Fatalf("%s: next to %d slow clients, %s: status %d, want %d: %s", name, i+1, path, res.StatusCode, want, body)
					}
				}
			}
		}
		for _, nc := range crowd {
			_ = nc.Close()
		}
	}
	if res, _ := w.raw("GET", "GET /other HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); res.StatusCode != http.StatusOK {
		t.Errorf("anonymous request afterwards: status %d, want 200", res.StatusCode)
	}
}

// One user exhausts their share with requests that wait for their client or for the application.
// Other users are not affected.
func TestOneUserDoesNotKeepTheOthersOut(t *testing.T) {
	for name, c := range map[string]struct {
		request string
		hangs   bool
	}{
		"bodies that never end":         {"POST /public HTTP/1.1\r\nContent-Length: 60000\r\n", false},
		"bodies of a protected route":   {"POST /account HTTP/1.1\r\nContent-Length: 60000\r\n", false},
		"an application that is slow":   {"GET /hang HTTP/1.1\r\n", true},
		"a slow one on protected route": {"GET /account/hang HTTP/1.1\r\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(c *app.Config) { c.ClientMemory, c.MaxConnections = 8<<20, 10_000 })
			greedy, other := w.login(), w.login()
			hold := make(chan struct{})
			defer close(hold)
			w.app = func(_ http.ResponseWriter, r *http.Request) bool {
				if strings.HasSuffix(r.URL.Path, "/hang") {
					select {
					case <-hold:
					case <-r.Context().Done():
					}
				}
				return false
			}
			for i := range 600 { // twice the available room
				nc := w.dial()
				_, _ = io.WriteString(nc, c.request+"Host: a\r\nSec-Fetch-Site: same-origin\r\nCookie: "+greedy+"\r\n\r\n")
				if !c.hangs {
					_, _ = io.WriteString(nc, "x")
				}
				if i%100 < 99 {
					continue
				}
				for _, path := range []string{"/account", "/public"} {
					if res, body := w.raw("GET", "GET "+path+" HTTP/1.1\r\nHost: a\r\nCookie: "+other+"\r\nConnection: close\r\n\r\n"); res.StatusCode != http.StatusOK {
						t.Fatalf("next to %d requests of one user, %s for another user: status %d, want 200: %s", i+1, path, res.StatusCode, body)
					}
				}
			}
		})
	}
}

// A session whose token needs a refresh still works while anonymous requests use up their share.
func TestStrangersDoNotKeepARefreshOut(t *testing.T) {
	w := newWorld(t, func(c *app.Config) { c.ClientMemory = 1 << 20 })
	w.auth.set(func(a *auth) { a.life, a.rotate = 1, false })
	cookie := w.login()
	hold := make(chan struct{})
	defer close(hold)
	arrived := make(chan struct{}, 100)
	w.app = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/public" {
			return false
		}
		arrived <- struct{}{}
		<-hold
		return true
	}
	const room = 15 // for anonymous requests
	for range room {
		nc := w.dial()
		_, _ = io.WriteString(nc, "GET /public HTTP/1.1\r\nHost: a\r\nX: "+strings.Repeat("y", 10_000)+"\r\n\r\n")
	}
	for range room {
		<-arrived
	}
	if res, body := w.raw("GET", "GET /public HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); res.StatusCode != http.StatusServiceUnavailable {
		t.Fatalf("anonymous request above the limit: status %d, want 503: %s", res.StatusCode, body)
	}
	for before := w.auth.count(); w.auth.count() < before+2; { // until the token was refreshed twice
		if res, body := w.raw("GET", "GET /account HTTP/1.1\r\nHost: a\r\nCookie: "+cookie+"\r\nConnection: close\r\n\r\n"); res.StatusCode != http.StatusOK {
			t.Fatalf("signed-in request: status %d, want 200: %s", res.StatusCode, body)
		}
	}
}

func TestClientsMayTakeHalfOfTheMemory(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	for name, c := range map[string]struct {
		limit  int64 // of the process
		set    int64
		want   string
		keepTo int64 // expected memory limit of the garbage collector
	}{
		"half":            {1 << 30, 0, "5.36870912e+08", 896 << 20},
		"what is set":     {1 << 30, 1 << 20, "1.048576e+06", 896 << 20},
		"what is set too": {math.MaxInt64, 1 << 20, "1.048576e+06", -1},
	} {
		debug.SetMemoryLimit(c.limit)
		w := newWorld(t, func(config *app.Config) {
			config.ClientMemory = c.set
			config.LimitMemory()
		})
		if metrics := w.metrics(); !strings.Contains(metrics, "\nclient_memory_limit_bytes "+c.want+"\n") {
			t.Errorf("%s: want client_memory_limit_bytes %s in\n%s", name, c.want, metrics)
		}
		if got := debug.SetMemoryLimit(-1); c.keepTo >= 0 && got != c.keepTo {
			t.Errorf("%s: memory limit of the garbage collector is %d, want %d", name, got, c.keepTo)
		}
	}
}

func TestWrongLimitsAreAllNamed(t *testing.T) {
	c := app.Config{Limits: app.Limits{
		MaxHeaderBytes: 32<<10 + 1, MaxBody: -1, MinBodyRate: -1, ClientMemory: -1, MaxConnectionsPerAddress: -1, MaxUpstreamRequests: -1, MaxBodyTime: -1,
	}}
	said := fmt.Sprint(c.Check())
	for _, setting := range []string{
		"CLIENT_MEMORY", "MAX_CONNECTIONS_PER_ADDRESS", "MAX_UPSTREAM_REQUESTS", "MAX_BODY_TIME", "MAX_CONNECTIONS", "MAX_HEADER_BYTES", "MAX_HEADERS", "MAX_BODY", "MIN_BODY_RATE",
		"READ_HEADER_TIMEOUT", "READ_BODY_TIMEOUT", "WRITE_TIMEOUT", "IDLE_TIMEOUT",
	} {
		if strings.Count(said, "LILYPAD_"+setting+":") != 1 {
			t.Errorf("want %s named once in:\n%s", setting, said)
		}
	}
}

// readAll returns everything until the connection is closed or fails.
func readAll(nc net.Conn) string {
	all, _ := io.ReadAll(nc)
	return string(all)
}

package forward_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lilypad.example/services/pkg/tlstest"
	"lilypad.example/sidecar/internal/forward"
	"lilypad.example/sidecar/internal/http1"
)

func TestParseEndpoint(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]forward.Endpoint{
		"http://127.0.0.1:8081":    {Network: "tcp", Address: "127.0.0.1:8081"},
		"http://frogs":             {Network: "tcp", Address: "frogs:80"},
		"http://frogs:8080/":       {Network: "tcp", Address: "frogs:8080"},
		"http://[::1]:80":          {Network: "tcp", Address: "[::1]:80"},
		"https://frogs":            {Network: "tcp", Address: "frogs:443", Name: "frogs"},
		"HTTPS://frogs.test:8443/": {Network: "tcp", Address: "frogs.test:8443", Name: "frogs.test"},
		"https://[::1]":            {Network: "tcp", Address: "[::1]:443", Name: "::1"},
		"unix:/run/app.sock":       {Network: "unix", Address: "/run/app.sock"},
	} {
		if got, err := forward.ParseEndpoint(raw); got != want || err != nil {
			t.Errorf("ParseEndpoint(%s) = %+v, %v, want %+v", raw, got, err, want)
		}
	}
	for _, raw := range []string{
		"", "frogs:8080", "http://", "http://a@b", "http://a/b", "http://a?b", "http://a#b", "http://a b", "ftp://a", "http://a:b", "https://", "https://:443", "https://a/b",
		"unix:", "unix:app.sock", "unix://run/app.sock", "unix:/", "unix:/run/../app.sock", "unix:/run/", "unix:/" + strings.Repeat("a", 103), "unix:/a\x00b",
	} {
		if got, err := forward.ParseEndpoint(raw); err == nil {
			t.Errorf("ParseEndpoint(%q) = %+v, want an error", raw, got)
		}
	}
}

// secure is an upstream with TLS at 127.0.0.1.
type secure struct {
	endpoint forward.Endpoint
	roots    *x509.CertPool
	cert     tls.Certificate // of the server, and good for clients too
}

func newSecure(t *testing.T, h http.HandlerFunc, change ...func(*httptest.Server)) secure {
	t.Helper()
	ca := tlstest.NewCA(t)
	s := secure{roots: x509.NewCertPool()}
	text, err := os.ReadFile(ca.File)
	if err == nil && !s.roots.AppendCertsFromPEM(text) {
		t.Fatal("the authority's file has no certificate")
	}
	if err == nil {
		s.cert, err = tls.LoadX509KeyPair(ca.Issue(t, t.TempDir(), "127.0.0.1"))
	}
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(h)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{s.cert}, ClientCAs: s.roots}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	for _, f := range change {
		f(server)
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	s.endpoint = forward.Endpoint{Network: "tcp", Address: server.Listener.Addr().String(), Name: "127.0.0.1"}
	return s
}

// tls returns the client's side.
func (s secure) tls(change ...func(*tls.Config)) forward.TLS {
	cfg := &tls.Config{RootCAs: s.roots, MinVersion: tls.VersionTLS12}
	for _, f := range change {
		f(cfg)
	}
	return func() *tls.Config { return cfg }
}

func whoCalls(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	_, _ = fmt.Fprintf(w, "%s %s %s %d %q", r.Proto, r.TLS.NegotiatedProtocol, r.Host, len(r.TLS.PeerCertificates), body)
}

func TestAnUpstreamWithTLSIsVerified(t *testing.T) {
	t.Parallel()
	private := newSecure(t, whoCalls)
	other := newSecure(t, whoCalls)
	mutual := newSecure(t, whoCalls, func(s *httptest.Server) { s.TLS.ClientAuth = tls.RequireAndVerifyClientCert })
	newer := newSecure(t, whoCalls, func(s *httptest.Server) { s.EnableHTTP2 = true })
	elsewhere := private.endpoint
	elsewhere.Name = "frogs.test"
	ourCert := func(c *tls.Config) { c.Certificates = []tls.Certificate{mutual.cert} }
	const answer = `HTTP/1.1 http/1.1 app.example %d ""`
	for name, c := range map[string]struct {
		endpoint forward.Endpoint
		tls      forward.TLS
		body     string // "" if the connection is refused
	}{
		"its authority":             {private.endpoint, private.tls(), fmt.Sprintf(answer, 0)},
		"HTTP/2 is offered too":     {newer.endpoint, newer.tls(), `HTTP/1.1  app.example 0 ""`},
		"a client certificate":      {mutual.endpoint, mutual.tls(ourCert), fmt.Sprintf(answer, 1)},
		"another authority":         {private.endpoint, other.tls(), ""},
		"the system's authorities":  {private.endpoint, nil, ""},
		"another name":              {elsewhere, private.tls(), ""},
		"no client certificate":     {mutual.endpoint, mutual.tls(), ""},
		"plain HTTP where TLS is":   {forward.Endpoint{Network: "tcp", Address: private.endpoint.Address}, nil, ""},
		"a server without TLS":      {forward.Endpoint{Network: "tcp", Address: rawUpstream(t, func(p *peer) { p.write("HTTP/1.1 200 OK\r\n\r\n") }), Name: "127.0.0.1"}, private.tls(), ""},
		"a server of other version": {private.endpoint, private.tls(func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 }), fmt.Sprintf(answer, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProxy(t, "", setup{upstream: forward.UpstreamConfig{Endpoints: []forward.Endpoint{c.endpoint}, TLS: c.tls, DialTimeout: 5 * time.Second}})
			client := dial(t, p.addr)
			client.write(get("/"))
			switch a := client.answer("GET"); {
			case c.body == "" && name == "plain HTTP where TLS is":
				if a.StatusCode != 400 { // of the server
					t.Errorf("status %d, want 400", a.StatusCode)
				}
			case c.body == "" && a.StatusCode != 502:
				t.Errorf("status %d %q, want 502", a.StatusCode, a.body)
			case c.body != "" && a.body != c.body:
				t.Errorf("the upstream sees %q, want %q", a.body, c.body)
			}
		})
	}
}

func TestConnectionsWithTLSAreReused(t *testing.T) {
	t.Parallel()
	opened := newJournal[string]()
	up := newSecure(t, whoCalls, func(s *httptest.Server) {
		s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				opened.add("")
			}
		}
	})
	p := newProxy(t, "", setup{upstream: forward.UpstreamConfig{Endpoints: []forward.Endpoint{up.endpoint}, TLS: up.tls()}})
	client := dial(t, p.addr)
	for i := range 20 {
		client.write(get("/"))
		client.expect("GET", 200, `HTTP/1.1 http/1.1 app.example 0 ""`)
		await(t, func() bool { return p.up.Idle() == 1 })
		large := strings.Repeat("x", 100_000+i)
		client.write("POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: " + fmt.Sprint(len(large)) + "\r\n\r\n" + large)
		client.expect("POST", 200, fmt.Sprintf(`HTTP/1.1 http/1.1 app.example 0 %q`, large))
		await(t, func() bool { return p.up.Idle() == 1 })
	}
	if n := len(opened.all()); n != 1 {
		t.Errorf("40 requests took %d connections, want 1", n)
	}
}

// An answer that nobody asked for must not become the answer to the next request, even if the TLS
// layer has received it together with the one before.
func TestAnAnswerTooManyIsNotUsedWithTLS(t *testing.T) {
	t.Parallel()
	for name, apart := range map[string]bool{"in one record": false, "in a record of its own": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			up := newSecure(t, whoCalls)
			ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{up.cert}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = ln.Close() })
			go func() {
				for {
					nc, err := ln.Accept()
					if err != nil {
						return
					}
					go func() {
						defer nc.Close()
						r := bufio.NewReader(nc)
						for {
							if _, err := http.ReadRequest(r); err != nil {
								return
							}
							const honest, extra = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
							if apart {
								_, _ = io.WriteString(nc, honest)
								_, _ = io.WriteString(nc, extra)
							} else {
								_, _ = io.WriteString(nc, honest+extra)
							}
						}
					}()
				}
			}()
			end := forward.Endpoint{Network: "tcp", Address: ln.Addr().String(), Name: "127.0.0.1"}
			p := newProxy(t, "", setup{upstream: forward.UpstreamConfig{Endpoints: []forward.Endpoint{end}, TLS: up.tls()}})
			for range 20 {
				client := dial(t, p.addr)
				client.write(get("/"))
				client.expect("GET", 200, "good")
				await(t, func() bool { return p.up.Idle() == 0 || !p.up.FreshestIsQuiet() }) // the rest has arrived
			}
		})
	}
}

func TestAnUpstreamWithTLSUpgradesToWebSocket(t *testing.T) {
	t.Parallel()
	up := newSecure(t, func(w http.ResponseWriter, _ *http.Request) {
		nc, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer nc.Close()
		_, _ = io.WriteString(nc, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
		_, _ = io.Copy(nc, rw)
	})
	p := newProxy(t, "", setup{upstream: forward.UpstreamConfig{Endpoints: []forward.Endpoint{up.endpoint}, TLS: up.tls()}})
	client := dial(t, p.addr)
	client.write(get("/", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: x", "Sec-WebSocket-Version: 13"))
	if head := client.head(); !strings.HasPrefix(head, "HTTP/1.1 101 ") {
		t.Fatalf("answer %q, want 101", head)
	}
	client.write("ribbit")
	echo := make([]byte, 6)
	if _, err := io.ReadFull(client.r, echo); err != nil || string(echo) != "ribbit" {
		t.Errorf("read %q, %v, want ribbit", echo, err)
	}
}

func TestAnUpstreamListensAtASocket(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "app.sock")
	ln, err := net.Listen("unix", file)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Host) })}
	go func() { _ = s.Serve(ln) }()
	t.Cleanup(func() { _ = s.Close() })
	p := newProxy(t, "", setup{upstream: forward.UpstreamConfig{Endpoints: []forward.Endpoint{{Network: "unix", Address: file}}}})
	client := dial(t, p.addr)
	for range 3 {
		client.write(get("/"))
		client.expect("GET", 200, "app.example")
		await(t, func() bool { return p.up.Idle() == 1 })
	}
	_ = s.Close() // removes the socket
	client.write(get("/"))
	if a := client.answer("GET"); a.StatusCode != 502 {
		t.Errorf("without a socket: status %d, want 502", a.StatusCode)
	}
}

func named(t *testing.T, name string) (end forward.Endpoint, stop func()) {
	t.Helper()
	ln := listen(t)
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			<-r.Context().Done()
			return
		}
		_, _ = io.WriteString(w, name)
	})}
	go func() { _ = s.Serve(ln) }()
	stop = func() { _ = s.Close() }
	t.Cleanup(stop)
	return forward.Endpoint{Network: "tcp", Address: ln.Addr().String()}, stop
}

func TestSeveralEndpointsShareTheLoad(t *testing.T) {
	t.Parallel()
	var ends []forward.Endpoint
	var stops []func()
	for _, name := range []string{"a", "b", "c"} {
		end, stop := named(t, name)
		ends, stops = append(ends, end), append(stops, stop)
	}
	p := newProxy(t, "", setup{upstream: forward.UpstreamConfig{Endpoints: ends}})
	client := dial(t, p.addr)
	ask := func(n int) map[string]int {
		got := make(map[string]int)
		for range n {
			client.write(get("/"))
			a := client.answer("GET")
			if a.StatusCode != 200 {
				t.Fatalf("status %d, want 200", a.StatusCode)
			}
			got[a.body]++
		}
		return got
	}
	if got := ask(30); got["a"] != 10 || got["b"] != 10 || got["c"] != 10 {
		t.Errorf("30 requests were shared as %v, want 10 each", got)
	}
	stops[1]()
	if got := ask(30); got["b"] != 0 || got["a"] < 10 || got["c"] < 10 {
		t.Errorf("with b stopped: shared as %v, want a and c", got)
	}
	stops[0]()
	stops[2]()
	client.write(get("/"))
	if a := client.answer("GET"); a.StatusCode != 502 {
		t.Errorf("all stopped: status %d, want 502", a.StatusCode)
	}
}

func TestABusyEndpointGetsLess(t *testing.T) {
	t.Parallel()
	a, _ := named(t, "a")
	b, _ := named(t, "b")
	p := newProxy(t, "", setup{upstream: forward.UpstreamConfig{Endpoints: []forward.Endpoint{a, b}}, server: http1.Config{}})
	held := dial(t, p.addr)
	held.write(get("/hold"))
	await(t, func() bool { return p.up.Busy() == 1 })
	client := dial(t, p.addr)
	got := make(map[string]int)
	for range 10 {
		client.write(get("/"))
		got[client.answer("GET").body]++
	}
	if len(got) != 1 {
		t.Errorf("while one endpoint is busy, requests went to %v, want the other one", got)
	}
}

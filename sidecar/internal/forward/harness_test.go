package forward_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"lilypad.example/sidecar/internal/forward"
	"lilypad.example/sidecar/internal/http1"
)

const ourCookie = "__Host-Http-lilypad"

// patience limits every wait of these tests. It is reached only when a test fails.
const patience = 30 * time.Second

func listen(tb testing.TB) net.Listener {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = ln.Close() })
	return ln
}

// serve runs a server until the test ends, and checks that it can be shut down.
func serve(tb testing.TB, cfg http1.Config) (addr string) {
	tb.Helper()
	ln := listen(tb)
	s := http1.New(cfg)
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), patience)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			tb.Errorf("Shutdown = %v, want nil", err)
		}
		<-done
	})
	return ln.Addr().String()
}

// outcome is the result of one exchange.
type outcome struct {
	facts http1.Facts
	err   error
}

// proxy is the data path as the sidecar uses it, in front of one upstream.
type proxy struct {
	addr     string
	up       *forward.Upstream
	outcomes *journal[outcome]
	request  forward.RequestEdit
	response forward.ResponseEdit
}

type setup struct {
	forward  forward.Config
	upstream forward.UpstreamConfig
	server   http1.Config
	request  forward.RequestEdit
	response forward.ResponseEdit
	handler  func(*proxy, *http1.Exchange) error // default: (*proxy).forward
}

func newProxy(tb testing.TB, upstream string, s setup) *proxy {
	tb.Helper()
	s.forward.CookieNames = []string{ourCookie}
	if s.upstream.Endpoints == nil {
		s.upstream.Endpoints = []forward.Endpoint{{Network: "tcp", Address: upstream}}
	}
	p := &proxy{
		up:       forward.New(s.forward).Upstream(s.upstream),
		outcomes: newJournal[outcome](),
		request:  s.request,
		response: s.response,
	}
	if s.handler == nil {
		s.handler = (*proxy).forward
	}
	var mu sync.Mutex
	failures := make(map[*http1.Exchange]error)
	s.server.Handler = func(x *http1.Exchange) {
		err := s.handler(p, x)
		mu.Lock()
		failures[x] = err
		mu.Unlock()
	}
	s.server.Ended = func(x *http1.Exchange) {
		mu.Lock()
		err := failures[x]
		mu.Unlock()
		p.outcomes.add(outcome{x.Facts(), err})
	}
	p.addr = serve(tb, s.server)
	tb.Cleanup(p.up.Close)
	return p
}

func (p *proxy) forward(x *http1.Exchange) error {
	res, err := p.up.Send(x, p.request)
	if err != nil {
		if status := forward.Status(err); status > 0 {
			_ = x.RespondProblem(status, "no answer")
		}
		return err
	}
	return res.Relay(p.response)
}

// handlerUpstream is an upstream made of a net/http handler.
func handlerUpstream(tb testing.TB, h http.HandlerFunc) string {
	tb.Helper()
	ln := listen(tb)
	s := &http.Server{Handler: h}
	go func() { _ = s.Serve(ln) }()
	tb.Cleanup(func() { _ = s.Close() })
	return ln.Addr().String()
}

// rawUpstream is an upstream that sends raw bytes. It calls talk once per connection.
func rawUpstream(tb testing.TB, talk func(p *peer)) string {
	tb.Helper()
	ln := listen(tb)
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer nc.Close()
				_ = nc.SetDeadline(time.Now().Add(patience))
				talk(&peer{tb, nc.(*net.TCPConn), bufio.NewReader(nc)})
			}()
		}
	}()
	return ln.Addr().String()
}

// answering is a rawUpstream that sends the same answer to every request without a body.
func answering(tb testing.TB, text string) string {
	tb.Helper()
	return rawUpstream(tb, func(p *peer) {
		for p.head() != "" {
			p.write(text)
		}
	})
}

// peer is one end of a connection that sends raw bytes.
type peer struct {
	tb testing.TB
	nc *net.TCPConn
	r  *bufio.Reader
}

func dial(tb testing.TB, addr string) *peer {
	tb.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		tb.Fatal(err)
	}
	return dialed(tb, nc)
}

// write sends text. It ignores errors, which the other side detects.
func (p *peer) write(text string) { _, _ = io.WriteString(p.nc, text) }

// head reads up to an empty line, and returns "" at the end of the connection.
func (p *peer) head() string {
	var head strings.Builder
	for {
		line, err := p.r.ReadString('\n')
		if err != nil {
			return ""
		}
		head.WriteString(line)
		if line == "\r\n" {
			return head.String()
		}
	}
}

type answer struct {
	*http.Response
	body string
	err  error // of reading the body
}

// answer reads one answer to a request of the given method.
func (p *peer) answer(method string) answer {
	p.tb.Helper()
	res, err := http.ReadResponse(p.r, &http.Request{Method: method})
	if err != nil {
		p.tb.Fatalf("read answer: %v", err)
	}
	body, err := io.ReadAll(res.Body)
	return answer{res, string(body), err}
}

func (p *peer) expect(method string, status int, body string) answer {
	p.tb.Helper()
	a := p.answer(method)
	if a.StatusCode != status || a.body != body || a.err != nil {
		p.tb.Fatalf("answer is %d %q, %v, want %d %q", a.StatusCode, a.body, a.err, status, body)
	}
	return a
}

// broken checks that the answer is truncated.
func (p *peer) broken() {
	p.tb.Helper()
	res, err := http.ReadResponse(p.r, nil)
	if err != nil {
		return
	}
	if body, err := io.ReadAll(res.Body); err == nil {
		p.tb.Fatalf("a truncated answer looks complete: %d %q, want an error", res.StatusCode, body)
	}
}

// gone checks that the other side closed the connection without sending anything else.
func (p *peer) gone() {
	p.tb.Helper()
	rest, err := io.ReadAll(p.r)
	if timeout := net.Error(nil); len(rest) > 0 || errors.As(err, &timeout) && timeout.Timeout() {
		p.tb.Fatalf("read %q, %v, want a closed connection", rest, err)
	}
}

// get returns a request with additional header lines.
func get(path string, lines ...string) string {
	request := "GET " + path + " HTTP/1.1\r\nHost: app.example\r\n"
	for _, line := range lines {
		request += line + "\r\n"
	}
	return request + "\r\n"
}

// journal collects what other goroutines report.
type journal[T any] struct {
	mu   sync.Mutex
	list []T
	more chan struct{}
}

func newJournal[T any]() *journal[T] { return &journal[T]{more: make(chan struct{}, 10_000)} }

func (j *journal[T]) add(v T) {
	j.mu.Lock()
	j.list = append(j.list, v)
	j.mu.Unlock()
	j.more <- struct{}{}
}

func (j *journal[T]) all() []T {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]T(nil), j.list...)
}

// await waits for the nth entry and returns it.
func (j *journal[T]) await(tb testing.TB, n int) T {
	tb.Helper()
	deadline := time.After(patience)
	for {
		if list := j.all(); len(list) >= n {
			return list[n-1]
		}
		select {
		case <-j.more:
		case <-deadline:
			tb.Fatalf("entry %d of the journal did not arrive", n)
		}
	}
}

// await polls until condition is true.
func await(tb testing.TB, condition func() bool) {
	tb.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.After(patience); !condition(); {
		select {
		case <-tick.C:
		case <-end:
			tb.Fatal("the condition never became true")
		}
	}
}

func dialed(tb testing.TB, nc net.Conn) *peer {
	tb.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(patience))
	return &peer{tb, nc.(*net.TCPConn), bufio.NewReader(nc)}
}

package http1_test

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

	"lilypad.example/sidecar/internal/http1"
)

// patience bounds every wait of these tests; it is reached only when one fails.
const patience = 20 * time.Second

// serve runs a server until the test ends, and insists that it can be shut down.
func serve(tb testing.TB, cfg http1.Config) (*http1.Server, string) {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s := http1.New(cfg)
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), patience)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			tb.Errorf("shutdown: %v", err)
		}
		if err := <-done; !errors.Is(err, http1.ErrServerClosed) {
			tb.Errorf("Serve = %v", err)
		}
	})
	return s, ln.Addr().String()
}

// peer is a client that says exactly what it is told to.
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
	tb.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(patience))
	return &peer{tb, nc.(*net.TCPConn), bufio.NewReader(nc)}
}

func (p *peer) send(text string) {
	p.tb.Helper()
	if _, err := io.WriteString(p.nc, text); err != nil {
		p.tb.Fatalf("send: %v", err)
	}
}

type answer struct {
	*http.Response
	body string
}

// answer reads one answer to a request of the given method.
func (p *peer) answer(method string) answer {
	p.tb.Helper()
	res, err := http.ReadResponse(p.r, &http.Request{Method: method})
	if err != nil {
		p.tb.Fatalf("read answer: %v", err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		p.tb.Fatalf("read answer's body: %v", err)
	}
	return answer{res, string(body)}
}

func (p *peer) expect(method string, status int, body string) answer {
	p.tb.Helper()
	a := p.answer(method)
	if a.StatusCode != status || a.body != body {
		p.tb.Fatalf("answer is %d %q, want %d %q", a.StatusCode, a.body, status, body)
	}
	return a
}

// ended checks that the server closes the connection without another byte.
func (p *peer) ended() {
	p.tb.Helper()
	rest, err := io.ReadAll(p.r)
	if len(rest) > 0 || err != nil && !strings.Contains(err.Error(), "reset") {
		p.tb.Fatalf("want the end of the connection, got %q, %v", rest, err)
	}
}

// journal collects what hooks and handlers report.
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

// await returns the nth entry as soon as it exists.
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
			tb.Fatalf("entry %d never came", n)
		}
	}
}

func text(x *http1.Exchange, status int, body string) {
	_ = x.Respond(status, []http1.Field{{Name: "Content-Type", Value: "text/plain"}}, []byte(body))
}

// echo answers with what it read, and with the fault of a body that it could not read.
func echo(x *http1.Exchange) {
	body, err := io.ReadAll(&x.Request.Body)
	if fault, ok := errors.AsType[*http1.Fault](err); ok {
		x.SetReason(fault.Reason)
		_ = x.RespondProblem(fault.Status, fault.Detail)
		return
	}
	text(x, 200, x.Request.Method+" "+x.Request.Path+" "+string(body))
}

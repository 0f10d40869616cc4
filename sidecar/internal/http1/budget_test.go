package http1_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lilypad.example/sidecar/internal/http1"
)

const knownGet = "GET /known HTTP/1.1\r\nHost: a\r\nX-Known: 1\r\nConnection: close\r\n\r\n"

// reserving is a handler that reserves memory, for known clients by the X-Known field, and answers
// with what it read, or with a large answer.
func reserving(x *http1.Exchange) {
	if fault, ok := errors.AsType[*http1.Fault](x.Reserve(x.Request.Header.Get("X-Known"))); ok {
		x.SetReason(fault.Reason)
		_ = x.RespondProblem(fault.Status, fault.Detail)
		return
	}
	switch x.Request.Path {
	case "/large":
		_ = x.Respond(200, nil, make([]byte, 8<<20))
	case "/buffered":
		x.ServeNetHTTP(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), 1<<20)
	default:
		echo(x)
	}
}

// slowClients are requests of slow clients, and the minimum number of bytes that one of them must
// be charged for.
var slowClients = map[string]struct {
	request string
	counted int64
}{
	"silence":                 {"", 1 << 10},
	"start of a head":         {"GET / HTTP/1.1\r\nHost: a\r\nX: ", 4 << 10},
	"half of a long head":     {"GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("y", 31_000), 31_000},
	"half of a body":          {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat("y", 40_000), 8 << 10},
	"half of a chunk":         {chunked("ffff\r\n" + strings.Repeat("y", 40_000)), 8 << 10},
	"body after a long head":  {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nX: " + strings.Repeat("y", 31_000) + "\r\n\r\n", 31_000},
	"half of a buffered body": {"POST /buffered HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n" + strings.Repeat("y", 60_000), 60_000},
	"part of the next head":   {"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("y", 20_000), 20_000},
	"answer that is not read": {"GET /large HTTP/1.1\r\nHost: a\r\n\r\n", 8 << 10},
}

func TestMemoryOfSlowClientsIsCharged(t *testing.T) {
	t.Parallel()
	for name, c := range slowClients {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const clients = 20
			budget := http1.NewBudget(1 << 30)
			_, addr := serve(t, http1.Config{Handler: reserving, Budget: budget})
			for range clients {
				dial(t, addr).send(c.request)
			}
			await(t, func() bool { return budget.Used() >= clients*c.counted })
		})
	}
}

// Hundreds of slow strangers with a budget for some tens: the budget is never exceeded, and known
// clients are served.
func TestSlowStrangersDoNotDisplaceKnownClients(t *testing.T) {
	t.Parallel()
	for name, c := range slowClients {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			budget := http1.NewBudget(1 << 20)
			overloaded := newJournal[http1.Reason]()
			s, addr := serve(t, http1.Config{
				Handler: reserving, Budget: budget, LingerTimeout: time.Millisecond,
				Refused: func(r http1.Refusal) { overloaded.add(r.Reason) }, Ended: func(x *http1.Exchange) { overloaded.add(x.Facts().Reason) },
			})
			for i := range 200 {
				p := dial(t, addr)
				_, _ = io.WriteString(p.nc, c.request) // may be refused in the middle
				if used := budget.Used(); used > budget.Limit() {
					t.Fatalf("%d bytes in use, want at most %d", used, budget.Limit())
				}
				if i%10 == 9 {
					known := dial(t, addr)
					known.send(knownGet)
					known.expect("GET", 200, "GET /known ")
					_ = known.nc.Close()
				}
				t.Cleanup(func() { _ = p.nc.Close() })
			}
			if n := s.Connections(); n == 0 || n > 128 {
				t.Errorf("%d connections, want 1 to 128", n)
			}
			if all := overloaded.all(); !slices.Contains(all, http1.ReasonOverloaded) {
				t.Errorf("reasons %q, want at least one %q", all, http1.ReasonOverloaded)
			}
		})
	}
}

// All memory is refunded, however a connection ended.
func TestTheBudgetIsRefundedCompletely(t *testing.T) {
	t.Parallel()
	budget := http1.NewBudget(1 << 20)
	_, addr := serve(t, http1.Config{Handler: reserving, Budget: budget, LingerTimeout: time.Millisecond})
	var crowd []*peer
	for _, c := range slowClients {
		for range 30 {
			p := dial(t, addr)
			_, _ = io.WriteString(p.nc, c.request)
			crowd = append(crowd, p)
		}
	}
	for _, raw := range hostile {
		p := dial(t, addr)
		_, _ = io.WriteString(p.nc, raw.raw)
		_ = p.nc.Close()
	}
	p := dial(t, addr)
	p.send(strings.Replace(knownGet, "close", "keep-alive", 1))
	p.expect("GET", 200, "GET /known ")
	for _, p := range append(crowd, p) {
		_ = p.nc.Close()
	}
	await(t, func() bool { return budget.Used() == 0 })
}

// Without slow clients there is no connection to close, so new requests are refused.
func TestRequestsBeyondTheBudgetAreRefused(t *testing.T) {
	t.Parallel()
	const most = 10
	begun, finish := make(chan bool, 100), make(chan bool)
	refusals := newJournal[http1.Refusal]()
	_, addr := serve(t, http1.Config{
		Handler: func(x *http1.Exchange) {
			known := x.Request.Header.Get("X-Known")
			if fault, ok := errors.AsType[*http1.Fault](x.Reserve(known)); ok {
				begun <- false
				x.SetReason(fault.Reason)
				_ = x.RespondProblem(fault.Status, fault.Detail)
				return
			}
			begun <- true
			if known == "" {
				<-finish
			}
			text(x, 200, x.Request.Path)
		},
		Budget: http1.NewBudget(most * 64 << 10), Refused: refusals.add,
	})
	strangers := make([]*peer, 0, most)
	for {
		p := dial(t, addr)
		p.send(get)
		if !<-begun {
			if a := p.answer("GET"); a.StatusCode != 503 || a.Header.Get("Retry-After") == "" {
				t.Errorf("request beyond the budget: answer is %d %v, want 503 with Retry-After", a.StatusCode, a.Header)
			}
			break
		}
		if strangers = append(strangers, p); len(strangers) > 10*most {
			t.Fatalf("%d requests in progress, want the budget to limit them", len(strangers))
		}
	}
	known := dial(t, addr)
	known.send(knownGet)
	if !<-begun {
		t.Error("the known client was refused, want memory reserved for it")
	}
	known.expect("GET", 200, "/known")
	close(finish)
	for _, p := range strangers {
		p.expect("GET", 200, "/a")
	}
}

// pipes is a listener of in-memory connections, for use in a synctest bubble.
type pipes struct {
	conns chan net.Conn
	close func()
}

func newPipes() *pipes {
	conns := make(chan net.Conn)
	return &pipes{conns, sync.OnceFunc(func() { close(conns) })}
}

func (l *pipes) Accept() (net.Conn, error) {
	if nc, ok := <-l.conns; ok {
		return nc, nil
	}
	return nil, net.ErrClosed
}

func (l *pipes) Close() error { l.close(); return nil }

func (l *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (l *pipes) dial() net.Conn {
	client, server := net.Pipe()
	l.conns <- server
	return client
}

// ask sends a request on a new connection and returns the status of the answer, or 0 without one.
func (l *pipes) ask(request string) int {
	nc := l.dial()
	defer func() { _ = nc.Close() }()
	go func() { _, _ = io.WriteString(nc, request) }()
	res, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

func TestAtMaxConnsTheLongestIdleConnectionIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := newPipes()
		s := http1.New(http1.Config{Handler: echo, MaxConns: 3})
		served := make(chan error, 1)
		go func() { served <- s.Serve(ln) }()
		var idle []net.Conn
		for range 3 {
			nc := ln.dial()
			go func() { _, _ = io.WriteString(nc, get) }()
			if res, err := http.ReadResponse(bufio.NewReader(nc), nil); err != nil || res.StatusCode != 200 {
				t.Fatalf("answer is %+v, %v, want 200", res, err)
			}
			idle = append(idle, nc)
			<-time.After(time.Second) // the bubble's clock
		}
		if status := ln.ask(get); status != 503 {
			t.Errorf("new connection while all are busy: status %d, want 503", status)
		}
		<-time.After(10 * time.Second) // the bubble's clock
		if status := ln.ask(get); status != 200 {
			t.Errorf("new connection while some are idle: status %d, want 200", status)
		}
		if _, err := idle[0].Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("read from the connection that was idle longest: %v, want EOF", err)
		}
		for _, nc := range idle[1:] {
			_ = nc.SetDeadline(time.Now().Add(time.Second))
			if _, err := nc.Read(make([]byte, 1)); errors.Is(err, io.EOF) {
				t.Error("more than one connection was closed, want one")
			}
		}
		if err := s.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown = %v, want nil", err)
		}
		<-served
	})
}

func TestMaxConnsPerIP(t *testing.T) {
	t.Parallel()
	refusals := newJournal[http1.Refusal]()
	_, addr := serve(t, http1.Config{Handler: echo, MaxConnsPerIP: 2, Refused: refusals.add})
	from := func(ip byte) *peer {
		nc, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, ip)}}).Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = nc.Close() })
		_ = nc.SetDeadline(time.Now().Add(patience))
		return &peer{t, nc.(*net.TCPConn), bufio.NewReader(nc)}
	}
	first := from(1)
	for _, p := range []*peer{first, from(1), from(2)} {
		p.send(get)
		p.expect("GET", 200, "GET /a ")
	}
	p := from(1)
	p.send(get)
	if a := p.expect("GET", 503, ""); !a.Close || a.Header.Get("Retry-After") == "" {
		t.Errorf("connection beyond MaxConnsPerIP: header %v, want close and Retry-After", a.Header)
	}
	if r := refusals.await(t, 1); r.Reason != http1.ReasonTooManyConns {
		t.Errorf("refusal %+v, want reason %q", r, http1.ReasonTooManyConns)
	}
	_ = first.nc.Close()
	await(t, func() bool {
		p := from(1)
		p.send("GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		return p.answer("GET").StatusCode == 200
	})
}

// FuzzSlowClients lets a few clients act in any order. What they hold never exceeds the budget,
// known clients are served, and in the end nothing is held.
func FuzzSlowClients(f *testing.F) {
	f.Add([]byte{0x01, 0x11, 0x21, 0x31, 0x41, 0x0a, 0x51, 0x61, 0x71, 0x0a, 0x0b, 0x81, 0x91, 0x0a})
	f.Add([]byte{0x02, 0x02, 0x02, 0x12, 0x12, 0x22, 0x32, 0x42, 0x52, 0x62, 0x0a, 0x03, 0x13, 0x0b, 0x0a})
	f.Add([]byte{0x04, 0x05, 0x14, 0x16, 0x24, 0x26, 0x34, 0x0a, 0x44, 0x46, 0x54, 0x56, 0x0b, 0x64, 0x0a, 0x08, 0x18})
	f.Add([]byte{0x09, 0x19, 0x29, 0x39, 0x0b, 0x0b, 0x49, 0x07, 0x17, 0x0a, 0x59, 0x69, 0x0b, 0x08, 0x0a})
	f.Fuzz(func(t *testing.T, script []byte) {
		synctest.Test(t, func(t *testing.T) { runSlowClients(t, script[:min(len(script), 200)]) })
	})
}

func runSlowClients(t *testing.T, script []byte) {
	ln := newPipes()
	budget := http1.NewBudget(400 << 10)
	s := http1.New(http1.Config{Handler: reserving, Budget: budget, MaxConns: 100})
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	within := func(after string) {
		synctest.Wait()
		if used := budget.Used(); used > budget.Limit() || used < 0 {
			t.Fatalf("after %s: %d bytes in use, want 0 to %d", after, used, budget.Limit())
		}
	}
	clients := make([]*slowClient, 16)
	for _, step := range script {
		c := clients[step>>4]
		if c == nil {
			c = newSlowClient(ln.dial())
			clients[step>>4] = c
		}
		switch op := step & 15; op {
		case 8:
			c.close()
			clients[step>>4] = nil
		case 10:
			if status := ln.ask(knownGet); status != 200 {
				t.Fatalf("known client: status %d, want 200", status)
			}
		case 11:
			<-time.After(2 * time.Second) // the bubble's clock
		default:
			c.todo <- int(op)
		}
		within(fmt.Sprintf("%#x", step))
	}
	for _, c := range clients {
		if c != nil {
			c.close()
		}
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatalf("Shutdown = %v, want nil", err)
	}
	<-served
	if within("the end"); budget.Used() != 0 {
		t.Fatalf("%d bytes in use after shutdown, want 0", budget.Used())
	}
}

// slowClient executes operations one after another in its own goroutine.
type slowClient struct {
	nc   net.Conn
	todo chan int
	done sync.WaitGroup
}

func newSlowClient(nc net.Conn) *slowClient {
	c := &slowClient{nc: nc, todo: make(chan int, 300)}
	c.done.Go(func() {
		for op := range c.todo {
			switch op {
			case 1:
				_, _ = io.WriteString(nc, "GET / HTTP/1.1\r\nHost: a\r\n")
			case 2:
				_, _ = io.WriteString(nc, "X: "+strings.Repeat("y", 9000)+"\r\n")
			case 3:
				_, _ = io.WriteString(nc, "\r\n")
			case 4:
				_, _ = io.WriteString(nc, "POST /buffered HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
			case 5, 6:
				_, _ = io.WriteString(nc, strings.Repeat("y", 1000+(op-5)*40_000))
			case 7:
				_, _ = io.CopyN(io.Discard, nc, 10_000)
			case 9:
				_, _ = io.WriteString(nc, "GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
			}
		}
	})
	return c
}

func (c *slowClient) close() {
	close(c.todo)
	_ = c.nc.Close()
	c.done.Wait()
}

// Strangers who ask through a proxy leave memory to known clients, as those on connections do.
func TestAHoldingIsChargedAsAnExchange(t *testing.T) {
	budget := http1.NewBudget(1 << 20)
	var all []*http1.Holding
	for {
		h := budget.Hold()
		all = append(all, h)
		if h.Reserve("") != nil {
			break
		}
	}
	if budget.Used() < budget.Limit()/4 || budget.Used() > budget.Limit()/2 {
		t.Errorf("strangers hold %d bytes of %d, want about half", budget.Used(), budget.Limit())
	}
	known := budget.Hold()
	all = append(all, known)
	if err := errors.Join(known.Read(1000), known.Reserve("session"), known.Reserve("session")); err != nil {
		t.Errorf("a known client gets %v, want memory", err)
	}
	for _, h := range all {
		h.Release()
		h.Release()
	}
	if budget.Used() != 0 {
		t.Errorf("%d bytes are in use after the end, want none", budget.Used())
	}
}

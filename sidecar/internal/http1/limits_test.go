package http1_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lilypad.example/sidecar/internal/http1"
)

func TestBodyLimit(t *testing.T) {
	t.Parallel()
	_, addr := serve(t, http1.Config{Handler: func(x *http1.Exchange) {
		if fault, ok := errors.AsType[*http1.Fault](x.LimitBody(4)); ok {
			text(x, fault.Status, "announced")
			return
		}
		echo(x)
	}})
	p := dial(t, addr)
	p.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd")
	p.expect("POST", 200, "POST / abcd")
	p.send(chunked("2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n"))
	if a := p.answer("POST"); a.StatusCode != 413 || !a.Close {
		t.Errorf("answer is %d %v, want 413 and close", a.StatusCode, a.Header)
	}
	p.ended()
	p = dial(t, addr)
	p.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
	p.expect("POST", 413, "announced")
	p.ended()
}

func TestReadTimeouts(t *testing.T) {
	t.Parallel()
	refusals := newJournal[http1.Refusal]()
	_, addr := serve(t, http1.Config{
		Handler: echo, Refused: refusals.add,
		IdleTimeout: 50 * time.Millisecond, HeadTimeout: 50 * time.Millisecond, BodyTimeout: 50 * time.Millisecond,
	})
	t.Run("before a request", func(t *testing.T) {
		t.Parallel()
		p := dial(t, addr)
		p.ended() // an idle connection is closed without an answer
	})
	t.Run("between requests", func(t *testing.T) {
		t.Parallel()
		p := dial(t, addr)
		p.send(get)
		p.expect("GET", 200, "GET /a ")
		p.ended()
	})
	t.Run("in the header", func(t *testing.T) {
		t.Parallel()
		p := dial(t, addr)
		stop := make(chan struct{})
		defer close(stop)
		p.send("GET / HTTP/1.1\r\nHost: a\r\n")
		go func() { // further bytes do not extend the timeout
			for {
				select {
				case <-stop:
					return
				case <-time.After(5 * time.Millisecond):
					_, _ = io.WriteString(p.nc, "X: y\r\n")
				}
			}
		}()
		if a := p.answer("GET"); a.StatusCode != 408 || !a.Close {
			t.Errorf("answer is %d %v, want 408 and close", a.StatusCode, a.Header)
		}
		if r := refusals.await(t, 1); r.Reason != http1.ReasonHeadTimeout || r.Status != 408 {
			t.Errorf("refusal %+v, want 408 %q", r, http1.ReasonHeadTimeout)
		}
	})
	t.Run("in the body", func(t *testing.T) {
		t.Parallel()
		p := dial(t, addr)
		p.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe")
		if a := p.answer("POST"); a.StatusCode != 408 || !a.Close {
			t.Errorf("answer is %d %v, want 408 and close", a.StatusCode, a.Header)
		}
		p.ended()
	})
}

func TestWriteTimeout(t *testing.T) {
	t.Parallel()
	ended := newJournal[http1.Facts]()
	_, addr := serve(t, http1.Config{
		Handler:      func(x *http1.Exchange) { text(x, 200, strings.Repeat("x", 64<<20)) },
		Ended:        func(x *http1.Exchange) { ended.add(x.Facts()) },
		WriteTimeout: 50 * time.Millisecond,
	})
	p := dial(t, addr)
	p.send(get)
	if f := ended.await(t, 1); f.Reason != http1.ReasonClientGone {
		t.Errorf("facts %+v, want reason %q", f, http1.ReasonClientGone)
	}
}

// The kernel must not buffer much of the answer either.
func TestUnreadAnswersAreNotBuffered(t *testing.T) {
	t.Parallel()
	ended := newJournal[http1.Facts]()
	_, addr := serve(t, http1.Config{
		Handler: func(x *http1.Exchange) {
			p, _ := x.Reply(200)
			p.Body(http1.Unknown)
			for piece := make([]byte, 32<<10); p.Write(piece) == nil; {
			}
		},
		Ended:        func(x *http1.Exchange) { ended.add(x.Facts()) },
		WriteTimeout: 500 * time.Millisecond,
	})
	p := dial(t, addr)
	_ = p.nc.SetReadBuffer(4 << 10)
	p.send(get)
	if f := ended.await(t, 1); f.Reason != http1.ReasonClientGone || f.BytesOut > 512<<10 {
		t.Errorf("facts %+v, want reason %q and at most 512 KiB sent", f, http1.ReasonClientGone)
	}
}

func TestMaxConns(t *testing.T) {
	t.Parallel()
	refusals := newJournal[http1.Refusal]()
	s, addr := serve(t, http1.Config{Handler: echo, MaxConns: 2, Refused: refusals.add})
	first, second := dial(t, addr), dial(t, addr)
	first.send(get)
	second.send(get)
	first.expect("GET", 200, "GET /a ")
	second.expect("GET", 200, "GET /a ")
	third := dial(t, addr)
	third.send(get)
	if a := third.expect("GET", 503, ""); !a.Close || a.Header.Get("Retry-After") == "" {
		t.Errorf("header %v, want close and Retry-After", a.Header)
	}
	if r := refusals.await(t, 1); r.Reason != http1.ReasonTooManyConns {
		t.Errorf("refusal %+v, want reason %q", r, http1.ReasonTooManyConns)
	}
	_ = first.nc.Close()
	await(t, func() bool { return s.Connections() == 1 })
	fourth := dial(t, addr)
	fourth.send(get)
	fourth.expect("GET", 200, "GET /a ")
}

// A client may pause, and may be made to wait by the handler, but one that sends too slowly is
// answered with 408.
func TestMinBodyRateAndBodyTotalTimeout(t *testing.T) {
	t.Parallel()
	const pause = 10 * time.Second
	for name, c := range map[string]struct {
		length, status int
		handler        func(*http1.Exchange)
		rate           int
		total          time.Duration
	}{
		"slow":                                 {1000, 408, echo, 128, 0},
		"slow but short":                       {2, 200, echo, 128, 0}, // in the grace period
		"slow handler":                         {2, 200, func(x *http1.Exchange) { <-time.After(time.Hour); echo(x) }, 128, 0},
		"no minimum rate":                      {1000, 200, echo, 0, 0},
		"longer than BodyTotalTimeout":         {1000, 408, echo, 0, time.Hour},
		"just within BodyTotalTimeout":         {359, 200, echo, 0, time.Hour},
		"ReadBody longer than BodyTimeout":     {1000, 408, serveNetHTTP, 0, time.Hour},
		"slow handler beyond BodyTotalTimeout": {20, 408, func(x *http1.Exchange) { <-time.After(2 * time.Minute); echo(x) }, 0, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client, server := net.Pipe()
				s := http1.New(http1.Config{Handler: c.handler, BodyTimeout: 30 * time.Second, MinBodyRate: c.rate, BodyTotalTimeout: c.total})
				served := make(chan error, 1)
				go func() { served <- s.Serve(listenOnce(server)) }()
				var all sync.WaitGroup
				all.Go(func() {
					_, _ = fmt.Fprintf(client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", c.length)
					for range c.length {
						<-time.After(pause)
						if _, err := client.Write([]byte("x")); err != nil {
							return
						}
					}
				})
				res, err := http.ReadResponse(bufio.NewReader(client), nil)
				if err != nil || res.StatusCode != c.status {
					t.Errorf("answer is %+v, %v, want %d", res, err, c.status)
				}
				_ = client.Close()
				if err := s.Shutdown(t.Context()); err != nil {
					t.Errorf("Shutdown = %v, want nil", err)
				}
				<-served
				all.Wait()
			})
		})
	}
}

// serveNetHTTP reads the whole body through net/http.
func serveNetHTTP(x *http1.Exchange) {
	x.ServeNetHTTP(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), 1<<20)
}

// oneConn is a listener with one connection.
type oneConn struct {
	conns chan net.Conn
	close func()
}

func listenOnce(nc net.Conn) *oneConn {
	conns := make(chan net.Conn, 1)
	conns <- nc
	return &oneConn{conns, sync.OnceFunc(func() { close(conns) })}
}

func (l *oneConn) Accept() (net.Conn, error) {
	if nc, ok := <-l.conns; ok {
		return nc, nil
	}
	return nil, net.ErrClosed
}

func (l *oneConn) Close() error { l.close(); return nil }

func (l *oneConn) Addr() net.Addr { return &net.TCPAddr{} }

// The attacks of slowhttptest: headers, bodies and readers that never end, each byte in time. Other
// clients are served meanwhile, and in the end the slow ones are disconnected.
func TestThousandsOfSlowClients(t *testing.T) {
	const crowd = 2000
	reasons, large := newJournal[http1.Reason](), make([]byte, 4<<20)
	s, addr := serve(t, http1.Config{
		Handler: func(x *http1.Exchange) {
			if x.Request.Path == "/large" {
				_ = x.Respond(200, nil, large)
				return
			}
			echo(x)
		},
		Refused:     func(r http1.Refusal) { reasons.add(r.Reason) },
		Ended:       func(x *http1.Exchange) { reasons.add(x.Facts().Reason) },
		HeadTimeout: time.Second, BodyTimeout: time.Second, WriteTimeout: time.Second, MinBodyRate: 1 << 20, LingerTimeout: time.Millisecond,
	})
	begin := func(i int) string {
		switch {
		case i%10 == 0:
			return "GET /large HTTP/1.1\r\nHost: a\r\n\r\n" // the answer is not read
		case i%2 == 0:
			return "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"
		}
		return "GET / HTTP/1.1\r\nHost: a\r\nX: "
	}
	slow := make([]*net.TCPConn, crowd)
	for i := range slow {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = nc.Close() })
		slow[i] = nc.(*net.TCPConn)
		_ = slow[i].SetReadBuffer(4 << 10)
		if _, err := io.WriteString(nc, begin(i)); err != nil {
			t.Fatal(err)
		}
	}
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for drip := time.NewTicker(50 * time.Millisecond); ; {
			select {
			case <-stop:
				return
			case <-drip.C:
			}
			for i, nc := range slow {
				if i%10 != 0 {
					_, _ = nc.Write([]byte("x"))
				}
			}
		}
	}()
	for range 20 {
		p := dial(t, addr)
		for range 10 {
			p.send(get)
			p.expect("GET", 200, "GET /a ")
		}
		_ = p.nc.Close()
	}
	await(t, func() bool { return s.Connections() == 0 })
	count := make(map[http1.Reason]int)
	for _, r := range reasons.all() {
		count[r]++
	}
	if n := count[http1.ReasonHeadTimeout] + count[http1.ReasonBodyTimeout] + count[http1.ReasonClientGone]; n != crowd || count[http1.ReasonNone] != 200 {
		t.Errorf("exchanges by reason: %v, want %d timeouts or client_gone and 200 without a reason", count, crowd)
	}
}

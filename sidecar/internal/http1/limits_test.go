package http1_test

import (
	"errors"
	"io"
	"strings"
	"testing"
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
		t.Errorf("answer is %d %v", a.StatusCode, a.Header)
	}
	p.ended()
	p = dial(t, addr)
	p.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
	p.expect("POST", 413, "announced")
	p.ended()
}

func TestT43_SlowClientsAreReaped(t *testing.T) {
	t.Parallel()
	refusals := newJournal[http1.Refusal]()
	_, addr := serve(t, http1.Config{
		Handler: echo, Refused: refusals.add,
		IdleTimeout: 50 * time.Millisecond, HeadTimeout: 50 * time.Millisecond, BodyTimeout: 50 * time.Millisecond,
	})
	t.Run("before a request", func(t *testing.T) {
		t.Parallel()
		p := dial(t, addr)
		p.ended() // an idle connection just ends
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
		go func() { // bytes do not extend the time
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
			t.Errorf("answer is %d %v", a.StatusCode, a.Header)
		}
		if r := refusals.await(t, 1); r.Reason != http1.ReasonHeadTimeout || r.Status != 408 {
			t.Errorf("reported %+v", r)
		}
	})
	t.Run("in the body", func(t *testing.T) {
		t.Parallel()
		p := dial(t, addr)
		p.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe")
		if a := p.answer("POST"); a.StatusCode != 408 || !a.Close {
			t.Errorf("answer is %d %v", a.StatusCode, a.Header)
		}
		p.ended()
	})
}

// A client that does not read its answer is let go after the write timeout.
func TestT43_ClientThatDoesNotRead(t *testing.T) {
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
		t.Errorf("facts: %+v", f)
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
		t.Errorf("answer: %v", a.Header)
	}
	if r := refusals.await(t, 1); r.Reason != http1.ReasonTooManyConns {
		t.Errorf("reported %+v", r)
	}
	_ = first.nc.Close()
	await(t, func() bool { return s.Connections() == 1 })
	fourth := dial(t, addr)
	fourth.send(get)
	fourth.expect("GET", 200, "GET /a ")
}

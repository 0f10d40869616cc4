package http1_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"lilypad.example/sidecar/internal/http1"
)

func TestShutdown(t *testing.T) {
	t.Parallel()
	begun, finish := make(chan struct{}, 1), make(chan struct{})
	s, addr := serve(t, http1.Config{Handler: func(x *http1.Exchange) {
		if x.Request.Path == "/slow" {
			begun <- struct{}{}
			<-finish
		}
		text(x, 200, x.Request.Path)
	}})
	idle, busy := dial(t, addr), dial(t, addr)
	idle.send(get)
	idle.expect("GET", 200, "/a")
	busy.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n" + canary)
	<-begun

	done := make(chan error, 1)
	go func() { done <- s.Shutdown(t.Context()) }()
	idle.ended()
	if nc, err := net.Dial("tcp", addr); err == nil {
		// The kernel may still accept it, but it is not served.
		_ = nc.SetDeadline(time.Now().Add(patience))
		_, _ = io.WriteString(nc, get)
		if b, _ := io.ReadAll(nc); len(b) > 0 {
			t.Errorf("answer on a new connection: %q, want none", b)
		}
		_ = nc.Close()
	}
	close(finish)
	if a := busy.expect("GET", 200, "/slow"); !a.Close {
		t.Error("the last answer keeps the connection open, want Connection: close")
	}
	busy.ended()
	if err := <-done; err != nil {
		t.Errorf("Shutdown = %v, want nil", err)
	}
}

func TestShutdownAbortsExchangesWhenTheContextEnds(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{}, 1)
	ended := newJournal[http1.Facts]()
	s, addr := serve(t, http1.Config{
		Handler: func(x *http1.Exchange) {
			begun <- struct{}{}
			<-x.Context().Done()
		},
		Ended: func(x *http1.Exchange) { ended.add(x.Facts()) },
	})
	p := dial(t, addr)
	p.send(get)
	<-begun
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown = %v, want context.Canceled", err)
	}
	p.ended()
	if f := ended.await(t, 1); f.Reason != http1.ReasonAborted {
		t.Errorf("facts %+v, want reason %q", f, http1.ReasonAborted)
	}
}

func TestDrainClosesConnectionsAfterTheNextAnswer(t *testing.T) {
	t.Parallel()
	s, addr := serve(t, http1.Config{Handler: echo})
	p := dial(t, addr)
	p.send(get)
	p.expect("GET", 200, "GET /a ")
	s.Drain()
	for _, p := range []*peer{p, dial(t, addr)} {
		p.send(get)
		if a := p.expect("GET", 200, "GET /a "); !a.Close {
			t.Error("the connection stays open, want Connection: close")
		}
		p.ended()
	}
}

// A request that has arrived in part when Shutdown is called is still served.
func TestShutdownServesRequestsThatHaveArrivedInPart(t *testing.T) {
	t.Parallel()
	refusals := newJournal[http1.Refusal]()
	s, addr := serve(t, http1.Config{Handler: echo, Refused: refusals.add, HeadTimeout: time.Second})
	fresh, again, never := dial(t, addr), dial(t, addr), dial(t, addr)
	again.send(get)
	again.expect("GET", 200, "GET /a ")
	post := "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
	for _, p := range []*peer{fresh, again, never} {
		p.send(post[:20])
	}
	await(t, func() bool { return s.Heads() == 3 })
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(t.Context()) }()
	await(t, s.IsClosed)
	for _, p := range []*peer{fresh, again} {
		p.send(post[20:])
		if a := p.expect("POST", 200, "POST /a hello"); !a.Close {
			t.Error("the connection stays open, want Connection: close")
		}
		p.ended()
	}
	if a := never.answer("POST"); a.StatusCode != 408 {
		t.Errorf("request that never ends: status %d, want 408", a.StatusCode)
	}
	if err := <-done; err != nil {
		t.Errorf("Shutdown = %v, want nil", err)
	}
}

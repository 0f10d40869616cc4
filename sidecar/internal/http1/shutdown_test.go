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
		// The kernel may still have completed it; nobody serves it.
		_ = nc.SetDeadline(time.Now().Add(patience))
		_, _ = io.WriteString(nc, get)
		if b, _ := io.ReadAll(nc); len(b) > 0 {
			t.Errorf("a new connection is served: %q", b)
		}
		_ = nc.Close()
	}
	close(finish)
	if a := busy.expect("GET", 200, "/slow"); !a.Close {
		t.Error("the last answer does not say close")
	}
	busy.ended()
	if err := <-done; err != nil {
		t.Errorf("Shutdown = %v", err)
	}
}

func TestShutdownAbortsWhatDoesNotEnd(t *testing.T) {
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
		t.Errorf("Shutdown = %v", err)
	}
	p.ended()
	if f := ended.await(t, 1); f.Reason != http1.ReasonAborted {
		t.Errorf("facts: %+v", f)
	}
}

func TestDrainEndsConnectionsButServes(t *testing.T) {
	t.Parallel()
	s, addr := serve(t, http1.Config{Handler: echo})
	p := dial(t, addr)
	p.send(get)
	p.expect("GET", 200, "GET /a ")
	s.Drain()
	for _, p := range []*peer{p, dial(t, addr)} {
		p.send(get)
		if a := p.expect("GET", 200, "GET /a "); !a.Close {
			t.Error("the answer does not say close")
		}
		p.ended()
	}
}

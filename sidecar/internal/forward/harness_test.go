package forward_test

import (
	"context"
	"net"
	"testing"
	"time"

	"lilypad.example/sidecar/internal/http1"
)

const ourCookie = "__Host-Http-lilypad"

func listen(tb testing.TB) net.Listener {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = ln.Close() })
	return ln
}

// serve runs a server until the test ends, and insists that it can be shut down.
func serve(tb testing.TB, cfg http1.Config) (addr string) {
	tb.Helper()
	ln := listen(tb)
	s := http1.New(cfg)
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			tb.Errorf("shutdown: %v", err)
		}
		<-done
	})
	return ln.Addr().String()
}

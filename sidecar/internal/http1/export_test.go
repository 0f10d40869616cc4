package http1

import (
	"time"

	"golang.org/x/sys/unix"
)

// ReadAhead returns a channel that is closed when the watched client has sent something, or nil
// before the watch has begun.
func (x *Exchange) ReadAhead() <-chan struct{} {
	x.c.mu.Lock()
	defer x.c.mu.Unlock()
	if x.c.watching == nil {
		return nil
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for n := 0; n <= 0; <-time.After(time.Millisecond) {
			_ = x.c.r.raw.Control(func(fd uintptr) {
				n, _, _ = unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
			})
		}
	}()
	return sent
}

// Heads returns the number of connections whose request head has arrived in part.
func (s *Server) Heads() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.mu.Lock()
		if c.heading {
			n++
		}
		c.mu.Unlock()
	}
	return n
}

// IsClosed reports whether Shutdown has begun.
func (s *Server) IsClosed() bool { return s.isClosed() }

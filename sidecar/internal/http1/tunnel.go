package http1

import (
	"io"
	"net"
	"time"
)

// halfOpen is how long one direction of a tunnel may go on after the other ended.
const halfOpen = time.Minute

// Tunnel carries bytes between the client and the upstream until both directions ended, after a 101. The end of one
// direction is passed on (half-close) and the other goes on; an error in either ends both.
func (x *Exchange) Tunnel(upstream net.Conn, ur *Reader) error {
	x.Settle()
	c := x.c
	ur.BeforeWait(nil)
	ur.SetTimeout(0)
	c.r.SetTimeout(0)
	up := make(chan error, 1)
	go func() {
		_, err := pump(upstream, c.r, c.srv.cfg.WriteTimeout)
		if err != nil {
			c.stop(c.seq, ReasonClientGone)
		} else {
			_ = upstream.SetReadDeadline(time.Now().Add(halfOpen))
		}
		up <- err
	}()
	n, err := pump(c.nc, ur, c.srv.cfg.WriteTimeout)
	c.w.total += n
	if err != nil {
		x.Abort()
	} else {
		_ = c.nc.SetReadDeadline(time.Now().Add(halfOpen))
	}
	if upErr := <-up; err == nil {
		err = upErr
	}
	return err
}

// pump copies until the source ends, then closes the sending side of dst.
func pump(dst net.Conn, src *Reader, timeout time.Duration) (n int64, err error) {
	armed := deadline{set: dst.SetWriteDeadline}
	for {
		p, err := src.some()
		if err == io.EOF {
			if half, ok := dst.(interface{ CloseWrite() error }); ok {
				return n, half.CloseWrite()
			}
			return n, dst.Close()
		}
		if err != nil {
			return n, err
		}
		armed.arm(timeout)
		m, err := dst.Write(p)
		n += int64(m)
		if err != nil {
			return n, err
		}
	}
}

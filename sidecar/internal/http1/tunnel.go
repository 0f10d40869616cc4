package http1

import (
	"errors"
	"io"
	"net"
	"time"
)

// halfOpen limits how long one direction of a tunnel may continue after the other has ended.
const halfOpen = time.Minute

// Tunnel copies bytes between the client and the upstream after a 101 response until both
// directions have ended. The end of one direction is passed on as a half-close; an error in either
// ends both.
func (x *Exchange) Tunnel(upstream net.Conn, ur *Reader) error {
	x.Settle()
	c := x.c
	ur.BeforeWait(nil)
	ur.SetTimeout(0)
	c.r.SetTimeout(0)
	up := make(chan struct{})
	go func() {
		defer close(up)
		p := pump{dst: upstream, src: c.r, readFails: ReasonClientGone, writeFails: ReasonUpstreamBroke}
		p.run(c)
	}()
	down := pump{dst: c.nc, waits: c.w.waits, src: ur, readFails: ReasonUpstreamBroke, writeFails: ReasonClientGone}
	down.run(c)
	<-up
	c.w.total += down.n
	return x.OverErr()
}

// pump is one direction of a tunnel.
type pump struct {
	dst                   net.Conn
	src                   *Reader
	waits                 *waiting // records each write; nil for an upstream
	readFails, writeFails Reason
	n                     int64
}

// run copies until the source ends, then closes the sending side of dst. Errors abort the exchange.
func (p *pump) run(c *conn) {
	armed := deadline{set: p.dst.SetWriteDeadline}
	for {
		piece, err := p.src.some()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			c.stop(c.seq, p.readFails)
			return
		}
		now := time.Now()
		armed.armAt(now, c.srv.cfg.WriteTimeout)
		since := p.waits.begin(now)
		n, err := p.dst.Write(piece)
		p.waits.end(since)
		p.n += int64(n)
		if err != nil {
			c.stop(c.seq, p.writeFails)
			return
		}
	}
	if half, ok := p.dst.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // fails only on a closed connection, which its reader notices
	}
	_ = p.dst.SetReadDeadline(time.Now().Add(halfOpen))
}

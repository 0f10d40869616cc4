package forward

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"lilypad.example/sidecar/internal/http1"
)

// conn is a connection to an upstream and the exchange on it.
type conn struct {
	up        *Upstream
	nc        net.Conn
	r         *http1.Reader
	w         *http1.Writer
	res       http1.Response
	fields    [24]http1.Field // the first memory of the answer's header
	reused    bool            // it carried an exchange before this one
	idleSince time.Time
	counted   atomic.Bool // among the exchanges of the upstream

	raw   syscall.RawConn
	probe func(fd uintptr) // what quiet asks the socket, made once
	alive bool             // its answer

	// The request's body, when it does not leave together with the head.
	sent    chan struct{} // closed when the body's goroutine is through with this connection
	cont    chan bool     // to a body that waits for a 100: whether to go on
	whole   bool          // the whole body was sent
	failure atomic.Pointer[error]

	mu       sync.Mutex
	answered bool // the head of the answer is here, its time limit must not be set any more
}

func (u *Upstream) dial(x *http1.Exchange) (*conn, error) {
	nc, err := u.dialer.DialContext(x.Context(), u.cfg.Network, u.cfg.Address)
	if err != nil {
		return nil, err
	}
	c := &conn{up: u, nc: nc}
	c.r = http1.NewReader(nc, u.f.buffers)
	c.w = http1.NewWriter(nc, u.f.buffers, u.cfg.WriteTimeout)
	c.res.Header = c.fields[:0]
	if sc, ok := nc.(syscall.Conn); ok {
		c.raw, _ = sc.SyscallConn()
	}
	c.probe = func(fd uintptr) {
		var b [1]byte
		n, err := syscall.Read(int(fd), b[:])
		c.alive = n < 0 && (err == syscall.EAGAIN || err == syscall.EWOULDBLOCK)
	}
	return c, nil
}

// quiet reports whether an idle connection is open and silent. It may have been closed, and then a
// request that cannot be sent twice would fail; or it may hold bytes that belong to no request, and
// then the next answer would be a wrong one. A read that does not wait finds out both.
func (c *conn) quiet() bool {
	if c.raw == nil || c.r.Buffered() > 0 {
		return false
	}
	c.alive = false
	return c.raw.Control(c.probe) == nil && c.alive
}

// Close ends the connection under whoever uses it.
func (c *conn) Close() error {
	if c.counted.CompareAndSwap(true, false) {
		c.up.leave()
	}
	return c.nc.Close()
}

// discard ends a connection that nobody uses.
func (c *conn) discard() {
	_ = c.Close()
	c.w.Release()
	c.r.Release()
}

// send writes the request. A body that is in memory leaves with the head in one write; any other
// gets a goroutine.
func (c *conn) send(x *http1.Exchange, edit *RequestEdit, body []byte) error {
	q := &x.Request
	c.sent, c.cont, c.whole, c.answered = nil, nil, true, false
	c.failure.Store(nil)
	c.r.SetTotalTimeout(c.up.cfg.HeaderTimeout) // interim answers and single bytes do not extend it
	c.writeHead(x, edit)
	c.endHead(q)
	if q.Body.Done() {
		err := c.w.Write(body)
		if err == nil {
			err = c.w.End(nil)
		}
		if err == nil {
			x.Guard(nil)
		}
		return err
	}
	if err := c.w.Flush(); err != nil {
		return err
	}
	c.whole = false
	c.sent = make(chan struct{})
	if q.Expects() {
		c.cont = make(chan bool, 1)
	}
	c.r.SetTimeout(0) // the time for the answer begins when the body was sent
	x.Guard(func() { c.sendBody(x) })
	return nil
}

// sendBody streams the request's body, in its own goroutine.
func (c *conn) sendBody(x *http1.Exchange) {
	defer close(c.sent)
	if c.cont != nil {
		select {
		case ok := <-c.cont:
			if !ok {
				return
			}
		case <-time.After(c.up.cfg.ContinueWait):
		}
	}
	body := &x.Request.Body
	var broken error // the connection, and not the body
	body.BeforeWait(func() error {
		broken = c.w.Flush()
		return broken
	})
	defer body.BeforeWait(nil)
	for {
		p, err := body.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if errors.Is(err, http1.ErrAnswered) {
			return
		}
		if err != nil && broken == nil {
			// The upstream must not take this for a whole request, and whoever waits for it must
			// wake up.
			c.failure.Store(&err)
			_ = c.nc.Close()
			return
		}
		if err == nil {
			err = c.w.Write(p)
		}
		if err != nil {
			c.expectAnswer() // it stopped reading; perhaps it has said why
			return
		}
	}
	c.whole = c.w.End(c.requestTrailer(&x.Request)) == nil
	c.expectAnswer()
}

func (c *conn) expectAnswer() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.answered {
		_ = c.nc.SetReadDeadline(time.Now().Add(c.up.cfg.HeaderTimeout))
	}
}

// answer ends what expectAnswer began, or is about to begin in the body's goroutine.
func (c *conn) answer() {
	if c.sent == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answered = true
	c.r.ForgetDeadline()
}

// maxInterims is the maximum number of informational responses.
const maxInterims = 8

// await reads the header of the final response.
func (c *conn) await(x *http1.Exchange) error {
	q := &x.Request
	for range maxInterims {
		if err := http1.ReadResponse(c.r, &c.res, q.Method, c.up.limits); err != nil {
			return err
		}
		switch status := c.res.Status; {
		case status >= 200:
			c.signalContinue(false)
			c.answer()
			return nil
		case status == 100:
			c.signalContinue(true)
		case status == 101:
			if !q.WebSocket() || !c.res.SwitchesToWebSocket() {
				return errSwitch
			}
			return nil
		default:
			var hints http1.Header
			for field := range c.up.f.responseFields(&c.res, &ResponseEdit{}) {
				hints = append(hints, field)
			}
			if err := x.Interim(status, hints); err != nil {
				return err
			}
		}
	}
	return errInterims
}

// signalContinue tells the goroutine that waits for 100 Continue whether to send the body.
func (c *conn) signalContinue(ok bool) {
	if c.cont == nil {
		return
	}
	select {
	case c.cont <- ok:
	default: // already signalled, or it does not wait
	}
}

// release ends the exchange on this connection, which is kept if both messages ended exactly and
// nothing is left over.
func (c *conn) release(x *http1.Exchange) {
	if c.sent != nil {
		c.endBody(x)
	}
	open := x.Detach() == nil
	if open && c.whole && c.res.Body.Done() && c.res.Persistent() && c.r.Buffered() == 0 {
		c.reused = true
		c.sent = nil
		c.r.BeforeWait(nil)
		c.r.Relax()
		clear(c.res.Header) // or its strings would live as long as the connection
		c.up.put(c)
		return
	}
	c.discard()
}

// endBody stops a body that is still on its way after the answer ended, and makes sure that its
// goroutine has.
func (c *conn) endBody(x *http1.Exchange) {
	if x.Request.Body.Done() {
		// It was read to its end, so at most the last write is under way; the upstream may still
		// want it.
		select {
		case <-c.sent:
		case <-time.After(100 * time.Millisecond):
		}
	}
	select {
	case <-c.sent:
	default:
		_ = c.nc.Close()
	}
	x.Settle()
	<-c.sent
}

// isDead reports whether err means that the peer had closed the connection.
func isDead(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

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
	end       *endpoint
	nc        net.Conn
	r         *http1.Reader
	w         *http1.Writer
	res       http1.Response
	fields    [24]http1.Field // initial memory of the response's header
	reused    bool            // it has carried an exchange before
	idleSince time.Time
	counted   atomic.Bool // in Upstream.busy

	flush func() error // sends a request without a body, allocated once

	raw   syscall.RawConn
	probe func(fd uintptr) // used by quiet, allocated once
	alive bool             // result of probe

	// State of a request body that does not leave together with the head.
	sent    chan struct{} // closed when the body's goroutine has ended
	cont    chan bool     // to a body that waits for 100 Continue: whether to send it
	whole   bool          // the whole body was sent
	failure atomic.Pointer[error]

	mu       sync.Mutex
	headRead bool // the response head was read, so HeaderTimeout is over
}

// newConn returns a connection to end, which is nc.
func (u *Upstream) newConn(end *endpoint, nc net.Conn) *conn {
	c := &conn{up: u, end: end, nc: nc}
	c.r = http1.NewReader(nc, u.f.buffers)
	c.w = http1.NewWriter(nc, u.f.buffers, u.cfg.WriteTimeout)
	c.res.Header = c.fields[:0]
	c.flush = func() error { return c.w.End(nil) }
	socket := nc
	if secure, ok := nc.(tlsConn); ok {
		socket = secure.NetConn()
	}
	if sc, ok := socket.(syscall.Conn); ok {
		c.raw, _ = sc.SyscallConn()
	}
	c.probe = func(fd uintptr) {
		var b [1]byte
		n, err := syscall.Read(int(fd), b[:])
		c.alive = n < 0 && (err == syscall.EAGAIN || err == syscall.EWOULDBLOCK)
	}
	return c
}

// quiet reports whether an idle connection is open and has no unread bytes. If it was closed, a
// request that must not be repeated would fail. If it holds bytes, they belong to no request, and
// the next response would be a wrong one. A non-blocking read detects both.
func (c *conn) quiet() bool {
	if c.raw == nil || c.r.Buffered() > 0 {
		return false
	}
	c.alive = false
	if c.raw.Control(c.probe) != nil || !c.alive {
		return false
	}
	secure, ok := c.nc.(tlsConn)
	if !ok {
		return true
	}
	defer c.r.ForgetDeadline()
	return secure.quiet()
}

// Close closes the connection. It may be called while another goroutine uses it.
func (c *conn) Close() error {
	if c.counted.CompareAndSwap(true, false) {
		c.up.leave(c.end)
	}
	return c.nc.Close()
}

// discard closes a connection that is not in use.
func (c *conn) discard() {
	_ = c.Close()
	c.w.Release()
	c.r.Release()
}

// send writes the request. A buffered body leaves with the head in one write; any other is
// streamed. Without a body, it sends nothing if the connection is not quiet.
func (c *conn) send(x *http1.Exchange, edit *RequestEdit, body []byte) error {
	q := &x.Request
	c.sent, c.cont, c.whole, c.headRead = nil, nil, true, false
	c.failure.Store(nil)
	c.r.SetTotalTimeout(c.up.cfg.HeaderTimeout) // interim responses do not extend it
	c.writeHead(x, edit)
	c.endHead(q)
	if q.Body.Done() && body == nil {
		return c.r.Ask(c.flush)
	}
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
	c.r.SetTimeout(0) // HeaderTimeout begins when the body was sent
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
	var writeErr error // of the upstream connection, as opposed to the body
	body.BeforeWait(func() error {
		writeErr = c.w.Flush()
		return writeErr
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
		if err != nil && writeErr == nil {
			// Close the connection so that the upstream does not take this for a complete request,
			// and to wake up the goroutine that waits for the response.
			c.failure.Store(&err)
			_ = c.nc.Close()
			return
		}
		if err == nil {
			err = c.w.Write(p)
		}
		if err != nil {
			c.expectAnswer() // the upstream stopped reading; it may have responded
			return
		}
	}
	c.whole = c.w.End(c.requestTrailer(&x.Request)) == nil
	c.expectAnswer()
}

// expectAnswer starts HeaderTimeout once the body was sent.
func (c *conn) expectAnswer() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.headRead {
		_ = c.nc.SetReadDeadline(time.Now().Add(c.up.cfg.HeaderTimeout))
	}
}

// headReceived undoes expectAnswer, and stops the body's goroutine from calling it later.
func (c *conn) headReceived() {
	if c.sent == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.headRead = true
	c.r.ForgetDeadline()
}

// maxInterims limits the informational responses before the final one.
const maxInterims = 8

// await reads the head of the final response.
func (c *conn) await(x *http1.Exchange) error {
	q := &x.Request
	for range maxInterims {
		if err := http1.ReadResponse(c.r, &c.res, q.Method, c.up.limits); err != nil {
			return err
		}
		switch status := c.res.Status; {
		case status >= 200:
			c.signalContinue(false)
			c.headReceived()
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

// signalContinue tells a body that waits for 100 Continue whether to send. The first call counts.
func (c *conn) signalContinue(send bool) {
	if c.cont == nil {
		return
	}
	select {
	case c.cont <- send:
	default: // already signalled
	}
}

// release ends the exchange on this connection. The connection is kept if both messages are
// complete and no bytes are left over.
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
		clear(c.res.Header) // do not keep the strings
		c.up.put(c)
		return
	}
	c.discard()
}

// endBody stops a request body that is still being sent, and waits for its goroutine.
func (c *conn) endBody(x *http1.Exchange) {
	if x.Request.Body.Done() {
		// At most the last write is in progress. Let it finish: the upstream may still read it.
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

// isDead reports whether err means that the upstream had closed the connection.
func isDead(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

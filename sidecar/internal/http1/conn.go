package http1

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"strconv"
	"sync"
	"time"
)

// conn is one client connection and the exchange it carries, one after another.
type conn struct {
	srv      *Server
	nc       net.Conn
	r        *Reader
	w        *Writer
	remote   netip.AddrPort
	remoteIP string
	serial   string // of the connection, in exchange ids
	x        Exchange
	fields   [32]Field // the first memory of the request's header

	sending sync.Mutex // orders a 100 before the answer

	mu         sync.Mutex
	seq        uint64 // the number of the exchange
	live       bool   // an exchange is under way
	closed     bool   // no other exchange may begin
	over       Reason // why the exchange was ended early
	upstream   io.Closer
	ctx        context.Context //nolint:containedctx // made on demand; it is the exchange's, not the connection's
	cancel     context.CancelFunc
	watchTimer *time.Timer
	armed      bool          // the watch begins when the timer fires
	watching   chan struct{} // closed when the goroutine that reads ahead ended
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{srv: s, nc: nc, remote: addrPort(nc)}
	c.remoteIP = c.remote.Addr().String()
	c.r = NewReader(nc, &s.buffers)
	c.w = NewWriter(nc, &s.buffers, s.cfg.WriteTimeout)
	c.x.c = c
	c.x.Request.Header = c.fields[:0]
	return c
}

// addrPort returns the peer's address; a listener that has none (a socket file) has only local peers.
func addrPort(nc net.Conn) netip.AddrPort {
	if tcp, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		a := tcp.AddrPort()
		return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0)
}

func (c *conn) serve() {
	defer c.srv.forget(c)
	again, lingers := true, false
	for again {
		again, lingers = c.next()
	}
	c.w.Release()
	c.r.Release()
	if lingers {
		linger(c.nc, c.srv.cfg.LingerTimeout)
	}
	_ = c.nc.Close()
}

// linger closes the sending side first and reads on for a while: closing a connection with unread bytes resets it, and
// the reset destroys the answer on its way to the client.
func linger(nc net.Conn, d time.Duration) {
	if half, ok := nc.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_ = nc.SetReadDeadline(time.Now().Add(d))
		_, _ = io.Copy(io.Discard, nc)
	}
	_ = nc.Close()
}

// next carries one exchange. It reports whether another one may follow, and if not, whether the client may still be
// sending and should get the time to read its answer.
func (c *conn) next() (again, linger bool) {
	if c.r.Buffered() == 0 {
		c.r.SetTimeout(c.srv.cfg.IdleTimeout)
		if c.r.fill() != nil {
			return false, false
		}
	}
	c.r.SetTotalTimeout(c.srv.cfg.HeadTimeout)
	err := readRequest(c.r, &c.x.Request, c.srv.limits)
	if !c.begin() {
		return false, false
	}
	if err != nil {
		linger = c.refuse(err)
		c.end()
		return false, linger
	}
	c.handle()
	return c.finish()
}

// begin starts an exchange, unless the connection was closed in the meantime.
func (c *conn) begin() bool {
	x := &c.x
	x.reply = Reply{}
	x.inBase = c.x.inEnd
	x.outBase = c.w.total
	x.upstream, x.took, x.reason, x.id = 0, 0, ReasonNone, ""
	x.start = time.Now()
	c.r.SetTimeout(c.srv.cfg.BodyTimeout)
	x.Request.Body.pace = pace{still: c.srv.cfg.BodyTimeout, rate: int64(c.srv.cfg.MinBodyRate), since: c.r.total}
	if x.Request.Expects() {
		x.Request.Body.begin = x.sendContinue
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seq++
	c.live = !c.closed
	c.over = ReasonNone
	c.ctx, c.cancel = nil, nil
	return c.live
}

// end closes the exchange against everybody who may still hold its handle. It returns why it was over early, and
// whether the connection may carry another one.
func (c *conn) end() (over Reason, open bool) {
	c.x.took = time.Since(c.x.start)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.live = false
	if c.cancel != nil {
		c.cancel()
	}
	return c.over, !c.closed
}

func (c *conn) dropUpstream() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.upstream != nil {
		_ = c.upstream.Close()
		c.upstream = nil
	}
}

func (c *conn) handle() {
	defer func() {
		if v := recover(); v != nil {
			c.x.Fail(ReasonNoAnswer)
			if c.srv.cfg.Panicked == nil {
				panic(v)
			}
			c.srv.cfg.Panicked(&c.x, v, debug.Stack())
		}
	}()
	c.srv.cfg.Handler(&c.x)
}

func (c *conn) finish() (again, linger bool) {
	x := &c.x
	c.dropUpstream() // nothing is attached any more, unless the handler failed
	x.Settle()
	if !x.reply.begun && x.Over() == ReasonNone {
		x.Fail(ReasonNoAnswer)
		_ = x.RespondProblem(500, "the request could not be answered")
	}
	over, open := c.end()
	x.inEnd = c.r.total - int64(c.r.Buffered())
	if c.srv.cfg.Ended != nil {
		c.srv.cfg.Ended(x)
	}
	switch {
	case over != ReasonNone:
		return false, false
	case !x.reply.ended:
		c.reset()
		return false, false
	case !x.reply.keep || !open:
		return false, !x.Request.Body.Done()
	}
	c.w.Release()
	c.r.Relax()
	x.Request.forget()
	return true, false
}

// refuse answers what could not be read, and reports whether there is an answer to read.
func (c *conn) refuse(err error) bool {
	fault, ok := errors.AsType[*Fault](err)
	if !ok {
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return false // the client left in the middle of its header
		}
		fault = errHeadTimeout
	}
	x := &c.x
	x.Request.Method, x.Request.Minor = "", 1
	x.Request.framing = framing{close: true}
	x.Request.Body.reset(c.r, bodyNone, 0, 0)
	err = x.RespondProblem(fault.Status, fault.Detail)
	c.srv.refused(Refusal{c.remote, fault.Status, fault.Reason, fault.Detail})
	return err == nil
}

// exchangeID is unique: a random prefix for the process, the number of the connection, the number of the exchange.
func (c *conn) exchangeID() string {
	if c.serial == "" {
		c.serial = c.srv.prefix + "-" + strconv.FormatUint(c.srv.serial.Add(1), 36) + "-"
	}
	var mem [64]byte
	return string(strconv.AppendUint(append(mem[:0], c.serial...), c.seq, 36))
}

// armWatch starts the timer of the watch; c.mu is held.
func (c *conn) armWatch() {
	if c.watchTimer == nil {
		c.watchTimer = time.AfterFunc(c.srv.cfg.WatchDelay, c.watchLate)
		return
	}
	c.watchTimer.Reset(c.srv.cfg.WatchDelay)
}

// close ends the connection: at once if it is idle, after its exchange otherwise.
func (c *conn) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if !c.live {
		_ = c.nc.Close()
	}
}

// abort ends the exchange that is under way, if any, and the connection.
func (c *conn) abort() {
	c.mu.Lock()
	seq := c.seq
	c.mu.Unlock()
	c.stop(seq, ReasonAborted)
	c.close()
}

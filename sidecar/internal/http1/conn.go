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
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
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
	fields   *[headerFields]Field // the first memory of a request's header
	slowHead func() error         // headWaits, bound once

	waits   waiting
	known   atomic.Bool         // the exchange is that of a known client
	charged [forKnown + 1]int64 // to the budget, beyond what the connection costs, by purpose

	sending sync.Mutex // orders a 100 before the answer

	mu       sync.Mutex
	seq      uint64 // the number of the exchange
	live     bool   // an exchange is under way
	heading  bool   // a head is under way that did not come in one piece
	closed   bool   // no other exchange may follow
	dead     bool   // nor may one begin
	crowded  bool   // it was closed to make room
	unasked  bool   // outside of an exchange
	over     Reason // why the exchange was ended early
	upstream io.Closer
	ctx      context.Context //nolint:containedctx // made on demand; it is the exchange's, not the connection's
	cancel   context.CancelFunc

	watch
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{srv: s, nc: nc, remote: addrPort(nc)}
	c.remoteIP = c.remote.Addr().String()
	c.r = NewReader(nc, s.buffers)
	c.r.waits = &c.waits
	c.w = NewWriter(nc, s.buffers, s.cfg.WriteTimeout)
	c.x.c = c
	c.slowHead = c.headWaits
	c.waits.begin(time.Now())
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

// unsent is how much of an answer the kernel takes before the client has room for it. More would be memory that nobody
// counts, and would go on to the client after its exchange.
const unsent = 64 << 10

func (c *conn) serve() {
	defer c.srv.forget(c)
	if c.r.raw != nil {
		_ = c.r.raw.Control(func(fd uintptr) { // fails where it means nothing
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent)
		})
	}
	again, lingers := true, false
	for again {
		again, lingers = c.next()
	}
	c.w.Release()
	if lingers {
		linger(c.nc, c.r, c.srv.cfg.LingerTimeout)
	}
	c.r.Release()
	_ = c.nc.Close()
}

// linger closes the sending side first and reads on for a while: closing a connection with unread bytes resets it, and
// the reset destroys the answer on its way to the client.
func linger(nc net.Conn, r *Reader, d time.Duration) {
	if half, ok := nc.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		r.BeforeWait(nil)
		r.SetTotalTimeout(d)
		for {
			if _, err := r.some(); err != nil {
				break
			}
		}
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
	if c.waits.Swap(0) == leaving {
		return false, false
	}
	c.fields = c.srv.getFields()
	c.x.Request.Header = c.fields[:0]
	c.r.SetTotalTimeout(c.srv.cfg.HeadTimeout)
	c.r.BeforeWait(c.slowHead)
	err := readRequest(c.r, &c.x.Request, c.srv.limits)
	c.r.BeforeWait(nil)
	if !c.begin() {
		return false, false
	}
	if err != nil {
		linger = c.refuse(err)
		c.end()
		return false, linger
	}
	c.r.Relax() // a body needs no buffer as large as its head did
	c.handle()
	return c.finish()
}

// headWaits is called when the rest of a head has to be waited for.
func (c *conn) headWaits() error {
	if c.heading {
		return nil
	}
	if err := c.charge(smallBuffer, forConn); err != nil {
		return err
	}
	c.mu.Lock()
	c.heading = true
	c.mu.Unlock()
	c.waits.begin(time.Now())
	return nil
}

// charge takes n bytes from the budget until the exchange ends.
func (c *conn) charge(n int64, why purpose) error {
	if !c.srv.budget.acquire(n, why, &c.waits) {
		return errOverloaded
	}
	c.charged[why] += n
	return nil
}

func (c *conn) giveBack() {
	for why, n := range c.charged {
		if n > 0 {
			c.srv.budget.give(n, purpose(why))
		}
	}
	c.charged = [forKnown + 1]int64{}
}

// begin starts an exchange, unless the connection was closed in the meantime.
func (c *conn) begin() bool {
	if c.heading && c.waits.Swap(0) == leaving {
		return false
	}
	x := &c.x
	x.reply = Reply{}
	x.inBase = c.x.inEnd
	x.outBase = c.w.total
	x.upstream, x.took, x.reason, x.id = 0, 0, ReasonNone, ""
	x.purpose, x.reserved, x.last = forStranger, false, false
	x.start = time.Now()
	c.w.waits = &c.waits
	c.r.SetTimeout(c.srv.cfg.BodyTimeout)
	x.Request.Body.pace = pace{
		still: c.srv.cfg.BodyTimeout, rate: int64(c.srv.cfg.MinBodyRate), since: c.r.total, waits: &c.waits,
	}
	if total := c.srv.cfg.BodyTotalTimeout; total > 0 {
		x.Request.Body.pace.end = x.start.Add(total)
	}
	if x.Request.Expects() {
		x.Request.Body.begin = x.sendContinue
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seq++
	c.live, c.heading = !c.dead, false
	c.over = ReasonNone
	c.ctx, c.cancel = nil, nil
	return c.live
}

// end closes the exchange against everybody who may still hold its handle. It returns why it was over early, and
// whether the connection may carry another one.
func (c *conn) end() (over Reason, open bool) {
	c.endWatch()
	x := &c.x
	if x.shared > 0 {
		c.srv.budget.unshare(x.client, x.shared)
	}
	x.client, x.shared = "", 0
	x.took = time.Since(x.start)
	x.inEnd = c.r.total - int64(c.r.Buffered())
	c.giveBack()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.live = false
	c.known.Store(false)
	if c.cancel != nil {
		c.cancel()
	}
	c.waits.begin(x.start.Add(x.took))
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
			c.x.SetReason(ReasonNoAnswer)
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
		x.SetReason(ReasonNoAnswer)
		_ = x.RespondProblem(500, "the request could not be answered")
	}
	over, open := c.end()
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
	c.srv.putFields(c.fields)
	c.fields = nil
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

// close ends the connection: at once if it is idle, otherwise after the exchange that is under way, or of which a part
// has come.
func (c *conn) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if since := c.waits.Load(); !c.live && !c.heading && since > 0 && c.waits.CompareAndSwap(since, leaving) {
		_ = c.nc.Close()
	}
}

func (c *conn) isLive() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.live
}

// abort ends the exchange that is under way, if any, and the connection.
func (c *conn) abort(reason Reason) {
	c.mu.Lock()
	seq, live := c.seq, c.live
	c.closed, c.dead = true, true
	c.crowded = reason == ReasonOverloaded
	c.unasked = !live
	c.mu.Unlock()
	if live {
		c.stop(seq, reason)
	} else {
		_ = c.nc.Close()
	}
}

package http1

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"time"
)

// Errors of an exchange that ended early.
var (
	ErrAborted      = errors.New("http1: exchange aborted")
	ErrClientGone   = errors.New("http1: client went away")
	ErrUpstreamGone = errors.New("http1: upstream broke a tunnel off")
)

// Exchange is one request and its answer. It belongs to the handler's goroutine until the handler returns; only
// [Exchange.Context] and the [Handle] may be used by others.
type Exchange struct {
	Request Request

	c        *conn
	reply    Reply
	start    time.Time
	inBase   int64 // the connection's counters when the exchange began
	inEnd    int64 // and what the last exchange had used up
	outBase  int64
	upstream time.Duration
	took     time.Duration
	reason   Reason
	id       string
	purpose  purpose // of what is charged
	reserved bool
	client   string // who has shared bytes noted as a share
	shared   int64
	last     bool // its answer ends the connection
}

// Facts are what the access log and the metrics want to know of an exchange that ended.
type Facts struct {
	Status   int           // as sent; StatusClientGone when the client left before there was an answer
	Reason   Reason        // why it went wrong, if it did
	BytesIn  int64         // on the client's connection, heads and framing included
	BytesOut int64         //
	Start    time.Time     // when the head had been read
	Took     time.Duration // until the answer was written
	Upstream time.Duration // until the head of the upstream's answer, 0 without one
}

// Remote returns the address of the peer of the connection.
func (x *Exchange) Remote() netip.AddrPort { return x.c.remote }

// RemoteIP returns the same address as text, without the port.
func (x *Exchange) RemoteIP() string { return x.c.remoteIP }

// Start returns when the request's head had been read.
func (x *Exchange) Start() time.Time { return x.start }

// ID returns an identifier of the exchange, unique among all processes. It is not a secret.
func (x *Exchange) ID() string {
	if x.id == "" {
		x.id = x.c.exchangeID()
	}
	return x.id
}

// LimitBody lowers the most that is read of the request's body. It returns a fault (413) if more was announced.
func (x *Exchange) LimitBody(n int64) error {
	if x.Request.Body.length > n {
		return errBodyLength
	}
	if n > 0 {
		x.Request.Body.limit = n
	}
	return nil
}

// Reserve takes from the server's budget what the exchange costs while it waits for others. client says who the client
// has shown to be, "" for a stranger. A known client finds room longer than strangers do, and is closed to make room only
// after them; when room is scarce, each has a share. It returns a fault (503) when there is no room. It may be called
// again when more is known.
func (x *Exchange) Reserve(client string) error {
	n := exchangeCost + int64(x.Request.headBytes)
	if client != "" && x.purpose != forKnown {
		noted, ok := x.c.srv.budget.share(client, n)
		if noted {
			x.client, x.shared = client, n
		}
		if ok {
			x.purpose = forKnown
			x.c.known.Store(true)
			if x.reserved { // as a stranger
				x.c.giveBack()
				x.reserved = false
			}
		}
	}
	if x.reserved {
		return nil
	}
	err := x.charge(n)
	x.reserved = err == nil
	return err
}

// charge takes n bytes from the server's budget until the end of the exchange.
func (x *Exchange) charge(n int64) error {
	err := x.c.charge(n, x.purpose)
	x.last = x.last || err != nil
	return err
}

// Answered reports whether an answer was begun: then nothing else can be sent.
func (x *Exchange) Answered() bool { return x.reply.begun }

// SetReason records why the exchange failed. The first reason stays.
func (x *Exchange) SetReason(reason Reason) {
	if x.reason == ReasonNone {
		x.reason = reason
	}
}

// TookUpstream notes how long the upstream needed until the head of its answer.
func (x *Exchange) TookUpstream(d time.Duration) { x.upstream += d }

// Facts returns what is known now; it is complete in the Ended hook.
func (x *Exchange) Facts() Facts {
	f := Facts{
		Status: x.reply.status, Reason: x.reason, Start: x.start, Took: x.took, Upstream: x.upstream,
		BytesIn: x.c.r.total - int64(x.c.r.Buffered()) - x.inBase, BytesOut: x.c.w.total - x.outBase,
	}
	if over := x.Over(); over != ReasonNone {
		f.Reason = over
	}
	if f.Status == 0 {
		f.Status = StatusClientGone
	}
	return f
}

// Over returns why the exchange was ended early, or ReasonNone.
func (x *Exchange) Over() Reason {
	x.c.mu.Lock()
	defer x.c.mu.Unlock()
	return x.c.over
}

// OverErr is Over as an error.
func (x *Exchange) OverErr() error {
	switch x.Over() {
	case ReasonNone:
		return nil
	case ReasonClientGone:
		return ErrClientGone
	case ReasonUpstreamBroke: // of a tunnel
		return ErrUpstreamGone
	}
	return ErrAborted
}

// Context is cancelled when the exchange ends, however it ends.
func (x *Exchange) Context() context.Context {
	c := x.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx == nil {
		c.ctx, c.cancel = context.WithCancel(context.Background())
		if !c.live || c.over != ReasonNone {
			c.cancel()
		}
	}
	return c.ctx
}

// Abort ends the exchange at once: the client's and the upstream's connection are closed, and neither side can take
// what it has for complete.
func (x *Exchange) Abort() { x.Handle().Abort() }

// ClientGone ends the exchange because the client left, as the reader of its body may find out.
func (x *Exchange) ClientGone() { x.c.stop(x.c.seq, ReasonClientGone) }

// Handle returns what other goroutines may hold to abort this exchange.
func (x *Exchange) Handle() Handle { return Handle{x.c, x.c.seq} }

// Handle names one exchange, and stays harmless when that ended: it never hits the next one on the same connection.
// Handles are comparable.
type Handle struct {
	c   *conn
	seq uint64
}

// Abort is [Exchange.Abort], from any goroutine and at any time.
func (h Handle) Abort() {
	if h.c != nil {
		h.c.stop(h.seq, ReasonAborted)
	}
}

// Attach makes closer part of the exchange: it is closed when the exchange is aborted, when its client goes away, and
// at the latest when it ends, unless it was detached.
// It fails when that has happened already.
func (x *Exchange) Attach(closer io.Closer) error {
	c := x.c
	c.mu.Lock()
	over := c.over
	if over == ReasonNone {
		c.upstream = closer
	}
	c.mu.Unlock()
	if over != ReasonNone {
		return x.OverErr()
	}
	return nil
}

// Detach ends Attach. It fails if the exchange is over: then the closer was closed.
func (x *Exchange) Detach() error {
	c := x.c
	c.mu.Lock()
	over := c.over
	c.upstream = nil
	c.mu.Unlock()
	if over != ReasonNone {
		return x.OverErr()
	}
	return nil
}

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
	ErrClientGone   = errors.New("http1: client closed the connection")
	ErrUpstreamGone = errors.New("http1: upstream connection failed in a tunnel")
)

// Exchange is one request and its response. It belongs to the handler's goroutine until the handler
// returns; other goroutines may use only [Exchange.Context] and the [Handle].
type Exchange struct {
	Request Request

	c        *conn
	reply    Reply
	start    time.Time
	inBase   int64 // the connection's bytes in when the exchange began
	inEnd    int64 // the connection's bytes in when the last exchange ended
	outBase  int64 // the connection's bytes out when the exchange began
	upstream time.Duration
	took     time.Duration
	reason   Reason
	id       string
	purpose  purpose // of the budget charges
	reserved bool    // Reserve has charged the budget
	client   string  // the client whose share was charged
	shared   int64
	last     bool // the response closes the connection
}

// Facts describe an exchange for the access log and metrics.
type Facts struct {
	Status   int           // as sent; StatusClientGone if the client left before the response
	Reason   Reason        // why it failed, or ReasonNone
	BytesIn  int64         // on the client's connection, including heads and framing
	BytesOut int64         // the same, of the response
	Start    time.Time     // when the head had been read
	Took     time.Duration // until the response was written
	Upstream time.Duration // until the upstream's response head; 0 without one
}

// Remote returns the peer's address.
func (x *Exchange) Remote() netip.AddrPort { return x.c.remote }

// RemoteIP returns the IP address of the peer as text.
func (x *Exchange) RemoteIP() string { return x.c.remoteIP }

// Start returns when the request head had been read.
func (x *Exchange) Start() time.Time { return x.start }

// ID returns an identifier that is unique across processes. It is not a secret.
func (x *Exchange) ID() string {
	if x.id == "" {
		x.id = x.c.exchangeID()
	}
	return x.id
}

// LimitBody limits the body to n bytes; 0 does not limit one of unknown length. It returns a
// [Fault] (413) if the announced length exceeds n.
func (x *Exchange) LimitBody(n int64) error {
	if x.Request.Body.length > n {
		return errBodyLength
	}
	if n > 0 {
		x.Request.Body.limit = n
	}
	return nil
}

// Reserve takes the memory that the exchange costs from the server's budget, until the exchange
// ends. client identifies a client that presented a valid credential; "" is a stranger. Known
// clients may use more of the budget and are closed after strangers; when memory is scarce, each
// has a limited share. It returns a [Fault] (503) when there is no memory. It may be called again
// once the client is known.
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
			if x.reserved { // as a stranger, before the client was known
				x.c.refund()
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

func (x *Exchange) charge(n int64) error {
	err := x.c.charge(n, x.purpose)
	x.last = x.last || err != nil
	return err
}

// Answered reports whether a response was begun; no other one can be sent then.
func (x *Exchange) Answered() bool { return x.reply.begun }

// SetReason records why the exchange failed. Only the first reason counts.
func (x *Exchange) SetReason(reason Reason) {
	if x.reason == ReasonNone {
		x.reason = reason
	}
}

// AddUpstreamTime records how long the upstream took to send a response head.
func (x *Exchange) AddUpstreamTime(d time.Duration) { x.upstream += d }

// Facts returns what is known so far; in the Ended hook it is complete.
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

// Over returns why the exchange ended early, or ReasonNone.
func (x *Exchange) Over() Reason {
	x.c.mu.Lock()
	defer x.c.mu.Unlock()
	return x.c.over
}

// OverErr returns the reason of Over as an error, or nil.
func (x *Exchange) OverErr() error {
	switch x.Over() {
	case ReasonNone:
		return nil
	case ReasonClientGone:
		return ErrClientGone
	case ReasonUpstreamBroke: // only in a tunnel
		return ErrUpstreamGone
	}
	return ErrAborted
}

// Context returns a context that is cancelled when the exchange ends.
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

// Abort ends the exchange at once. It closes the connections to the client and the upstream such
// that neither takes what it has received for a complete message.
func (x *Exchange) Abort() { x.Handle().Abort() }

// ClientGone aborts the exchange for a caller that noticed while reading that the client has left.
func (x *Exchange) ClientGone() { x.c.stop(x.c.seq, ReasonClientGone) }

// Handle returns a handle with which other goroutines can abort this exchange.
func (x *Exchange) Handle() Handle { return Handle{x.c, x.c.seq} }

// Handle identifies one exchange. After that exchange has ended it has no effect: it never aborts
// the next one on the same connection. Handles are comparable.
type Handle struct {
	c   *conn
	seq uint64
}

// Abort is [Exchange.Abort]. It may be called from any goroutine, at any time.
func (h Handle) Abort() {
	if h.c != nil {
		h.c.stop(h.seq, ReasonAborted)
	}
}

// Attach registers a closer, which is closed when the exchange is aborted or ends, or the client
// leaves, unless it was detached. It returns an error if the exchange is already over.
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

// Detach undoes Attach. It returns an error if the exchange is over; the closer was closed then.
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

package http1

import (
	"errors"
	"time"
)

// watch is the state of a slow exchange: after WatchDelay its client is watched for a hang-up, and
// Config.Slow is called. A timer starts both, so that most exchanges pay only for the timer.
// conn.mu guards it.
type watch struct {
	timer    *time.Timer
	armed    bool          // the timer is running
	late     bool          // the timer has fired in this exchange
	guarded  bool          // the client is watched once it fires
	watching chan struct{} // closed when the goroutine that uses the reader has ended

	tied     tie
	slowDone chan func() // receives what Slow returned
}

// tie is what the exchange must not outlive, and when that ends at the latest.
type tie struct {
	to  string
	end time.Time
}

// Guard watches the client while the handler waits for the upstream, until Settle or the end of the
// exchange. If the client leaves, the attached closer is closed, which ends the handler's wait.
//
// send, if not nil, runs in its own goroutine and owns the request's body; watching starts when it
// returns. Without send, watching starts after WatchDelay. A client that closes only its sending
// side counts as gone, as in nginx: the two cannot be told apart.
func (x *Exchange) Guard(send func()) {
	c := x.c
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.watching != nil: // already called for this exchange
	case send != nil:
		c.guarded = false
		c.watching = make(chan struct{})
		go c.sendAndWatch(send, c.watching, c.seq)
	case x.Request.Body.Done():
		c.guarded = true
		if c.late {
			c.beginWatch()
		} else {
			c.arm()
		}
	}
}

// Settle ends Guard. It waits for send, and interrupts it if it is reading from the client.
func (x *Exchange) Settle() {
	c := x.c
	c.mu.Lock()
	watching := c.watching
	c.guarded = false
	c.mu.Unlock()
	if watching == nil {
		return
	}
	c.r.interrupt()
	<-watching
	c.r.resume()
	c.mu.Lock()
	c.watching = nil
	c.mu.Unlock()
}

// Tie says what the exchange must not outlive, and when that ends at the latest. If the exchange
// takes longer than WatchDelay, both are passed to Config.Slow.
func (x *Exchange) Tie(to string, end time.Time) {
	c := x.c
	c.mu.Lock()
	c.tied = tie{to, end}
	c.arm()
	slow := c.late
	c.mu.Unlock()
	if slow {
		c.callSlow()
	}
}

// arm starts the timer. c.mu is held.
func (c *conn) arm() {
	switch {
	case c.armed || c.late:
		return
	case c.timer == nil:
		c.timer = time.AfterFunc(c.srv.cfg.WatchDelay, c.watchDelayOver)
	default:
		c.timer.Reset(c.srv.cfg.WatchDelay)
	}
	c.armed = true
}

// watchDelayOver is called by the timer. It may run late, in a later exchange that has armed the
// timer again; that one then counts as slow a little early.
func (c *conn) watchDelayOver() {
	c.mu.Lock()
	if !c.armed {
		c.mu.Unlock()
		return
	}
	c.armed, c.late = false, true
	if c.guarded && c.watching == nil {
		c.beginWatch()
	}
	c.mu.Unlock()
	c.callSlow()
}

// callSlow calls Config.Slow, at most once per exchange.
func (c *conn) callSlow() {
	c.mu.Lock()
	to, h := c.tied, Handle{c, c.seq}
	if to.to == "" || c.slowDone != nil || !c.live || c.srv.cfg.Slow == nil {
		c.mu.Unlock()
		return
	}
	slowDone := make(chan func(), 1)
	c.slowDone = slowDone
	c.mu.Unlock()
	slowDone <- c.srv.cfg.Slow(h, to.to, to.end)
}

// endWatch stops the timer and calls the function that Slow returned, at the end of the exchange.
func (c *conn) endWatch() {
	c.mu.Lock()
	if c.armed {
		c.timer.Stop()
	}
	slowDone := c.slowDone
	c.armed, c.late, c.tied, c.slowDone = false, false, tie{}, nil
	c.mu.Unlock()
	if slowDone != nil {
		done := <-slowDone
		done()
	}
}

// guarding reports whether a goroutine of Guard is using the reader.
func (c *conn) guarding() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.watching != nil
}

func (c *conn) sendAndWatch(send func(), done chan struct{}, seq uint64) {
	defer close(done)
	send()
	c.watchClient(seq)
}

// beginWatch watches the client in a goroutine. c.mu is held.
func (c *conn) beginWatch() {
	done := make(chan struct{})
	c.watching = done
	seq := c.seq
	go func() {
		defer close(done)
		c.watchClient(seq)
	}()
}

// watchClient blocks until the client leaves. Bytes that it sends are its next request, and stay
// unread.
func (c *conn) watchClient(seq uint64) {
	if err := c.r.awaitHangup(); !errors.Is(err, errInterrupted) && !errors.Is(err, errBufferFull) {
		c.stop(seq, ReasonClientGone)
	}
}

// stop aborts an exchange, once. It is the only place that closes connections while a handler runs.
func (c *conn) stop(seq uint64, reason Reason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.live || c.seq != seq || c.over != ReasonNone {
		return
	}
	c.over = reason
	c.reset()
	if c.upstream != nil {
		_ = c.upstream.Close()
	}
	if c.cancel != nil {
		c.cancel()
	}
}

// reset closes the client connection with a TCP reset, so that the client cannot take what it has
// received for a complete response: for a response that ends with the connection, a reset is the
// only sign that it is truncated.
func (c *conn) reset() {
	if tcp, ok := c.nc.(interface{ SetLinger(int) error }); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.nc.Close()
}

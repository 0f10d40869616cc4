package http1

import (
	"errors"
	"time"
)

// watch is what happens beside an exchange that takes long: its client is watched, and whoever may have to end it is
// told of it. A timer begins it, so that most exchanges pay for that only. The mutex of the connection guards it.
type watch struct {
	timer    *time.Timer
	armed    bool          // the timer counts
	late     bool          // it fired
	guarded  bool          // the client is to be watched then
	watching chan struct{} // closed when the goroutine that uses the reader ended

	tied tie
	told chan func() // has what Slow returned
}

// tie is what an exchange must not outlive, and when that ends at the latest.
type tie struct {
	to  string
	end time.Time
}

// Guard watches the client while the handler waits for somebody else, until Settle or the end of the exchange: if the
// client goes away, what was attached is closed and the handler's wait ends.
//
// send, if given, runs in its own goroutine and has the request's body to itself; the watch begins when it returns.
// Without it the watch begins after a delay that most exchanges never see.
// A client that closes just its sending side counts as gone, as it does for nginx: one cannot tell the difference.
func (x *Exchange) Guard(send func()) {
	c := x.c
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.watching != nil: // a second attempt of the same exchange
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

// Settle ends Guard. It waits for send, which it interrupts if it reads from the client.
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

// Tie says what the exchange must not outlive. If it takes longer than WatchDelay, the server's Slow is told, with to
// and with when that ends at the latest.
func (x *Exchange) Tie(to string, end time.Time) {
	c := x.c
	c.mu.Lock()
	c.tied = tie{to, end}
	c.arm()
	tell := c.late
	c.mu.Unlock()
	if tell {
		c.tellSlow()
	}
}

// arm starts the timer; c.mu is held.
func (c *conn) arm() {
	switch {
	case c.armed || c.late:
		return
	case c.timer == nil:
		c.timer = time.AfterFunc(c.srv.cfg.WatchDelay, c.takesLong)
	default:
		c.timer.Reset(c.srv.cfg.WatchDelay)
	}
	c.armed = true
}

// takesLong is the timer's function. It may come late, into a following exchange that armed again: then that one takes
// long a little early.
func (c *conn) takesLong() {
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
	c.tellSlow()
}

// tellSlow calls Slow, once for an exchange.
func (c *conn) tellSlow() {
	c.mu.Lock()
	to, h := c.tied, Handle{c, c.seq}
	if to.to == "" || c.told != nil || !c.live || c.srv.cfg.Slow == nil {
		c.mu.Unlock()
		return
	}
	told := make(chan func(), 1)
	c.told = told
	c.mu.Unlock()
	told <- c.srv.cfg.Slow(h, to.to, to.end)
}

// endWatch ends what Tie began, at the end of the exchange.
func (c *conn) endWatch() {
	c.mu.Lock()
	if c.armed {
		c.timer.Stop()
	}
	told := c.told
	c.armed, c.late, c.tied, c.told = false, false, tie{}, nil
	c.mu.Unlock()
	if told != nil {
		done := <-told
		done()
	}
}

// guarding reports whether a goroutine of Guard uses the reader.
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

// beginWatch watches the client in a goroutine; c.mu is held.
func (c *conn) beginWatch() {
	done := make(chan struct{})
	c.watching = done
	seq := c.seq
	go func() {
		defer close(done)
		c.watchClient(seq)
	}()
}

// watchClient waits until the client leaves. What it sends meanwhile is its next request, and waits.
func (c *conn) watchClient(seq uint64) {
	if err := c.r.awaitHangup(); !errors.Is(err, errInterrupted) && !errors.Is(err, errBufferFull) {
		c.stop(seq, ReasonClientGone)
	}
}

// stop ends an exchange early, once. It is the only place that closes connections under a running handler.
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

// reset closes the client's connection so that it cannot mistake what it has for a whole answer: a close that is not
// clean is the only sign for an answer that ends with its connection.
func (c *conn) reset() {
	if tcp, ok := c.nc.(interface{ SetLinger(int) error }); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.nc.Close()
}

package http1

import "errors"

// Guard watches the client while the handler waits for somebody else, until Settle or the end of the exchange: if the
// client goes away, what was attached is closed and the handler's wait ends.
//
// send, if given, runs in its own goroutine and has the request's body to itself; the watch begins when it returns.
// Without it the watch begins after a delay that most exchanges never see, so they pay for a timer only.
// A client that closes just its sending side counts as gone, as it does for nginx: one cannot tell the difference.
func (x *Exchange) Guard(send func()) {
	c := x.c
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.watching != nil: // a second attempt of the same exchange
	case send != nil:
		c.armed = false
		c.watching = make(chan struct{})
		go c.sendAndWatch(send, c.watching)
	case !c.armed && x.Request.Body.Done():
		c.armed = true
		c.armWatch()
	}
}

// Settle ends Guard. It waits for send, which it interrupts if it reads from the client.
func (x *Exchange) Settle() {
	c := x.c
	c.mu.Lock()
	watching := c.watching
	if c.armed {
		c.armed = false
		c.watchTimer.Stop()
	}
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

// guarding reports whether a goroutine of Guard uses the reader.
func (c *conn) guarding() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.watching != nil
}

// watchLate is the timer's function. It may come late, into a following exchange that armed again: then that one is
// watched a little early.
func (c *conn) watchLate() {
	c.mu.Lock()
	if !c.armed {
		c.mu.Unlock()
		return
	}
	c.armed = false
	done := make(chan struct{})
	c.watching = done
	seq := c.seq
	c.mu.Unlock()
	defer close(done)
	c.watch(seq)
}

func (c *conn) sendAndWatch(send func(), done chan struct{}) {
	defer close(done)
	seq := c.seq
	send()
	if c.x.Request.Body.Done() {
		c.watch(seq)
	}
}

// watch reads ahead until something happens. Bytes are the next request, which waits in the buffer.
func (c *conn) watch(seq uint64) {
	c.r.SetTimeout(0)
	err := c.r.fill()
	if err == nil || errors.Is(err, errInterrupted) || errors.Is(err, errBufferFull) {
		return
	}
	c.stop(seq, ReasonClientGone)
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

package forward

import (
	"errors"
	"io"
	"net"
	"time"

	"lilypad.example/sidecar/internal/http1"
)

// Send sends the exchange's request with edit's additions and returns the response, which must be
// relayed or discarded. After Discard, a request without a body may be sent again.
//
// A failed exchange is returned as an *Error. Nothing was sent to the client then; Status(err) is
// the status to answer with.
func (u *Upstream) Send(x *http1.Exchange, edit RequestEdit) (*Response, error) {
	if !edit.valid() {
		return nil, http1.ErrField
	}
	if x.Request.Body.BytesRead() > 0 {
		return nil, errReplay
	}
	if edit.Client.IP == "" {
		edit.Client = u.f.Client(x)
	}
	body, err := bufferedBody(x)
	if err != nil {
		return nil, fail(x, err, &err)
	}
	if body == nil {
		x.Guard(nil) // with a body only later: the body is still in the read buffer
	}
	begun := time.Now()
	for fresh := false; ; fresh = true {
		c, err := u.connect(x, begun, fresh, body == nil && x.Request.Body.Done(), edit.Known)
		if err != nil {
			return nil, fail(x, err, nil)
		}
		read, written := c.r.Total(), c.w.Total()
		if err = c.send(x, &edit, body); err == nil {
			err = c.await(x)
		}
		if err == nil {
			x.AddUpstreamTime(time.Since(begun))
			return &Response{c: c, x: x}, nil
		}
		// A pooled connection that fails before the first byte of a response was probably closed
		// while it was idle, and one with bytes that nobody asked for cannot be used. Retrying is
		// safe if nothing was written, or if the request is idempotent (RFC 9112 section 9.3.1).
		dead := isDead(err) && c.r.Total() == read || errors.Is(err, http1.ErrUnsolicited)
		retry := c.reused && dead && c.sent == nil &&
			(x.Request.Idempotent() || c.w.Total() == written)
		failure := c.giveUp(x)
		if !retry || x.Over() != http1.ReasonNone {
			return nil, fail(x, err, failure)
		}
	}
}

// bufferedBody returns a body that is already buffered, so that it leaves with the head.
func bufferedBody(x *http1.Exchange) ([]byte, error) {
	q := &x.Request
	if q.Body.Done() || !q.Body.Ready() || q.Expects() {
		return nil, nil
	}
	return q.Body.Next()
}

// connect attaches a connection to the exchange: an idle one unless fresh is true, or a new one. asks
// says that the request has no body, so that send looks at the connection.
func (u *Upstream) connect(x *http1.Exchange, now time.Time, fresh, asks, known bool) (*conn, error) {
	end := u.enter(now, known)
	if end == nil {
		return nil, errBusy
	}
	var c *conn
	if !fresh {
		c = u.take(end, now, asks)
	}
	if c == nil {
		var err error
		if c, err = u.dial(x.Context(), end); err != nil {
			return nil, err
		}
	}
	c.counted.Store(true)
	if err := x.Attach(c); err != nil {
		c.discard()
		return nil, err
	}
	return c, nil
}

type dialError struct{ error }

func (e dialError) Unwrap() error { return e.error }

// giveUp closes the connection of a failed exchange. It returns the error of the request's body.
func (c *conn) giveUp(x *http1.Exchange) *error {
	_ = c.nc.Close()
	c.signalContinue(false)
	if c.sent != nil {
		c.endBody(x)
	}
	_ = x.Detach()
	c.discard()
	return c.failure.Load()
}

// fail classifies an error and records its reason. An abort from outside explains any other error,
// and an error of the client's body explains the closed connection.
func fail(x *http1.Exchange, err error, body *error) error {
	e := &Error{Reason: http1.ReasonUpstreamBroke, Status: 502, Err: err}
	switch {
	case body != nil && isA[*http1.Fault](*body):
		fault, _ := errors.AsType[*http1.Fault](*body)
		e = &Error{Reason: fault.Reason, Status: fault.Status, Err: fault}
	case body != nil:
		x.ClientGone()
	}
	if over := x.Over(); over != http1.ReasonNone {
		return &Error{Reason: over, Err: x.OverErr()}
	}
	switch {
	case e.Reason != http1.ReasonUpstreamBroke:
	case errors.Is(err, errBusy):
		e.Reason, e.Status = http1.ReasonUpstreamBusy, 503
	case isTimeout(err):
		e.Reason, e.Status = http1.ReasonUpstreamTimeout, 504
	case isMalformed(err):
		e.Reason = http1.ReasonUpstreamMalformed
	case isA[dialError](err):
		e.Reason = http1.ReasonUpstreamRefused
	case errors.Is(err, io.EOF):
		e.Err = io.ErrUnexpectedEOF
	}
	x.SetReason(e.Reason)
	return e
}

// isTimeout also covers dialling and reading a body, which return other errors than deadlines do.
func isTimeout(err error) bool {
	if fault, ok := errors.AsType[*http1.Fault](err); ok {
		return fault.Reason == http1.ReasonBodyTimeout
	}
	t, ok := errors.AsType[net.Error](err)
	return ok && t.Timeout()
}

func isMalformed(err error) bool {
	return isA[*http1.Fault](err) || errors.Is(err, http1.ErrUnsolicited) || errors.Is(err, errSwitch) || errors.Is(err, errInterims)
}

func isA[T error](err error) bool {
	_, ok := errors.AsType[T](err)
	return ok
}

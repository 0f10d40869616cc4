package forward

import (
	"errors"
	"io"
	"net"
	"time"

	"lilypad.example/sidecar/internal/http1"
)

// Send sends the exchange's request with edit and returns the response, of which the header has
// been read. The caller must call Relay or Discard. After Discard, a request without a body may be
// sent again.
//
// Errors are *Error. The client has not got a response then; Status(err) is the one to send.
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
		x.Guard(nil) // with a body only later: watching overwrites the buffer that it is in
	}
	begun := time.Now()
	for fresh := false; ; fresh = true {
		c, err := u.connect(x, begun, fresh, edit.Authorization != "")
		if err != nil {
			return nil, fail(x, err, nil)
		}
		read, written := c.r.Total(), c.w.Total()
		if err = c.send(x, &edit, body); err == nil {
			err = c.await(x)
		}
		if err == nil {
			x.TookUpstream(time.Since(begun))
			return &Response{c: c, x: x}, nil
		}
		// A reused connection that fails before its first byte was probably closed already. Sending
		// again is safe if nothing was sent, or if the request is idempotent (RFC 9112 section
		// 9.3.1).
		again := c.reused && isDead(err) && c.r.Total() == read && c.sent == nil &&
			(x.Request.Idempotent() || c.w.Total() == written)
		failure := c.giveUp(x)
		if !again || x.Over() != http1.ReasonNone {
			return nil, fail(x, err, failure)
		}
	}
}

// bufferedBody returns a body that is in memory already, to be sent together with the header.
func bufferedBody(x *http1.Exchange) ([]byte, error) {
	q := &x.Request
	if q.Body.Done() || !q.Body.Ready() || q.Expects() {
		return nil, nil
	}
	return q.Body.Next()
}

// connect returns a connection, attached to the exchange.
func (u *Upstream) connect(x *http1.Exchange, now time.Time, fresh, known bool) (*conn, error) {
	if !u.enter(known) {
		return nil, errBusy
	}
	var c *conn
	if !fresh {
		c = u.take(now)
	}
	if c == nil {
		var err error
		if c, err = u.dial(x); err != nil {
			u.leave()
			return nil, dialError{err}
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

// giveUp closes a connection without a response, and returns the error of reading the request's
// body, if any.
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

// fail returns the *Error for err and records its reason. If the exchange was ended from outside,
// that is the reason; otherwise, if reading the client's body failed, that is.
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

// isTimeout includes the timeouts of dialing and of reading a body, which are not
// os.ErrDeadlineExceeded.
func isTimeout(err error) bool {
	if fault, ok := errors.AsType[*http1.Fault](err); ok {
		return fault.Reason == http1.ReasonBodyTimeout
	}
	t, ok := errors.AsType[net.Error](err)
	return ok && t.Timeout()
}

func isMalformed(err error) bool {
	return isA[*http1.Fault](err) || errors.Is(err, errSwitch) || errors.Is(err, errInterims)
}

func isA[T error](err error) bool {
	_, ok := errors.AsType[T](err)
	return ok
}

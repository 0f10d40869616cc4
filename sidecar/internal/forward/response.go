package forward

import (
	"errors"
	"io"
	"iter"
	"time"

	"lilypad.example/sidecar/internal/http1"
)

// Response is an upstream's answer whose head has come. It ends with Relay or Discard.
type Response struct {
	c *conn
	x *http1.Exchange
}

// Status returns the status code.
func (r *Response) Status() int { return r.c.res.Status }

// Header returns the fields as the upstream sent them. They must not be changed.
func (r *Response) Header() http1.Header { return r.c.res.Header }

// discardable is how much of an unwanted answer is read for the sake of keeping the connection, and
// for how long in all.
const (
	discardable  = 64 << 10
	discardWhile = 100 * time.Millisecond
)

// Discard drops the answer.
func (r *Response) Discard() {
	c, x := r.c, r.x
	r.c = nil
	body := &c.res.Body
	c.r.SetTotalTimeout(discardWhile)
	for body.BytesRead() < discardable {
		if _, err := body.Next(); err != nil {
			break
		}
	}
	c.release(x)
}

// Relay sends the answer to the client as it arrives. When it returns an error, the answer is
// incomplete and the client's connection is closed in a way that shows it.
func (r *Response) Relay(edit ResponseEdit) error {
	c, x := r.c, r.x
	r.c = nil
	err := c.relay(x, &edit)
	c.release(x)
	return err
}

func (c *conn) relay(x *http1.Exchange, edit *ResponseEdit) error {
	if !edit.valid() {
		return http1.ErrField
	}
	reply, err := x.Reply(c.res.Status)
	if err != nil {
		return err
	}
	for field := range c.up.f.responseFields(&c.res, edit) {
		if err := reply.Field(field.Name, field.Value); err != nil {
			return err
		}
	}
	if c.res.Status == 101 {
		if err := reply.Switch("websocket"); err != nil {
			return fail(x, err, nil)
		}
		c.whole = false // whatever it carried, it is no connection for requests any more
		if err := x.Tunnel(c.nc, c.r); err != nil {
			return fail(x, err, nil)
		}
		return nil
	}
	body := &c.res.Body
	switch {
	case x.Request.Method == "HEAD" || c.res.Status == 304:
		reply.Body(c.res.Announced())
	default:
		reply.Body(body.Length())
	}
	return c.stream(x, reply)
}

// stream copies the body. What has come is sent before more is waited for.
func (c *conn) stream(x *http1.Exchange, reply *http1.Reply) error {
	body := &c.res.Body
	if !body.Ready() {
		c.r.SetTimeout(c.up.cfg.BodyTimeout)
		c.r.BeforeWait(reply.Flush)
	}
	for {
		p, err := body.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = reply.Write(p)
		}
		if err != nil {
			return c.broken(x, reply, err)
		}
	}
	if err := reply.End(c.up.f.responseTrailer(body.Trailer())); err != nil {
		return fail(x, err, nil)
	}
	return nil
}

// broken ends an answer that cannot be completed. Without its end, the server closes the client's
// connection hard.
func (c *conn) broken(x *http1.Exchange, reply *http1.Reply, err error) error {
	if x.Over() == http1.ReasonNone {
		_ = reply.Flush()
	}
	err = fail(x, err, c.failure.Load())
	if e, ok := errors.AsType[*Error](err); ok {
		e.Status = 0
	}
	return err
}

// responseFields yields the fields the client gets: the upstream's without what concerns only its
// connection, without anything that touches our cookies, and with edit's.
func (f *Forwarder) responseFields(res *http1.Response, edit *ResponseEdit) iter.Seq[http1.Field] {
	return func(yield func(http1.Field) bool) {
		names := namesFields(res.Header)
		for _, field := range res.Header {
			if !f.passesBack(field, edit) || names && res.Header.HasToken("Connection", field.Name) {
				continue
			}
			if len(field.Name) == 7 && http1.SameName(field.Name, "trailer") && res.Body.Length() != http1.Unknown {
				continue
			}
			if !yield(field) {
				return
			}
		}
		for _, value := range edit.SetCookie {
			if !yield(http1.Field{Name: "Set-Cookie", Value: value}) {
				return
			}
		}
		if edit.CacheControl != "" && !yield(http1.Field{Name: "Cache-Control", Value: edit.CacheControl}) {
			return
		}
		for _, field := range edit.Fields {
			if !yield(field) {
				return
			}
		}
	}
}

// passesBack decides about one field of an answer.
func (f *Forwarder) passesBack(field http1.Field, edit *ResponseEdit) bool {
	name := field.Name
	is := func(s string) bool { return http1.SameName(name, s) }
	switch len(name) {
	case 2:
		if is("te") {
			return false
		}
	case 7:
		if is("upgrade") {
			return false
		}
	case 10:
		if is("connection") || is("keep-alive") || is("set-cookie") && setsOurs(field.Value, f.cookies) {
			return false
		}
	case 11:
		if is("set-cookie2") {
			return false
		}
	case 13:
		if is("authorization") || is("cache-control") && edit.CacheControl != "" {
			return false
		}
	case 14, 17:
		if is("content-length") || is("transfer-encoding") {
			return false
		}
	case 15:
		if is("clear-site-data") && clearsCookies(field.Value) {
			return false
		}
	}
	if len(name) > 6 && http1.SameName(name[:6], "proxy-") {
		return false
	}
	return !has(edit.Fields, name)
}

// responseTrailer filters a trailer like a header.
func (f *Forwarder) responseTrailer(trailer http1.Header) http1.Header {
	var kept http1.Header
	for _, field := range trailer {
		if f.passesBack(field, &ResponseEdit{}) && !http1.SameName(field.Name, "Set-Cookie") {
			kept = append(kept, field)
		}
	}
	return kept
}

package http1

import (
	"errors"
	"net/http"
	"strconv"
	"time"
)

// Reply writes the response of an exchange: Field for each header field, Body once, then Write and
// End. It sets the framing and Connection fields itself, so that every response is well-formed.
type Reply struct {
	x      *Exchange
	status int
	begun  bool
	dated  bool
	bodied bool // the response has a body
	ended  bool
	keep   bool // the connection stays open after this response
}

// Reply begins the response. It returns ErrAnswered if one was begun already.
func (x *Exchange) Reply(status int) (*Reply, error) {
	p := &x.reply
	if p.begun {
		return nil, ErrAnswered
	}
	x.c.sending.Lock()
	*p = Reply{x: x, status: status, begun: true}
	x.c.sending.Unlock()
	p.startLine(status)
	return p, nil
}

func (p *Reply) startLine(status int) {
	w := p.x.c.w
	w.Start()
	if status == 200 {
		w.Text("HTTP/1.1 200 OK\r\n")
		return
	}
	w.Text("HTTP/1.1 ")
	w.Append(func(b []byte) []byte { return strconv.AppendInt(b, int64(status), 10) })
	w.Text(" ", http.StatusText(status), "\r\n")
}

// Field adds a field. Fields for framing or the connection are ignored, so that an upstream's
// fields can be passed as they are. It returns ErrField for a field that is not well-formed.
func (p *Reply) Field(name, value string) error {
	switch len(name) {
	case 4:
		if equalFold(name, "date") {
			if p.dated {
				return nil
			}
			p.dated = true
		}
	case 10, 14, 17:
		switch kindOf(name) {
		case kindConnection, kindContentLength, kindTransferEncoding:
			return nil
		}
	}
	if !(Field{name, value}).Valid() {
		return ErrField
	}
	p.x.c.w.Field(name, value)
	return nil
}

// Body ends the head and announces a body of length bytes, or of Unknown length. For a response
// that has no body (to HEAD, 204, 304), length is the Content-Length to announce.
func (p *Reply) Body(length int64) {
	x, w := p.x, p.x.c.w
	q := &x.Request
	p.bodied = q.Method != "HEAD" && p.status != 204 && p.status != 304
	untilClose := p.bodied && length == Unknown && q.Minor == 0
	p.keep = q.framing.persistent(q.Minor) && !untilClose && !x.last && !x.c.srv.draining.Load() && x.bodySettled()
	if !p.dated {
		w.Field("Date", x.c.srv.date(time.Now()))
	}
	switch {
	case !p.keep:
		w.Field("Connection", "close")
	case q.Minor == 0:
		w.Field("Connection", "keep-alive")
	}
	switch {
	case p.bodied && !untilClose:
		w.EndHead(length)
	case p.bodied || length == Unknown || p.status == 204:
		w.EndHeadBare()
	default: // the length of a body that is not sent
		w.EndHead(length)
		w.left = Unknown
	}
}

// Switch ends the head of a 101 response; from then on the connection carries protocol.
func (p *Reply) Switch(protocol string) error {
	w := p.x.c.w
	w.Field("Connection", "Upgrade")
	w.Field("Upgrade", protocol)
	w.EndHeadBare()
	p.ended = true
	return p.sent(w.Flush())
}

// Write adds a piece of the body. A small piece is buffered until the next Flush.
func (p *Reply) Write(piece []byte) error {
	if !p.bodied {
		return nil
	}
	return p.sent(p.x.c.w.Write(piece))
}

// Flush sends what is buffered.
func (p *Reply) Flush() error { return p.sent(p.x.c.w.Flush()) }

// End sends the rest, with the trailer of a chunked body. Without it, the response is truncated.
func (p *Reply) End(trailer Header) error {
	w := p.x.c.w
	if !p.bodied {
		trailer = nil
		w.chunked, w.left = false, Unknown
	}
	err := p.sent(w.End(trailer))
	p.ended = err == nil
	return err
}

// sent handles a failed write: the client has left.
func (p *Reply) sent(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, errShort) || errors.Is(err, errOverlong) {
		return err
	}
	p.x.c.stop(p.x.c.seq, ReasonClientGone)
	return p.x.OverErr()
}

// bodySettled reports whether the connection can carry another request: the body was read, or the
// rest of it can be skipped without blocking. Otherwise the response says Connection: close,
// because unread bytes would be taken for the next request.
func (x *Exchange) bodySettled() bool {
	if x.c.guarding() {
		return x.Request.Body.Done() // another goroutine may be reading it
	}
	return x.Request.Body.skipBuffered()
}

// Respond sends a whole response, or 500 and returns ErrField if a field is not well-formed.
func (x *Exchange) Respond(status int, fields []Field, body []byte) error {
	for _, f := range fields {
		if !f.Valid() {
			_ = x.Respond(500, nil, nil)
			return ErrField
		}
	}
	p, err := x.Reply(status)
	if err != nil {
		return err
	}
	for _, f := range fields {
		if err := p.Field(f.Name, f.Value); err != nil {
			return err
		}
	}
	p.Body(int64(len(body)))
	if err := p.Write(body); err != nil {
		return err
	}
	return p.End(nil)
}

// RespondProblem sends a problem document (RFC 9457). detail must be plain text without quotes.
func (x *Exchange) RespondProblem(status int, detail string) error {
	body := `{"type":"about:blank","title":"` + http.StatusText(status) + `","status":` + strconv.Itoa(status) +
		`,"detail":"` + detail + `"}` + "\n"
	fields := []Field{{"Content-Type", "application/problem+json"}, {"Cache-Control", "no-store"}}
	if status == http.StatusServiceUnavailable {
		fields = append(fields, Field{"Retry-After", "1"})
	}
	return x.Respond(status, fields, []byte(body))
}

// Interim sends an informational response (RFC 9110 section 15.2) before the final one. It does
// nothing for HTTP/1.0, which has none, or after the response was begun.
func (x *Exchange) Interim(status int, fields Header) error {
	x.c.sending.Lock()
	defer x.c.sending.Unlock()
	if x.Request.Minor == 0 || x.reply.begun {
		return nil
	}
	p := Reply{x: x, dated: true}
	p.startLine(status)
	for _, f := range fields {
		if err := p.Field(f.Name, f.Value); err != nil {
			return err
		}
	}
	x.c.w.EndHeadBare()
	return p.Flush()
}

// sendContinue sends 100 Continue. It runs on the first read of the body, in whichever goroutine
// that is. It returns ErrAnswered once the response was begun.
func (x *Exchange) sendContinue() error {
	x.c.sending.Lock()
	defer x.c.sending.Unlock()
	if x.reply.begun {
		return ErrAnswered
	}
	x.c.w.Start()
	x.c.w.Text("HTTP/1.1 100 Continue\r\n\r\n")
	return x.c.w.Flush()
}

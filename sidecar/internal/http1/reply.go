package http1

import (
	"errors"
	"net/http"
	"strconv"
	"time"
)

// Reply is the answer of an exchange on its way out: Field by Field, then Body once, then Write and End.
// Whatever is given to it, what leaves is well-formed, and its framing and Connection fields are made here.
type Reply struct {
	x      *Exchange
	status int
	begun  bool
	dated  bool
	bodied bool // a body follows the head
	ended  bool
	keep   bool // the connection survives this answer
}

// Reply begins the answer.
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

// Field adds a field. The ones that describe framing or the connection are ours and left out in silence, so that the
// fields of an upstream can be passed as they are.
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

// Body ends the head and announces a body of length bytes, or of Unknown length. For an answer that has none (to
// HEAD, 204, 304) it is what the Content-Length of a body would have been.
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

// Switch ends the head of a 101: the connection speaks another protocol from here on.
func (p *Reply) Switch(protocol string) error {
	w := p.x.c.w
	w.Field("Connection", "Upgrade")
	w.Field("Upgrade", protocol)
	w.EndHeadBare()
	p.ended = true
	return p.sent(w.Flush())
}

// Write adds a piece of the body. It leaves with the next Flush, or at once if it is large.
func (p *Reply) Write(piece []byte) error {
	if !p.bodied {
		return nil
	}
	return p.sent(p.x.c.w.Write(piece))
}

// Flush sends what was written so far.
func (p *Reply) Flush() error { return p.sent(p.x.c.w.Flush()) }

// End sends the rest, with the trailer if the body is chunked. Without End, the client sees a broken answer.
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

// sent turns a failed write into what it means: nobody is there to read.
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

// bodySettled reports whether the connection can be used for another request: the whole body of this one was read, or
// the rest of it can be skipped without waiting. Otherwise the answer says close; reading on could take for ever, and
// not reading would take the body for the next request.
func (x *Exchange) bodySettled() bool {
	if x.c.guarding() {
		return x.Request.Body.Done() // somebody else may be reading it right now
	}
	return x.Request.Body.skipBuffered()
}

// Respond sends a whole answer.
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

// RespondProblem sends a problem document (RFC 9457) for a refusal. detail must be plain text without quotes.
func (x *Exchange) RespondProblem(status int, detail string) error {
	body := `{"type":"about:blank","title":"` + http.StatusText(status) + `","status":` + strconv.Itoa(status) +
		`,"detail":"` + detail + `"}` + "\n"
	fields := []Field{{"Content-Type", "application/problem+json"}, {"Cache-Control", "no-store"}}
	if status == http.StatusServiceUnavailable {
		fields = append(fields, Field{"Retry-After", "1"})
	}
	return x.Respond(status, fields, []byte(body))
}

// Interim sends an informational answer (RFC 9110 section 15.2) ahead of the final one. HTTP/1.0 has none.
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

// sendContinue tells a client that waits with its body to go on. It runs on the first read of the body, in whichever
// goroutine that is; once the answer was begun it is too late, and the body will not be read.
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

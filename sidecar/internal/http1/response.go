package http1

import "strings"

// Response is the response of an upstream.
type Response struct {
	Status int
	Minor  int
	Header Header
	Body   Body

	framing framing
	exact   bool // it is certain where the next message starts
}

// ReadResponse reads the head of the response to a request with the given method. The rules for
// fields and lengths, and the faults, are those of requests.
func ReadResponse(r *Reader, p *Response, method string, lim Limits) error {
	head, err := r.head(lim.HeadBytes)
	if err != nil {
		return err
	}
	if fault := p.parse(r, head, method, lim); fault != nil {
		return fault
	}
	return nil
}

func (p *Response) parse(r *Reader, head, method string, lim Limits) *Fault {
	line, lines, _ := strings.Cut(head, "\r\n")
	fault := p.readLine(line)
	if fault != nil {
		return fault
	}
	if p.Header, fault = parseFields(p.Header[:0], lines, lim.Fields); fault != nil {
		return fault
	}
	if p.framing, fault = readFraming(p.Header, p.Minor); fault != nil {
		return fault
	}
	p.frame(r, method, lim)
	return nil
}

// readLine parses the status line (RFC 9112 section 4). The reason phrase is checked and dropped.
func (p *Response) readLine(line string) *Fault {
	if len(line) < 12 || line[8] != ' ' || len(line) > 12 && line[12] != ' ' || !isFieldValue(line) {
		return errStatusLine
	}
	minor, fault := readVersion(line[:8])
	if fault != nil {
		return fault
	}
	p.Minor, p.Status = minor, 0
	for _, c := range []byte(line[9:12]) {
		if !isDigit(c) {
			return errStatusLine
		}
		p.Status = p.Status*10 + int(c-'0')
	}
	if p.Status < 100 || p.Status > 599 {
		return errStatusLine
	}
	return nil
}

// frame applies the rules of RFC 9112 section 6.3 in order.
func (p *Response) frame(r *Reader, method string, lim Limits) {
	f := &p.framing
	p.exact = true
	mode, length := bodyUntilClose, Unknown
	switch {
	case p.Status < 200 || p.Status == 204:
		// These must not announce a body. If they do, it is unclear what follows.
		mode = bodyNone
		p.exact = !f.chunked && f.length == 0
	case method == "HEAD" || p.Status == 304:
		mode = bodyNone
	case f.chunked:
		mode = bodyChunked
	case f.hasLength:
		mode, length = bodyLength, f.length
	default:
		p.exact = false
	}
	p.Body.reset(r, mode, length, lim.Fields)
}

// Announced returns the Content-Length of a response to HEAD or a 304, or Unknown.
func (p *Response) Announced() int64 {
	if p.framing.hasLength {
		return p.framing.length
	}
	return Unknown
}

// Persistent reports whether the connection can carry another message after this one.
func (p *Response) Persistent() bool { return p.exact && p.framing.persistent(p.Minor) }

// SwitchesToWebSocket reports whether this is a 101 response that opens a WebSocket.
func (p *Response) SwitchesToWebSocket() bool {
	return p.Status == 101 && p.framing.upgrade && p.framing.upgradesAt >= 0 &&
		equalFold(p.Header[p.framing.upgradesAt].Value, "websocket")
}

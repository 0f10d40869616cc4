package http1

import "strings"

// Request is a parsed request. Its strings may be kept.
type Request struct {
	Method   string
	Target   string // in origin form, not decoded; sent to the upstream as it is
	RawPath  string // the target up to the question mark
	RawQuery string // the target after the question mark
	Path     string // RawPath decoded, used for all decisions; "*" for OPTIONS *
	Host     string // the Host field
	Minor    int    // 1 for HTTP/1.1, 0 for HTTP/1.0
	Header   Header // all fields, including Host
	Body     Body

	framing   framing
	headBytes int
}

// Limits limit what the parser accepts.
type Limits struct {
	HeadBytes   int // request or status line, and header
	TargetBytes int
	Fields      int
}

// readRequest reads a request head and prepares the body.
func readRequest(r *Reader, q *Request, lim Limits) error {
	if err := skipEmptyLine(r); err != nil {
		return err
	}
	head, err := r.head(lim.HeadBytes)
	if err != nil {
		return err
	}
	q.headBytes = len(head)
	if fault := q.parse(r, head, lim); fault != nil {
		return fault
	}
	return nil
}

// skipEmptyLine skips one CRLF before a request line (RFC 9112 section 2.2). It refuses a first
// byte that cannot start a request at once: a TLS handshake, for example, may lack a line ending.
func skipEmptyLine(r *Reader) error {
	if err := r.need(1); err != nil {
		return err
	}
	if r.buf[r.r] == '\r' {
		if err := r.need(2); err != nil {
			return err
		}
		if r.buf[r.r+1] != '\n' {
			return errLineEnd
		}
		r.r += 2
		if err := r.need(1); err != nil {
			return err
		}
	}
	switch c := r.buf[r.r]; {
	case c == '\r':
		return errEmptyHead
	case c == '\n':
		return errLineEnd
	case !isTokenByte(c):
		return errRequestLine
	}
	return nil
}

func (q *Request) parse(r *Reader, head string, lim Limits) *Fault {
	line, lines, _ := strings.Cut(head, "\r\n")
	if fault := q.readLine(line); fault != nil {
		return fault
	}
	absolute, fault := q.readAbsolute()
	if fault == nil {
		fault = q.readTarget(lim.TargetBytes)
	}
	if fault != nil {
		return fault
	}
	if q.Header, fault = parseFields(q.Header[:0], lines, lim.Fields); fault != nil {
		return fault
	}
	if q.framing, fault = readFraming(q.Header, q.Minor); fault != nil {
		return fault
	}
	return q.conclude(r, absolute, lim)
}

// readLine parses the request line (RFC 9112 section 3) in its canonical form, with single spaces.
func (q *Request) readLine(line string) *Fault {
	first := strings.IndexByte(line, ' ')
	last := strings.LastIndexByte(line, ' ')
	if first < 1 || last <= first+1 {
		return errRequestLine
	}
	q.Method, q.Target = line[:first], line[first+1:last]
	if !isToken(q.Method) {
		return errRequestLine
	}
	minor, fault := readVersion(line[last+1:])
	if fault != nil {
		if fault != errVersion {
			fault = errRequestLine
		}
		return fault
	}
	q.Minor = minor
	if q.Method == "TRACE" {
		return errMethod
	}
	return nil
}

func readVersion(s string) (minor int, fault *Fault) {
	switch {
	case s == "HTTP/1.1":
		return 1, nil
	case s == "HTTP/1.0":
		return 0, nil
	case len(s) == 8 && s[:5] == "HTTP/" && isDigit(s[5]) && s[6] == '.' && isDigit(s[7]):
		return 0, errVersion
	}
	return 0, errStatusLine
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// conclude checks what applies to requests only, and sets up the body.
func (q *Request) conclude(r *Reader, target absolute, lim Limits) *Fault {
	f := &q.framing
	if f.repeated == kindHost || f.hostAt < 0 || !IsHost(q.Header[f.hostAt].Value) {
		return errHost
	}
	if f.repeated != kindOther {
		return errRepeated
	}
	q.Host = q.Header[f.hostAt].Value
	if target.host != "" {
		if !target.names(q.Host) {
			return errHostDiffers
		}
		q.Host = target.host
	}
	mode, length := bodyNone, int64(0)
	switch {
	case f.chunked:
		mode = bodyChunked
	case f.hasLength:
		mode, length = bodyLength, f.length
	}
	q.Body.reset(r, mode, length, lim.Fields)
	if f.expectAt >= 0 && !equalFold(q.Header[f.expectAt].Value, "100-continue") {
		return errExpect
	}
	return nil
}

// forget drops the strings of a finished request, which hold the memory of its head.
func (q *Request) forget() {
	q.Method, q.Target, q.RawPath, q.RawQuery, q.Path, q.Host = "", "", "", "", "", ""
	q.Header = nil
	q.Body.r, q.Body.trailer = nil, nil // r may be SetContent's
}

// SetContent replaces the content of the request. The original body must have been read to its end.
func (q *Request) SetContent(contentType string, content []byte) {
	q.Body.reset(&Reader{buf: content, w: len(content)}, bodyLength, int64(len(content)), 0)
	q.framing.expectAt = -1 // applied to the original body
	for i := range q.Header {
		if equalFold(q.Header[i].Name, "Content-Type") {
			q.Header[i].Value = contentType
			return
		}
	}
	q.Header.Add("Content-Type", contentType)
}

// Expects reports whether the client waits for 100 Continue, which requires HTTP/1.1.
func (q *Request) Expects() bool {
	return q.framing.expectAt >= 0 && q.Minor == 1 && !q.Body.Empty()
}

// WebSocket reports whether the request asks to open a WebSocket (RFC 6455 section 4.1), the only
// upgrade that is supported.
func (q *Request) WebSocket() bool {
	f := &q.framing
	return f.upgrade && f.upgradesAt >= 0 && equalFold(q.Header[f.upgradesAt].Value, "websocket") &&
		q.Method == "GET" && q.Minor == 1 && q.Body.Empty()
}

// Safe reports whether the method is safe (RFC 9110 section 9.2.1) and the request has no body.
func (q *Request) Safe() bool {
	return q.Body.Empty() && (q.Method == "GET" || q.Method == "HEAD" || q.Method == "OPTIONS")
}

// Idempotent reports whether the request may be repeated when it is unknown whether it arrived: its
// method is idempotent (RFC 9110 section 9.2.2) and it has no body.
func (q *Request) Idempotent() bool {
	if !q.Body.Empty() {
		return false
	}
	switch q.Method {
	case "GET", "HEAD", "OPTIONS", "PUT", "DELETE":
		return true
	}
	return false
}

package http1

import "strings"

// Request is a request in its one reading. Its strings are immutable and may be kept.
type Request struct {
	Method   string
	Target   string // in origin form, as it came; this is what goes upstream
	RawPath  string // the target up to the question mark
	RawQuery string // behind it
	Path     string // RawPath decoded: the path that decisions are made on; "*" for OPTIONS *
	Host     string // the one Host field
	Minor    int    // 1 for HTTP/1.1, 0 for HTTP/1.0
	Header   Header // everything that came, Host included
	Body     Body

	framing   framing
	headBytes int
}

// Limits bound what the parser accepts.
type Limits struct {
	HeadBytes   int // request line or status line and header
	TargetBytes int
	Fields      int
}

// readRequest reads a message head and everything that follows from it. The first byte is there already or on its way.
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

// skipEmptyLine tolerates one CRLF before a request line (RFC 9112 section 2.2), and refuses at once what cannot start
// a request: a TLS handshake, say, contains no line end that one could wait for.
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

// readLine reads the request line (RFC 9112 section 3) in its canonical form only: single spaces, nothing around.
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

// conclude checks what concerns requests only, and sets up the body.
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
			return errElsewhere
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

// forget drops the strings of a request that ended: they hold its whole head, which an idle connection should not.
func (q *Request) forget() {
	q.Method, q.Target, q.RawPath, q.RawQuery, q.Path, q.Host = "", "", "", "", "", ""
	q.Header = nil
	q.Body.r, q.Body.trailer = nil, nil // SetContent's memory, too
}

// SetContent gives the request another content. What came must have been read to its end.
func (q *Request) SetContent(contentType string, content []byte) {
	q.Body.reset(&Reader{buf: content, w: len(content)}, bodyLength, int64(len(content)), 0)
	q.framing.expectAt = -1 // that was about what came
	for i := range q.Header {
		if equalFold(q.Header[i].Name, "Content-Type") {
			q.Header[i].Value = contentType
			return
		}
	}
	q.Header.Add("Content-Type", contentType)
}

// Expects reports whether the client waits for a 100 before it sends its body. An HTTP/1.0 client cannot.
func (q *Request) Expects() bool {
	return q.framing.expectAt >= 0 && q.Minor == 1 && !q.Body.Empty()
}

// WebSocket reports whether the request asks to open a WebSocket (RFC 6455 section 4.1): the only upgrade there is.
func (q *Request) WebSocket() bool {
	f := &q.framing
	return f.upgrade && f.upgradesAt >= 0 && equalFold(q.Header[f.upgradesAt].Value, "websocket") &&
		q.Method == "GET" && q.Minor == 1 && q.Body.Empty()
}

// Safe reports whether the request asks for nothing to be done (RFC 9110 section 9.2.1), and has no body.
func (q *Request) Safe() bool {
	return q.Body.Empty() && (q.Method == "GET" || q.Method == "HEAD" || q.Method == "OPTIONS")
}

// Idempotent reports whether the request may be sent twice when nobody knows whether it arrived (RFC 9110 section
// 9.2.2): it has no body, and its method says that doing it twice is doing it once.
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

package http1

import (
	"net"
	"strconv"
	"time"
)

// Writer writes messages to one connection. It builds heads in memory and appends small bodies, so
// that an ordinary message is one write. It is used by one goroutine at a time.
type Writer struct {
	conn    net.Conn
	pool    *Buffers
	lent    *buffer // nil when nothing is buffered
	out     []byte
	line    [18]byte // for a chunk-size line
	vec     [4][]byte
	vecs    net.Buffers
	chunked bool
	left    int64 // of a body of known length; Unknown otherwise
	total   int64 // bytes written to the connection
	timeout time.Duration
	armed   deadline
	waits   *waiting // records each write; nil for an upstream
}

// NewWriter returns a Writer to conn with buffers from pool. timeout limits each write; 0 is none.
func NewWriter(conn net.Conn, pool *Buffers, timeout time.Duration) *Writer {
	w := &Writer{conn: conn, pool: pool, timeout: timeout}
	w.armed.set = conn.SetWriteDeadline
	return w
}

// Start begins a message head in an empty buffer.
func (w *Writer) Start() {
	w.Release()
	w.borrow()
}

func (w *Writer) borrow() {
	if w.lent == nil {
		w.lent = w.pool.get(0)
		w.out = w.lent.mem[:0]
	}
}

// Release returns the buffer to the pool. Unsent bytes are lost.
func (w *Writer) Release() {
	if w.lent != nil {
		w.pool.put(w.lent)
		w.lent, w.out = nil, nil
	}
}

// Total returns the number of bytes written to the connection so far.
func (w *Writer) Total() int64 { return w.total }

// Text appends to the head: constants, strings that the parser accepted, and Valid fields.
func (w *Writer) Text(parts ...string) {
	for _, s := range parts {
		w.out = append(w.out, s...)
	}
}

// Field appends a header field. The same condition applies.
func (w *Writer) Field(name, value string) {
	w.out = append(w.out, name...)
	w.out = append(w.out, ": "...)
	w.out = append(w.out, value...)
	w.out = append(w.out, "\r\n"...)
}

// Append lets f append to the head.
func (w *Writer) Append(f func([]byte) []byte) { w.out = f(w.out) }

// EndHead ends the head with the framing of the body: Content-Length, or chunked if Unknown.
func (w *Writer) EndHead(length int64) {
	if length == Unknown {
		w.out = append(w.out, "Transfer-Encoding: chunked\r\n\r\n"...)
	} else {
		w.out = append(w.out, "Content-Length: "...)
		w.out = strconv.AppendInt(w.out, length, 10)
		w.out = append(w.out, "\r\n\r\n"...)
	}
	w.left, w.chunked = length, length == Unknown
}

// EndHeadBare ends the head of a message that has no body or whose body ends with the connection.
func (w *Writer) EndHeadBare() {
	w.out = append(w.out, "\r\n"...)
	w.left, w.chunked = Unknown, false
}

// Write sends a piece of the body. A small piece is buffered until Flush.
func (w *Writer) Write(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if w.left >= 0 {
		if w.left -= int64(len(p)); w.left < 0 {
			return errOverlong
		}
	}
	var size, end []byte
	if w.chunked {
		size = append(strconv.AppendUint(w.line[:0], uint64(len(p)), 16), "\r\n"...)
		end = size[len(size)-len("\r\n"):]
	}
	if len(w.out)+len(size)+len(p)+len(end) <= smallBuffer {
		w.borrow()
		w.out = append(append(append(w.out, size...), p...), end...)
		return nil
	}
	w.vec = [...][]byte{w.out, size, p, end} // one write, without copying p
	w.vecs = w.vec[:]
	since := w.begin()
	n, err := w.vecs.WriteTo(w.conn)
	w.end(since, n)
	w.vec = [4][]byte{}
	return err
}

// End ends the body and sends everything that is buffered.
func (w *Writer) End(trailer Header) error {
	if w.left > 0 {
		return errShort
	}
	if w.chunked {
		w.borrow()
		w.out = append(w.out, "0\r\n"...)
		for _, f := range trailer {
			w.Field(f.Name, f.Value)
		}
		w.out = append(w.out, "\r\n"...)
	}
	return w.Flush()
}

// Flush sends everything that is buffered.
func (w *Writer) Flush() error {
	if len(w.out) == 0 {
		return nil
	}
	since := w.begin()
	n, err := w.conn.Write(w.out)
	w.end(since, int64(n))
	return err
}

func (w *Writer) begin() (since int64) {
	now := time.Now()
	if w.timeout > 0 {
		w.armed.armAt(now, w.timeout)
	}
	return w.waits.begin(now)
}

func (w *Writer) end(since, written int64) {
	w.waits.end(since)
	w.total += written
	w.Release()
}

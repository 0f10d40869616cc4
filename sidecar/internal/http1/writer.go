package http1

import (
	"net"
	"strconv"
	"time"
)

// Writer writes messages to one connection: heads are built in memory, and small bodies join them, so that an ordinary
// message is one write. It is used by one goroutine at a time.
type Writer struct {
	conn    net.Conn
	pool    *Buffers
	mem     *[smallBuffer]byte
	out     []byte
	vec     [3][]byte
	vecs    net.Buffers
	chunked bool
	left    int64 // of a body of known length, Unknown otherwise
	total   int64 // bytes written to the connection
	timeout time.Duration
	armed   deadline
}

// NewWriter writes to conn with memory from pool; each write may take timeout (0: any time).
func NewWriter(conn net.Conn, pool *Buffers, timeout time.Duration) *Writer {
	w := &Writer{conn: conn, pool: pool, timeout: timeout}
	w.armed.set = conn.SetWriteDeadline
	return w
}

// Start begins a message head in empty memory.
func (w *Writer) Start() {
	if w.mem == nil {
		w.mem = w.pool.getSmall()
	}
	w.out = w.mem[:0]
}

// Release gives the memory back; Start takes new.
func (w *Writer) Release() {
	if w.mem != nil {
		w.pool.small.Put(w.mem)
		w.mem, w.out = nil, nil
	}
}

// Total returns the bytes written to the connection so far.
func (w *Writer) Total() int64 { return w.total }

// Text appends to the head. What callers pass is constant, or was read by the parser, or was checked with Valid.
func (w *Writer) Text(parts ...string) {
	for _, s := range parts {
		w.out = append(w.out, s...)
	}
}

// Field appends a header field, under the same condition.
func (w *Writer) Field(name, value string) {
	w.out = append(w.out, name...)
	w.out = append(w.out, ": "...)
	w.out = append(w.out, value...)
	w.out = append(w.out, "\r\n"...)
}

// Append lets f append to the head.
func (w *Writer) Append(f func([]byte) []byte) { w.out = f(w.out) }

// EndHead ends the head and says how the body is framed, in the head too: length bytes, or chunks when it is Unknown.
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

// EndHeadBare ends the head of a message that has no body or one that ends with the connection.
func (w *Writer) EndHeadBare() {
	w.out = append(w.out, "\r\n"...)
	w.left, w.chunked = Unknown, false
}

// Write sends a piece of the body. Small pieces wait for Flush, or for company.
func (w *Writer) Write(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if w.left >= 0 {
		if w.left -= int64(len(p)); w.left < 0 {
			return errOverlong
		}
	}
	if !w.chunked {
		return w.put(p, "")
	}
	w.out = strconv.AppendUint(w.out, uint64(len(p)), 16)
	w.out = append(w.out, "\r\n"...)
	return w.put(p, "\r\n")
}

// End sends the end of the body and everything that waits.
func (w *Writer) End(trailer Header) error {
	if w.left > 0 {
		return errShort
	}
	if w.chunked {
		w.out = append(w.out, "0\r\n"...)
		for _, f := range trailer {
			w.Field(f.Name, f.Value)
		}
		w.out = append(w.out, "\r\n"...)
	}
	return w.Flush()
}

// Flush sends everything that waits.
func (w *Writer) Flush() error {
	if len(w.out) == 0 {
		return nil
	}
	w.armed.arm(w.timeout)
	n, err := w.conn.Write(w.out)
	w.total += int64(n)
	w.out = w.mem[:0]
	return err
}

// put adds p and tail to what waits if there is room, and otherwise sends all of it at once, without copying p.
func (w *Writer) put(p []byte, tail string) error {
	if len(w.out)+len(p)+len(tail) <= smallBuffer {
		w.out = append(w.out, p...)
		w.out = append(w.out, tail...)
		return nil
	}
	waiting := len(w.out)
	w.out = append(w.out, tail...)
	w.armed.arm(w.timeout)
	w.vec = [3][]byte{w.out[:waiting], p, w.out[waiting:]}
	w.vecs = w.vec[:]
	n, err := w.vecs.WriteTo(w.conn)
	w.vec = [3][]byte{}
	w.total += n
	w.out = w.mem[:0]
	return err
}

package http1

import (
	"errors"
	"io"
	"os"
	"sync/atomic"
	"time"
)

// Unknown is the length of a body that is chunked or ends with the connection.
const Unknown int64 = -1

type bodyMode uint8

const (
	bodyNone bodyMode = iota
	bodyLength
	bodyChunked
	bodyUntilClose
)

// maxChunkLine limits a chunk-size line, including its extensions. Extensions are ignored; no
// common client sends them, but attackers do.
const maxChunkLine = 256

// Body is the content of a message, framed as its head announced.
type Body struct {
	r      *Reader
	mode   bodyMode
	length int64 // as announced, or Unknown
	left   int64 // of the body, or of the current chunk
	inside bool  // in a chunk: the CRLF after its data was not read yet
	total  int64 // content bytes returned so far
	limit  int64 // most content bytes; 0 means no limit
	fields int   // most fields in the trailer section
	begin  func() error
	err    error
	pace   pace

	done    atomic.Bool
	trailer Header
}

func (b *Body) reset(r *Reader, mode bodyMode, length int64, fields int) {
	b.r, b.mode, b.length, b.left, b.fields = r, mode, length, length, fields
	b.inside, b.total, b.limit, b.begin, b.err, b.trailer, b.pace = false, 0, 0, nil, nil, nil, pace{}
	switch mode {
	case bodyNone:
		b.length = 0
	case bodyChunked, bodyUntilClose:
		b.length, b.left = Unknown, 0
	}
	b.done.Store(mode == bodyNone || mode == bodyLength && length == 0)
}

// Length returns the announced length, or Unknown.
func (b *Body) Length() int64 { return b.length }

// Empty reports whether the message has no body at all.
func (b *Body) Empty() bool { return b.length == 0 }

// Done reports whether the whole body was read. It may be called from any goroutine.
func (b *Body) Done() bool { return b.done.Load() }

// Trailer returns the trailer fields of a chunked body. It is complete once Done returns true.
func (b *Body) Trailer() Header { return b.trailer }

// BytesRead returns the number of content bytes read so far.
func (b *Body) BytesRead() int64 { return b.total }

// Ready reports whether the rest of the body is buffered, which needs a known length.
func (b *Body) Ready() bool {
	return b.mode == bodyLength && b.left <= int64(b.r.Buffered()) || b.Done()
}

// Next returns the next piece of the body, or io.EOF at its end. The piece is valid until the next
// call. Next blocks only when nothing is buffered.
func (b *Body) Next() ([]byte, error) {
	if b.err != nil {
		return nil, b.err
	}
	if b.Done() {
		return nil, io.EOF
	}
	p, err := b.next()
	if err != nil {
		b.err = err
		return nil, err
	}
	b.total += int64(len(p))
	if b.limit > 0 && b.total > b.limit {
		b.err = errBodyLength
		return nil, b.err
	}
	return p, nil
}

func (b *Body) next() ([]byte, error) {
	if b.begin != nil {
		begin := b.begin
		b.begin = nil
		if err := begin(); err != nil {
			return nil, err
		}
	}
	if b.mode == bodyChunked && b.left == 0 {
		if err := b.nextChunk(); err != nil {
			return nil, b.cut(err)
		}
		if b.left == 0 {
			b.done.Store(true)
			return nil, io.EOF
		}
	}
	if b.r.Buffered() == 0 {
		if err := b.fill(); err != nil {
			if b.mode == bodyUntilClose && errors.Is(err, io.EOF) {
				b.done.Store(true)
				return nil, io.EOF
			}
			return nil, b.cut(err)
		}
	}
	n := b.r.Buffered()
	if b.mode != bodyUntilClose {
		n = int(min(int64(n), b.left))
		b.left -= int64(n)
		if b.left == 0 && b.mode == bodyLength {
			b.done.Store(true)
		}
	}
	p := b.r.buf[b.r.r : b.r.r+n]
	b.r.r += n
	return p, nil
}

// cut maps an error in the middle of a body. It never returns io.EOF, which is the regular end.
func (b *Body) cut(err error) error {
	switch {
	case errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errBodyTimeout
	}
	return err
}

// Read implements io.Reader.
func (b *Body) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	piece, err := b.Next()
	n := copy(p, piece)
	if rest := len(piece) - n; rest > 0 { // return what did not fit to the buffer
		b.r.r -= rest
		b.total -= int64(rest)
		if b.mode != bodyUntilClose {
			b.left += int64(rest)
			b.done.Store(false)
		}
	}
	return n, err
}

// nextChunk reads up to the next chunk (RFC 9112 section 7.1), or the trailer section.
func (b *Body) nextChunk() error {
	if b.inside {
		if err := b.need(2); err != nil {
			return err
		}
		if b.r.buf[b.r.r] != '\r' || b.r.buf[b.r.r+1] != '\n' {
			return errChunk
		}
		b.r.r += 2
		b.inside = false
	}
	size, err := b.chunkSize()
	if err != nil {
		return err
	}
	if size > 0 {
		b.left, b.inside = size, true
		return nil
	}
	return b.readTrailer()
}

// chunkSize reads a chunk-size line byte by byte: at most 16 hexadecimal digits without overflow,
// then CRLF or extensions. It accepts no sign, prefix, white space or control character.
func (b *Body) chunkSize() (int64, error) {
	var size int64
	extension := false
	for i := range maxChunkLine {
		if err := b.need(i + 1); err != nil {
			return 0, err
		}
		c := b.r.buf[b.r.r+i]
		digit, isHex := unhex(c)
		switch {
		case c == '\r' && i > 0:
			if err := b.need(i + 2); err != nil {
				return 0, err
			}
			if b.r.buf[b.r.r+i+1] != '\n' {
				return 0, errChunk
			}
			b.r.r += i + 2
			return size, nil
		case extension:
			if c < ' ' && c != '\t' || c == 0x7f {
				return 0, errChunk
			}
		case isHex && i < 16 && size < 1<<58:
			size = size<<4 | int64(digit)
		case c == ';' && i > 0:
			extension = true
		default:
			return 0, errChunk
		}
	}
	return 0, errChunk
}

func (b *Body) readTrailer() error {
	if err := b.need(2); err != nil {
		return err
	}
	if b.r.buf[b.r.r] == '\r' && b.r.buf[b.r.r+1] == '\n' {
		b.r.r += 2
		return nil
	}
	if b.pace.still > 0 {
		b.r.SetTotalTimeout(b.pace.still) // head bypasses fill and so the pace
	}
	lines, err := b.r.head(smallBuffer)
	if err != nil {
		if _, isFault := errors.AsType[*Fault](err); isFault {
			return errTrailer
		}
		return err
	}
	trailer, fault := parseFields(nil, lines, b.fields)
	if fault != nil {
		return errTrailer
	}
	for i := range trailer {
		// Fields for framing or routing are not allowed (RFC 9110 section 6.5.1).
		switch kindOf(trailer[i].Name) {
		case kindContentLength, kindTransferEncoding, kindHost:
			return errTrailer
		}
	}
	b.trailer = trailer
	return nil
}

// BeforeWait sets a function that is called before a read of the body blocks; nil removes it.
func (b *Body) BeforeWait(flush func() error) { b.r.BeforeWait(flush) }

// pace limits how slowly a request's body may arrive. Responses have the reader's timeouts.
type pace struct {
	still time.Duration // longest wait for the next bytes, and the grace period of rate
	rate  int64         // minimum bytes per second; 0 means none
	end   time.Time     // deadline of the whole body; zero means none
	since int64         // the reader's total when the body began
	// waited is the time spent waiting for the client. Time in which the handler did not read does
	// not count against the client.
	waited time.Duration
	waits  *waiting
}

// left returns how long the next read may block.
func (p *pace) left(total int64, now time.Time) time.Duration {
	left := p.still
	if p.rate > 0 {
		left = min(left, p.still+time.Duration((total-p.since)/p.rate)*time.Second-p.waited)
	}
	if !p.end.IsZero() {
		left = min(left, p.end.Sub(now))
	}
	return left
}

// fill reads once, within the time that pace leaves.
func (b *Body) fill() error {
	if b.pace.still == 0 {
		return b.r.fill()
	}
	began := time.Now()
	left := b.pace.left(b.r.total, began)
	if left <= 0 {
		return os.ErrDeadlineExceeded
	}
	b.r.SetTimeout(left)
	since := b.pace.waits.begin(began)
	err := b.r.fill()
	b.pace.waits.end(since)
	b.pace.waited += time.Since(began)
	return err
}

func (b *Body) need(n int) error {
	for b.r.Buffered() < n {
		if err := b.fill(); err != nil {
			return err
		}
	}
	return nil
}

// skipBuffered discards the rest of the body if it is buffered. It reports whether the body is
// done.
func (b *Body) skipBuffered() bool {
	for b.begin == nil && !b.Done() && b.Ready() {
		if _, err := b.Next(); err != nil {
			break
		}
	}
	return b.Done()
}

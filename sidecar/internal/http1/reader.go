package http1

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// The two sizes of buffers. An idle connection holds a small one; a long head, or a body that fills it, borrows a wide
// one until the message ends. A head can never be longer than the wide one.
const (
	smallBuffer = 4 << 10
	wideBuffer  = 32 << 10
)

// MaxHeadBytes is the most that a message head can have.
const MaxHeadBytes = wideBuffer

// Buffers lends the memory of connections. The zero value is ready; a server and its upstreams may share one.
type Buffers struct{ small, wide sync.Pool }

func (p *Buffers) getSmall() *[smallBuffer]byte {
	if b, ok := p.small.Get().(*[smallBuffer]byte); ok {
		return b
	}
	return new([smallBuffer]byte)
}

func (p *Buffers) getWide() *[wideBuffer]byte {
	if b, ok := p.wide.Get().(*[wideBuffer]byte); ok {
		return b
	}
	return new([wideBuffer]byte)
}

var (
	errInterrupted = errors.New("http1: read interrupted")
	errBufferFull  = errors.New("http1: buffer full")
)

// Reader reads messages from one connection. It is used by one goroutine at a time.
type Reader struct {
	conn  net.Conn
	pool  *Buffers
	small *[smallBuffer]byte
	wide  *[wideBuffer]byte // when set, buf is this one
	buf   []byte
	r, w  int   // buf[r:w] is read from the connection and not yet consumed
	total int64 // bytes read from the connection

	hungry      bool          // the last read filled the small buffer: more is waiting
	timeout     time.Duration // of each read, 0 for none, negative to leave the deadline alone
	once        bool          // timeout counts from its first use, not anew for each read
	armed       deadline
	interrupted atomic.Bool
	beforeWait  func() error // called before a read that may block: what is owed to the other side is flushed
}

// NewReader reads from conn with memory from pool.
func NewReader(conn net.Conn, pool *Buffers) *Reader {
	b := &Reader{conn: conn, pool: pool, small: pool.getSmall()}
	b.armed.set = conn.SetReadDeadline
	b.buf = b.small[:]
	return b
}

// Release gives the memory back. The Reader must not be used afterwards.
func (b *Reader) Release() {
	if b.wide != nil {
		b.pool.wide.Put(b.wide)
	}
	if b.small != nil {
		b.pool.small.Put(b.small)
	}
	b.small, b.wide, b.buf, b.r, b.w = nil, nil, nil, 0, 0
}

// Buffered returns the number of bytes that are read and not yet consumed.
func (b *Reader) Buffered() int { return b.w - b.r }

// Total returns the number of bytes read from the connection so far.
func (b *Reader) Total() int64 { return b.total }

// SetTimeout limits each following read; 0 removes the limit.
func (b *Reader) SetTimeout(d time.Duration) { b.timeout, b.once = d, false }

// SetTotalTimeout limits all following reads together, from the first one that has to wait.
func (b *Reader) SetTotalTimeout(d time.Duration) { b.timeout, b.once = d, true }

// BeforeWait sets what is called before a read that may block; nil for nothing.
func (b *Reader) BeforeWait(flush func() error) { b.beforeWait = flush }

// fill reads once, at least one byte. Slices of the buffer that were handed out before are invalid afterwards.
func (b *Reader) fill() error {
	if b.beforeWait != nil {
		if err := b.beforeWait(); err != nil {
			return err
		}
	}
	if err := b.room(); err != nil {
		return err
	}
	b.armed.arm(b.timeout)
	if b.once {
		b.timeout, b.once = -1, false
	}
	// Checked after arming: whoever interrupts sets the flag first and a past deadline second, so that one of the two
	// is always seen.
	if b.interrupted.Load() {
		return errInterrupted
	}
	space := b.buf[b.w:]
	n, err := b.conn.Read(space)
	b.w += n
	b.total += int64(n)
	b.hungry = n == len(space)
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	if errors.Is(err, os.ErrDeadlineExceeded) && b.interrupted.Load() {
		return errInterrupted
	}
	return err
}

// room makes space behind w.
func (b *Reader) room() error {
	if b.r == b.w {
		b.r, b.w = 0, 0
	}
	if b.wide == nil && (b.w == len(b.buf) && b.r == 0 || b.hungry && b.w == 0) {
		b.wide = b.pool.getWide()
		b.w = copy(b.wide[:], b.buf[:b.w])
		b.buf = b.wide[:]
	}
	if b.w == len(b.buf) {
		if b.r == 0 {
			return errBufferFull
		}
		b.w = copy(b.buf, b.buf[b.r:b.w])
		b.r = 0
	}
	return nil
}

// Relax goes back to the small buffer between messages.
func (b *Reader) Relax() {
	b.hungry = false
	if b.wide != nil && b.Buffered() <= smallBuffer {
		b.w = copy(b.small[:], b.wide[b.r:b.w])
		b.r = 0
		b.buf = b.small[:]
		b.pool.wide.Put(b.wide)
		b.wide = nil
	}
}

// need waits until n bytes are buffered.
func (b *Reader) need(n int) error {
	for b.Buffered() < n {
		if err := b.fill(); err != nil {
			return err
		}
	}
	return nil
}

// some returns what is buffered, reading first if that is nothing. The bytes count as consumed.
func (b *Reader) some() ([]byte, error) {
	if b.r == b.w {
		if err := b.fill(); err != nil {
			return nil, err
		}
	}
	p := b.buf[b.r:b.w]
	b.r = b.w
	return p, nil
}

// head reads up to and including the empty line that ends a header section and returns the lines before it, each with
// its CRLF, as an immutable string: whatever is cut from it stays true however long somebody keeps it.
func (b *Reader) head(limit int) (string, error) {
	limit = min(limit, wideBuffer)
	line, seen := 0, 0 // where the current line starts, how far was looked, both counted from b.r
	for {
		i := bytes.IndexByte(b.buf[b.r+seen:b.w], '\n')
		if i < 0 {
			if seen = b.Buffered(); seen >= limit {
				return "", tooLong(line)
			}
			if err := b.fill(); err != nil {
				return "", err
			}
			continue
		}
		end := seen + i
		if end == line || b.buf[b.r+end-1] != '\r' {
			return "", errLineEnd
		}
		if end >= limit {
			return "", tooLong(line)
		}
		if end-line == 1 {
			head := string(b.buf[b.r : b.r+line])
			b.r += end + 1
			return head, nil
		}
		line, seen = end+1, end+1
	}
}

func tooLong(line int) error {
	if line == 0 {
		return errTargetLength
	}
	return errHeadLength
}

// interrupt makes a read in another goroutine return errInterrupted, and further ones too until resume.
func (b *Reader) interrupt() {
	b.interrupted.Store(true)
	_ = b.conn.SetReadDeadline(time.Unix(1, 0))
}

// resume ends an interruption; no read may be under way.
func (b *Reader) resume() {
	b.interrupted.Store(false)
	b.armed.clear()
}

// ForgetDeadline is for when another goroutine has set the connection's deadline.
func (b *Reader) ForgetDeadline() { b.armed.clear() }

// deadline arms a connection's deadline lazily. Setting one costs more than reading the clock, so an armed one is kept
// while it is at most an eighth of its length early: a timeout of 80 s ends after 70 to 80 s.
type deadline struct {
	set func(time.Time) error
	at  time.Time
}

func (d *deadline) arm(in time.Duration) {
	if in < 0 {
		return
	}
	if in == 0 {
		if !d.at.IsZero() {
			d.clear()
		}
		return
	}
	want := time.Now().Add(in)
	if early := want.Sub(d.at); early >= 0 && early <= in/8 {
		return
	}
	d.at = want
	_ = d.set(want) // fails on a closed connection only, and then the read does too
}

func (d *deadline) clear() {
	d.at = time.Time{}
	_ = d.set(time.Time{})
}

package http1

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

var (
	errInterrupted = errors.New("http1: read interrupted")
	errBufferFull  = errors.New("http1: buffer full")
)

// Reader reads messages from one connection. It is used by one goroutine at a time. It has a buffer while that holds
// bytes, and none while it waits for the first: an idle connection, or one in the middle of a slow body, costs little.
type Reader struct {
	conn  net.Conn
	raw   syscall.RawConn // waits without a buffer; nil if the connection cannot
	pool  *Buffers
	waits *waiting // of a client's connection
	lent  *buffer
	buf   []byte // the memory of lent
	r, w  int    // buf[r:w] is read from the connection and not yet consumed
	total int64  // bytes read from the connection

	try     func(fd uintptr) bool // tryRead, bound once
	look    func(fd uintptr)      // sets there to what tryRead reports
	there   bool
	tryErr  error         // what became of the last attempt
	hungry  bool          // it filled the buffer: more is waiting
	timeout time.Duration // of each read, 0 for none, negative to leave the deadline alone
	once    bool          // timeout counts from its first use, not anew for each read

	armed       deadline
	interrupted atomic.Bool
	beforeWait  func() error // called before a read that has to wait: what is owed to the other side is flushed
}

// NewReader reads from conn with memory from pool.
func NewReader(conn net.Conn, pool *Buffers) *Reader {
	b := &Reader{conn: conn, pool: pool}
	b.armed.set = conn.SetReadDeadline
	if sc, ok := conn.(syscall.Conn); ok {
		b.raw, _ = sc.SyscallConn()
		b.try = b.tryRead
		b.look = func(fd uintptr) { b.there = b.tryRead(fd) }
	}
	return b
}

// Release gives the memory back, and with it what was read and not consumed.
func (b *Reader) Release() {
	if b.lent != nil {
		b.pool.put(b.lent)
	}
	b.lent, b.buf, b.r, b.w = nil, nil, 0, 0
}

// Buffered returns the number of bytes that are read and not yet consumed.
func (b *Reader) Buffered() int { return b.w - b.r }

// Total returns the number of bytes read from the connection so far.
func (b *Reader) Total() int64 { return b.total }

// SetTimeout limits each following read; 0 removes the limit.
func (b *Reader) SetTimeout(d time.Duration) { b.timeout, b.once = d, false }

// SetTotalTimeout limits all following reads together, from the first one that has to wait.
func (b *Reader) SetTotalTimeout(d time.Duration) { b.timeout, b.once = d, true }

// BeforeWait sets what is called before a read that has to wait; nil for nothing.
func (b *Reader) BeforeWait(flush func() error) { b.beforeWait = flush }

// fill reads once, at least one byte. Slices of the buffer that were handed out before are invalid afterwards.
func (b *Reader) fill() error {
	if err := b.room(); err != nil {
		return err
	}
	if b.beforeWait != nil && !b.interrupted.Load() {
		if b.raw != nil {
			if err := b.raw.Control(b.look); err != nil {
				return err
			}
			if b.there {
				return b.tryErr
			}
		}
		if err := b.beforeWait(); err != nil {
			return err
		}
	}
	return b.read()
}

// read waits for bytes, within the timeout.
func (b *Reader) read() error {
	b.arm()
	// Checked after arming: whoever interrupts sets the flag first and a past deadline second, so that one of the two
	// is always seen.
	if b.interrupted.Load() {
		return errInterrupted
	}
	var err error
	if b.raw != nil {
		err = b.raw.Read(b.try)
	} else {
		if b.lent == nil {
			b.borrow()
		}
		b.took(b.conn.Read(b.buf[b.w:]))
	}
	if err == nil {
		err = b.tryErr
	}
	if err != nil && b.interrupted.Load() && errors.Is(err, os.ErrDeadlineExceeded) {
		return errInterrupted
	}
	return err
}

func (b *Reader) arm() {
	b.armed.arm(b.timeout)
	if b.once {
		b.timeout, b.once = -1, false
	}
}

// tryRead reads what is there, and reports whether that was anything: bytes or an error. A buffer without bytes goes
// back before the wait.
func (b *Reader) tryRead(fd uintptr) bool {
	if b.lent == nil {
		b.borrow()
	}
	for {
		n, err := syscall.Read(int(fd), b.buf[b.w:])
		switch err { //nolint:errorlint // they come as they are, with each read
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			if b.r == b.w {
				b.Release()
			}
			return false
		case nil:
			if n == 0 {
				err = io.EOF
			}
		default:
			n, err = 0, os.NewSyscallError("read", err)
		}
		b.took(n, err)
		return true
	}
}

// took notes what a read brought.
func (b *Reader) took(n int, err error) {
	b.hungry = n > 0 && n == len(b.buf)-b.w
	b.w += n
	b.total += int64(n)
	if n == 0 && err == nil {
		err = io.ErrNoProgress
	}
	if n > 0 {
		err = nil
	}
	b.tryErr = err
}

// borrow takes an empty buffer: a wide one, where there is one, if the last was filled.
func (b *Reader) borrow() {
	if b.hungry {
		b.lent = b.pool.get(widest)
	}
	if b.lent == nil {
		b.lent = b.pool.get(0)
	}
	b.buf = b.lent.mem
}

// room makes space behind w.
func (b *Reader) room() error {
	switch {
	case b.r == b.w:
		b.r, b.w = 0, 0
		if b.hungry && b.lent != nil && b.lent.size < widest {
			b.Release() // and borrow
		}
	case b.w < len(b.buf):
	case b.r > 0:
		b.w = copy(b.buf, b.buf[b.r:b.w])
		b.r = 0
	case b.lent.size == widest:
		return errBufferFull
	default:
		larger := b.pool.demand(b.lent.size+1, b.waits)
		if larger == nil {
			return errOverloaded
		}
		b.move(larger)
	}
	return nil
}

// move takes what is buffered to another buffer.
func (b *Reader) move(to *buffer) {
	n := copy(to.mem, b.buf[b.r:b.w])
	b.Release()
	b.lent, b.buf, b.w = to, to.mem, n
}

// Relax gives back what is not needed between messages.
func (b *Reader) Relax() {
	b.hungry = false
	switch {
	case b.lent == nil:
	case b.Buffered() == 0:
		b.Release()
	case b.lent.size > 0 && b.Buffered() <= smallBuffer:
		b.move(b.pool.get(0))
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

// awaitHangup waits until the other side has closed its sending direction or the connection broke, which it returns as
// an error. What it sends until then stays where it is, however much that is.
func (b *Reader) awaitHangup() error {
	if b.raw == nil { // a connection of tests, which shows a hang-up only to who reads
		for {
			if err := b.fill(); err != nil {
				return err
			}
		}
	}
	b.SetTimeout(0)
	b.arm()
	if b.interrupted.Load() {
		return errInterrupted
	}
	err := b.raw.Read(hungUp)
	if b.interrupted.Load() && errors.Is(err, os.ErrDeadlineExceeded) {
		return errInterrupted
	}
	if err == nil {
		err = io.EOF
	}
	return err
}

// pollHangup asks for the end of the other side's sending direction. Linux tells it apart from bytes that wait only if
// it is asked to (POLLRDHUP); other systems say POLLHUP.
const pollHangup = 0x2000

func hungUp(fd uintptr) bool {
	fds := [1]unix.PollFd{{Fd: int32(fd)}} //nolint:gosec // a descriptor is a small number
	if runtime.GOOS == "linux" {
		fds[0].Events = pollHangup
	}
	n, err := unix.Poll(fds[:], 0)
	return n > 0 || err != nil && !errors.Is(err, unix.EINTR)
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
	switch {
	case in > 0:
		d.armAt(time.Now(), in)
	case in == 0 && !d.at.IsZero():
		d.clear()
	}
}

func (d *deadline) armAt(now time.Time, in time.Duration) {
	want := now.Add(in)
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

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

// ErrUnsolicited means that bytes had arrived before the request was sent.
var ErrUnsolicited = errors.New("http1: bytes of a response without a request")

// Reader reads messages from one connection. It is used by one goroutine at a time. It holds a
// buffer only while there are bytes in it, so that an idle connection costs little memory.
type Reader struct {
	conn  net.Conn
	raw   syscall.RawConn // for waiting without a buffer; nil if unsupported
	pool  *Buffers
	waits *waiting // of a client connection; nil for an upstream
	lent  *buffer
	buf   []byte // the memory of lent
	r, w  int    // buf[r:w] was read and not yet consumed
	total int64  // bytes read from the connection

	try     func(fd uintptr) bool // tryRead, allocated once
	ask     func(fd uintptr) bool // for Ask, allocated once
	send    func() error          // the request of Ask, until it is sent
	look    func(fd uintptr)      // sets ready to the result of tryRead; allocated once
	ready   bool
	tryErr  error         // error of the last tryRead
	hungry  bool          // the last read filled the buffer, so more is likely to follow
	timeout time.Duration // of each read; 0 means none, negative keeps the deadline
	once    bool          // timeout limits all reads together

	armed       deadline
	interrupted atomic.Bool
	beforeWait  func() error // called before a read blocks, to flush pending output
}

// NewReader returns a Reader of conn that takes its buffers from pool.
func NewReader(conn net.Conn, pool *Buffers) *Reader {
	b := &Reader{conn: conn, pool: pool}
	b.armed.set = conn.SetReadDeadline
	if sc, ok := conn.(syscall.Conn); ok {
		b.raw, _ = sc.SyscallConn()
		b.try = b.tryRead
		b.ask = b.tryAsk
		b.look = func(fd uintptr) { b.ready = b.tryRead(fd) }
	}
	return b
}

// Release returns the buffer to the pool. Unconsumed bytes are lost.
func (b *Reader) Release() {
	if b.lent != nil {
		b.pool.put(b.lent)
	}
	b.lent, b.buf, b.r, b.w = nil, nil, 0, 0
}

// Buffered returns the number of bytes that were read and not yet consumed.
func (b *Reader) Buffered() int { return b.w - b.r }

// Total returns the number of bytes read from the connection so far.
func (b *Reader) Total() int64 { return b.total }

// SetTimeout limits each following read; 0 removes the limit.
func (b *Reader) SetTimeout(d time.Duration) { b.timeout, b.once = d, false }

// SetTotalTimeout limits all following reads together, counted from the first one that blocks.
func (b *Reader) SetTotalTimeout(d time.Duration) { b.timeout, b.once = d, true }

// BeforeWait sets a function that is called before a read blocks; nil removes it.
func (b *Reader) BeforeWait(flush func() error) { b.beforeWait = flush }

// fill reads at least one byte. It invalidates slices of the buffer that were returned before.
func (b *Reader) fill() error {
	if err := b.room(); err != nil {
		return err
	}
	if b.beforeWait != nil && !b.interrupted.Load() {
		if b.raw != nil {
			if err := b.raw.Control(b.look); err != nil {
				return err
			}
			if b.ready {
				return b.tryErr
			}
		}
		if err := b.beforeWait(); err != nil {
			return err
		}
	}
	return b.read()
}

// read blocks until it has read something, within the timeout.
func (b *Reader) read() error {
	b.arm()
	// Checked after arming: interrupt sets the flag first and a past deadline second, so that one
	// of the two is always noticed.
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

// Asks reports whether Ask looks before it sends.
func (b *Reader) Asks() bool { return b.raw != nil }

// Ask calls send, and reads the first bytes of what the peer answers. If Asks, it looks before: it
// sends nothing and fails with ErrUnsolicited if bytes have arrived, and with io.EOF or a reset if
// the connection was closed. Otherwise only send is called.
//
// Looking and waiting are one read of the connection, so that whatever arrives after the look ends
// the wait. A read after send would cost a system call that mostly finds nothing.
func (b *Reader) Ask(send func() error) error {
	if !b.Asks() {
		return send()
	}
	if err := b.room(); err != nil {
		return err
	}
	b.send = send
	b.arm()
	err := b.raw.Read(b.ask)
	if err == nil {
		err = b.tryErr
	}
	return err
}

// tryAsk is tryRead, and sends the request at the first call.
func (b *Reader) tryAsk(fd uintptr) bool {
	send := b.send
	b.send = nil
	got := b.tryRead(fd)
	switch {
	case send == nil:
	case got && b.tryErr == nil:
		b.tryErr = ErrUnsolicited
	case !got:
		b.tryErr = send()
		return b.tryErr != nil
	}
	return got
}

func (b *Reader) arm() {
	b.armed.arm(b.timeout)
	if b.once {
		b.timeout, b.once = -1, false
	}
}

// tryRead reads without blocking, and reports whether there were bytes or an error. It returns an
// empty buffer to the pool before the caller blocks.
func (b *Reader) tryRead(fd uintptr) bool {
	if b.lent == nil {
		b.borrow()
	}
	for {
		n, err := syscall.Read(int(fd), b.buf[b.w:])
		switch err { //nolint:errorlint // syscall.Read returns plain errnos
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

// borrow takes a buffer from the pool: a wide one, if available, when the last one was filled.
func (b *Reader) borrow() {
	if b.hungry {
		b.lent = b.pool.get(widest)
	}
	if b.lent == nil {
		b.lent = b.pool.get(0)
	}
	b.buf = b.lent.mem
}

// room makes free space after w.
func (b *Reader) room() error {
	switch {
	case b.r == b.w:
		b.r, b.w = 0, 0
		if b.hungry && b.lent != nil && b.lent.size < widest {
			b.Release() // read borrows a wide one
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

func (b *Reader) move(to *buffer) {
	n := copy(to.mem, b.buf[b.r:b.w])
	b.Release()
	b.lent, b.buf, b.w = to, to.mem, n
}

// Relax returns memory that is not needed between messages.
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

func (b *Reader) need(n int) error {
	for b.Buffered() < n {
		if err := b.fill(); err != nil {
			return err
		}
	}
	return nil
}

// some consumes and returns the buffered bytes. It reads first if there are none.
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

// head reads up to and including the empty line that ends a header section. It returns the lines
// before it, each with its CRLF, as a string, so that substrings stay valid.
func (b *Reader) head(limit int) (string, error) {
	limit = min(limit, wideBuffer)
	line, seen := 0, 0 // start of the current line and end of the searched part, relative to b.r
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

// awaitHangup blocks until the peer has closed its sending direction or the connection failed, and
// returns that as an error. It consumes nothing of what the peer sends meanwhile.
func (b *Reader) awaitHangup() error {
	if b.raw == nil { // test connections report a hang-up only to reads
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

// pollHangup is Linux's POLLRDHUP: the peer has closed its sending direction, even if bytes are
// still unread. Other systems report POLLHUP.
const pollHangup = 0x2000

func hungUp(fd uintptr) bool {
	fds := [1]unix.PollFd{{Fd: int32(fd)}} //nolint:gosec // a descriptor is a small number
	if runtime.GOOS == "linux" {
		fds[0].Events = pollHangup
	}
	n, err := unix.Poll(fds[:], 0)
	return n > 0 || err != nil && !errors.Is(err, unix.EINTR)
}

// interrupt makes reads in another goroutine return errInterrupted until resume.
func (b *Reader) interrupt() {
	b.interrupted.Store(true)
	_ = b.conn.SetReadDeadline(time.Unix(1, 0))
}

// resume ends an interruption. No read may be in progress.
func (b *Reader) resume() {
	b.interrupted.Store(false)
	b.armed.clear()
}

// ForgetDeadline must be called after another goroutine has set the read deadline.
func (b *Reader) ForgetDeadline() { b.armed.clear() }

// deadline sets the deadline of a connection lazily. Setting one costs more than reading the clock,
// so the current one is kept if it is early by at most an eighth: 80 s may expire after 70 s.
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
	_ = d.set(want) // fails only on a closed connection, and then the read does too
}

func (d *deadline) clear() {
	d.at = time.Time{}
	_ = d.set(time.Time{})
}

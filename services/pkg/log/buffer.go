package log

import (
	"io"
	"sync"
	"time"
)

const (
	// flushAfter is how long a line waits in a Buffer.
	flushAfter = 100 * time.Millisecond
	// flushAt is how many bytes a Buffer collects before it writes them.
	flushAt = 32 << 10
)

// A Buffer writes many lines with one system call. It is for access logs, where a write for each
// request costs more than the line itself. A line is written within 100 ms; a killed process loses
// the lines of that time. Write errors are dropped: there is nowhere to report them.
type Buffer struct {
	out io.Writer

	mu    sync.Mutex
	lines []byte
	timer *time.Timer // runs while there are lines
}

// NewBuffer returns a Buffer in front of out.
func NewBuffer(out io.Writer) *Buffer {
	b := &Buffer{out: out}
	b.timer = time.AfterFunc(flushAfter, b.Flush)
	b.timer.Stop()
	return b
}

// Write implements io.Writer.
func (b *Buffer) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.lines) == 0 {
		b.timer.Reset(flushAfter)
	}
	b.lines = append(b.lines, line...)
	if len(b.lines) >= flushAt {
		b.flush()
	}
	return len(line), nil
}

// Flush writes the collected lines.
func (b *Buffer) Flush() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flush()
}

func (b *Buffer) flush() {
	if len(b.lines) == 0 {
		return
	}
	b.timer.Stop()
	_, _ = b.out.Write(b.lines)
	b.lines = b.lines[:0]
}

// Unbuffered returns a writer to the same output that does not buffer. It writes the collected
// lines first, so that lines keep their order.
func (b *Buffer) Unbuffered() io.Writer { return unbuffered{b} }

type unbuffered struct{ b *Buffer }

func (u unbuffered) Write(line []byte) (int, error) {
	u.b.mu.Lock()
	defer u.b.mu.Unlock()
	u.b.flush()
	return u.b.out.Write(line) //nolint:wrapcheck // the same writer
}

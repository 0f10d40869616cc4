package http1

import "sync"

// The sizes of buffers. A message is read into a small one; a head that does not fit moves to one of twice the size, up
// to a wide one, than which no head can be longer. A body that fills its buffer gets a wide one.
const (
	smallBuffer = 4 << 10
	widest      = 3 // doublings
	wideBuffer  = smallBuffer << widest
)

// MaxHeadBytes is the most that a message head can have.
const MaxHeadBytes = wideBuffer

// Buffers lends the memory of connections. The zero value is ready; a server and its upstreams may share one.
type Buffers struct {
	budget *Budget // pays for all but the small ones, which are part of what a connection or an exchange costs
	pools  [widest + 1]sync.Pool
}

// NewBuffers returns Buffers that count what they lend in budget.
func NewBuffers(budget *Budget) *Buffers { return &Buffers{budget: budget} }

type buffer struct {
	mem  []byte
	size int // in doublings of a small one
}

// cost is what a buffer of a size costs by itself.
func cost(size int) int64 {
	if size == 0 {
		return 0
	}
	return smallBuffer << size
}

// get returns a buffer of a size, or nil when that is too much to spend on speed. There is always a small one.
func (p *Buffers) get(size int) *buffer {
	if n := cost(size); n > 0 && !p.budget.take(n, forSpeed) {
		return nil
	}
	return p.lend(size)
}

// demand is get for a head, which cannot do without: it makes room, and fails when there is none to be made.
func (p *Buffers) demand(size int, waits *waiting) *buffer {
	if !p.budget.acquire(cost(size), forConn, waits) {
		return nil
	}
	return p.lend(size)
}

func (p *Buffers) lend(size int) *buffer {
	if b, ok := p.pools[size].Get().(*buffer); ok {
		return b
	}
	return &buffer{make([]byte, smallBuffer<<size), size}
}

func (p *Buffers) put(b *buffer) {
	if n := cost(b.size); n > 0 {
		p.budget.give(n, forConn)
	}
	p.pools[b.size].Put(b)
}

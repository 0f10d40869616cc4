package http1

import "sync"

// Buffer sizes. A message is read into a small buffer. A head that does not fit moves to one of
// twice the size, up to a wide one. A body that fills its buffer gets a wide one.
const (
	smallBuffer = 4 << 10
	widest      = 3 // doublings of smallBuffer
	wideBuffer  = smallBuffer << widest
)

// MaxHeadBytes is the upper bound of Config.MaxHeadBytes.
const MaxHeadBytes = wideBuffer

// Buffers is a pool of buffers. The zero value is ready; a server and its upstreams may share one.
type Buffers struct {
	budget *Budget // pays for all but the small ones, which connCost and exchangeCost include
	pools  [widest + 1]sync.Pool
}

// NewBuffers returns a pool that charges budget for the buffers in use.
func NewBuffers(budget *Budget) *Buffers { return &Buffers{budget: budget} }

type buffer struct {
	mem  []byte
	size int // doublings of smallBuffer
}

func cost(size int) int64 {
	if size == 0 {
		return 0
	}
	return smallBuffer << size
}

// get returns a buffer, or nil if it is not small and the budget does not allow one for speed.
func (p *Buffers) get(size int) *buffer {
	if n := cost(size); n > 0 && !p.budget.take(n, forSpeed) {
		return nil
	}
	return p.lend(size)
}

// demand returns a buffer for a head, which cannot be read without one: it closes other connections
// to make room. It returns nil when there is no room.
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

package http1

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Memory costs of a client besides buffers, which are counted by size. Measured as resident memory.
const (
	connCost     = 8 << 10  // a connection: its state, and its goroutine's stack
	exchangeCost = 24 << 10 // an exchange: stack, header, small buffers, upstream connection
	netHTTPCost  = 32 << 10 // in addition, an exchange served by net/http
)

// A purpose says what memory is taken from a budget for. The less is known about the client, the
// lower the limit, so that strangers cannot use up the memory of known clients.
type purpose uint8

const (
	forSpeed    purpose = iota // a larger buffer for a fast body: up to 1/2 of the budget
	forConn                    // a connection or a request head: up to 7/8
	forStranger                // an exchange of an unknown client: up to 3/4, all of them 1/2
	forKnown                   // an exchange of a known client: up to all of it
)

// Budget limits the memory that clients can make the process hold: connections, buffers and
// exchanges. Servers and upstreams share one. When it is exhausted, the connections that have
// waited longest for their clients are closed, whether idle, in an unfinished request or in an
// unread response. Connections of strangers are closed first; those of known clients only if no
// stranger waits, so that no client can displace all others. If that frees no memory, the request
// is answered with 503. A nil Budget has no limit.
type Budget struct {
	limit     int64
	used      atomic.Int64
	strangers atomic.Int64 // the part of used that was taken forStranger
	leaving   atomic.Int64 // connections being closed to make room

	turn    chan struct{} // held while searching for connections to close
	mu      sync.Mutex
	servers []*Server
	shares  map[string]int64 // bytes held by each known client, recorded while the budget is scarce
}

// NewBudget returns a budget of limit bytes.
func NewBudget(limit int64) *Budget {
	return &Budget{limit: limit, turn: make(chan struct{}, 1), shares: make(map[string]int64)}
}

// Limit returns the size of the budget in bytes.
func (b *Budget) Limit() int64 { return b.limit }

// Used returns the number of bytes in use.
func (b *Budget) Used() int64 { return b.used.Load() }

// take takes n bytes if they are available. It does not close connections.
func (b *Budget) take(n int64, why purpose) bool {
	if b == nil {
		return true
	}
	most := b.limit
	switch why {
	case forSpeed:
		most = b.limit / 2
	case forStranger:
		most -= b.limit / 4
	case forConn:
		most -= b.limit / 8
	case forKnown:
	}
	if why == forStranger && !add(&b.strangers, n, b.limit/2) {
		return false
	}
	if add(&b.used, n, most) {
		return true
	}
	if why == forStranger {
		b.strangers.Add(-n)
	}
	return false
}

func add(sum *atomic.Int64, n, most int64) bool {
	for {
		was := sum.Load()
		if was > most-n {
			return false
		}
		if sum.CompareAndSwap(was, was+n) {
			return true
		}
	}
}

func (b *Budget) give(n int64, why purpose) {
	if b == nil {
		return
	}
	b.used.Add(-n)
	if why == forStranger {
		b.strangers.Add(-n)
	}
}

// share records n bytes for a known client once half of the budget is in use. ok is false if the
// client has used up its share. It is then treated as a stranger, to protect other known clients.
func (b *Budget) share(client string, n int64) (noted, ok bool) {
	if b == nil || b.used.Load() < b.limit/2 {
		return false, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.shares[client]+n > max(b.limit/64, leastShare) {
		return false, false
	}
	b.shares[client] += n
	return true, true
}

// leastShare is the minimum share of a known client: the parallel requests of one page.
const leastShare = 8 * (exchangeCost + netHTTPCost)

func (b *Budget) unshare(client string, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.shares[client] -= n; b.shares[client] <= 0 {
		delete(b.shares, client)
	}
}

// A Holding is memory that a request takes from a budget which no [Server] serves. It is not safe
// for concurrent use.
type Holding struct {
	b      *Budget
	taken  [forKnown + 1]int64
	client string // the client whose share was charged
	shared int64
}

// Hold returns a Holding without memory.
func (b *Budget) Hold() *Holding { return &Holding{b: b} }

// Read takes the memory for reading a request of n bytes with net/http. It returns a [Fault] (503)
// when there is no memory.
func (h *Holding) Read(n int64) error { return h.take(n+netHTTPCost, forConn) }

// Reserve takes the memory that serving the request costs, as [Exchange.Reserve] does. It may be
// called again.
func (h *Holding) Reserve(client string) error {
	if h.taken[forKnown] > 0 || client == "" && h.taken[forStranger] > 0 {
		return nil
	}
	why := forStranger
	if client != "" {
		noted, ok := h.b.share(client, exchangeCost)
		if noted {
			h.client, h.shared = client, exchangeCost
		}
		if ok {
			why = forKnown
		}
	}
	return h.take(exchangeCost, why)
}

func (h *Holding) take(n int64, why purpose) error {
	if !h.b.acquire(n, why, nil) {
		return errOverloaded
	}
	h.taken[why] += n
	return nil
}

// Release returns all of the memory.
func (h *Holding) Release() {
	if h.shared > 0 {
		h.b.unshare(h.client, h.shared)
		h.shared = 0
	}
	for why, n := range h.taken {
		if n > 0 {
			h.b.give(n, purpose(why))
		}
	}
	h.taken = [forKnown + 1]int64{}
}

// acquire takes n bytes for the connection of self, and closes other connections if necessary.
func (b *Budget) acquire(n int64, why purpose, self *waiting) bool {
	return b.take(n, why) || b.makeRoom(search{
		self:      self,
		exchanges: why == forStranger && b.strangers.Load() > b.limit/2-n,
		strangers: why == forStranger,
		patience:  slow,
		waiting:   why != forStranger,
	}, func() bool { return b.take(n, why) })
}

const (
	// slow is the minimum wait of a connection before it may be closed to free memory.
	slow = 100 * time.Millisecond
	// within limits makeRoom.
	within = time.Second
)

// A search says which connections may be closed to make room.
type search struct {
	self      *waiting      // the connection that needs room, or nil
	server    *Server       // only connections of this server; nil means all
	exchanges bool          // only connections with an exchange in progress
	strangers bool          // only connections of strangers
	patience  time.Duration // minimum time they must have waited for their client
	waiting   bool          // wait for connections that soon reach patience
}

// makeRoom closes connections until fits returns true. It returns false when none can be closed.
func (b *Budget) makeRoom(s search, fits func() bool) bool {
	began := time.Now()
	again := began.Add(slow) // until then, wait for connections that are already being closed
	for {
		b.turn <- struct{}{}
		ok, now, wait := fits(), time.Now(), time.Millisecond
		if !ok && (b.leaving.Load() == 0 || now.After(again)) {
			again = now.Add(slow)
			wait = max(wait, b.closeLongest(s))
		}
		<-b.turn
		switch {
		case ok:
			return true
		case wait > slow || wait > time.Millisecond && !s.waiting:
			return false // none can be closed
		case s.self != nil && s.self.Load() == leaving || now.Sub(began) > within:
			return false
		}
		<-time.After(wait)
	}
}

// closeLongest closes the sixteenth of the connections that has waited longest, a batch to amortise
// the search. If none can be closed yet, it returns the time until one can.
func (b *Budget) closeLongest(s search) (soon time.Duration) {
	var strangers, known candidates
	now := time.Now().UnixNano()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, server := range b.servers {
		if s.server != nil && server != s.server {
			continue
		}
		server.mu.Lock()
		for c := range server.conns {
			since := c.waits.Load()
			if since <= 0 || s.self == &c.waits || s.exchanges && !c.isLive() {
				continue
			}
			left := s.patience - time.Duration(now-since)
			if !c.known.Load() {
				strangers.add(c, since, left)
			} else if !s.strangers {
				known.add(c, since, left)
			}
		}
		server.mu.Unlock()
	}
	from := strangers
	if len(from.ready) == 0 && from.soon == 0 {
		from = known
	}
	all := from.ready
	slices.SortFunc(all, func(x, y waiter) int { return cmp.Compare(x.since, y.since) })
	soon = cmp.Or(from.soon, math.MaxInt64)
	for _, w := range all[:(len(all)+15)/16] {
		if w.c.waits.CompareAndSwap(w.since, leaving) { // else the wait is over
			soon = 0
			b.leaving.Add(1)
			w.c.abort(ReasonOverloaded)
		}
	}
	return soon
}

// candidates are connections that may be closed to make room.
type candidates struct {
	ready []waiter
	soon  time.Duration // time until the next one reaches patience; 0 if there is none
}

type waiter struct {
	c     *conn
	since int64
}

func (a *candidates) add(c *conn, since int64, left time.Duration) {
	switch {
	case left <= 0:
		a.ready = append(a.ready, waiter{c, since})
	case a.soon == 0 || left < a.soon:
		a.soon = left
	}
}

// serve registers s: its connections may be closed to make room.
func (b *Budget) serve(s *Server) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.servers = append(b.servers, s)
}

// waiting is the time since when a connection has waited for its client, in Unix nanoseconds. It is
// 0 if the connection does not wait, and leaving once it is being closed to make room.
type waiting struct{ atomic.Int64 }

const leaving = -1

// begin records the start of a wait unless one is recorded already. Its result is passed to end. A
// nil waiting records nothing.
func (w *waiting) begin(at time.Time) (since int64) {
	if w == nil {
		return 0
	}
	if since = at.UnixNano(); !w.CompareAndSwap(0, since) {
		return 0
	}
	return since
}

func (w *waiting) end(since int64) {
	if since != 0 {
		w.CompareAndSwap(since, 0)
	}
}

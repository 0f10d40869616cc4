package http1

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// What a client costs besides the buffers that are counted by their size, measured as resident memory.
const (
	connCost     = 8 << 10  // a connection: its state here and in the runtime, and the stack of its goroutine
	exchangeCost = 24 << 10 // an exchange: deeper stacks, the header, small buffers, and a connection to an upstream
	netHTTPCost  = 32 << 10 // an exchange that net/http answers, beyond that
)

// A purpose is what somebody takes from a budget for. Those of whom less is known stop earlier, and so can never take the
// room of the others.
type purpose uint8

const (
	forSpeed    purpose = iota // a larger buffer for a body that is fast: up to half of the budget
	forConn                    // a connection or a head, in which it may stand who the client is: up to 7/8
	forStranger                // an exchange of a client who has not shown that: the same, and half of it for all of them
	forKnown                   // an exchange of one who has: all of it
)

// Budget bounds the memory that clients can make the process hold: connections, buffers, exchanges. Servers and
// upstreams share one. When it is used up, the connections that have waited longest for their clients are closed, idle
// ones, unfinished requests and unread answers alike: first those of strangers, and of known clients only if no stranger
// waits, so that no client can take the room of all others. Who finds no room even then is answered with 503. A nil
// Budget has no bounds.
type Budget struct {
	limit     int64
	used      atomic.Int64
	strangers atomic.Int64 // of that
	leaving   atomic.Int64 // connections that were closed to make room and are still there

	turn    chan struct{} // held by who looks for connections to close
	mu      sync.Mutex
	servers []*Server
	shares  map[string]int64 // of what known clients have taken since less than half was left, by client
}

// NewBudget returns a budget of limit bytes.
func NewBudget(limit int64) *Budget {
	return &Budget{limit: limit, turn: make(chan struct{}, 1), shares: make(map[string]int64)}
}

// Limit returns the bytes that the budget has in all.
func (b *Budget) Limit() int64 { return b.limit }

// Used returns the bytes that are in use.
func (b *Budget) Used() int64 { return b.used.Load() }

// take takes n bytes if they are there.
func (b *Budget) take(n int64, why purpose) bool {
	if b == nil {
		return true
	}
	most := b.limit
	switch why {
	case forSpeed:
		most = b.limit / 2
	case forConn, forStranger:
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

// add adds n to a sum that does not exceed most.
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

// share notes n bytes for a known client once less than half of the budget is left. It returns false when the client has
// its share of that: then it gets no more than strangers do, and cannot take the room of other known clients.
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

// leastShare is what a known client may have in any case: a page's requests at once.
const leastShare = 8 * (exchangeCost + netHTTPCost)

func (b *Budget) unshare(client string, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.shares[client] -= n; b.shares[client] <= 0 {
		delete(b.shares, client)
	}
}

// acquire takes n bytes for a connection, for which it closes others.
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
	// slow is how long a connection must have waited for its client before it may be closed to make room.
	slow = 100 * time.Millisecond
	// within is how long somebody waits for room.
	within = time.Second
)

// A search is for connections that can be closed to make room.
type search struct {
	self      *waiting      // of who searches, or nil
	server    *Server       // of this one, or nil for all
	exchanges bool          // in the middle of an exchange
	strangers bool          // of strangers only
	patience  time.Duration // which have waited so long for their client
	waiting   bool          // or soon will have: a crowd that has come at once
}

// makeRoom closes connections until fits returns true. It returns false when there is none.
func (b *Budget) makeRoom(s search, fits func() bool) bool {
	began := time.Now()
	again := began.Add(slow) // from when on those that were closed and are still there are not waited for
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
			return false // there is none to close
		case s.self != nil && s.self.Load() == leaving || now.Sub(began) > within:
			return false
		}
		<-time.After(wait)
	}
}

// closeLongest closes the sixteenth of the connections that wait for their client which has waited longest: so many at a
// time that looking for them costs little for each. If there is none to close, it returns how long until there is.
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
		if w.c.waits.CompareAndSwap(w.since, leaving) { // or it has heard from its client just now
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
	soon  time.Duration // until another one has waited for long enough, 0 if there is none
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

// serve has connections of s closed when room is needed.
func (b *Budget) serve(s *Server) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.servers = append(b.servers, s)
}

// waiting is since when a connection waits for its client, in Unix nanoseconds: 0 while it waits for nobody, or for
// somebody else, and leaving once it is being closed to make room.
type waiting struct{ atomic.Int64 }

const leaving = -1

// begin notes the beginning of a wait, unless another one is noted. Its result goes to end. A nil waiting notes nothing.
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

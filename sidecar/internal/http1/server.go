package http1

import (
	"context"
	"crypto/rand"
	"errors"
	"math"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// ErrServerClosed is what Serve returns after Shutdown.
var ErrServerClosed = errors.New("http1: server closed")

// Config describes a server. Only Handler is required; a zero value means the default.
type Config struct {
	// Handler answers one exchange. It runs on the connection's goroutine: the next request is read when it returns.
	Handler func(*Exchange)
	// Ended is called after each exchange, when everything about it is known, whatever happened to it.
	Ended func(*Exchange)
	// Refused is called for what never became an exchange: malformed requests, timeouts, too many connections.
	Refused func(Refusal)
	// Panicked is called when Handler panics; the exchange is then answered with 500 or aborted.
	// Without it the panic goes on and ends the process.
	Panicked func(x *Exchange, value any, stack []byte)
	// Slow is called when an exchange that is tied to something takes longer than WatchDelay, with what [Exchange.Tie]
	// was told. What it returns is called at the end of the exchange.
	Slow func(h Handle, to string, end time.Time) (done func())

	MaxHeadBytes     int           // 32 KiB, which is also the most: request line and header, 431 beyond
	MaxTargetBytes   int           // 8 KiB: the request target, 414 beyond
	MaxFields        int           // 100: header fields, 431 beyond; trailer fields alike
	MaxConns         int           // 10 000: connections, 503 beyond
	MaxConnsPerIP    int           // 0, any: connections of one address, or of one IPv6 network of 64 bits, 503 beyond
	Budget           *Budget       // what clients may make the process hold; nil for no bounds
	IdleTimeout      time.Duration // 120 s: between requests. Longer than the ingress's, so that it closes first
	HeadTimeout      time.Duration // 10 s: from the first byte of a request to the end of its header, 408 beyond
	BodyTimeout      time.Duration // 30 s: each read of a body, and the whole of one that is collected in memory; 408 beyond
	BodyTotalTimeout time.Duration // 0, any: for a whole body, 408 beyond
	MinBodyRate      int           // 0, any: bytes a second of a body, that may lag by BodyTimeout; 408 beyond
	WriteTimeout     time.Duration // 30 s: each write to a client
	WatchDelay       time.Duration // 50 ms: how long an answer may take before the client is watched, and Slow called
	LingerTimeout    time.Duration // 2 s: how long a refused client's remaining bytes are read, so that it sees the answer
}

// Refusal is a request that was answered here (or not at all) because it could not become an exchange.
type Refusal struct {
	Remote netip.AddrPort
	Status int
	Reason Reason
	Detail string
}

const defaultTargetBytes = 8 << 10

// lingering is the most refused connections beyond MaxConns that are closed politely at a time.
const lingering = 64

// idleOfMany is how long a connection must have waited for its client before it may be closed for another one, when
// there is memory for both but MaxConns are open.
const idleOfMany = 5 * time.Second

// Server accepts connections and reads requests from them.
type Server struct {
	cfg      Config
	limits   Limits
	budget   *Budget
	buffers  *Buffers
	fields   sync.Pool // of *[headerFields]Field
	today    atomic.Pointer[date]
	draining atomic.Bool
	refusing atomic.Int32
	prefix   string // of exchange ids
	serial   atomic.Uint64

	mu        sync.Mutex
	closed    bool
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
	perIP     map[netip.Addr]int // connections, with MaxConnsPerIP
	gone      chan struct{}      // closed when the last connection ended, while somebody waits for it
}

// New returns a server for cfg.
func New(cfg Config) *Server {
	orInt := func(v *int, def int) {
		if *v <= 0 {
			*v = def
		}
	}
	orTime := func(v *time.Duration, def time.Duration) {
		if *v <= 0 {
			*v = def
		}
	}
	orInt(&cfg.MaxHeadBytes, MaxHeadBytes)
	cfg.MaxHeadBytes = min(cfg.MaxHeadBytes, MaxHeadBytes)
	orInt(&cfg.MaxTargetBytes, defaultTargetBytes)
	orInt(&cfg.MaxFields, 100)
	orInt(&cfg.MaxConns, 10_000)
	orTime(&cfg.IdleTimeout, 120*time.Second)
	orTime(&cfg.HeadTimeout, 10*time.Second)
	orTime(&cfg.BodyTimeout, 30*time.Second)
	orTime(&cfg.WriteTimeout, 30*time.Second)
	orTime(&cfg.WatchDelay, 50*time.Millisecond)
	orTime(&cfg.LingerTimeout, 2*time.Second)
	if cfg.Budget == nil {
		cfg.Budget = NewBudget(math.MaxInt64)
	}
	s := &Server{
		cfg:       cfg,
		limits:    Limits{cfg.MaxHeadBytes, cfg.MaxTargetBytes, cfg.MaxFields},
		budget:    cfg.Budget,
		buffers:   NewBuffers(cfg.Budget),
		prefix:    rand.Text()[:13],
		listeners: make(map[net.Listener]struct{}),
		conns:     make(map[*conn]struct{}),
		perIP:     make(map[netip.Addr]int),
	}
	s.budget.serve(s)
	return s
}

// Serve accepts connections until Shutdown, then returns ErrServerClosed.
func (s *Server) Serve(ln net.Listener) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		_ = ln.Close()
		return ErrServerClosed
	}
	s.listeners[ln] = struct{}{}
	s.mu.Unlock()
	var pause time.Duration
	for {
		nc, err := ln.Accept()
		if err == nil {
			pause = 0
			s.admit(nc)
			continue
		}
		if s.isClosed() {
			return ErrServerClosed
		}
		if !isTransient(err) {
			return err
		}
		// Out of file descriptors, most likely: others must finish first.
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		<-time.After(pause)
	}
}

func isTransient(err error) bool {
	// Deprecated, because most timeouts are not errors that pass; for Accept it is still the only way to ask.
	t, ok := errors.AsType[interface {
		error
		Temporary() bool
	}](err)
	return ok && t.Temporary()
}

func (s *Server) admit(nc net.Conn) {
	ip := networkOf(addrPort(nc).Addr())
	if s.isCrowd(ip) {
		s.turnAway(nc, ReasonTooManyConns, "too many connections from one address")
		return
	}
	var c *conn
	full := false
	fits := func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.closed {
			return true
		}
		if full = len(s.conns) >= s.cfg.MaxConns; full || !s.budget.take(connCost, forConn) {
			return false
		}
		c = newConn(s, nc)
		s.conns[c] = struct{}{}
		if s.cfg.MaxConnsPerIP > 0 {
			s.perIP[ip]++
		}
		return true
	}
	ok := fits()
	if full {
		ok = s.budget.makeRoom(search{server: s, patience: idleOfMany}, fits)
	} else if !ok {
		ok = s.budget.makeRoom(search{patience: slow, waiting: true}, fits)
	}
	switch {
	case c != nil:
		go c.serve()
	case ok: // closed
		_ = nc.Close()
	case full:
		s.turnAway(nc, ReasonTooManyConns, "too many connections")
	default:
		s.turnAway(nc, ReasonOverloaded, errOverloaded.Detail)
	}
}

// isCrowd reports whether ip has all the connections that it may have.
func (s *Server) isCrowd(ip netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cfg.MaxConnsPerIP > 0 && s.perIP[ip] >= s.cfg.MaxConnsPerIP
}

// networkOf returns what counts as one address: in IPv6, where a client has as many as it likes, its network.
func networkOf(ip netip.Addr) netip.Addr {
	if ip.Is6() {
		p, _ := ip.Prefix(64) // an IPv6 address has one
		return p.Addr()
	}
	return ip
}

// turnAway answers a connection that there is no room for.
func (s *Server) turnAway(nc net.Conn, reason Reason, detail string) {
	s.refused(Refusal{addrPort(nc), 503, reason, detail})
	_ = nc.SetDeadline(time.Now().Add(s.cfg.LingerTimeout))
	_, _ = nc.Write([]byte("HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"))
	if s.refusing.Add(1) > lingering {
		s.refusing.Add(-1)
		_ = nc.Close()
		return
	}
	go func() {
		defer s.refusing.Add(-1)
		r := NewReader(nc, s.buffers)
		linger(nc, r, s.cfg.LingerTimeout)
		r.Release()
	}()
}

func (s *Server) refused(r Refusal) {
	if s.cfg.Refused != nil {
		s.cfg.Refused(r)
	}
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Connections returns how many client connections are open.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Drain makes every answer from now on end its connection, while new connections are still accepted: clients move
// elsewhere without one request being lost. Shutdown includes it.
func (s *Server) Drain() { s.draining.Store(true) }

// Shutdown stops accepting, closes idle connections, and waits for the others to finish their exchange, including one of
// which only a part has come. When ctx ends
// first, it aborts the rest and returns the context's error; a handler that does not notice is not waited for.
func (s *Server) Shutdown(ctx context.Context) error {
	s.Drain()
	s.mu.Lock()
	s.closed = true
	for ln := range s.listeners {
		_ = ln.Close()
	}
	for c := range s.conns {
		c.close()
	}
	if s.gone == nil {
		s.gone = make(chan struct{})
		if len(s.conns) == 0 {
			close(s.gone)
		}
	}
	gone := s.gone
	s.mu.Unlock()
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	for c := range s.conns {
		c.abort(ReasonAborted)
	}
	s.mu.Unlock()
	select {
	case <-gone:
	case <-time.After(time.Second):
	}
	return ctx.Err()
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	delete(s.conns, c)
	if s.cfg.MaxConnsPerIP > 0 {
		ip := networkOf(c.remote.Addr())
		if s.perIP[ip]--; s.perIP[ip] == 0 {
			delete(s.perIP, ip)
		}
	}
	if s.gone != nil && len(s.conns) == 0 {
		close(s.gone)
	}
	s.mu.Unlock()
	c.mu.Lock()
	crowded, unasked := c.crowded, c.unasked
	c.mu.Unlock()
	if crowded {
		s.budget.leaving.Add(-1)
	}
	if crowded && unasked {
		s.refused(Refusal{c.remote, StatusClientGone, ReasonOverloaded, "closed to make room"})
	}
	c.giveBack()
	s.budget.give(connCost, forConn)
}

// headerFields is how many fields of a request have their memory from the server.
const headerFields = 32

func (s *Server) getFields() *[headerFields]Field {
	if f, ok := s.fields.Get().(*[headerFields]Field); ok {
		return f
	}
	return new([headerFields]Field)
}

func (s *Server) putFields(f *[headerFields]Field) {
	clear(f[:]) // or its strings would live on
	s.fields.Put(f)
}

type date struct {
	second int64
	text   string
}

// date formats the Date field (RFC 9110 section 6.6.1), once a second.
func (s *Server) date(now time.Time) string {
	d := s.today.Load()
	if second := now.Unix(); d == nil || d.second != second {
		d = &date{second, now.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")}
		s.today.Store(d)
	}
	return d.text
}

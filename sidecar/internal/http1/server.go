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

// ErrServerClosed is returned by Serve after Shutdown.
var ErrServerClosed = errors.New("http1: server closed")

// Config configures a server. Only Handler is required; a zero value means the default, which the
// comment of each field starts with.
type Config struct {
	// Handler serves one exchange on the connection's goroutine. Then the next request is read.
	Handler func(*Exchange)
	// Ended is called after each exchange, however it ended, when its Facts are complete.
	Ended func(*Exchange)
	// Refused is called for connections and requests that never became an exchange: malformed
	// requests, timeouts, too many connections.
	Refused func(Refusal)
	// Panicked is called when Handler panics; the exchange is then answered with 500 or aborted.
	// Without it, the panic ends the process.
	Panicked func(x *Exchange, value any, stack []byte)
	// Slow is called with the arguments of [Exchange.Tie] when an exchange that is tied takes
	// longer than WatchDelay. The function that it returns is called at the end of the exchange.
	Slow func(h Handle, to string, end time.Time) (done func())

	MaxHeadBytes     int           // 32 KiB, also the maximum: request line and header; else 431
	MaxTargetBytes   int           // 8 KiB: request target; else 414
	MaxFields        int           // 100: header fields, else 431; the same for trailer fields
	MaxConns         int           // 10,000: open connections; else 503
	MaxConnsPerIP    int           // unlimited: per IPv4 address or IPv6 /64 network; else 503
	Budget           *Budget       // unlimited: memory of clients
	IdleTimeout      time.Duration // 120 s: between requests. The ingress must close first
	HeadTimeout      time.Duration // 10 s: from first byte to end of the header; else 408
	BodyTimeout      time.Duration // 30 s: each read of a body, and all of ReadBody; else 408
	BodyTotalTimeout time.Duration // unlimited: the whole body; else 408
	MinBodyRate      int           // none: bytes/s, after a grace period of BodyTimeout; else 408
	WriteTimeout     time.Duration // 30 s: each write to a client
	WatchDelay       time.Duration // 50 ms: after it an exchange is slow; see Slow and Guard
	LingerTimeout    time.Duration // 2 s: for a refused client to read its response
}

// Refusal describes a connection or request that never became an exchange.
type Refusal struct {
	Remote netip.AddrPort
	Status int
	Reason Reason
	Detail string
}

const defaultTargetBytes = 8 << 10

// lingering is the maximum number of connections beyond MaxConns that linger at a time.
const lingering = 64

// idleOfMany is how long a connection must have waited for its client before it may be closed for a
// new one because MaxConns are open.
const idleOfMany = 5 * time.Second

// Server accepts connections and serves their requests.
type Server struct {
	cfg      Config
	limits   Limits
	budget   *Budget
	buffers  *Buffers
	fields   sync.Pool // of *[headerFields]Field
	today    atomic.Pointer[date]
	draining atomic.Bool
	refusing atomic.Int32 // lingering connections beyond MaxConns
	prefix   string       // of exchange IDs
	serial   atomic.Uint64

	mu        sync.Mutex
	closed    bool
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
	perIP     map[netip.Addr]int // connections, with MaxConnsPerIP
	gone      chan struct{}      // closed when the last connection ends; nil before Shutdown
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
		// Most likely out of file descriptors until other connections are closed.
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		<-time.After(pause)
	}
}

func isTransient(err error) bool {
	// Temporary is deprecated as ill-defined in general, but has no replacement for Accept.
	t, ok := errors.AsType[interface {
		error
		Temporary() bool
	}](err)
	return ok && t.Temporary()
}

func (s *Server) admit(nc net.Conn) {
	ip := networkOf(addrPort(nc).Addr())
	if s.atConnLimit(ip) {
		s.reject(nc, ReasonTooManyConns, "too many connections from one address")
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
	case ok: // the server is closed
		_ = nc.Close()
	case full:
		s.reject(nc, ReasonTooManyConns, "too many connections")
	default:
		s.reject(nc, ReasonOverloaded, errOverloaded.Detail)
	}
}

func (s *Server) atConnLimit(ip netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cfg.MaxConnsPerIP > 0 && s.perIP[ip] >= s.cfg.MaxConnsPerIP
}

// networkOf returns what MaxConnsPerIP counts: an IPv4 address, or the /64 network of an IPv6
// address, within which a client can choose any address.
func networkOf(ip netip.Addr) netip.Addr {
	if ip.Is6() {
		p, _ := ip.Prefix(64) // never fails for IPv6
		return p.Addr()
	}
	return ip
}

func (s *Server) reject(nc net.Conn, reason Reason, detail string) {
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

// Connections returns the number of open client connections.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Drain closes each connection after its next response while new connections are still accepted, so
// that clients move elsewhere without losing a request. Shutdown includes it.
func (s *Server) Drain() { s.draining.Store(true) }

// Shutdown stops accepting, closes idle connections, and waits for the others to finish their
// exchange, including requests that have arrived in part. When ctx ends first, it aborts the rest
// and returns ctx's error. It does not wait for handlers that ignore the abort.
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
	crowded, wasIdle := c.crowded, c.wasIdle
	c.mu.Unlock()
	if crowded {
		s.budget.leaving.Add(-1)
	}
	if crowded && wasIdle {
		s.refused(Refusal{c.remote, StatusClientGone, ReasonOverloaded, "closed to make room"})
	}
	c.refund()
	s.budget.give(connCost, forConn)
}

// headerFields is the number of fields of a request that use pooled memory.
const headerFields = 32

func (s *Server) getFields() *[headerFields]Field {
	if f, ok := s.fields.Get().(*[headerFields]Field); ok {
		return f
	}
	return new([headerFields]Field)
}

func (s *Server) putFields(f *[headerFields]Field) {
	clear(f[:]) // do not keep the strings
	s.fields.Put(f)
}

type date struct {
	second int64
	text   string
}

// date returns the value of the Date field (RFC 9110 section 6.6.1), formatted once a second.
func (s *Server) date(now time.Time) string {
	d := s.today.Load()
	if second := now.Unix(); d == nil || d.second != second {
		d = &date{second, now.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")}
		s.today.Store(d)
	}
	return d.text
}

package forward

import (
	"net"
	"slices"
	"sync"
	"time"

	"lilypad.example/sidecar/internal/http1"
)

// UpstreamConfig configures an upstream. Only Address is required; a zero value means the default,
// which the comment of each field starts with.
type UpstreamConfig struct {
	Address       string        // host:port to dial
	DialTimeout   time.Duration // 5 s
	HeaderTimeout time.Duration // 60 s: from the end of the request to the response head; else 504
	BodyTimeout   time.Duration // none: each read of the response body
	WriteTimeout  time.Duration // 30 s: each write
	ContinueWait  time.Duration // 1 s: for 100 Continue, which many servers never send
	IdleTimeout   time.Duration // 60 s: until an idle connection is closed
	MaxIdle       int           // 128: idle connections
	MaxExchanges  int           // unlimited: concurrent, else 503; 1/4 is for known clients
}

// Upstream is one fixed destination with its pool of idle connections.
type Upstream struct {
	f      *Forwarder
	cfg    UpstreamConfig
	dialer net.Dialer
	limits http1.Limits

	mu     sync.Mutex
	busy   int     // exchanges in progress
	idle   []*conn // most recently used last, and reused first, so that the others time out
	reaper *time.Timer
	closed bool
}

// Upstream returns an upstream that uses the forwarder's rules.
func (f *Forwarder) Upstream(cfg UpstreamConfig) *Upstream {
	orTime := func(v *time.Duration, def time.Duration) {
		if *v <= 0 {
			*v = def
		}
	}
	if cfg.MaxIdle <= 0 {
		cfg.MaxIdle = 128
	}
	orTime(&cfg.DialTimeout, 5*time.Second)
	orTime(&cfg.HeaderTimeout, 60*time.Second)
	orTime(&cfg.WriteTimeout, 30*time.Second)
	orTime(&cfg.ContinueWait, time.Second)
	orTime(&cfg.IdleTimeout, 60*time.Second)
	return &Upstream{
		f: f, cfg: cfg,
		dialer: net.Dialer{Timeout: cfg.DialTimeout},
		limits: http1.Limits{HeadBytes: 32 << 10, Fields: 200},
	}
}

// enter counts an exchange unless the limit, which is lower for unknown clients, is reached.
func (u *Upstream) enter(known bool) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	most := u.cfg.MaxExchanges
	if !known {
		most -= most / 4
	}
	if most > 0 && u.busy >= most {
		return false
	}
	u.busy++
	return true
}

func (u *Upstream) leave() {
	u.mu.Lock()
	u.busy--
	u.mu.Unlock()
}

// take returns an idle connection that is still usable, or nil.
func (u *Upstream) take(now time.Time) *conn {
	for {
		u.mu.Lock()
		n := len(u.idle)
		if n == 0 {
			u.mu.Unlock()
			return nil
		}
		c := u.idle[n-1]
		u.idle[n-1] = nil
		u.idle = u.idle[:n-1]
		u.mu.Unlock()
		if now.Sub(c.idleSince) < u.cfg.IdleTimeout && c.quiet() {
			return c
		}
		c.discard()
	}
}

// put keeps a connection for the next request.
func (u *Upstream) put(c *conn) {
	c.idleSince = time.Now()
	u.mu.Lock()
	if u.closed || len(u.idle) >= u.cfg.MaxIdle {
		u.mu.Unlock()
		c.discard()
		return
	}
	if c.counted.Swap(false) {
		u.busy--
	}
	u.idle = append(u.idle, c)
	if u.reaper == nil {
		u.reaper = time.AfterFunc(u.cfg.IdleTimeout, u.reap)
	}
	u.mu.Unlock()
}

// reap closes connections that were idle for IdleTimeout. The oldest are first in the list.
func (u *Upstream) reap() {
	now := time.Now()
	u.mu.Lock()
	old := 0
	for old < len(u.idle) && now.Sub(u.idle[old].idleSince) >= u.cfg.IdleTimeout {
		old++
	}
	reaped := slices.Clone(u.idle[:old])
	u.idle = slices.Delete(u.idle, 0, old)
	u.reaper = nil
	if len(u.idle) > 0 {
		u.reaper = time.AfterFunc(u.cfg.IdleTimeout-now.Sub(u.idle[0].idleSince), u.reap)
	}
	u.mu.Unlock()
	for _, c := range reaped {
		c.discard()
	}
}

// Idle returns the number of idle connections.
func (u *Upstream) Idle() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.idle)
}

// Close closes the idle connections, and busy ones when their exchange ends.
func (u *Upstream) Close() {
	u.mu.Lock()
	idle := u.idle
	u.idle, u.closed = nil, true
	if u.reaper != nil {
		u.reaper.Stop()
	}
	u.mu.Unlock()
	for _, c := range idle {
		c.discard()
	}
}

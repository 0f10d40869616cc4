package forward

import (
	"net"
	"slices"
	"sync"
	"time"

	"lilypad.example/sidecar/internal/http1"
)

// UpstreamConfig configures an upstream. Only Endpoints is required; a zero value means the default,
// which the comment of each field starts with.
type UpstreamConfig struct {
	Endpoints     []Endpoint    // where it listens; several share its load
	TLS           TLS           // the system's authorities: for endpoints with TLS
	Owned         []string      // none: fields that only the sidecar sets; see CheckOwnedField
	DialTimeout   time.Duration // 5 s, TLS handshake included
	HeaderTimeout time.Duration // 60 s: from the end of the request to the response head; else 504
	BodyTimeout   time.Duration // none: each read of the response body
	WriteTimeout  time.Duration // 30 s: each write
	ContinueWait  time.Duration // 1 s: for 100 Continue, which many servers never send
	IdleTimeout   time.Duration // 60 s: until an idle connection is closed
	MaxIdle       int           // 128: idle connections to each endpoint
	MaxExchanges  int           // unlimited: concurrent, else 503; 1/4 is for known clients
}

// Upstream is one fixed destination with its pool of idle connections.
type Upstream struct {
	f      *Forwarder
	rules  *rules
	cfg    UpstreamConfig
	dialer net.Dialer
	limits http1.Limits

	mu     sync.Mutex
	busy   int // exchanges in progress
	ends   []*endpoint
	turn   int // which endpoint is next, among those that are equally busy
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
	u := &Upstream{
		f: f, rules: &f.rules, cfg: cfg,
		dialer: net.Dialer{Timeout: cfg.DialTimeout},
		limits: http1.Limits{HeadBytes: 32 << 10, Fields: 200},
	}
	if len(cfg.Owned) > 0 {
		own := newRules(slices.Concat(f.dropped, cfg.Owned))
		u.rules = &own
	}
	for _, e := range cfg.Endpoints {
		u.ends = append(u.ends, &endpoint{Endpoint: e})
	}
	return u
}

// enter chooses an endpoint for an exchange and counts it. It returns nil if the limit, which is
// lower for unknown clients, is reached.
func (u *Upstream) enter(now time.Time, known bool) *endpoint {
	u.mu.Lock()
	defer u.mu.Unlock()
	most := u.cfg.MaxExchanges
	if !known {
		most -= most / 4
	}
	if most > 0 && u.busy >= most {
		return nil
	}
	end := u.ends[0]
	if len(u.ends) > 1 {
		end = u.choose(now)
	}
	u.busy++
	end.busy++
	return end
}

func (u *Upstream) leave(end *endpoint) {
	u.mu.Lock()
	u.busy--
	end.busy--
	u.mu.Unlock()
}

// take returns an idle connection to end, or nil. It is still usable, unless asks says that send
// will find that out.
func (u *Upstream) take(end *endpoint, now time.Time, asks bool) *conn {
	for {
		u.mu.Lock()
		n := len(end.idle)
		if n == 0 {
			u.mu.Unlock()
			return nil
		}
		c := end.idle[n-1]
		end.idle[n-1] = nil
		end.idle = end.idle[:n-1]
		u.mu.Unlock()
		if now.Sub(c.idleSince) < u.cfg.IdleTimeout && (asks && c.r.Asks() || c.quiet()) {
			return c
		}
		c.discard()
	}
}

// put keeps a connection for the next request.
func (u *Upstream) put(c *conn) {
	c.idleSince = time.Now()
	u.mu.Lock()
	if u.closed || len(c.end.idle) >= u.cfg.MaxIdle {
		u.mu.Unlock()
		c.discard()
		return
	}
	if c.counted.Swap(false) {
		u.busy--
		c.end.busy--
	}
	c.end.idle = append(c.end.idle, c)
	if u.reaper == nil {
		u.reaper = time.AfterFunc(u.cfg.IdleTimeout, u.reap)
	}
	u.mu.Unlock()
}

// reap closes connections that were idle for IdleTimeout. The oldest are first in the lists.
func (u *Upstream) reap() {
	now := time.Now()
	var oldest time.Time
	reaped := make([]*conn, 0, 8)
	u.mu.Lock()
	for _, end := range u.ends {
		old := 0
		for old < len(end.idle) && now.Sub(end.idle[old].idleSince) >= u.cfg.IdleTimeout {
			old++
		}
		reaped = append(reaped, end.idle[:old]...)
		end.idle = slices.Delete(end.idle, 0, old)
		if len(end.idle) > 0 && (oldest.IsZero() || end.idle[0].idleSince.Before(oldest)) {
			oldest = end.idle[0].idleSince
		}
	}
	u.reaper = nil
	if !oldest.IsZero() {
		u.reaper = time.AfterFunc(u.cfg.IdleTimeout-now.Sub(oldest), u.reap)
	}
	u.mu.Unlock()
	for _, c := range reaped {
		c.discard()
	}
}

// Idle returns the number of idle connections.
func (u *Upstream) Idle() (n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, end := range u.ends {
		n += len(end.idle)
	}
	return n
}

// Close closes the idle connections, and busy ones when their exchange ends.
func (u *Upstream) Close() {
	var idle []*conn
	u.mu.Lock()
	for _, end := range u.ends {
		idle = append(idle, end.idle...)
		end.idle = nil
	}
	u.closed = true
	if u.reaper != nil {
		u.reaper.Stop()
	}
	u.mu.Unlock()
	for _, c := range idle {
		c.discard()
	}
}

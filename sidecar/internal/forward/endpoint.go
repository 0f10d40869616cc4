package forward

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path"
	"strings"
	"time"

	"lilypad.example/sidecar/internal/http1"
)

// An Endpoint is where an upstream listens.
type Endpoint struct {
	Network string // tcp or unix
	Address string // host:port, or the path of a socket
	Name    string // the name in its certificate; "" if it does not speak TLS
}

// String returns the address that is dialed, with its kind unless it is plain TCP.
func (e Endpoint) String() string {
	switch {
	case e.Network == "unix":
		return "unix:" + e.Address
	case e.Name != "":
		return "https://" + e.Address
	}
	return e.Address
}

var errScheme = errors.New("must begin with http://, https:// or unix:/")

// ParseEndpoint returns the endpoint of a URL: "http://host" or "https://host" with an optional
// port, or "unix:" and the absolute path of a socket.
func ParseEndpoint(raw string) (Endpoint, error) {
	if file, ok := strings.CutPrefix(raw, "unix:"); ok {
		// The kernel's limit is 108 bytes on Linux and 104 elsewhere, with a zero at the end.
		if !path.IsAbs(file) || path.Clean(file) != file || file == "/" || len(file) > 103 || strings.ContainsRune(file, 0) {
			return Endpoint{}, fmt.Errorf("upstream %q: must be unix: and the absolute path of a socket, of at most 103 bytes", raw)
		}
		return Endpoint{Network: "unix", Address: file}, nil
	}
	u, err := url.Parse(raw)
	if err != nil {
		return Endpoint{}, fmt.Errorf("upstream %q: %w", raw, err)
	}
	e := Endpoint{Network: "tcp", Address: u.Host}
	var port string
	switch u.Scheme {
	case "http":
		port = "80"
	case "https":
		e.Name, port = u.Hostname(), "443"
	default:
		return Endpoint{}, fmt.Errorf("upstream %q: %w", raw, errScheme)
	}
	switch {
	case u.Hostname() == "" || !http1.IsHost(u.Host):
		return Endpoint{}, fmt.Errorf("upstream %q: no host", raw)
	case u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return Endpoint{}, fmt.Errorf("upstream %q: must be %s://host:port and nothing else", raw, u.Scheme)
	case u.Port() == "":
		e.Address = strings.TrimSuffix(u.Host, ":") + ":" + port
	}
	return e, nil
}

// TLS returns how to connect to the endpoints of an upstream with TLS. It is called for each new
// connection, so that certificates can be replaced.
type TLS func() *tls.Config

// endpoint is an Endpoint in use. Upstream.mu guards it.
type endpoint struct {
	Endpoint
	busy int       // exchanges in progress
	idle []*conn   // most recently used last, and reused first, so that the others time out
	down time.Time // when it could not be reached
}

// downTime is how long others are preferred to an endpoint that could not be reached.
const downTime = 5 * time.Second

// choose returns the least busy endpoint, in turn if several are. Those that could not be reached
// are chosen last. u.mu is held.
func (u *Upstream) choose(now time.Time) *endpoint {
	u.turn = (u.turn + 1) % len(u.ends)
	var best *endpoint
	for i := range u.ends {
		e := u.ends[(u.turn+i)%len(u.ends)]
		switch {
		case best == nil, best.isDown(now) && !e.isDown(now):
			best = e
		case best.isDown(now) == e.isDown(now) && e.busy < best.busy:
			best = e
		}
	}
	return best
}

func (e *endpoint) isDown(now time.Time) bool { return now.Sub(e.down) < downTime }

// instead moves an exchange from end, which could not be reached, to an endpoint that is not known
// to be down. It returns nil if there is none.
func (u *Upstream) instead(end *endpoint) *endpoint {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	end.down = now
	next := u.choose(now)
	if next.isDown(now) {
		return nil
	}
	end.busy--
	next.busy++
	return next
}

// dial connects to end, or to another endpoint if end cannot be reached. On an error, the exchange
// is not counted any more.
func (u *Upstream) dial(ctx context.Context, end *endpoint) (*conn, error) {
	for {
		nc, err := u.reach(ctx, end)
		if err == nil {
			return u.newConn(end, nc), nil
		}
		if ctx.Err() != nil { // the client has left
			u.leave(end)
			return nil, dialError{err}
		}
		next := u.instead(end)
		if next == nil {
			u.leave(end)
			return nil, dialError{err}
		}
		end = next
	}
}

// reach opens a connection to end.
func (u *Upstream) reach(ctx context.Context, end *endpoint) (net.Conn, error) {
	if end.Name == "" {
		return u.dialer.DialContext(ctx, end.Network, end.Address)
	}
	ctx, cancel := context.WithTimeout(ctx, u.cfg.DialTimeout)
	defer cancel()
	socket, err := u.dialer.DialContext(ctx, end.Network, end.Address)
	if err != nil {
		return nil, err
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if u.cfg.TLS != nil {
		cfg = u.cfg.TLS().Clone()
	}
	cfg.ServerName, cfg.NextProtos = end.Name, []string{"http/1.1"}
	secure := tls.Client(socket, cfg)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = socket.Close()
		return nil, err
	}
	return tlsConn{secure}, nil
}

// tlsConn is a connection with TLS.
type tlsConn struct{ *tls.Conn }

// Close closes the socket, without the alert that says so: sending that may block, and the framing
// of HTTP says where messages end.
func (c tlsConn) Close() error { return c.NetConn().Close() }

// quiet reports whether no received byte is left. It changes the read deadline.
func (c tlsConn) quiet() bool {
	_ = c.SetReadDeadline(time.Unix(1, 0)) // the read takes only what has arrived
	var b [1]byte
	n, err := c.Read(b[:])
	timeout, ok := errors.AsType[net.Error](err)
	return n == 0 && ok && timeout.Timeout()
}

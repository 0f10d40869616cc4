package e2e

import (
	"context"
	"crypto/rand"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// cookieName is the session cookie. knownName is the cookie that remains after logout and marks a
// known device.
const (
	cookieName = "__Host-Http-lilypad"
	knownName  = cookieName + "-known"
)

// World is a running product.
type World struct {
	BaseURL     string // without a slash at the end
	Screenshots string // a folder, or empty
	AccessTTL   time.Duration

	// RingInSecret: the auth service reads ring keys from a Secret, every few seconds, and not from
	// a file.
	RingInSecret bool

	// RestartAuth restarts the auth service and waits until it is ready. Nil if it would lose its
	// state.
	RestartAuth func(*testing.T)
	// WithoutPostgres stops Postgres, calls a function, and starts Postgres again. Nil without
	// Postgres.
	WithoutPostgres func(*testing.T, func())
	// ForgetLimits resets rate limits, for worlds where all visitors have the same address. Nil
	// otherwise.
	ForgetLimits func(*testing.T)

	visitors atomic.Uint32
}

// address returns an unused loopback address: logins and registrations are rate-limited by address.
func (w *World) address() net.IP {
	n := w.visitors.Add(1)
	return net.IPv4(127, 100+byte(n>>16), byte(n>>8), byte(n))
}

// client returns an HTTP client that connects from an address. Systems other than Linux have one
// loopback address only.
func (w *World) client(t *testing.T, address net.IP) *http.Client {
	t.Helper()
	from := &net.TCPAddr{IP: address}
	if runtime.GOOS != "linux" {
		from = nil
	}
	transport := &http.Transport{
		MaxIdleConnsPerHost: 32,
		DialContext: func(ctx context.Context, network, to string) (net.Conn, error) {
			return (&net.Dialer{LocalAddr: local(from, to)}).DialContext(ctx, network, resolve(to))
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Timeout:       30 * time.Second,
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// resolve maps names under localhost to the loopback address, like browsers (RFC 6761 section 6.3)
// and unlike some resolvers.
func resolve(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err == nil && (host == "localhost" || strings.HasSuffix(host, ".localhost")) {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return address
}

// local returns from if to is a loopback address; other addresses cannot be reached from there.
func local(from *net.TCPAddr, to string) net.Addr {
	if from == nil || !strings.HasPrefix(resolve(to), "127.0.0.1:") {
		return nil
	}
	return from
}

// account is what a user enters.
type account struct{ Email, Name, Password string }

func newAccount() account {
	id := strings.ToLower(rand.Text()[:12])
	return account{Email: id + "@pond.example", Name: "Frog " + id[:6], Password: "croak-" + rand.Text()}
}

// scenario is a test of one behavior, which its name describes.
type scenario struct {
	name string
	run  func(*testing.T, *World)
}

// play runs all scenarios that the world supports, in order.
func play(t *testing.T, w *World) {
	t.Helper()
	for _, list := range [][]scenario{accountScenarios(), sessionScenarios(), intentScenarios(), redirectScenarios(), pageScenarios(), identityScenarios(), frogScenarios(), browserScenarios(w), outageScenarios(w)} {
		for _, s := range list {
			t.Run(s.name, func(t *testing.T) { s.run(t, w) })
		}
	}
}

// awaitRotation waits until done returns true, because the cookie has changed. That takes as long
// as an access token lives.
func (w *World) awaitRotation(t *testing.T, done func() bool) {
	t.Helper()
	w.awaitWithinTokenLife(t, "another cookie", done)
}

// awaitEnd waits until the session of a cookie has ended at all replicas. A sidecar that missed the
// event may serve it until the access token expires.
func (w *World) awaitEnd(t *testing.T, cookie string) {
	t.Helper()
	const replicas = 4 // more than there are, so that each is asked
	thief := w.holder(t, cookie)
	w.awaitWithinTokenLife(t, "the session's end", func() bool {
		for range 3 * replicas {
			if thief.tab().fetch(t, http.MethodGet, "/auth/session").status != http.StatusUnauthorized {
				return false
			}
		}
		return true
	})
}

// awaitWithinTokenLife waits for the lifetime of an access token plus five minutes, for busy
// machines.
func (w *World) awaitWithinTokenLife(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), w.AccessTTL+5*time.Minute)
	defer cancel()
	for !done() {
		select {
		case <-ctx.Done():
			t.Fatalf("timeout waiting for %s", what)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

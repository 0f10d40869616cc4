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

// cookieName is the one cookie that the product sets while somebody is signed
// in; knownName is what is left of it when they have signed out.
const (
	cookieName = "__Host-Http-lilypad"
	knownName  = cookieName + "-known"
)

// A World is a running product.
type World struct {
	BaseURL     string // without a slash at the end
	Screenshots string // a folder, or empty
	AccessTTL   time.Duration

	// RingInSecret says that the auth service reads its ring from a Secret every
	// few seconds, and not from a file, which may be minutes behind.
	RingInSecret bool

	// RestartAuth restarts the auth service and waits until it answers; nil
	// where its state would be gone with it.
	RestartAuth func(*testing.T)
	// WithoutPostgres stops Postgres, runs a function, and starts Postgres again;
	// nil where there is none.
	WithoutPostgres func(*testing.T, func())
	// ForgetLimits makes the product forget who tried how often, for where all
	// visitors come from one address. Nil where each has its own.
	ForgetLimits func(*testing.T)

	visitors atomic.Uint32
}

// address is a loopback address that no visitor came from before: the limits
// of logins and registrations are kept by address, as for people at home.
func (w *World) address() net.IP {
	n := w.visitors.Add(1)
	return net.IPv4(127, 100+byte(n>>16), byte(n>>8), byte(n))
}

// client is an HTTP client at an address, which a host with one loopback
// address only (that is not Linux) does not have.
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

// resolve has every name under localhost mean the loopback address, as
// browsers do (RFC 6761 section 6.3), whatever the system's resolver says.
func resolve(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err == nil && (host == "localhost" || strings.HasSuffix(host, ".localhost")) {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return address
}

// local is from, when it is to the loopback address that the connection goes: no other can be reached from there.
func local(from *net.TCPAddr, to string) net.Addr {
	if from == nil || !strings.HasPrefix(resolve(to), "127.0.0.1:") {
		return nil
	}
	return from
}

// An account is what a person knows of theirs.
type account struct{ Email, Name, Password string }

func newAccount() account {
	id := strings.ToLower(rand.Text()[:12])
	return account{Email: id + "@pond.example", Name: "Frog " + id[:6], Password: "croak-" + rand.Text()}
}

// scenario is a behavior by its name, which carries the requirement it shows.
type scenario struct {
	name string
	run  func(*testing.T, *World)
}

// play runs every scenario that the world allows, one after the other.
func play(t *testing.T, w *World) {
	t.Helper()
	for _, list := range [][]scenario{accountScenarios(), sessionScenarios(), intentScenarios(), redirectScenarios(), pageScenarios(), identityScenarios(), frogScenarios(), browserScenarios(w), outageScenarios(w)} {
		for _, s := range list {
			t.Run(s.name, func(t *testing.T) { s.run(t, w) })
		}
	}
}

// awaitRotation returns when done does: when the cookie has changed. How long
// that takes is the access token's life.
func (w *World) awaitRotation(t *testing.T, done func() bool) {
	t.Helper()
	w.awaitWithinTokenLife(t, "another cookie", done)
}

// awaitEnd returns when a cookie's session has ended everywhere. A sidecar that
// did not hear of it itself may serve until the access token's end.
func (w *World) awaitEnd(t *testing.T, cookie string) {
	t.Helper()
	const replicas = 4 // more than there are, so that each was asked
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

// awaitWithinTokenLife waits for an access token's life, and as long as a busy
// machine may need for the rest.
func (w *World) awaitWithinTokenLife(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), w.AccessTTL+5*time.Minute)
	defer cancel()
	for !done() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited in vain for %s", what)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

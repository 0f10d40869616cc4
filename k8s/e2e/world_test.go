package e2e

import (
	"context"
	"crypto/rand"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// cookieName is the one cookie that the product sets.
const cookieName = "__Host-Http-lilypad"

// A World is a running product.
type World struct {
	BaseURL     string           // without a slash at the end
	Screenshots string           // a folder, or empty
	RestartAuth func(*testing.T) // restarts the auth service and waits until it answers; nil where that loses its state

	client *http.Client
}

func newWorld(baseURL, screenshots string) *World {
	return &World{
		BaseURL:     strings.TrimSuffix(baseURL, "/"),
		Screenshots: screenshots,
		client: &http.Client{
			Timeout:       30 * time.Second,
			Transport:     &http.Transport{DialContext: dialLocalhost, MaxIdleConnsPerHost: 32},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// dialLocalhost resolves every name under localhost to the loopback address,
// as browsers do (RFC 6761 section 6.3), whatever the system's resolver says.
func dialLocalhost(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		address = net.JoinHostPort("127.0.0.1", port)
	}
	return new(net.Dialer).DialContext(ctx, network, address)
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
	for _, list := range [][]scenario{accountScenarios(), sessionScenarios(), intentScenarios(), redirectScenarios(), pageScenarios(), identityScenarios(), frogScenarios(), browserScenarios(w)} {
		for _, s := range list {
			t.Run(s.name, func(t *testing.T) { s.run(t, w) })
		}
	}
}

// awaitRotation returns when done does: when the cookie has changed. How long
// that takes is the access token's life, five minutes where nobody shortened it.
func awaitRotation(t *testing.T, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	for !done() {
		select {
		case <-ctx.Done():
			t.Fatal("waited in vain for another cookie")
		case <-time.After(100 * time.Millisecond):
		}
	}
}

package replicas

import (
	"net/http"
	"sync"
	"testing"
	"time"
)

// TestAllReplicasServeOneSession: whoever signs in at one sidecar is signed in
// at all, and signed out at all.
func TestAllReplicasServeOneSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t, settings{accessTTL: time.Minute, minInterval: 5 * time.Second})
	v := w.visitor()
	v.wantOK(t)
	if n := w.count("SELECT count(*) FROM sessions WHERE revoked_at IS NULL"); n != 1 {
		t.Errorf("%d sessions", n)
	}
	if n := metric(w.sidecars, "http_requests_total"); n != 4 {
		t.Errorf("the sidecars counted %v requests", n)
	}
	if a := v.do(t.Context(), w.sidecars[0], http.MethodPost, "/auth/logout", "{}"); a.status != http.StatusNoContent || v.held() != "" {
		t.Errorf("%s, and the jar holds %q", a, v.held())
	}
	if a := v.get(t.Context(), "/"); a.status != http.StatusUnauthorized {
		t.Errorf("signed out, and yet %s", a)
	}
}

// TestWhatIsKilledComesBack kills one program of each kind at once, in an order
// that has each start while another one it needs is away.
func TestWhatIsKilledComesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, settings{accessTTL: time.Second, minInterval: time.Second})
	v := w.visitor()
	w.toPostgres.shut()
	victims := []*program{w.auth[0], w.sidecars[0], w.redis}
	for _, p := range victims {
		p.kill()
	}
	var back sync.WaitGroup
	for _, p := range victims {
		back.Go(p.revive)
	}
	w.toPostgres.unlock()
	back.Wait()
	v.wantOK(t)
}

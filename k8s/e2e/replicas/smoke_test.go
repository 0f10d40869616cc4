package replicas

import (
	"net/http"
	"sync"
	"testing"
	"time"
)

// TestAllReplicasServeOneSession: login and logout at one sidecar apply to all.
func TestAllReplicasServeOneSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t, settings{accessTTL: time.Minute, minInterval: 5 * time.Second})
	v := w.visitor()
	v.wantOK(t)
	if n := w.count("SELECT count(*) FROM sessions WHERE revoked_at IS NULL"); n != 1 {
		t.Errorf("%d sessions, want 1", n)
	}
	if n := metric(w.sidecars, "http_requests_total"); n != 4 {
		t.Errorf("the sidecars counted %v requests, want 4", n)
	}
	if a := v.do(t.Context(), w.sidecars[0], http.MethodPost, "/auth/logout", "{}"); a.status != http.StatusNoContent || v.held() != "" {
		t.Errorf("logout: %s, cookie %q; want 204 and no cookie", a, v.held())
	}
	if a := v.get(t.Context(), "/"); a.status != http.StatusUnauthorized {
		t.Errorf("after logout: %s, want 401", a)
	}
}

// TestKilledProgramsRecover kills an auth service, a sidecar and Redis at once, and restarts each
// while others are still down.
func TestKilledProgramsRecover(t *testing.T) {
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

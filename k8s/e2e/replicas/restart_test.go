package replicas

import (
	"testing"
	"time"
)

// TestRollingRestart restarts all replicas in turn, like a rollout, under load: no request fails.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, settings{accessTTL: time.Second, minInterval: time.Second})
	crowd := w.crowd(6, check, "/")
	for i, p := range w.auth {
		// A terminating endpoint is removed from its Service first and gets no new connections.
		var others []string
		for j, other := range w.auth {
			if j != i {
				others = append(others, other.address)
			}
		}
		for _, d := range w.toAuth {
			d.lead(others...)
		}
		crowd.awaitRequests(t)
		p.stop()
		p.start()
		p.awaitReady()
		for _, d := range w.toAuth {
			d.lead(append(others, p.address)...)
		}
		crowd.awaitRequests(t)
	}
	for _, p := range w.sidecars {
		p.leaving.Store(true)
		crowd.awaitRequests(t)
		p.stop()
		p.start()
		p.awaitReady()
		p.leaving.Store(false)
		crowd.awaitRequests(t)
	}
	crowd.leave()
	t.Logf("%d requests", crowd.answered.Load())
	if n := w.count("SELECT count(*) FROM sessions WHERE revoked_at IS NOT NULL"); n != 0 {
		t.Errorf("%d sessions ended, want 0", n)
	}
}

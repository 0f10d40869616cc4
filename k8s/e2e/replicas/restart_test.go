package replicas

import (
	"testing"
	"time"
)

// TestRollingRestart restarts every replica, one after the other, as a
// rollout does, while visitors go on: no request fails.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, settings{accessTTL: time.Second, minInterval: time.Second})
	crowd := w.crowd(6, check, "/")
	for i, p := range w.auth {
		// An endpoint that is to end leaves its Service first, and is given no new connection.
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
		t.Errorf("%d sessions were ended", n)
	}
}

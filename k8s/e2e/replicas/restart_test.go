package replicas

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestT90_RollingRestart restarts every replica, one after the other, as a
// rollout does, while visitors go on: no request fails.
func TestT90_RollingRestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, settings{accessTTL: time.Second, minInterval: time.Second})
	crowd := w.crowd(6, check)
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

// A crowd is visitors who go on asking.
type crowd struct {
	visitors []*visitor
	answered atomic.Int64 // with 200
	leave    func()       // ends it and returns when all have left
}

// crowd has visitors with two tabs each ask any sidecar, again and again, until
// it leaves. What judge makes of an answer, if anything, fails the test.
func (w *world) crowd(size int, judge func(answer) error) *crowd {
	w.t.Helper()
	const tabs = 2
	c := &crowd{}
	for range size {
		c.visitors = append(c.visitors, w.visitor())
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	var all sync.WaitGroup
	for _, v := range c.visitors {
		for range tabs {
			all.Go(func() {
				for ctx.Err() == nil {
					// Whoever leaves waits for the answer first.
					a := v.get(context.WithoutCancel(ctx), "/")
					if err := judge(a); err != nil {
						w.t.Error(err)
						return
					}
					if check(a) == nil {
						c.answered.Add(1)
					}
					select {
					case <-ctx.Done():
					case <-time.After(think):
					}
				}
			})
		}
	}
	c.leave = func() { cancel(); all.Wait() }
	w.t.Cleanup(c.leave)
	return c
}

var errTooFew = errors.New("too few answers")

// think is a tab's pause between two requests.
const think = 20 * time.Millisecond

// awaitRequests returns when the crowd has been answered as often as it has tabs, and more.
func (c *crowd) awaitRequests(t *testing.T) {
	t.Helper()
	enough := c.answered.Load() + int64(10*len(c.visitors))
	await(t, "the visitors' next requests", func(context.Context) error {
		if n := c.answered.Load(); n < enough {
			return errTooFew
		}
		return nil
	})
}

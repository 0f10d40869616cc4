package replicas

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A crowd is visitors who go on asking.
type crowd struct {
	visitors []*visitor
	answered atomic.Int64 // with 200
	leave    func()       // ends it and returns when all have left
}

// crowd has visitors with two tabs each ask any sidecar for the paths in turn,
// until it leaves. What judge makes of an answer, if anything, fails the test.
func (w *world) crowd(size int, judge func(answer) error, paths ...string) *crowd {
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
				for i := 0; ctx.Err() == nil; i++ {
					// Whoever leaves waits for the answer first.
					a := v.get(context.WithoutCancel(ctx), paths[i%len(paths)])
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
const think = 100 * time.Millisecond

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

// check makes an error of an answer that is not 200.
func check(a answer) error {
	if a.err != nil || a.status != http.StatusOK {
		return fmt.Errorf("%s", a)
	}
	return nil
}

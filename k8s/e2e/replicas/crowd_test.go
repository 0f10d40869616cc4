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

// crowd is a group of visitors who send requests continuously.
type crowd struct {
	visitors []*visitor
	answered atomic.Int64 // with 200
	leave    func()       // ends it and returns when all have left
}

// crowd starts visitors with two tabs each, which request the paths in turn from any sidecar until
// leave is called. An error of judge fails the test.
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
					// Requests in flight are completed.
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

// think is the pause of a tab between two requests.
const think = 100 * time.Millisecond

// awaitRequests waits until there have been more responses than there are tabs.
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

// check returns an error if the response is not 200.
func check(a answer) error {
	if a.err != nil || a.status != http.StatusOK {
		return fmt.Errorf("%s", a)
	}
	return nil
}

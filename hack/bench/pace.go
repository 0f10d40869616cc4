package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"
)

// paceRate is how many requests a second arrive on a machine that has little to do.
const paceRate = 1000

// measureAdded finds what a proxy adds to an answer's way when the machine is
// not full: the percentiles behind it less those of the upstream itself.
func measureAdded(ctx context.Context, l *lab, o options, upstream string, proxies []*server, header []string, found *figures) error {
	req := request(http.MethodGet, "/", nil, header...)
	added := make(map[string][][2]float64)
	for round := range o.rounds {
		l.say("round %d: %d requests a second", round+1, paceRate)
		base, err := pace(ctx, upstream, req, paceRate, o.span())
		if err != nil {
			return err
		}
		for _, p := range proxies[:2] { // the sidecar and nginx
			behind, err := pace(ctx, p.address, req, paceRate, o.span())
			if err != nil {
				return fmt.Errorf("%s: %w", p.Name, err)
			}
			added[p.Name] = append(added[p.Name], [2]float64{
				millis(percentile(behind, 50) - percentile(base, 50)), millis(percentile(behind, 99) - percentile(base, 99)),
			})
		}
	}
	for _, p := range proxies[:2] {
		for i, name := range []string{"p50", "p99"} {
			found.add(p.Name+" added "+name+" ms", 2, medianOf(added[p.Name], func(v [2]float64) float64 { return v[i] }))
		}
	}
	return nil
}

// measureHalf finds the percentiles behind the sidecar and nginx at half of the
// rate that nginx can do: a machine that is busy, and not full.
func measureHalf(ctx context.Context, l *lab, o options, proxies []*server, header []string, rate int, found *figures) error {
	req := request(http.MethodGet, "/", nil, header...)
	p99 := make(map[string][]float64)
	for round := range o.rounds {
		l.say("round %d: %d requests a second", round+1, rate)
		for _, p := range proxies[:2] { // the sidecar and nginx
			took, err := pace(ctx, p.address, req, rate, o.span())
			if err != nil {
				return fmt.Errorf("%s: %w", p.Name, err)
			}
			p99[p.Name] = append(p99[p.Name], millis(percentile(took, 99)))
		}
	}
	found.add("half rate requests/s", 0, float64(rate))
	for _, p := range proxies[:2] {
		found.add(p.Name+" p99 ms at half rate", 2, median(p99[p.Name]))
	}
	return nil
}

// pace sends rate requests a second at fixed moments and returns how long each took from its
// moment on, in order: one that had to wait for a connection, because those
// before it were slow, has its waiting counted.
func pace(ctx context.Context, address string, req []byte, rate int, span time.Duration) ([]time.Duration, error) {
	n := int(span.Seconds() * float64(rate))
	due := make(chan time.Time, n)
	took, faults := make([][]time.Duration, connections), make([]error, connections)
	var all sync.WaitGroup
	for w := range connections {
		all.Go(func() { took[w], faults[w] = serveDue(ctx, address, req, due) })
	}
	tickOff(ctx, due, n, time.Second/time.Duration(rate))
	all.Wait()
	latencies := slices.Concat(took...)
	slices.Sort(latencies)
	return latencies, errors.Join(errors.Join(faults...), ctx.Err())
}

// tickOff names n moments that are so far apart, each when it has come. It sleeps in a thread of its
// own: the runtime's timers are too coarse by up to a millisecond.
func tickOff(ctx context.Context, due chan<- time.Time, n int, apart time.Duration) {
	defer close(due)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	next := time.Now()
	for range n {
		if ctx.Err() != nil {
			return
		}
		if wait := time.Until(next); wait > 0 {
			rest := syscall.NsecToTimespec(int64(wait))
			_ = syscall.Nanosleep(&rest, nil) // a signal ends it early, by less than matters
		}
		due <- next
		next = next.Add(apart)
	}
}

func serveDue(ctx context.Context, address string, req []byte, due <-chan time.Time) (took []time.Duration, err error) {
	c, err := dial(ctx, address)
	if err != nil {
		return nil, err
	}
	defer c.close()
	for moment := range due {
		if err != nil {
			continue // the moments go by
		}
		var said reply
		if said, err = c.do(ctx, req); err == nil {
			err = said.want(http.StatusOK, "a page")
		}
		took = append(took, time.Since(moment))
	}
	return took, err
}

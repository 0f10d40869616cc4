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

// paceRate is the rate in requests/s for a machine with little load.
const paceRate = 1000

// measureAdded measures the latency that a proxy adds on a machine with little load: its
// percentiles minus those of the upstream.
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

// measureHalf measures the percentiles of sidecar and nginx at half of the maximum rate of nginx.
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

// pace sends rate requests per second at fixed moments and returns the sorted latencies from those
// moments on. They include the wait for a connection, which a load generator without fixed moments
// would omit (coordinated omission).
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

// tickOff sends n moments at fixed intervals, each when it has come. It sleeps in a thread of its
// own: timers of the runtime may be late by a millisecond.
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
			_ = syscall.Nanosleep(&rest, nil) // a signal may end it slightly early
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
			continue // the remaining moments must still be received
		}
		var said reply
		if said, err = c.do(ctx, req); err == nil {
			err = said.want(http.StatusOK, "a page")
		}
		took = append(took, time.Since(moment))
	}
	return took, err
}

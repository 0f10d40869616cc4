package app

import (
	"context"
	"math"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// LimitMemory sets the Go memory limit to seven eighths of GOMEMLIMIT or, without
// that, of the container's limit. The rest is for the program text and the kernel's
// socket buffers, which count against the container's limit but not against Go's.
func (c *Config) LimitMemory() {
	limit := debug.SetMemoryLimit(-1)
	if limit == math.MaxInt64 {
		container, err := memlimit.FromCgroup()
		if err != nil || container > math.MaxInt64 {
			return // no limit
		}
		limit = int64(container)
	}
	c.memory = limit
	debug.SetMemoryLimit(limit / 8 * 7)
}

// clientMemoryWithout is the memory for clients, in bytes, if the process has no limit.
const clientMemoryWithout = 256 << 20

// clientMemory returns the memory that all clients together can use, in bytes. By
// default it is half of the process's; the other half is for sessions, the program
// itself and garbage that is not yet collected.
func (c *Config) clientMemory() int64 {
	switch {
	case c.ClientMemory > 0:
		return c.ClientMemory
	case c.memory > 0:
		return c.memory / 2
	}
	return clientMemoryWithout
}

// Go collects garbage when it is as large as what is alive, and at 4 MiB at the earliest. Sessions
// are most of what is alive, and requests leave little garbage, so that thousands of sessions would
// double the memory for nothing: half of their size, or less, costs no noticeable CPU time.
const (
	garbage      = 4 << 20
	leastPercent = 40
	mostPercent  = 100 // Go's default
)

// collectorPercent returns the garbage to collect at, as a percentage of the bytes that are alive.
func collectorPercent(alive uint64) int {
	return int(min(max(garbage*100/max(alive, 1), leastPercent), mostPercent))
}

// limitGarbage adapts the collector to the size of what is alive, until ctx ends, unless GOGC sets
// another percentage than Go's default.
func limitGarbage(ctx context.Context) {
	now := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/gogc:percent"}}
	metrics.Read(now)
	percent := mostPercent
	if now[1].Value.Uint64() != mostPercent {
		return
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		metrics.Read(now[:1])
		if want := collectorPercent(now[0].Value.Uint64()); want != percent {
			percent = want
			debug.SetGCPercent(percent)
		}
	}
}

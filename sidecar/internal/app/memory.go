package app

import (
	"math"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// LimitMemory has the process keep to the memory that it may use: that is
// GOMEMLIMIT, or else what its container has. The garbage collector gets seven
// eighths of it, for it counts neither the program itself nor the kernel's
// memory for sockets, which a container's limit does.
func (c *Config) LimitMemory() {
	limit := debug.SetMemoryLimit(-1)
	if limit == math.MaxInt64 {
		container, err := memlimit.FromCgroup()
		if err != nil || container > math.MaxInt64 {
			return // there is no limit
		}
		limit = int64(container)
	}
	c.memory = limit
	debug.SetMemoryLimit(limit / 8 * 7)
}

// clientMemoryWithout is what clients can take where memory has no limit.
const clientMemoryWithout = 256 << 20

// clientMemory returns the memory that clients can take in all. The other half
// is for sessions, the program itself, and what the garbage collector has not
// seen to yet.
func (c *Config) clientMemory() int64 {
	switch {
	case c.ClientMemory > 0:
		return c.ClientMemory
	case c.memory > 0:
		return c.memory / 2
	}
	return clientMemoryWithout
}

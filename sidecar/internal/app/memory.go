package app

import (
	"math"
	"runtime/debug"

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

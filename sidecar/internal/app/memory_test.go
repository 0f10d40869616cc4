package app

import "testing"

// Few sessions cost no more CPU time than with Go's default, and many cost little more memory than
// what is alive.
func TestGarbageIsBounded(t *testing.T) {
	for _, c := range []struct {
		alive uint64
		want  int
	}{{0, 100}, {1 << 20, 100}, {4 << 20, 100}, {5 << 20, 80}, {8 << 20, 50}, {10 << 20, 40}, {1 << 40, 40}} {
		if got := collectorPercent(c.alive); got != c.want {
			t.Errorf("%d bytes alive: %d %%, want %d %%", c.alive, got, c.want)
		}
	}
}

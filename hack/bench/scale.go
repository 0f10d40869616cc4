package main

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// Assumed capacity of one instance. Only the fraction usable of a core is planned: the rest is for
// peaks and failover.
const (
	usable        = 0.6
	shardGB       = 10.0
	postgresCores = 16
)

// costs are the measured costs, in µs of CPU time per refresh and bytes per session.
type costs struct{ auth, redis, postgres, bytes float64 }

func readCosts(found *figures) (c costs, err error) {
	for name, into := range map[string]*float64{
		"refresh cpu us": &c.auth, "refresh redis cpu us": &c.redis, "refresh postgres cpu us": &c.postgres, "family bytes": &c.bytes,
	} {
		if *into, err = found.value(name); err != nil {
			return c, err
		}
	}
	return c, nil
}

// demand is what a number of sessions needs, each with one refresh per interval.
type demand struct {
	perSecond        float64
	replicas, shards int     // of one core each
	gigabytes        float64 // in all of Redis
	postgres         float64 // cores of its primary
}

func (c costs) demand(sessions int, every time.Duration) demand {
	d := demand{perSecond: float64(sessions) / every.Seconds(), gigabytes: float64(sessions) * c.bytes / 1e9}
	cores := func(micros float64) float64 { return d.perSecond * micros / 1e6 / usable }
	d.replicas = int(max(1, math.Ceil(cores(c.auth))))
	d.shards = int(max(1, math.Ceil(cores(c.redis)), math.Ceil(d.gigabytes/shardGB)))
	d.postgres = cores(c.postgres)
	return d
}

// limit returns the number of refreshes/s of one PostgreSQL primary.
func (c costs) limit() float64 { return postgresCores * usable * 1e6 / c.postgres }

// scale is the part of the report that extrapolates to more sessions.
type scale struct {
	Table         string
	Limit         string
	Usable, Cores int
	ShardGB       int
}

func extrapolate(found *figures) (scale, error) {
	c, err := readCosts(found)
	if err != nil {
		return scale{}, err
	}
	var b strings.Builder
	for _, sessions := range []int{1_000_000, 10_000_000, 100_000_000} {
		for _, every := range []struct {
			text string
			time time.Duration
		}{{"4 min", 4 * time.Minute}, {"8 min", 8 * time.Minute}, {"1 h", time.Hour}, {"1 day", 24 * time.Hour}} {
			d := c.demand(sessions, every.time)
			postgres := fmt.Sprintf("%.1f cores", d.postgres)
			if d.postgres > postgresCores {
				postgres = "**" + postgres + "**"
			}
			_, _ = fmt.Fprintf(&b, "| %d M | %s | %.0f | %d | %d | %.1f GB | %s |\n",
				sessions/1_000_000, every.text, d.perSecond, d.replicas, d.shards, d.gigabytes, postgres)
		}
	}
	return scale{
		Table: strings.TrimSpace(b.String()), Limit: fmt.Sprintf("%.0f", c.limit()),
		Usable: int(usable * 100), Cores: postgresCores, ShardGB: int(shardGB),
	}, nil
}

package rollover_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"lilypad.example/services/auth/internal/rollover"
	"lilypad.example/services/auth/internal/signer"
	"lilypad.example/services/pkg/authn"
)

// cached is how long a verifier may use a JWKS: its own minute and that of a cache in between.
const cached = 2 * time.Minute

// A simulation runs replicas with skewed clocks that miss reads, have common outages and restart.
type simulation struct {
	t        *rapid.T
	schedule rollover.Schedule
	now      time.Time // without skew
	store    *secret
	replicas []*simulated
	first    string // the first key, which signed without a wait
}

type simulated struct {
	*replica

	skew      time.Duration
	missed    bool // the last read
	seen      *signer.Keys
	published []published
	signed    map[string]time.Time // when each key signed last
}

// published is the JWKS that a replica serves from a time on.
type published struct {
	from time.Time
	kids []string
}

func (s *simulation) start(skew time.Duration) *simulated {
	r := &simulated{skew: skew, signed: make(map[string]time.Time)}
	clock := func() time.Time { return s.now.Add(r.skew) }
	r.replica = newReplica(s.store, s.schedule, clock, func(context.Context, rollover.Change) {})
	return r
}

// step lets every replica read, unless it misses the read, and sign.
func (s *simulation) step(outage bool) {
	s.store.setAway(outage)
	for _, i := range rapid.Permutation(indexes(len(s.replicas))).Draw(s.t, "order") {
		r := s.replicas[i]
		r.missed = !r.missed && rapid.IntRange(0, 9).Draw(s.t, "miss") == 0
		if !r.missed {
			_ = r.keeper.Turn(context.Background())
		}
		r.observe(s.now)
	}
	if s.first == "" && len(s.store.data) > 0 {
		keys, err := rollover.Parse(s.store.data[rollover.SigningEntry])
		if err != nil {
			s.t.Fatal(err)
		}
		s.first = keys[0].ID
	}
}

func indexes(n int) (all []int) {
	for i := range n {
		all = append(all, i)
	}
	return all
}

func (r *simulated) observe(now time.Time) {
	keys := r.keys.Load()
	if keys == nil {
		return
	}
	if keys != r.seen {
		r.seen = keys
		var set struct{ Keys []struct{ KID string } }
		_ = json.Unmarshal(keys.JWKS(), &set)
		var kids []string
		for _, k := range set.Keys {
			kids = append(kids, k.KID)
		}
		r.published = append(r.published, published{now, kids})
	}
	r.signed[r.published[len(r.published)-1].kids[0]] = now
}

// check compares the tokens that verifiers may receive with every JWKS that they may hold.
func (s *simulation) check() error {
	for i, by := range s.replicas {
		for kid, last := range by.signed {
			if s.now.Sub(last) > life+authn.Leeway {
				continue
			}
			for j, at := range s.replicas {
				for n, p := range at.published {
					replaced := n+1 < len(at.published) && !at.published[n+1].from.After(s.now.Add(-cached))
					if replaced || slices.Contains(p.kids, kid) {
						continue
					}
					if n+1 == len(at.published) {
						return fmt.Errorf("replica %d signed with %s %s ago, and replica %d does not publish it", i, kid, s.now.Sub(last), j)
					}
					if last.Equal(s.now) && kid != s.first {
						return fmt.Errorf("replica %d signs with %s, and a cache holds a JWKS of replica %d without it", i, kid, j)
					}
				}
			}
		}
	}
	return nil
}

func simulate(t *rapid.T, schedule rollover.Schedule) (*simulation, error) {
	s := &simulation{t: t, schedule: schedule, now: noon, store: &secret{}}
	skew := rapid.Custom(func(t *rapid.T) time.Duration {
		return time.Duration(rapid.IntRange(-15, 15).Draw(t, "skew")) * time.Second
	})
	for range 3 {
		s.replicas = append(s.replicas, s.start(skew.Draw(t, "skew")))
	}
	outage := 0 // remaining steps
	for range 150 {
		s.now = s.now.Add(5 * time.Second)
		switch rapid.IntRange(0, 39).Draw(t, "event") {
		case 0:
			outage = rapid.IntRange(1, 60).Draw(t, "outage")
		case 1: // a rollout replaces a replica, which serves once it has keys
			i := rapid.IntRange(0, len(s.replicas)-1).Draw(t, "replaced")
			s.replicas[i] = s.start(skew.Draw(t, "skew"))
		}
		s.step(outage > 0)
		outage--
		if err := s.check(); err != nil {
			return s, err
		}
	}
	return s, nil
}

// TestNoHistoryRefusesAToken: in every history of replicas and API server, no replica signs with a
// key that is missing from a JWKS that a verifier may hold, and no key is removed while one of its
// tokens is valid.
func TestNoHistoryRefusesAToken(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		schedule := rollover.Schedule{Wait: cached + rollover.Settle, Keep: life + authn.Leeway + rollover.Settle}
		schedule.Every = schedule.Wait + schedule.Keep
		s, err := simulate(t, schedule)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range s.replicas {
			if r.keys.Load() == nil && !s.store.away && !r.missed {
				t.Errorf("replica %d has no key after a successful read, want one", i)
			}
		}
	})
}

// TestShorterTimesRefuseTokens shows that the simulation detects a missing wait or keep time.
func TestShorterTimesRefuseTokens(t *testing.T) {
	for name, schedule := range map[string]rollover.Schedule{
		"no wait": {Every: 5 * time.Minute, Keep: life + authn.Leeway + rollover.Settle},
		"no keep": {Every: 5 * time.Minute, Wait: cached + rollover.Settle},
	} {
		found := false
		rapid.Check(t, func(t *rapid.T) {
			if !found {
				_, err := simulate(t, schedule)
				found = err != nil
			}
		})
		if !found {
			t.Errorf("%s: no token was refused, want the simulation to find one", name)
		}
	}
}

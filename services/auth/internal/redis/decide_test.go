package redis_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"lilypad.example/services/auth/internal/redis"
	"lilypad.example/services/auth/internal/session"
)

var decidePolicy = session.Policy{Overlap: 10 * time.Second, MinInterval: 5 * time.Second, Idle: time.Hour}

// TestDecide tests the rows of the table in docs/sessions.md.
func TestDecide(t *testing.T) {
	t0 := time.Unix(1_000_000, 0)
	base := session.Family{
		Generation: 7, Rotated: t0, RotatedBy: "alice", Client: "app", KeyID: "k1", End: t0.Add(24 * time.Hour),
	}
	with := func(change func(*session.Family)) session.Family { f := base; change(&f); return f }
	late := t0.Add(time.Minute)
	show := func(generation uint64, by string, at time.Time) session.Presentation {
		return session.Presentation{Generation: generation, Client: "app", KeyID: "k1", Presenter: by, SuccessorKeyID: "k2", Now: at}
	}
	rotated := func(f session.Family, at time.Time, by string, generation uint64) session.Family {
		f.Generation, f.Rotated, f.RotatedBy, f.KeyID, f.Confirmed, f.Pardoned = generation, at, by, "k2", false, false
		return f
	}
	confirmed := with(func(f *session.Family) { f.Confirmed = true })
	spent := with(func(f *session.Family) { f.PardonedBefore = true })
	pardoned := with(func(f *session.Family) { f.PardonedBefore, f.Pardoned = true, true })
	challenged := func(p session.Presentation, at time.Time) session.Presentation { p.Challenge = at; return p }
	settled := func(p session.Presentation, doubt session.Doubt) session.Presentation {
		p.Epoch, p.Settled = "now", doubt
		return p
	}
	ahead := func(at time.Time) session.Presentation {
		p := show(9, "alice", at)
		p.Settled = "." // the Doubt with empty epochs
		return p
	}
	before := with(func(f *session.Family) { f.Verified = "before" })
	since := func(f session.Family) session.Family { f.Verified = "now"; return f }
	revoked := func(f session.Family) session.Family { f.Revoked = true; return f }

	for name, c := range map[string]struct {
		family session.Family
		shown  session.Presentation
		want   session.Outcome
		after  session.Family
	}{
		"revoked":                                    {revoked(base), show(7, "alice", late), session.Revoked, revoked(base)},
		"past its end":                               {base, show(7, "alice", base.End), session.Ended, base},
		"another client":                             {base, session.Presentation{Generation: 7, Client: "other", Now: late}, session.Foreign, base},
		"another client, stale":                      {base, session.Presentation{Generation: 1, Client: "other", Now: late}, session.Foreign, base},
		"current, too soon":                          {base, show(7, "bob", t0.Add(4999*time.Millisecond)), session.Current, confirmed},
		"current":                                    {base, show(7, "bob", t0.Add(5*time.Second)), session.Rotated, rotated(base, t0.Add(5*time.Second), "bob", 8)},
		"current, pardon was one before":             {spent, show(7, "alice", late), session.Rotated, rotated(base, late, "alice", 8)},
		"current, pardoned just now":                 {pardoned, show(7, "alice", late), session.Rotated, rotated(spent, late, "alice", 8)},
		"predecessor within the overlap":             {base, show(6, "bob", t0.Add(10*time.Second)), session.Concurrent, base},
		"same, confirmed, other presenter":           {confirmed, show(6, "bob", t0.Add(10*time.Second)), session.Concurrent, confirmed},
		"lost response, same presenter":              {base, show(6, "alice", late), session.Retried, base},
		"same, again and again":                      {pardoned, show(6, "alice", late), session.Retried, pardoned},
		"lost response, network changed":             {base, show(6, "bob", late), session.Pardoned, pardoned},
		"same, once more in this generation":         {pardoned, show(6, "bob", late), session.Pardoned, pardoned},
		"same, but the one before needed one":        {spent, show(6, "bob", late), session.Reused, revoked(spent)},
		"older cookie jar":                           {confirmed, show(6, "alice", late), session.Pardoned, with(func(f *session.Family) { f.Confirmed, f.PardonedBefore, f.Pardoned = true, true, true })},
		"older cookie jar, but one before":           {with(func(f *session.Family) { f.Confirmed, f.PardonedBefore = true, true }), show(6, "alice", late), session.Reused, with(func(f *session.Family) { f.Confirmed, f.PardonedBefore, f.Revoked = true, true, true })},
		"confirmed predecessor, from elsewhere":      {confirmed, show(6, "bob", late), session.Reused, revoked(confirmed)},
		"grandparent":                                {base, show(5, "alice", t0.Add(time.Second)), session.Reused, revoked(base)},
		"ahead of the store":                         {base, ahead(late), session.Healed, rotated(base, late, "alice", 10)},
		"stale, and nobody has answered a challenge": {base, challenged(show(5, "alice", late), time.UnixMilli(0)), session.Stale, base},
		"stale, and the challenge was answered":      {base, challenged(show(5, "alice", late), late.Add(-session.ChallengeLife)), session.Reused, revoked(base)},
		"stale, and the answer was held up":          {base, challenged(show(5, "alice", late), late.Add(-session.ChallengeLife-1)), session.Stale, base},
		"stale, and the challenge is yet to come":    {base, challenged(show(5, "alice", late), late.Add(1)), session.Stale, base},
		"not stale, whatever the challenge":          {base, challenged(show(7, "alice", late), time.UnixMilli(0)), session.Rotated, rotated(base, late, "alice", 8)},
		"of an epoch before":                         {before, settled(show(7, "alice", late), ""), session.Unverified, before},
		"of an epoch before, stale":                  {before, settled(show(5, "alice", late), ""), session.Unverified, before},
		"of an epoch before, settled in it":          {before, settled(show(7, "alice", late), "before.before"), session.Unverified, before},
		"of an epoch before, settled now":            {before, settled(show(7, "alice", late), "now.before"), session.Rotated, since(rotated(base, late, "alice", 8))},
		"ahead of the store, not settled":            {since(base), settled(show(9, "alice", late), ""), session.Unverified, since(base)},
		"ahead of the store, settled now":            {since(base), settled(show(9, "alice", late), "now.now"), session.Healed, since(rotated(base, late, "alice", 10))},
		"of an epoch before, revoked":                {revoked(before), settled(show(7, "alice", late), ""), session.Revoked, revoked(before)},
		"ahead of the store, too soon":               {base, ahead(t0.Add(time.Second)), session.Healed, with(func(f *session.Family) { f.Generation, f.Confirmed = 9, true })},
	} {
		t.Run(name, func(t *testing.T) {
			got, after := redis.Decide(c.family, c.shown, decidePolicy)
			if got != c.want || after != c.after {
				t.Errorf("got %s\n%+v, want %s\n%+v", got, after, c.want, c.after)
			}
		})
	}
}

func TestOneSuccessorForEver(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := session.Family{Generation: 1, Rotated: time.Unix(0, 0), Confirmed: true, Client: "app", KeyID: "k1", End: time.Unix(1<<40, 0)}
		now := time.Unix(0, 0)
		successor := map[uint64]uint64{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 30_000).Draw(t, "ms")) * time.Millisecond)
			p := session.Presentation{
				Generation: rapid.Uint64Range(1, f.Generation).Draw(t, "generation"),
				Client:     "app", KeyID: "k1", SuccessorKeyID: "k1",
				Presenter: rapid.SampledFrom([]string{"alice", "bob"}).Draw(t, "presenter"), Now: now,
			}
			outcome, next := redis.Decide(f, p, decidePolicy)
			if outcome.Granted() && next.Generation != p.Generation {
				if s, ok := successor[p.Generation]; ok && s != next.Generation {
					t.Fatalf("generation %d got successors %d and %d, want only one", p.Generation, s, next.Generation)
				}
				if next.Generation != p.Generation+1 {
					t.Fatalf("generation %d got successor %d, want %d", p.Generation, next.Generation, p.Generation+1)
				}
				successor[p.Generation] = next.Generation
			}
			if f.Revoked && outcome.Granted() {
				t.Fatalf("outcome %s for a revoked family, want %s", outcome, session.Revoked)
			}
			f = next
		}
	})
}

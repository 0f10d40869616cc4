package rotationtest

import (
	"time"

	"lilypad.example/services/auth/internal/redis"
	"lilypad.example/services/auth/internal/session"
)

// A rule is redis.Decide, or something wrong in its place.
type rule func(session.Family, session.Presentation, session.Policy) (session.Outcome, session.Family)

var decide rule = redis.Decide

var policy = session.Policy{Overlap: 10 * time.Second, MinInterval: 5 * time.Second, Idle: 14 * 24 * time.Hour}

// A verdict is what a rule makes of a predecessor that comes after the overlap.
type verdict int

const (
	reuse  verdict = iota
	free           // the same successor
	pardon         // the same successor, and the generation's pardon is used
)

// The wrong rules. Each differs from Decide only in its verdicts; each is what
// one would write first, or Decide without one of its conditions. same says
// that the presenter is who rotated.
var (
	// oneBehindIsFine: whoever holds the token before the current one gets the current one.
	oneBehindIsFine = late(func(session.Family, bool) verdict { return free })
	// plainStreak: two generations in a row whose response was lost are reuse, whoever asks.
	plainStreak = late(func(f session.Family, _ bool) verdict { return pardonIf(!f.Confirmed && unspent(f)) })
	// noPardonForCrashes knows lost responses only, not older cookie jars.
	noPardonForCrashes = late(func(f session.Family, same bool) verdict {
		if !f.Confirmed && same {
			return free
		}
		return pardonIf(!f.Confirmed && unspent(f))
	})
	// pardonsWithoutEnd never runs out of pardons.
	pardonsWithoutEnd = late(func(f session.Family, same bool) verdict {
		if !f.Confirmed && same {
			return free
		}
		return pardonIf(!f.Confirmed || same)
	})
	// blindToPresenters gives anybody the pardon for an older cookie jar.
	blindToPresenters = late(func(f session.Family, same bool) verdict {
		if !f.Confirmed && same {
			return free
		}
		return pardonIf(unspent(f))
	})
)

func unspent(f session.Family) bool { return f.Pardoned || !f.PardonedBefore }

func pardonIf(ok bool) verdict {
	if ok {
		return pardon
	}
	return reuse
}

// late returns Decide with other verdicts.
func late(judge func(f session.Family, same bool) verdict) rule {
	return func(f session.Family, p session.Presentation, policy session.Policy) (session.Outcome, session.Family) {
		alive := !f.Revoked && p.Now.Before(f.End) && p.Client == f.Client
		if !alive || p.Generation != f.Generation-1 || p.Now.Sub(f.Rotated) <= policy.Overlap {
			return redis.Decide(f, p, policy)
		}
		switch judge(f, p.Presenter == f.RotatedBy) {
		case free:
			return session.Retried, f
		case pardon:
			f.PardonedBefore, f.Pardoned = true, true
			return session.Pardoned, f
		case reuse:
		}
		f.Revoked = true
		return session.Reused, f
	}
}

// family is a session under a rule, with the clock that its store would have.
type family struct {
	session.Family

	rule rule
	now  time.Time
}

func newFamily(r rule) *family {
	epoch := time.Unix(1_800_000_000, 0)
	return &family{rule: r, now: epoch, Family: session.Family{
		Generation: 1, Rotated: epoch, Confirmed: true, Client: "app", KeyID: "k1", End: epoch.AddDate(100, 0, 0),
	}}
}

func (f *family) pass(d time.Duration) { f.now = f.now.Add(d) }

// present shows a generation's token from somewhere, and returns the
// generation of the token that comes back.
func (f *family) present(generation uint64, from string) (successor uint64, granted bool) {
	outcome, after := f.rule(f.Family, session.Presentation{
		Generation: generation, Client: "app", KeyID: "k1", Presenter: from, SuccessorKeyID: "k1", Now: f.now,
	}, policy)
	f.Family = after
	return after.Generation, outcome.Granted()
}

// confirm is a browser presenting the newest token to a sidecar, which says so.
func (f *family) confirm() { f.Confirmed = true }

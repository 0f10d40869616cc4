package rotationtest

import (
	"time"

	"lilypad.example/services/auth/internal/redis"
	"lilypad.example/services/auth/internal/session"
)

// A rule is redis.Decide or a deliberately wrong variant.
type rule func(session.Family, session.Presentation, session.Policy) (session.Outcome, session.Family)

var decide rule = redis.Decide

var policy = session.Policy{Overlap: 10 * time.Second, MinInterval: 5 * time.Second, Idle: 14 * 24 * time.Hour}

// A verdict is a rule's decision about a predecessor that is presented after the overlap.
type verdict int

const (
	reuse  verdict = iota
	free           // the same successor
	pardon         // the same successor, and the pardon is used
)

// The wrong rules. Each differs from Decide only in its verdicts: it is a naive rule, or Decide
// without one of its conditions. same reports whether the presenter also made the last rotation.
var (
	// oneBehindIsFine always exchanges the predecessor for the current token.
	oneBehindIsFine = withVerdict(func(session.Family, bool) verdict { return free })
	// noLossesInARow treats lost responses in two consecutive generations as reuse, whoever presents.
	noLossesInARow = withVerdict(func(f session.Family, _ bool) verdict { return pardonIf(!f.Confirmed && pardonAvailable(f)) })
	// noPardonForCrashes pardons lost responses only, not restored cookie jars.
	noPardonForCrashes = withVerdict(func(f session.Family, same bool) verdict {
		if !f.Confirmed && same {
			return free
		}
		return pardonIf(!f.Confirmed && pardonAvailable(f))
	})
	// unlimitedPardons notCaught runs out of pardons.
	unlimitedPardons = withVerdict(func(f session.Family, same bool) verdict {
		if !f.Confirmed && same {
			return free
		}
		return pardonIf(!f.Confirmed || same)
	})
	// ignoresPresenter pardons a restored cookie jar whoever presents it.
	ignoresPresenter = withVerdict(func(f session.Family, same bool) verdict {
		if !f.Confirmed && same {
			return free
		}
		return pardonIf(pardonAvailable(f))
	})
)

func pardonAvailable(f session.Family) bool { return f.Pardoned || !f.PardonedBefore }

func pardonIf(ok bool) verdict {
	if ok {
		return pardon
	}
	return reuse
}

// withVerdict returns Decide with another verdict on late predecessors.
func withVerdict(judge func(f session.Family, same bool) verdict) rule {
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

// family is a session under a rule, with the store's clock.
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

func (f *family) advance(d time.Duration) { f.now = f.now.Add(d) }

// present presents a generation's token as the presenter from, and returns the generation of the
// token that is returned.
func (f *family) present(generation uint64, from string) (successor uint64, granted bool) {
	outcome, after := f.rule(f.Family, session.Presentation{
		Generation: generation, Client: "app", KeyID: "k1", Presenter: from, SuccessorKeyID: "k1", Now: f.now,
	}, policy)
	f.Family = after
	return after.Generation, outcome.Granted()
}

// confirm records that the browser has presented the newest token to a sidecar.
func (f *family) confirm() { f.Confirmed = true }

package rotationtest

import (
	"fmt"
	"testing"
	"time"

	"lilypad.example/services/auth/internal/session"
)

// The simulations play one thief each. These tests explore every reachable state instead: all
// interleavings, of any length. That is feasible because Decide looks at how far behind the
// current generation a token is, not at its number, so there are only a few hundred states.

// base is the generation that every state is normalized to.
const base = 1000

// A theftState is a family and the newest token that victim and thief hold.
type theftState struct {
	family        session.Family
	victim, thief uint64
	// shared counts the generations that both have held since the theft;
	// counted reports whether the current one is included.
	shared  int
	counted bool
}

// A use is one party presenting its token, a minute after the previous use.
type use struct {
	from      string // the presenter
	thief     bool
	lost      bool // the response is lost
	confirmed bool // the response arrives, and the next request confirms it
}

// unbounded is the number of shared generations at which the exploration stops.
const unbounded = 8

// maxShared explores all interleavings and returns the largest number of generations that victim
// and thief both hold, after the theft, before the family is revoked.
func maxShared(r rule, thiefFrom string) int {
	uses := []use{
		{from: "victim's", lost: true},
		{from: "victim's"},
		{from: "victim's", confirmed: true},
		{from: thiefFrom, thief: true},
		{from: thiefFrom, thief: true, confirmed: true},
	}
	start := theftState{family: newFamily(r).Family, victim: base, thief: base, counted: true}
	start.family.Generation = base
	epoch := start.family.Rotated
	most, seen, queue := 0, map[theftState]bool{start: true}, []theftState{start}
	for len(queue) > 0 {
		state := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		for _, u := range uses {
			next, granted := state.apply(r, u, epoch)
			if !granted || seen[next] {
				continue
			}
			most = max(most, next.shared)
			seen[next] = true
			if next.shared < unbounded {
				queue = append(queue, next)
			}
		}
	}
	return most
}

// apply makes one use and normalizes the state, in generation and time.
func (s theftState) apply(r rule, u use, epoch time.Time) (next theftState, granted bool) {
	f := family{Family: s.family, rule: r, now: epoch.Add(time.Minute)}
	token := &s.victim
	if u.thief {
		token = &s.thief
	}
	got, granted := f.present(*token, u.from)
	if !granted {
		return s, false
	}
	if f.Generation != base {
		s.counted = false
	}
	if !u.lost {
		*token = got
	}
	if u.confirmed {
		f.confirm()
	}
	if s.victim == f.Generation && s.thief == f.Generation && !s.counted {
		s.shared++
		s.counted = true
	}
	ahead := f.Generation - base
	s.victim, s.thief = normalize(s.victim, ahead), normalize(s.thief, ahead)
	f.Generation, f.Rotated = base, epoch
	s.family = f.Family
	return s, true
}

// normalize lowers a token's generation by ahead. Tokens two or more generations behind are
// equivalent.
func normalize(token, ahead uint64) uint64 { return max(token-ahead, base-2) }

// TestThiefFromAnotherNetworkIsCaught: uses are further apart than the overlap, in any order, and
// any of the victim's responses may be lost. Victim and thief then share at most one generation:
// the second one revokes the family.
func TestThiefFromAnotherNetworkIsCaught(t *testing.T) {
	if got := maxShared(decide, elsewhere); got != 1 {
		t.Errorf("victim and thief shared %d generations, want 1", got)
	}
}

// TestTheftExplorationFindsWrongRules also shows the residual risk that docs/sessions.md states: a
// thief with the victim's user agent and network is not detected.
func TestTheftExplorationFindsWrongRules(t *testing.T) {
	for name, c := range map[string]struct {
		rule      rule
		thiefFrom string
	}{
		"one behind is always fine": {oneBehindIsFine, elsewhere},
		"unlimited pardons":         {unlimitedPardons, elsewhere},
		"the victim's own context":  {decide, "victim's"},
	} {
		if got := maxShared(c.rule, c.thiefFrom); got != unbounded {
			t.Errorf("%s: victim and thief shared %d generations, want no limit (%d)", name, got, unbounded)
		}
	}
}

// A browserState is an honest browser between two requests.
type browserState struct {
	family           session.Family
	cookie, previous uint64 // the cookie jar's token, and the one before its last rotation
	// blocked is the number of rotations until the browser may crash, or move while it waits.
	blocked int
	network string
}

// TestNoSequenceOfLossesLogsOut explores all histories of an honest browser, of any length. On one
// network it may lose any responses, in any order and at any pace. It may change networks whenever
// it waits for no response. Once in two generations it may also change networks while a response
// is lost, or crash and return with an older cookie jar to the network of its last rotation.
func TestNoSequenceOfLossesLogsOut(t *testing.T) {
	if found := firstLogout(decide); found != "" {
		t.Errorf("an honest browser was logged out: %s", found)
	}
}

func TestBrowserExplorationFindsWrongRules(t *testing.T) {
	for name, r := range map[string]rule{"no losses in a row": noLossesInARow, "no pardon for crashes": noPardonForCrashes} {
		if firstLogout(r) == "" {
			t.Errorf("%s: no honest browser was logged out, want one", name)
		}
	}
}

// firstLogout explores all histories of an honest browser under a rule and describes a step that
// logs it out, or returns "" if there is none.
func firstLogout(r rule) string {
	start := browserState{family: newFamily(r).Family, cookie: base, previous: base, network: "home"}
	start.family.Generation = base
	epoch := start.family.Rotated
	seen, queue := map[browserState]bool{start: true}, []browserState{start}
	for len(queue) > 0 {
		state := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		for _, pause := range []time.Duration{time.Second, 6 * time.Second, time.Minute} {
			for _, s := range []step{{}, {lost: true}, {crashed: true}, {crashed: true, lost: true}, {moved: true}, {moved: true, lost: true}} {
				next, allowed, granted := state.apply(r, s, pause, epoch)
				if !granted {
					return fmt.Sprintf("%+v after %s in state %+v", s, pause, state)
				}
				if allowed && !seen[next] {
					seen[next] = true
					queue = append(queue, next)
				}
			}
		}
	}
	return ""
}

// A step is what happens to a browser at one request.
type step struct{ lost, crashed, moved bool }

// apply presents the browser's cookie after a pause, if the browser is allowed this step.
func (b browserState) apply(r rule, s step, pause time.Duration, epoch time.Time) (next browserState, allowed, granted bool) {
	waiting := b.cookie != b.family.Generation // the last response was lost
	if s.crashed && (waiting || b.network != b.family.RotatedBy) {
		return b, false, true
	}
	if s.crashed || s.moved && waiting {
		if b.blocked > 0 {
			return b, false, true
		}
		b.blocked = 2
	}
	if s.crashed {
		b.cookie = b.previous
	}
	if s.moved {
		b.network = map[string]string{"home": "away", "away": "home"}[b.network]
	}
	f := family{Family: b.family, rule: r, now: epoch.Add(pause)}
	got, granted := f.present(b.cookie, b.network)
	if !s.lost && granted {
		if got != b.cookie {
			b.previous, b.cookie = b.cookie, got
		}
		f.confirm()
	}
	if ahead := f.Generation - base; ahead > 0 {
		b.blocked = max(0, b.blocked-1)
		b.cookie, b.previous = normalize(b.cookie, ahead), normalize(b.previous, ahead)
		f.Generation, f.Rotated = base, epoch
	} else {
		// Beyond the overlap all ages are equivalent, so one minute stands for any.
		f.Rotated = epoch.Add(-min(time.Minute, f.now.Sub(f.Rotated)))
	}
	b.family = f.Family
	return b, true, granted
}

package rotationtest

import (
	"fmt"
	"testing"
	"time"

	"lilypad.example/services/auth/internal/session"
)

// The simulations try one schedule of a thief each. The searches in this file
// visit all schedules, of any length. That is possible because Decide depends on
// how far behind a token is and not on its number: there are only a few hundred
// different states.

// normal is the generation that every state is shifted to.
const normal = 1000

// A theftState is a family and the newest token that each side holds.
type theftState struct {
	family        session.Family
	victim, thief uint64
	// shared is how many generations both sides have held since the theft;
	// counted reports whether the current one is among them.
	shared  int
	counted bool
}

// A request is one side presenting its token, a minute after the last request.
type request struct {
	by    string
	thief bool
	lost  bool // the response does not arrive
	seen  bool // it arrives, and the next request confirms it
}

// endless is the number of shared generations from which on sharing counts as
// never ending.
const endless = 8

// mostShared tries all schedules and returns the most generations that victim and
// thief can both hold, after the theft, before the family ends.
func mostShared(r rule, thiefAt string) int {
	requests := []request{
		{by: "victim's", lost: true},
		{by: "victim's"},
		{by: "victim's", seen: true},
		{by: thiefAt, thief: true},
		{by: thiefAt, thief: true, seen: true},
	}
	start := theftState{family: newFamily(r).Family, victim: normal, thief: normal, counted: true}
	start.family.Generation = normal
	epoch := start.family.Rotated
	most, known, open := 0, map[theftState]bool{start: true}, []theftState{start}
	for len(open) > 0 {
		from := open[len(open)-1]
		open = open[:len(open)-1]
		for _, m := range requests {
			next, alive := presentInTheft(r, from, m, epoch)
			if !alive || known[next] {
				continue
			}
			most = max(most, next.shared)
			known[next] = true
			if next.shared < endless {
				open = append(open, next)
			}
		}
	}
	return most
}

// presentInTheft makes a request and shifts the state back, in generation and time.
func presentInTheft(r rule, at theftState, m request, epoch time.Time) (theftState, bool) {
	f := family{Family: at.family, rule: r, now: epoch.Add(time.Minute)}
	token := &at.victim
	if m.thief {
		token = &at.thief
	}
	got, granted := f.present(*token, m.by)
	if !granted {
		return at, false
	}
	if f.Generation != normal {
		at.counted = false
	}
	if !m.lost {
		*token = got
	}
	if m.seen {
		f.confirm()
	}
	if at.victim == f.Generation && at.thief == f.Generation && !at.counted {
		at.shared++
		at.counted = true
	}
	ahead := f.Generation - normal
	at.victim, at.thief = shift(at.victim, ahead), shift(at.thief, ahead)
	f.Generation, f.Rotated = normal, epoch
	at.family = f.Family
	return at, true
}

// shift moves a token back. Two generations behind and more are equivalent.
func shift(token, by uint64) uint64 { return max(token-by, normal-2) }

// TestAThiefElsewhereIsCaughtAtTheSecondSharedGeneration: whatever the order of
// requests, more than the overlap apart, and whichever of the victim's responses
// are lost, both hold at most one generation, and the second ends the family.
func TestAThiefElsewhereIsCaughtAtTheSecondSharedGeneration(t *testing.T) {
	if got := mostShared(decide, elsewhere); got != 1 {
		t.Errorf("victim and thief shared %d generations, want 1", got)
	}
}

// TestTheSearchForThievesFindsWrongRules also covers the residual risk that the
// documentation states: a thief in the victim's own context is not detected.
func TestTheSearchForThievesFindsWrongRules(t *testing.T) {
	for name, c := range map[string]struct {
		rule    rule
		thiefAt string
	}{
		"one behind is always fine": {oneBehindIsFine, elsewhere},
		"pardons without end":       {pardonsWithoutEnd, elsewhere},
		"the victim's own context":  {decide, "victim's"},
	} {
		if got := mostShared(c.rule, c.thiefAt); got != endless {
			t.Errorf("%s: the thief was caught after %d shared generations, want never", name, got)
		}
	}
}

// A browserState is a family and what its honest browser knows of it.
type browserState struct {
	family       session.Family
	cookie, last uint64 // the current cookie, and the one before the last rotation
	// excused is for how many more generations nothing else may go wrong.
	excused int
	at      string
}

// TestLostResponsesNeverLogAnHonestBrowserOut: a browser that keeps its network
// may lose any responses, in any order and at any pace. It may change the network
// whenever it waits for no response. And once in two generations it may also
// change the network while a response is lost, or crash and restore its previous
// cookie on the network where it refreshed last. The search visits all such
// histories, of any length.
func TestLostResponsesNeverLogAnHonestBrowserOut(t *testing.T) {
	if found := firstLogout(decide); found != "" {
		t.Errorf("an honest browser is logged out: %s", found)
	}
}

func TestTheSearchForLogoutsFindsWrongRules(t *testing.T) {
	for name, r := range map[string]rule{"a plain streak": plainStreak, "no pardon for crashes": noPardonForCrashes} {
		if firstLogout(r) == "" {
			t.Errorf("%s: the search found no logout, want one", name)
		}
	}
}

// firstLogout searches all histories of an honest browser under a rule and
// returns a step that logs it out, or "".
func firstLogout(r rule) string {
	start := browserState{family: newFamily(r).Family, cookie: normal, last: normal, at: "home"}
	start.family.Generation = normal
	epoch := start.family.Rotated
	known, open := map[browserState]bool{start: true}, []browserState{start}
	for len(open) > 0 {
		from := open[len(open)-1]
		open = open[:len(open)-1]
		for _, pause := range []time.Duration{time.Second, 6 * time.Second, time.Minute} {
			for _, s := range []step{{}, {lost: true}, {crashed: true}, {crashed: true, lost: true}, {moved: true}, {moved: true, lost: true}} {
				next, possible, granted := presentHonestly(r, from, s, pause, epoch)
				if !granted {
					return fmt.Sprintf("%+v after %s ended %+v", s, pause, from)
				}
				if possible && !known[next] {
					known[next] = true
					open = append(open, next)
				}
			}
		}
	}
	return ""
}

type step struct{ lost, crashed, moved bool }

// presentHonestly presents the cookie after a pause and a step, if the step is
// possible.
func presentHonestly(r rule, w browserState, s step, pause time.Duration, epoch time.Time) (next browserState, possible, granted bool) {
	waiting := w.cookie != w.family.Generation // for a response that was lost
	if s.crashed && (waiting || w.at != w.family.RotatedBy) {
		return w, false, true
	}
	if s.crashed || s.moved && waiting {
		if w.excused > 0 {
			return w, false, true
		}
		w.excused = 2
	}
	if s.crashed {
		w.cookie = w.last
	}
	if s.moved {
		w.at = map[string]string{"home": "away", "away": "home"}[w.at]
	}
	f := family{Family: w.family, rule: r, now: epoch.Add(pause)}
	got, granted := f.present(w.cookie, w.at)
	if !s.lost && granted {
		if got != w.cookie {
			w.last, w.cookie = w.cookie, got
		}
		f.confirm()
	}
	if ahead := f.Generation - normal; ahead > 0 {
		w.excused = max(0, w.excused-1)
		w.cookie, w.last = shift(w.cookie, ahead), shift(w.last, ahead)
		f.Generation, f.Rotated = normal, epoch
	} else {
		// After the overlap, a minute and an hour are equivalent.
		f.Rotated = epoch.Add(-min(time.Minute, f.now.Sub(f.Rotated)))
	}
	w.family = f.Family
	return w, true, granted
}

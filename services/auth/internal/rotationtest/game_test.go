package rotationtest

import (
	"fmt"
	"testing"
	"time"

	"lilypad.example/services/auth/internal/session"
)

// The simulations above play one thief each. Here every thief is played: all
// orders of moves by a victim and a thief, to any length. That is possible
// because Decide looks at how far behind a token is and not at its number, so
// there are only a few hundred different positions.

// here is the generation that every position is shifted to.
const here = 1000

// A position is a family and the newest token that each side holds.
type position struct {
	family        session.Family
	victim, thief uint64
	// shared is how many generations both sides have held since the theft;
	// counted says that the current one is among them.
	shared  int
	counted bool
}

// A move is one side presenting its token, a minute after the last move.
type move struct {
	by    string
	thief bool
	lost  bool // the response does not arrive
	seen  bool // it arrives, and the next request confirms it
}

// enough is when sharing counts as endless.
const enough = 8

// mostShared plays all games and returns the most generations that victim and
// thief can both hold, after the theft, before the family ends.
func mostShared(r rule, thiefAt string) int {
	moves := []move{
		{by: "victim's", lost: true},
		{by: "victim's"},
		{by: "victim's", seen: true},
		{by: thiefAt, thief: true},
		{by: thiefAt, thief: true, seen: true},
	}
	start := position{family: newFamily(r).Family, victim: here, thief: here, counted: true}
	start.family.Generation = here
	epoch := start.family.Rotated
	most, known, open := 0, map[position]bool{start: true}, []position{start}
	for len(open) > 0 {
		from := open[len(open)-1]
		open = open[:len(open)-1]
		for _, m := range moves {
			next, alive := play(r, from, m, epoch)
			if !alive || known[next] {
				continue
			}
			most = max(most, next.shared)
			known[next] = true
			if next.shared < enough {
				open = append(open, next)
			}
		}
	}
	return most
}

// play makes a move and shifts the position back, in generation and time.
func play(r rule, at position, m move, epoch time.Time) (position, bool) {
	f := family{Family: at.family, rule: r, now: epoch.Add(time.Minute)}
	token := &at.victim
	if m.thief {
		token = &at.thief
	}
	got, granted := f.present(*token, m.by)
	if !granted {
		return at, false
	}
	if f.Generation != here {
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
	ahead := f.Generation - here
	at.victim, at.thief = shift(at.victim, ahead), shift(at.thief, ahead)
	f.Generation, f.Rotated = here, epoch
	at.family = f.Family
	return at, true
}

// shift moves a token back; two behind and older are all the same.
func shift(token, by uint64) uint64 { return max(token-by, here-2) }

// TestNoThiefElsewhereLives: whatever the order of moves, more than the
// overlap apart, and whichever of the victim's responses are lost, at most one
// generation is held by both, so that the second is the end.
func TestNoThiefElsewhereLives(t *testing.T) {
	if got := mostShared(decide, elsewhere); got != 1 {
		t.Errorf("victim and thief shared %d generations, want 1", got)
	}
}

// TestTheGameFindsWrongRules also holds the residual risk that the
// documentation states: in the victim's own context a thief is not told apart.
func TestTheGameFindsWrongRules(t *testing.T) {
	for name, c := range map[string]struct {
		rule    rule
		thiefAt string
	}{
		"one behind is always fine": {oneBehindIsFine, elsewhere},
		"pardons without end":       {pardonsWithoutEnd, elsewhere},
		"the victim's own context":  {decide, "victim's"},
	} {
		if got := mostShared(c.rule, c.thiefAt); got != enough {
			t.Errorf("%s: caught after %d shared generations", name, got)
		}
	}
}

// A walk is an honest browser somewhere on its way.
type walk struct {
	family       session.Family
	cookie, last uint64 // the jar, and that of the rotation before
	// excused counts down the generations in which nothing more may happen.
	excused int
	at      string
}

// TestNoScheduleOfLossesLogsOut: a browser that stays where it is may lose
// any responses, in any order and at any pace; it may move whenever it waits
// for nothing; and once in two generations it may, besides, move while a
// response is lost, or else crash and come back with an older jar to where it
// refreshed last. All such histories are walked, to any length.
func TestNoScheduleOfLossesLogsOut(t *testing.T) {
	if found := firstLogout(decide); found != "" {
		t.Error(found)
	}
}

func TestTheWalkFindsWrongRules(t *testing.T) {
	for name, r := range map[string]rule{"a plain streak": plainStreak, "no pardon for crashes": noPardonForCrashes} {
		if firstLogout(r) == "" {
			t.Errorf("%s logs nobody out", name)
		}
	}
}

// firstLogout walks all histories of an honest browser under a rule and
// returns a step that logs it out, "" for none.
func firstLogout(r rule) string {
	start := walk{family: newFamily(r).Family, cookie: here, last: here, at: "home"}
	start.family.Generation = here
	epoch := start.family.Rotated
	known, open := map[walk]bool{start: true}, []walk{start}
	for len(open) > 0 {
		from := open[len(open)-1]
		open = open[:len(open)-1]
		for _, pause := range []time.Duration{time.Second, 6 * time.Second, time.Minute} {
			for _, s := range []step{{}, {lost: true}, {crashed: true}, {crashed: true, lost: true}, {moved: true}, {moved: true, lost: true}} {
				next, possible, granted := stroll(r, from, s, pause, epoch)
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

// stroll takes a step, if the browser may, and presents its cookie after a pause.
func stroll(r rule, w walk, s step, pause time.Duration, epoch time.Time) (next walk, possible, granted bool) {
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
	if ahead := f.Generation - here; ahead > 0 {
		w.excused = max(0, w.excused-1)
		w.cookie, w.last = shift(w.cookie, ahead), shift(w.last, ahead)
		f.Generation, f.Rotated = here, epoch
	} else {
		// A minute is as good as an hour: the overlap is over.
		f.Rotated = epoch.Add(-min(time.Minute, f.now.Sub(f.Rotated)))
	}
	w.family = f.Family
	return w, true, granted
}

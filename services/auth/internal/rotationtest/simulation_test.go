package rotationtest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

const (
	refreshEvery = 5 * time.Minute // a busy session, at the life of an access token
	rotations    = 300
	users        = 1000
)

// weather is what happens to honest browsers, as chances a rotation.
type weather struct {
	loss  float64 // of each response
	crash float64 // that brings back the cookie jar of one rotation ago
	move  float64 // to another network
}

var (
	fair  = weather{loss: 0.01, move: 0.02}
	rough = weather{loss: 0.05, move: 0.02}
	crash = weather{loss: 0.01, crash: 0.002, move: 0.02}
)

// networks are where a browser may be.
var networks = func() (names [99]string) {
	for i := range names {
		names[i] = fmt.Sprintf("network %d", i)
	}
	return names
}()

// survives runs one honest browser through its rotations and reports whether
// it is still logged in at the end. A lost response is retried a second to ten
// minutes later, a fifth of the time from another network.
func survives(r rule, w weather, chance *rand.Rand) bool {
	f := newFamily(r)
	cookie, older, at := uint64(1), uint64(1), networks[0]
	for range rotations {
		f.pass(refreshEvery)
		if chance.Float64() < w.move {
			at = networks[chance.IntN(len(networks))]
		}
		if chance.Float64() < w.crash {
			cookie = older
		}
		next, granted := f.present(cookie, at)
		for granted && chance.Float64() < w.loss {
			f.pass([...]time.Duration{time.Second, 3 * time.Second, time.Minute, 10 * time.Minute}[chance.IntN(4)])
			if chance.Float64() < 0.2 {
				at = networks[chance.IntN(len(networks))]
			}
			next, granted = f.present(cookie, at)
		}
		if !granted {
			return false
		}
		older, cookie = cookie, next
		f.confirm()
	}
	return true
}

// logouts counts the honest browsers out of 1000 that a rule logs out within
// 300 rotations. Over many seeds Decide's are 0.3, 9 and 17 on average.
func logouts(r rule, w weather) int {
	chance := rand.New(rand.NewPCG(1, 0))
	n := 0
	for range users {
		if !survives(r, w, chance) {
			n++
		}
	}
	return n
}

// never is the generation in which a thief is caught that is not.
const never = 100

// lockstep is a thief who copied the cookie and always refreshes a minute
// before the victim does, from somewhere: the victim's token is always one
// behind, and looks like a lost response. It returns how many generations the
// thief got before the family ended.
func lockstep(r rule, from string) int {
	f := newFamily(r)
	stolen, cookie := uint64(1), uint64(1)
	for got := range never {
		f.pass(refreshEvery)
		var granted bool
		if stolen, granted = f.present(stolen, from); !granted {
			return got
		}
		f.pass(time.Minute)
		if cookie, granted = f.present(cookie, networks[0]); !granted {
			return got + 1
		}
	}
	return never
}

// after is a thief who uses the copied cookie, from somewhere, a minute after
// the victim rotated it and got the successor. It returns how many of the
// thief's uses were granted before the family ended.
func after(r rule, from string) int {
	f := newFamily(r)
	stolen, cookie := uint64(1), uint64(1)
	for got := range never {
		f.pass(refreshEvery)
		var granted bool
		if cookie, granted = f.present(cookie, networks[0]); !granted {
			return got
		}
		f.confirm()
		f.pass(time.Minute)
		if stolen, granted = f.present(stolen, from); !granted {
			return got
		}
	}
	return never
}

// elsewhere is no network that a victim is ever in.
const elsewhere = "elsewhere"

// A promise is a bound on a rule that a simulation checks.
type promise struct {
	text  string
	most  int
	found func(rule) int
}

var promises = []promise{
	{"1 % of responses lost: logouts of 1000 users in 300 rotations", 0, func(r rule) int { return logouts(r, fair) }},
	{"5 % of responses lost: logouts", 12, func(r rule) int { return logouts(r, rough) }},
	{"1 % lost and a crash in 500 rotations: logouts", 30, func(r rule) int { return logouts(r, crash) }},
	{"thief in lockstep from elsewhere: generations until caught", 2, func(r rule) int { return lockstep(r, elsewhere) }},
	{"stale cookie from elsewhere: uses granted", 0, func(r rule) int { return after(r, elsewhere) }},
	{"stale cookie from the victim's own context: uses granted", 1, func(r rule) int { return after(r, networks[0]) }},
}

func TestR8T58_SimulatedBrowsersAndThieves(t *testing.T) {
	for _, p := range promises {
		got := p.found(decide)
		t.Logf("%s: %d, at most %d", p.text, got, p.most)
		if got > p.most {
			t.Errorf("%s: %d, want at most %d", p.text, got, p.most)
		}
	}
}

// TestR8T58_TheSimulationFindsWrongRules: the same promises, each wrong rule
// breaks those that it must and keeps the others.
func TestR8T58_TheSimulationFindsWrongRules(t *testing.T) {
	const (
		onePercent = iota
		fivePercent
		crashes
		inLockstep
		staleElsewhere
		staleHere
	)
	for name, c := range map[string]struct {
		rule   rule
		breaks []int
	}{
		"one behind is always fine": {oneBehindIsFine, []int{inLockstep, staleElsewhere, staleHere}},
		"a plain streak":            {plainStreak, []int{onePercent, fivePercent, crashes}},
		"no pardon for crashes":     {noPardonForCrashes, []int{crashes}},
		"pardons without end":       {pardonsWithoutEnd, []int{inLockstep, staleHere}},
		"blind to presenters":       {blindToPresenters, []int{staleElsewhere}},
	} {
		t.Run(name, func(t *testing.T) {
			var broken []int
			for i, p := range promises {
				got := p.found(c.rule)
				t.Logf("%s: %d, at most %d", p.text, got, p.most)
				if got > p.most {
					broken = append(broken, i)
				}
			}
			if !slices.Equal(broken, c.breaks) {
				t.Errorf("breaks promises %v, want %v", broken, c.breaks)
			}
		})
	}
	if got := lockstep(oneBehindIsFine, elsewhere); got != never {
		t.Errorf("one behind is always fine: the thief in lockstep was caught in generation %d", got)
	}
	if ours, theirs := logouts(decide, rough), logouts(plainStreak, rough); theirs < 10*max(1, ours) {
		t.Errorf("5 %% lost: a plain streak logs out %d, Decide %d: not far more", theirs, ours)
	}
}

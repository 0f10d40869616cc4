package replicas

import (
	"bytes"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"lilypad.example/services/pkg/process"
)

// TestKilledAtAnyMoment kills sidecars, auth services and now and then
// Redis, 500 times in all and each time within the moments around a refresh,
// while visitors go on. Requests fail meanwhile, and are tried again; but
// nobody is ever signed out, no family is revoked, and no session is stuck.
//
// Access tokens live for a second, so that every sidecar refreshes every
// session all the time. A generation lives for two: longer than a message of a
// killed program's is on its way, as five seconds are elsewhere. Without that
// bound a refresh that was delayed past two others would look like a thief's.
func TestKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	const kills, visitors, killers = 500, 8, 2
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	w := newWorld(t, settings{accessTTL: time.Second, minInterval: 2 * time.Second})
	refreshes := w.refreshes()
	crowd := w.crowd(visitors, answer.signedOut, "/")

	began := time.Now()
	var begun, killed, unanswered atomic.Int64
	together(killers, func(i int) {
		chance := rand.New(rand.NewPCG(seed, uint64(i)))
		for begun.Add(1) <= kills && !t.Failed() {
			r, victim := w.nextVictim(refreshes, chance)
			if victim == nil {
				t.Error("nobody refreshes any more")
				return
			}
			r.awaitMoment(chance)
			select {
			case <-r.answered:
			default:
				unanswered.Add(1)
			}
			victim.kill()
			killed.Add(1)
			victim.revive()
			victim.dying.Unlock()
		}
	})
	t.Logf("%d kills in %v, %d of them before the refresh was answered; %d requests answered with 200",
		killed.Load(), time.Since(began).Round(time.Second), unanswered.Load(), crowd.answered.Load())
	for _, v := range crowd.visitors {
		v.wantOK(t)
	}
	crowd.leave()
	if n := w.count("SELECT count(*) FROM sessions WHERE revoked_at IS NOT NULL"); n != 0 {
		t.Errorf("%d sessions were ended", n)
	}
	if n := metric(w.auth, "family_revoked_total"); n != 0 {
		t.Errorf("%v families revoked", n)
	}
}

// A refresh has just been sent by a sidecar to an auth service.
type refresh struct {
	sidecar, auth *program
	answered      <-chan struct{}
}

// awaitMoment returns at some moment after a refresh was sent: half the times
// without a look at whether it is done, so that who asked and who answers die
// before Redis has decided, or after it; else when the answer is on its way to
// the sidecar, or from there to the visitor.
func (r refresh) awaitMoment(chance *rand.Rand) {
	const moments, atMost = 10 * time.Millisecond, time.Second
	if chance.IntN(2) == 0 {
		select {
		case <-r.answered:
		case <-time.After(atMost):
		}
	}
	<-time.After(time.Duration(chance.Int64N(int64(moments))))
}

// refreshes hands out the next refresh to whoever waits for one.
func (w *world) refreshes() <-chan refresh {
	out := make(chan refresh)
	auth := make(map[string]*program)
	for _, p := range w.auth {
		auth[p.address] = p
	}
	for i, d := range w.toAuth {
		d.watch(func(server string, piece []byte, answered <-chan struct{}) {
			if !bytes.HasPrefix(piece, []byte("POST /oauth2/token ")) {
				return
			}
			select {
			case out <- refresh{w.sidecars[i], auth[server], answered}:
			default:
			}
		})
	}
	return out
}

// nextVictim waits for a refresh that goes through a program which nobody else
// is killing, and returns that program, locked; now and then Redis. Nil: there
// are no refreshes any more.
func (w *world) nextVictim(refreshes <-chan refresh, chance *rand.Rand) (refresh, *program) {
	for {
		var r refresh
		select {
		case r = <-refreshes:
		case <-time.After(process.Patience):
			return r, nil
		}
		candidates := []*program{r.sidecar, r.auth}
		if chance.IntN(2) == 0 {
			candidates = []*program{r.auth, r.sidecar}
		}
		if chance.IntN(25) == 0 {
			candidates = []*program{w.redis}
		}
		for _, p := range candidates {
			if p.dying.TryLock() {
				return r, p
			}
		}
	}
}

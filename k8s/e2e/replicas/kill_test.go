package replicas

import (
	"bytes"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"lilypad.example/services/pkg/process"
)

// TestKilledAtAnyMoment kills sidecars, auth services and Redis, 500 times in all, each time during
// a refresh, while visitors send requests. Requests may fail and are repeated, but nobody is signed
// out, no family is revoked, and every session recovers.
//
// Access tokens live for one second, so that every sidecar refreshes every session continuously.
// The rotation interval is two seconds, longer than a message of a killed program can be delayed: a
// refresh that arrives after two rotations is reuse.
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
				t.Error("no refresh arrives any more")
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

// refresh is a refresh that a sidecar has just sent to an auth service.
type refresh struct {
	sidecar, auth *program
	answered      <-chan struct{}
}

// awaitMoment returns at a random moment after a refresh was sent: before or after Redis has
// decided, or while the response is on its way to the sidecar or to the visitor.
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

// refreshes passes the next refresh to a waiting goroutine.
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

// nextVictim waits for a refresh through a program that is not being killed, and returns that
// program, locked, or sometimes Redis. It returns nil if there are no more refreshes.
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

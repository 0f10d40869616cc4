package replicas

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"
)

// TestOneTokenHasOneSuccessor: 50 callers use one refresh token at three
// auth services at once, and all are given the same successor.
func TestOneTokenHasOneSuccessor(t *testing.T) {
	t.Parallel()
	const callers, rounds = 50, 20
	w := newWorld(t, settings{accessTTL: time.Minute})
	v := w.visitor()
	token := v.held()
	for round := range rounds {
		grants := make([]grant, callers)
		together(callers, func(i int) {
			var err error
			if grants[i], err = w.use(t.Context(), w.auth[i%replicas], token, userAgent, v.address); err != nil {
				t.Errorf("round %d: %v", round, err)
			}
		})
		token = grants[0].RefreshToken
		for _, g := range grants {
			if g.status != http.StatusOK || g.RefreshToken != token {
				t.Fatalf("round %d: status %d (%s), and not everybody's successor", round, g.status, g.Error)
			}
		}
	}
	if n := metric(w.auth, `refresh_total{outcome="rotated"}`); n != rounds {
		t.Errorf("%v rotations in %d rounds", n, rounds)
	}
	if n := metric(w.auth, "family_revoked_total"); n != 0 {
		t.Errorf("%v families revoked", n)
	}
}

// TestTabsAtExpiry: 30 tabs make 6 requests each, of all sidecars, when the
// session's access token has just expired everywhere. It rotates once, nothing
// fails, and all are told of one successor.
func TestTabsAtExpiry(t *testing.T) {
	t.Parallel()
	const tabs, requests, sessions = 30, 6, 5
	// A generation outlasts the burst, so that a second rotation in it would be one too many.
	const life = 6 * time.Second
	w := newWorld(t, settings{accessTTL: life, minInterval: life})
	var visitors []*visitor
	for range sessions {
		visitors = append(visitors, w.visitor())
	}
	for _, v := range visitors {
		v.wantOK(t) // each sidecar has an access token now
	}
	<-time.After(life)
	for _, v := range visitors {
		before := metric(w.auth, `refresh_total{outcome="rotated"}`)
		var mu sync.Mutex
		successors := map[string]bool{}
		together(tabs, func(int) {
			for range requests {
				a := v.get(t.Context(), "/")
				if err := check(a); err != nil {
					t.Error(err)
					return
				}
				if a.cookie != nil {
					mu.Lock()
					successors[a.cookie.Value] = true
					mu.Unlock()
				}
			}
		})
		if rotated := metric(w.auth, `refresh_total{outcome="rotated"}`) - before; rotated != 1 || len(successors) != 1 {
			t.Errorf("%v rotations, %d successors", rotated, len(successors))
		}
	}
	if n := metric(w.auth, "family_revoked_total"); n != 0 {
		t.Errorf("%v families revoked", n)
	}
}

// TestALateAnswerTakesNothingBack: a request rotates the session's cookie
// and is answered long after, when the cookie has been rotated twice more at
// other sidecars. A browser's jar takes whatever comes last: told then of the
// cookie of back then, it would show a stale one, which is a thief's doing.
func TestALateAnswerTakesNothingBack(t *testing.T) {
	t.Parallel()
	const life = time.Second
	w := newWorld(t, settings{accessTTL: life, minInterval: life})
	v := w.visitor()
	<-time.After(life + life/10)
	answered := make(chan struct{})
	late := make(chan answer, 1)
	asked := time.Now()
	go func() { late <- v.do(t.Context(), w.sidecars[0], http.MethodGet, "/slow", "") }()
	w.upstream.slow <- answered

	for _, s := range w.sidecars {
		before := v.held()
		await(t, "the cookie to be rotated at "+s.name, func(ctx context.Context) error {
			if err := check(v.do(ctx, s, http.MethodGet, "/", "")); err != nil {
				t.Fatal(err)
			}
			if v.held() == before {
				return errors.New("it is the same")
			}
			return nil
		})
	}
	<-time.After(time.Until(asked.Add(lateness)))
	close(answered)
	if err := check(<-late); err != nil {
		t.Error(err)
	}
	v.wantOK(t)
}

// lateness is when an answer is late, and some: no cookie is told with it.
const lateness = 6 * time.Second

// together calls f n times at once, and returns when all have returned.
func together(n int, f func(int)) {
	begin := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			<-begin
			f(i)
		})
	}
	close(begin)
	all.Wait()
}

package replicas

import (
	"net/http"
	"sync"
	"testing"
	"time"
)

// TestT59_OneTokenHasOneSuccessor: 50 callers use one refresh token at three
// auth services at once, and all are given the same successor.
func TestT59_OneTokenHasOneSuccessor(t *testing.T) {
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

// TestT74_TabsAtExpiry: 30 tabs make 6 requests each, of all sidecars, when the
// session's access token has just expired everywhere. It rotates once, nothing
// fails, and all are told of one successor.
func TestT74_TabsAtExpiry(t *testing.T) {
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

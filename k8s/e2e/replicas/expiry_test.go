package replicas

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"
)

// TestOneTokenHasOneSuccessor: 50 concurrent uses of a refresh token at three auth services return
// the same successor.
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
				t.Fatalf("round %d: status %d (%s), want 200 with the same successor for all", round, g.status, g.Error)
			}
		}
	}
	if n := metric(w.auth, `refresh_total{outcome="rotated"}`); n != rounds {
		t.Errorf("%v rotations, want %d", n, rounds)
	}
	if n := metric(w.auth, "family_revoked_total"); n != 0 {
		t.Errorf("%v families revoked, want 0", n)
	}
}

// TestTabsAtExpiry: 30 tabs send 6 requests each to all sidecars when the access token has just
// expired. The session rotates once, no request fails, and all responses set the same cookie.
func TestTabsAtExpiry(t *testing.T) {
	t.Parallel()
	const tabs, requests, sessions = 30, 6, 5
	// The rotation interval is longer than the burst: a second rotation would be an error.
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
			t.Errorf("%v rotations, %d successors; want one of each", rotated, len(successors))
		}
	}
	if n := metric(w.auth, "family_revoked_total"); n != 0 {
		t.Errorf("%v families revoked, want 0", n)
	}
}

// TestALateResponseSetsNoCookie: a request rotates the cookie, and its response arrives after two
// more rotations at other sidecars. Browsers keep the cookie of the last response: an old one would
// be reported as reuse with the next request.
func TestALateResponseSetsNoCookie(t *testing.T) {
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

// lateness is longer than the time after which a response sets no cookie.
const lateness = 6 * time.Second

// together calls f n times concurrently and waits for all calls.
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

package session_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lilypad.example/sidecar/internal/authclient"
	"lilypad.example/sidecar/internal/session"
)

const life = 100 * time.Second

var by = authclient.Browser{UserAgent: "test", Address: "192.0.2.1"}

func value(family string, generation int) string {
	return fmt.Sprintf("v1.k1.%s.%d.mac", family, generation)
}

// auth is a fake auth service. It rotates at every refresh, returns the same successor for the
// predecessor, and counts calls.
type auth struct {
	mu       sync.Mutex
	current  map[string]int
	calls    int
	issued   int
	slow     time.Duration
	failing  error
	rotating bool

	confirmed []string
}

func newAuth() *auth { return &auth{current: map[string]int{"A": 1, "B": 1}, rotating: true} }

func (a *auth) Refresh(ctx context.Context, cookie string, _ authclient.Browser) (authclient.Tokens, error) {
	if a.slow > 0 {
		select {
		case <-time.After(a.slow):
		case <-ctx.Done():
			return authclient.Tokens{}, ctx.Err()
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls++
	if a.failing != nil {
		return authclient.Tokens{}, a.failing
	}
	for family, g := range a.current {
		switch cookie {
		case value(family, g):
			if a.rotating {
				a.current[family]++
			}
		case value(family, g-1):
		default:
			continue
		}
		a.issued++
		return authclient.Tokens{
			RefreshToken: value(family, a.current[family]), Authorization: fmt.Sprintf("Bearer %s%d", family, a.issued),
			Expires: time.Now().Add(life), Life: life, SessionID: family, End: time.Now().Add(time.Hour),
		}, nil
	}
	return authclient.Tokens{}, authclient.Ended("reuse")
}

func (a *auth) Confirm(_ context.Context, tokens []string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.confirmed = append(a.confirmed, tokens...)
	return nil
}

// feed is a fake of the revocation feed's state.
type feed struct {
	mu      sync.Mutex
	ended   map[string]bool
	silence time.Duration
}

func (f *feed) Revoked(id string) (string, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return "logout", f.ended[id]
}

func ended(err error) bool {
	_, ok := errors.AsType[*authclient.EndedError](err)
	return ok
}

func (f *feed) Silence() time.Duration { f.mu.Lock(); defer f.mu.Unlock(); return f.silence }

func (a *auth) count() int { a.mu.Lock(); defer a.mu.Unlock(); return a.calls }

func cache(t *testing.T, a *auth) *session.Cache {
	t.Helper()
	return following(t, a, &feed{})
}

func following(t *testing.T, a *auth, f *feed) *session.Cache {
	t.Helper()
	c, err := session.NewCache(a, f, 100, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func get(t *testing.T, c *session.Cache, cookie string) session.View {
	t.Helper()
	v, err := c.Get(t.Context(), cookie, by)
	if err != nil {
		t.Fatalf("%s: %v", cookie, err)
	}
	return v
}

func TestAGoodTokenCostsNoCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuth()
		c := cache(t, a)
		first := get(t, c, value("A", 1))
		if first.Cookie != value("A", 2) || a.count() != 1 {
			t.Fatalf("session %+v after %d calls, want generation 2 after 1", first, a.count())
		}
		for range 70 {
			time.Sleep(time.Second) // the bubble's clock
			if v := get(t, c, value("A", 2)); v.Authorization != first.Authorization {
				t.Fatalf("session %+v, want the token of %+v", v, first)
			}
		}
		if a.count() != 1 {
			t.Errorf("%d calls, want 1", a.count())
		}
	})
}

func TestOneRotationHoweverManyWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuth()
		a.slow = time.Second
		c := cache(t, a)
		var wg sync.WaitGroup
		for range 180 {
			wg.Go(func() {
				if v, err := c.Get(t.Context(), value("A", 1), by); err != nil || v.Cookie != value("A", 2) {
					t.Errorf("session %+v, error %v, want generation 2", v, err)
				}
			})
		}
		wg.Wait()
		if a.count() != 1 {
			t.Errorf("%d calls, want 1", a.count())
		}
	})
}

func TestRefreshAheadWaitsForItsSuccessorAndOthersDoNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuth()
		c := cache(t, a)
		get(t, c, value("A", 1))
		old := get(t, c, value("A", 2))
		time.Sleep(90 * time.Second) // refresh is due, the token still valid
		a.slow = 100 * time.Millisecond
		start := time.Now()
		ahead := make(chan session.View)
		go func() { ahead <- get(t, c, value("A", 2)) }()
		synctest.Wait()
		if v := get(t, c, value("A", 2)); v.Authorization != old.Authorization || time.Since(start) > 0 {
			t.Errorf("the second request waited %s for %+v, want the old token at once", time.Since(start), v)
		}
		if v := <-ahead; v.Cookie != value("A", 3) || v.Authorization == old.Authorization {
			t.Errorf("the first request got %+v, want generation 3 and a new token", v)
		}
		if a.count() != 2 {
			t.Errorf("%d calls, want 2", a.count())
		}
	})
}

func TestRefreshAheadGoesOnWithTheOldTokenWhenItTakesLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuth()
		c := cache(t, a)
		get(t, c, value("A", 1))
		old := get(t, c, value("A", 2))
		time.Sleep(90 * time.Second) // the bubble's clock
		a.slow = 3 * time.Second
		start := time.Now()
		if v := get(t, c, value("A", 2)); v.Authorization != old.Authorization || time.Since(start) != 250*time.Millisecond {
			t.Errorf("session %+v after %s, want the old token after 250ms", v, time.Since(start))
		}
		time.Sleep(4 * time.Second) // the bubble's clock: the refresh is done
		if v := get(t, c, value("A", 2)); v.Cookie != value("A", 3) {
			t.Errorf("after the refresh: %+v, want generation 3", v)
		}
	})
}

func TestTheSuccessorGoesOutUntilTheBrowserShowsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuth()
		c := cache(t, a)
		get(t, c, value("A", 1))
		time.Sleep(60 * time.Second) // the bubble's clock: longer than the overlap
		if v := get(t, c, value("A", 1)); v.Cookie != value("A", 2) || a.count() != 1 {
			t.Errorf("successor not delivered yet: %+v after %d calls, want generation 2 after 1", v, a.count())
		}
		get(t, c, value("A", 2)) // delivered
		if get(t, c, value("A", 1)); a.count() != 2 {
			t.Errorf("a stale cookie after delivery: %d calls, want 2", a.count())
		}
	})
}

func TestAnOutageEndsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuth()
		c := cache(t, a)
		get(t, c, value("A", 1))
		a.failing = authclient.ErrUnavailable
		time.Sleep(90 * time.Second) // the bubble's clock: refresh is due, the token still valid
		get(t, c, value("A", 2))
		time.Sleep(20 * time.Second) // expired
		if _, err := c.Get(t.Context(), value("A", 2), by); !errors.Is(err, session.ErrUnavailable) || ended(err) {
			t.Errorf("error %v, want ErrUnavailable and the session not ended", err)
		}
		a.failing = nil
		if v := get(t, c, value("A", 2)); v.Cookie != value("A", 3) {
			t.Errorf("after the outage: %+v, want generation 3", v)
		}
	})
}

// Fresh returns only sessions that need no call; Get is for all others.
func TestFreshIsWhatMemoryKnows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, f := newAuth(), &feed{ended: map[string]bool{}}
		c := following(t, a, f)
		fresh := func(cookie string) bool {
			_, err := c.Fresh(cookie)
			if err != nil && !errors.Is(err, session.ErrUnknown) {
				t.Errorf("%s: error %v, want ErrUnknown", cookie, err)
			}
			return err == nil
		}
		if fresh(value("A", 1)) {
			t.Error("Fresh returns a session before the first Get")
		}
		want := get(t, c, value("A", 1))
		if v, err := c.Fresh(want.Cookie); err != nil || v.Authorization != want.Authorization {
			t.Errorf("session %+v, error %v; want %+v", v, err, want)
		}
		if fresh(value("A", 7)) {
			t.Error("Fresh returns a session for an unknown cookie")
		}
		f.mu.Lock()
		f.silence = time.Minute
		f.mu.Unlock()
		time.Sleep(2 * time.Second)
		if fresh(want.Cookie) {
			t.Error("Fresh returns a session while the feed is silent")
		}
		f.mu.Lock()
		f.silence = 0
		f.mu.Unlock()
		time.Sleep(life * 9 / 10)
		if fresh(want.Cookie) {
			t.Error("Fresh returns a session although a refresh is due")
		}
		want = get(t, c, want.Cookie)
		f.mu.Lock()
		f.ended["A"] = true
		f.mu.Unlock()
		if _, err := c.Fresh(want.Cookie); !ended(err) {
			t.Errorf("ended session: error %v, want EndedError", err)
		}
		if _, err := c.Get(t.Context(), value("forged", 1), by); !ended(err) {
			t.Errorf("forged cookie: error %v, want EndedError", err)
		}
		if _, err := c.Fresh(value("forged", 1)); !ended(err) {
			t.Errorf("forged cookie again: error %v, want EndedError", err)
		}
		if n := a.count(); n != 3 {
			t.Errorf("%d calls, want 3", n)
		}
	})
}

// Well-formed forged cookies cost a call each, as do those of valid sessions that are not in memory
// yet. One address cannot use up all slots, however many it sends, and sessions in memory are not
// affected.
func TestUnknownCookiesWaitInBoundedNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuth()
		c := cache(t, a)
		known := get(t, c, value("A", 1))
		a.mu.Lock()
		a.slow = 10 * time.Second
		a.mu.Unlock()
		ask := func(family int, from string, answers chan<- error) {
			_, err := c.Get(t.Context(), value(fmt.Sprintf("forged%d", family), 1), authclient.Browser{Address: from})
			answers <- err
		}
		attack := make(chan error, 5000)
		for i := range 5000 {
			go ask(i, "192.0.2.66", attack)
		}
		synctest.Wait()
		if n := len(attack); n != 5000-512 {
			t.Fatalf("%d of 5000 from one address were rejected, want all but 512", n)
		}
		if err := <-attack; !errors.Is(err, session.ErrUnavailable) {
			t.Errorf("rejected with error %v, want ErrUnavailable", err)
		}
		if v, err := c.Fresh(known.Cookie); err != nil || v.Authorization != known.Authorization {
			t.Error("a session in memory is affected")
		}
		others := make(chan error, 1)
		go ask(9999, "192.0.2.7", others)
		time.Sleep(11 * time.Second)
		if err := <-others; !ended(err) {
			t.Errorf("another address: error %v, want EndedError", err)
		}
		again := make(chan error, 1)
		go ask(10_000, "192.0.2.66", again)
		time.Sleep(11 * time.Second)
		if err := <-again; !ended(err) {
			t.Errorf("the same address after the attack: error %v, want EndedError", err)
		}
	})
}

func TestADefiniteNoIsRememberedBriefly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuth()
		c := cache(t, a)
		for range 100 {
			if _, err := c.Get(t.Context(), value("C", 1), by); !ended(err) {
				t.Fatal(err)
			}
		}
		if a.count() != 1 {
			t.Errorf("%d calls, want 1", a.count())
		}
		time.Sleep(6 * time.Second) // the bubble's clock
		if _, err := c.Get(t.Context(), value("C", 1), by); !ended(err) || a.count() != 2 {
			t.Errorf("error %v after %d calls, want EndedError after 2", err, a.count())
		}
	})
}

func TestAForgedCookieOfAFamilyDoesNotTouchIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuth()
		c := cache(t, a)
		get(t, c, value("A", 1))
		if _, err := c.Get(t.Context(), "v1.k1.A.2.forged", by); !ended(err) {
			t.Fatal(err)
		}
		if get(t, c, value("A", 2)); a.count() != 2 {
			t.Errorf("%d calls, want 2", a.count())
		}
	})
}

func TestRenewGivesAnotherToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuth()
		a.rotating = false
		c := cache(t, a)
		v := get(t, c, value("A", 1))
		w, err := c.Renew(t.Context(), value("A", 1), by, v.Authorization)
		if err != nil || w.Authorization == v.Authorization {
			t.Errorf("session %+v, error %v, want another token", w, err)
		}
		if x, err := c.Renew(t.Context(), value("A", 1), by, v.Authorization); err != nil || x.Authorization != w.Authorization || a.count() != 2 {
			t.Errorf("renewing the same token again: %+v, %v after %d calls, want the new token after 2", x, err, a.count())
		}
	})
}

func TestARefusedTokenIsRenewedOnce(t *testing.T) {
	for name, c := range map[string]struct {
		failing error
		told    bool // Refused is called for the renewed token
		calls   int
	}{
		"the renewed one is refused as well": {nil, true, 2},
		"the renewed one is refused later":   {nil, false, 3},
		"there is none to be had":            {authclient.ErrUnavailable, false, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAuth()
				a.rotating = false
				sessions := cache(t, a)
				v := get(t, sessions, value("A", 1))
				a.failing = c.failing
				if w, err := sessions.Renew(t.Context(), value("A", 1), by, v.Authorization); err == nil {
					v = w
				}
				if c.told {
					sessions.Refused(value("A", 1), v.Authorization)
				}
				for range 3 {
					if w, err := sessions.Renew(t.Context(), value("A", 1), by, v.Authorization); err == nil {
						v = w
						sessions.Refused(value("A", 1), v.Authorization)
					}
				}
				if _, err := sessions.Renew(t.Context(), value("A", 1), by, v.Authorization); !errors.Is(err, session.ErrRefused) || a.count() != c.calls {
					t.Errorf("error %v after %d calls, want ErrRefused after %d", err, a.count(), c.calls)
				}
				if get(t, sessions, value("A", 1)).Authorization != v.Authorization {
					t.Error("Get does not return the refused token any more")
				}
				a.failing = nil
				time.Sleep(life) // the bubble's clock
				if fresh := get(t, sessions, value("A", 1)); fresh.Authorization == v.Authorization {
					t.Error("the token was not replaced when it expired")
				} else if _, err := sessions.Renew(t.Context(), value("A", 1), by, fresh.Authorization); err != nil {
					t.Errorf("renewing the next token: %v", err)
				}
			})
		})
	}
}

func TestForgetEndsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuth()
		c := cache(t, a)
		get(t, c, value("A", 1))
		get(t, c, value("B", 1))
		c.Forget(value("A", 2))
		if _, err := c.Get(t.Context(), value("A", 2), by); !ended(err) {
			t.Errorf("error %v, want EndedError", err)
		}
		if get(t, c, value("B", 2)); a.count() != 2 {
			t.Errorf("another session is affected: %d calls, want 2", a.count())
		}
	})
}

func TestTwoUsersAtOnceAreNotMixedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuth()
		c := cache(t, a)
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				family := []string{"A", "B"}[i%2]
				if v, err := c.Get(t.Context(), value(family, 1), by); err != nil || v.SessionID != family {
					t.Errorf("%s: session %+v, error %v, want its own", family, v, err)
				}
			})
		}
		wg.Wait()
	})
}

func TestAnEndedSessionIsOverAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, f := newAuth(), &feed{ended: map[string]bool{}}
		c := following(t, a, f)
		get(t, c, value("A", 1))
		f.ended["A"] = true
		for _, generation := range []int{1, 2} {
			if _, err := c.Get(t.Context(), value("A", generation), by); !ended(err) {
				t.Errorf("generation %d: error %v, want EndedError", generation, err)
			}
		}
		if get(t, c, value("B", 1)); a.count() != 2 {
			t.Errorf("%d calls, want 2", a.count())
		}
	})
}

func TestASilentFeedMakesTokensBeAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, f := newAuth(), &feed{}
		a.rotating = false
		c := following(t, a, f)
		old := get(t, c, value("A", 1))
		f.silence = 6 * time.Second
		time.Sleep(2 * time.Second) // the bubble's clock
		if v := get(t, c, value("A", 1)); v.Authorization == old.Authorization || a.count() != 2 {
			t.Errorf("session %+v after %d calls, want a new token after 2", v, a.count())
		}
		if get(t, c, value("A", 1)); a.count() != 2 {
			t.Errorf("again within a second: %d calls, want 2", a.count())
		}
		// While the auth service is unavailable, the token is used until it expires.
		time.Sleep(2 * time.Second) // the bubble's clock
		a.failing = authclient.ErrUnavailable
		get(t, c, value("A", 1))
		// A definite refusal ends the session.
		a.failing = authclient.Ended("reuse")
		time.Sleep(2 * time.Second) // the bubble's clock
		if _, err := c.Get(t.Context(), value("A", 1), by); !ended(err) {
			t.Errorf("error %v, want EndedError", err)
		}
	})
}

func TestDeliveriesAreConfirmedOnceInBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuth()
		c := cache(t, a)
		ctx, stop := context.WithCancel(t.Context())
		go c.Run(ctx)
		for _, cookie := range []string{value("A", 1), value("B", 1), value("A", 2), value("A", 2), value("B", 2)} {
			get(t, c, cookie)
		}
		time.Sleep(time.Second) // the bubble's clock
		a.mu.Lock()
		defer a.mu.Unlock()
		if fmt.Sprint(a.confirmed) != fmt.Sprint([]string{value("A", 2), value("B", 2)}) {
			t.Errorf("confirmed %v, want each successor once", a.confirmed)
		}
		stop()
	})
}

// A pod has a small memory limit and thousands of sessions, so what a session costs beyond its
// two tokens is bounded, and a token that was replaced is not kept.
func TestASessionCostsLittleMoreThanItsTokens(t *testing.T) {
	const sessions, most = 5000, 370 // bytes
	c, err := session.NewCache(newAuth(), &feed{}, sessions, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	before := heap()
	tokens := 0
	for generation := range 5 {
		tokens = 0
		for i := range sessions {
			id := fmt.Sprintf("family%016d", i)
			s := authclient.Tokens{
				RefreshToken:  value(id, generation) + strings.Repeat("m", 40),
				Authorization: "Bearer " + strings.Repeat("x", 600), SessionID: strings.Clone(id),
				Roles: []string{strings.Clone("keeper"), strings.Clone("reader")},
				Life:  life, Expires: time.Now().Add(life), End: time.Now().Add(time.Hour),
			}
			tokens += len(s.RefreshToken) + len(s.Authorization)
			c.Begin(s)
		}
	}
	each := (heap() - before - tokens) / sessions
	if each > most {
		t.Errorf("a session costs %d bytes beyond its tokens, want at most %d", each, most)
	}
	runtime.KeepAlive(c)
}

// heap returns the size of what is alive.
func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

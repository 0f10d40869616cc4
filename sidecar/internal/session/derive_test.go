package session_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lilypad.example/sidecar/internal/authclient"
	"lilypad.example/sidecar/internal/session"
)

// teller answers what sessions derive: "1" at first, "2" to the second question, and so on.
type teller struct {
	mu    sync.Mutex
	asked int
	slow  time.Duration
	good  time.Duration // how long an answer is
	err   error
}

func (a *teller) ask(_ context.Context, authorization string) (string, time.Time, error) {
	a.mu.Lock()
	a.asked++
	text, err := fmt.Sprint(authorization, " ", a.asked), a.err
	slow := a.slow
	a.mu.Unlock()
	time.Sleep(slow)
	if a.good == 0 {
		return text, time.Time{}, err
	}
	return text, time.Now().Add(a.good), err
}

func TestWhatIsDerivedIsAskedForOncePerAccessToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cache(t, newAuth())
		view, err := c.Get(t.Context(), value("A", 1), by)
		if err != nil {
			t.Fatal(err)
		}
		a := &teller{slow: time.Second}
		if got, ok := session.Recall[string](c, view, "x"); ok {
			t.Errorf("before anybody asked: %q is in memory, want nothing", got)
		}
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if got, err := session.Derive(t.Context(), c, view, "x", a.ask); got != "Bearer A1 1" || err != nil {
					t.Errorf("Derive = %q, %v, want the first answer", got, err)
				}
			})
		}
		all.Wait()
		if got, ok := session.Recall[string](c, view, "x"); got != "Bearer A1 1" || !ok {
			t.Errorf("Recall = %q, %v, want the answer", got, ok)
		}
		if got, _ := session.Derive(t.Context(), c, view, "y", a.ask); got != "Bearer A1 2" {
			t.Errorf("another key: %q, want an answer of its own", got)
		}
		time.Sleep(life - time.Second) // refreshed ahead
		next, err := c.Get(t.Context(), view.Cookie, by)
		if err != nil || next.Authorization == view.Authorization {
			t.Fatalf("Get = %+v, %v, want another access token", next, err)
		}
		if got, _ := session.Derive(t.Context(), c, next, "x", a.ask); got != next.Authorization+" 3" {
			t.Errorf("with another access token: %q, want a new answer", got)
		}
		// A request that still has the old token gets an answer, which is not kept.
		if got, _ := session.Derive(t.Context(), c, view, "x", a.ask); got != "Bearer A1 4" {
			t.Errorf("with the old access token: %q, want an answer for it", got)
		}
		if got, ok := session.Recall[string](c, next, "x"); !ok || got != next.Authorization+" 3" {
			t.Errorf("Recall = %q, %v, want the answer for the new token", got, ok)
		}
	})
}

func TestAnErrorIsNotDerived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cache(t, newAuth())
		view, err := c.Get(t.Context(), value("A", 1), by)
		if err != nil {
			t.Fatal(err)
		}
		broken := errors.New("broken")
		a := &teller{slow: time.Second, err: broken}
		for range 2 {
			if _, err := session.Derive(t.Context(), c, view, "x", a.ask); !errors.Is(err, broken) {
				t.Errorf("Derive = %v, want the error", err)
			}
		}
		a.err = nil
		if got, err := session.Derive(t.Context(), c, view, "x", a.ask); got != "Bearer A1 3" || err != nil {
			t.Errorf("Derive = %q, %v, want an answer to the third question", got, err)
		}
		// Who leaves does not take the answer from those who wait.
		ctx, leave := context.WithCancel(t.Context())
		leave()
		if _, err := session.Derive(ctx, c, view, "y", a.ask); !errors.Is(err, context.Canceled) {
			t.Errorf("Derive = %v, want that the caller has left", err)
		}
		if got, err := session.Derive(t.Context(), c, view, "y", a.ask); got != "Bearer A1 4" || err != nil {
			t.Errorf("Derive = %q, %v, want the answer that somebody else asked for", got, err)
		}
	})
}

func TestWhatIsDerivedMayExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cache(t, newAuth())
		view, err := c.Get(t.Context(), value("A", 1), by)
		if err != nil {
			t.Fatal(err)
		}
		a := &teller{good: 10 * time.Second}
		for i, want := range []string{"1", "1", "2", "2"} {
			if i == 2 {
				time.Sleep(10 * time.Second)
			}
			if got, _ := session.Derive(t.Context(), c, view, "x", a.ask); got != "Bearer A1 "+want {
				t.Errorf("question %d: %q, want answer %s", i, got, want)
			}
		}
	})
}

func TestRejected(t *testing.T) {
	for err, want := range map[error]bool{
		nil: false, errors.New("x"): false,
		fmt.Errorf("%w: %w", authclient.ErrUnavailable, &authclient.StatusError{Status: 401}): true,
		fmt.Errorf("%w: %w", authclient.ErrUnavailable, &authclient.StatusError{Status: 503}): false,
	} {
		if session.Rejected(err) != want {
			t.Errorf("Rejected(%v) = %v, want %v", err, !want, want)
		}
	}
}

package rotationtest

import (
	"errors"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"lilypad.example/services/auth/internal/session"
)

// once returns d for the first command and delivered for all others.
func once(d delivery) func(string) delivery {
	return func(string) delivery {
		now := d
		d = delivered
		return now
	}
}

// TestLostResponse: the connection to Redis is cut after the script has been executed.
func TestLostResponse(t *testing.T) {
	for name, c := range map[string]struct {
		resends int // by go-redis; -1 disables them, so that the caller gets an error
		waits   time.Duration
		by      session.Evidence
		outcome session.Outcome
	}{
		"resent by the client library":              {3, 0, home, session.Concurrent},
		"retried at once":                           {-1, 0, home, session.Concurrent},
		"retried at once, from elsewhere":           {-1, 0, away, session.Concurrent},
		"retried after the overlap":                 {-1, time.Hour, home, session.Retried},
		"retried after the overlap, from elsewhere": {-1, time.Hour, away, session.Pardoned},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, policy)
			w.loadScripts(t)
			at := time.Now()
			clock := func() time.Time { return at }
			direct := w.replica(1, w.redis.Client(t), clock, nil)
			first := direct.begin(t)
			at = at.Add(time.Minute)

			cutter := newCutter(t, w.redis, once(responseLost), func() int64 { return 1 })
			cutOff := w.replica(0, cutter.client(t, goredis.Options{MaxRetries: c.resends}), clock, nil)
			got, err := cutOff.Refresh(t.Context(), first.RefreshToken, "app", home)
			if log := cutter.drain(); len(log) == 0 || log[0].done == 0 {
				t.Fatalf("sent commands %+v, want one whose response was lost", log)
			}
			if c.resends < 0 {
				if !errors.Is(err, session.ErrUnavailable) || errors.Is(err, session.ErrInvalidGrant) {
					t.Fatalf("refresh with a lost response: %+v, %v; want ErrUnavailable", got, err)
				}
				at = at.Add(c.waits)
				// The other replica signs with another key.
				got = direct.refresh(t, first.RefreshToken, c.by)
			} else if err != nil {
				t.Fatal(err)
			}
			want, err := cutOff.ring.Mint(session.Token{KeyID: cutOff.ring.SigningKey(), Family: first.Family, Generation: 2})
			if err != nil {
				t.Fatal(err)
			}
			if got.RefreshToken != want || got.Outcome != c.outcome {
				t.Fatalf("outcome %s with token %s, want %s with %s", got.Outcome, shorten(got.RefreshToken), c.outcome, shorten(want))
			}
			at = at.Add(time.Minute)
			if next := direct.refresh(t, got.RefreshToken, home); next.Generation != 3 || next.Outcome != session.Rotated {
				t.Errorf("next refresh: %+v, want generation 3, rotated", next.Grant)
			}
		})
	}
}

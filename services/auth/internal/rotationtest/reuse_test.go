package rotationtest

import (
	"errors"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"lilypad.example/services/auth/internal/session"
)

// TestReuseIsDurableIfItsResponseIsLost: Redis has revoked the family, and the connection is cut
// before the response arrives. The resent or next command only sees that the family is revoked.
func TestReuseIsDurableIfItsResponseIsLost(t *testing.T) {
	for name, resends := range map[string]int{"resent by the client library": 3, "the caller gives up": -1} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, policy)
			w.loadScripts(t)
			at := time.Now()
			clock := func() time.Time { return at }
			direct := w.replica(1, w.redis.Client(t), clock, nil)
			first := direct.begin(t)
			newest := first
			for range 2 {
				at = at.Add(time.Minute)
				newest = direct.refresh(t, newest.RefreshToken, home)
			}
			cutter := newCutter(t, w.redis, once(responseLost), func() int64 { return 1 })
			cutOff := w.replica(0, cutter.client(t, goredis.Options{MaxRetries: resends}), clock, nil)
			if got, err := cutOff.Refresh(t.Context(), first.RefreshToken, "app", away); err == nil {
				t.Fatalf("a stale token was granted %+v, want an error", got.Grant)
			}
			if got, err := direct.Refresh(t.Context(), newest.RefreshToken, "app", home); !errors.Is(err, session.ErrInvalidGrant) {
				t.Fatalf("the victim was granted %+v, %v; want ErrInvalidGrant", got.Grant, err)
			}
			record, err := w.records.Get(t.Context(), first.Family)
			if err != nil || record.Revoked.IsZero() || record.Reason != session.ReasonReuse {
				t.Errorf("record %+v, %v; want it revoked because of reuse", record, err)
			}
			w.redis.Stop()
			w.redis.Start(t)
			if got, err := direct.Refresh(t.Context(), newest.RefreshToken, "app", home); !errors.Is(err, session.ErrInvalidGrant) {
				t.Errorf("refresh after a flush: %s, %v; want ErrInvalidGrant", got.Outcome, err)
			}
		})
	}
}

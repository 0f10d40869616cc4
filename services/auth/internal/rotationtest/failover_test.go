package rotationtest

import (
	"errors"
	"testing"

	"lilypad.example/services/auth/internal/session"
)

// TestT66_AFailoverTakesARevocationBack: Redis goes back to before a logout,
// family and stream alike, and another session ends before the outbox looks.
func TestT66_AFailoverTakesARevocationBack(t *testing.T) {
	w := newWorld(t, atOnce)
	client := w.redis.Client(t)
	r := w.replica(0, client, nil, nil)
	first, gone, next := r.begin(t), r.begin(t), r.begin(t)
	revoke := func(s session.Session) {
		if err := r.Revoke(t.Context(), s.RefreshToken, "app"); err != nil {
			t.Fatal(err)
		}
	}
	revoke(first)
	keys := []string{"revocations", "rf:{" + string(gone.Family) + "}"}
	var copies []string
	for _, key := range keys {
		c, err := client.Dump(t.Context(), key).Result()
		if err != nil {
			t.Fatal(err)
		}
		copies = append(copies, c)
	}
	revoke(gone)
	for i, key := range keys {
		if err := client.RestoreReplace(t.Context(), key, 0, copies[i]).Err(); err != nil {
			t.Fatal(err)
		}
	}
	revoke(next)
	if err := r.FlushOutbox(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := r.Refresh(t.Context(), gone.RefreshToken, "app", home); !errors.Is(err, session.ErrInvalidGrant) {
		t.Errorf("who had logged out is back: %s, %v", got.Outcome, err)
	}
}

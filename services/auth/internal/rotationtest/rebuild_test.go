package rotationtest

import (
	"context"
	"errors"
	"testing"
	"time"

	"lilypad.example/services/auth/internal/session"
)

// hooked calls back before and after a family is put back into the store.
type hooked struct {
	session.Store

	before, after func()
}

func (h *hooked) Begin(ctx context.Context, b session.Beginning) error {
	if h.before != nil {
		h.before()
	}
	err := h.Store.Begin(ctx, b)
	if h.after != nil {
		h.after()
	}
	return err
}

// TestRevokedWhileItIsRebuilt: Redis was flushed; a replica is putting a
// family back when its user logs out at another one.
func TestRevokedWhileItIsRebuilt(t *testing.T) {
	w := newWorld(t, atOnce)
	other := w.replica(1, w.redis.Client(t), nil, nil)
	s := other.begin(t)
	hook := new(hooked)
	rebuilder := w.replica(0, w.redis.Client(t), nil, func(inner session.Store, _ func() time.Time) session.Store {
		hook.Store = inner
		return hook
	})
	w.redis.Stop()
	w.redis.Start(t)
	hook.before = func() {
		if err := other.Revoke(t.Context(), s.RefreshToken, "app"); err != nil {
			t.Fatal(err)
		}
	}
	hook.after = func() {
		if got, err := other.Refresh(t.Context(), s.RefreshToken, "app", home); !errors.Is(err, session.ErrInvalidGrant) {
			t.Errorf("granted after the logout's success: %s, %v", got.Outcome, err)
		}
	}
	if got, err := rebuilder.Refresh(t.Context(), s.RefreshToken, "app", home); !errors.Is(err, session.ErrInvalidGrant) {
		t.Errorf("the rebuilder: granted after the logout's success: %s, %v", got.Outcome, err)
	}
}

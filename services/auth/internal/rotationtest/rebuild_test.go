package rotationtest

import (
	"context"
	"errors"
	"testing"
	"time"

	"lilypad.example/services/auth/internal/session"
)

// hookedStore calls hooks before and after a family is written to the store.
type hookedStore struct {
	session.Store

	before, after func()
}

func (h *hookedStore) Begin(ctx context.Context, b session.Beginning) error {
	if h.before != nil {
		h.before()
	}
	err := h.Store.Begin(ctx, b)
	if h.after != nil {
		h.after()
	}
	return err
}

// TestRevokedWhileItIsRebuilt: Redis was flushed. While one replica rebuilds a family, its user logs
// out at another.
func TestRevokedWhileItIsRebuilt(t *testing.T) {
	w := newWorld(t, noMinInterval)
	other := w.replica(1, w.redis.Client(t), nil, nil)
	s := other.begin(t)
	hook := new(hookedStore)
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
			t.Errorf("refresh after a successful logout: %s, %v; want ErrInvalidGrant", got.Outcome, err)
		}
	}
	if got, err := rebuilder.Refresh(t.Context(), s.RefreshToken, "app", home); !errors.Is(err, session.ErrInvalidGrant) {
		t.Errorf("refresh that rebuilds the family after a successful logout: %s, %v; want ErrInvalidGrant", got.Outcome, err)
	}
}

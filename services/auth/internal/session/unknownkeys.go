package session

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// maxUnknownKeys bounds what strangers can make us remember.
const maxUnknownKeys = 1000

// parse is Ring.Parse for a ring that other replicas may have read before this
// one did. A token of an unknown key is ErrUnavailable until the ring is known
// as of a moment after such a token was first shown, and still lacks the key.
func (s *Service) parse(refreshToken string) (Token, error) {
	t, err := s.Ring().Parse(refreshToken)
	if errors.Is(err, ErrUnknownKey) && s.RingAsOf != nil && !s.unknownKeys.settled(t.KeyID, s.Now(), s.RingAsOf()) {
		return Token{}, fmt.Errorf("%w: %w", ErrUnavailable, ErrUnknownKey)
	}
	return t, err
}

// unknownKeys remembers when each unknown key id was first shown.
type unknownKeys struct {
	mu    sync.Mutex
	first map[string]time.Time
}

// settled reports whether a ring that is known as of asOf says for certain that
// it does not have the key. While strangers show more keys than are remembered,
// nothing new is certain.
func (u *unknownKeys) settled(id string, now, asOf time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	first, known := u.first[id]
	if !known {
		if u.first == nil || len(u.first) >= maxUnknownKeys {
			u.forget(now)
		}
		if len(u.first) < maxUnknownKeys {
			u.first[id] = now
		}
		return false
	}
	return asOf.After(first)
}

// forget drops what has been remembered for an hour: a key that is still shown
// then has to wait once more.
func (u *unknownKeys) forget(now time.Time) {
	kept := make(map[string]time.Time)
	for id, first := range u.first {
		if now.Sub(first) < time.Hour {
			kept[id] = first
		}
	}
	u.first = kept
}

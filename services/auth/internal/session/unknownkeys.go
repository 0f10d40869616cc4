package session

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// maxUnknownKeys bounds the memory that forged tokens can use.
const maxUnknownKeys = 1000

// parse is Ring.Parse for a ring that other replicas may have read earlier than this one. For an
// unknown key it also returns ErrUnavailable until this replica has read the ring again after the
// key first appeared, and the ring still lacks it.
func (s *Service) parse(refreshToken string) (Token, error) {
	t, err := s.Ring().Parse(refreshToken)
	if errors.Is(err, ErrUnknownKey) && s.RingAsOf != nil && !s.unknownKeys.settled(t.KeyID, s.Now(), s.RingAsOf()) {
		return Token{}, fmt.Errorf("%w: %w", ErrUnavailable, ErrUnknownKey)
	}
	return t, err
}

// unknownKeys holds the time at which each unknown key ID was first seen.
type unknownKeys struct {
	mu    sync.Mutex
	first map[string]time.Time
}

// settled reports whether a ring that was read as of asOf is new enough to say that the key does
// not exist. At first it records the key and returns false. While maxUnknownKeys are recorded, it
// returns false for all others.
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

// forget drops keys that were first seen an hour ago or earlier. If such a key appears again, it
// counts as new.
func (u *unknownKeys) forget(now time.Time) {
	kept := make(map[string]time.Time)
	for id, first := range u.first {
		if now.Sub(first) < time.Hour {
			kept[id] = first
		}
	}
	u.first = kept
}

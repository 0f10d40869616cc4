// Package memory keeps accounts in the memory of one process: for `make run` and for tests. Everything is gone when the process
// ends, and nothing is shared with another. It passes the same conformance suite as package postgres.
package memory

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"lilypad.example/services/auth/internal/user"
)

// Users is a user.Store. The zero value is empty and ready.
type Users struct {
	mu      sync.RWMutex
	byID    map[string]user.User
	byEmail map[string]string // address to ID
}

// Create implements user.Store.
func (s *Users) Create(ctx context.Context, u user.User) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.byEmail[u.Email]; taken {
		return user.ErrEmailTaken
	}
	if _, exists := s.byID[u.ID]; exists {
		return errors.New("memory: the ID exists already")
	}
	if s.byID == nil {
		s.byID, s.byEmail = map[string]user.User{}, map[string]string{}
	}
	u.CreatedAt = u.CreatedAt.UTC().Truncate(time.Microsecond)
	s.byID[u.ID], s.byEmail[u.Email] = clone(u), u.ID
	return nil
}

// ByEmail implements user.Store.
func (s *Users) ByEmail(ctx context.Context, email string) (user.User, error) {
	if err := ctx.Err(); err != nil {
		return user.User{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.get(s.byEmail[email])
}

// ByID implements user.Store.
func (s *Users) ByID(ctx context.Context, id string) (user.User, error) {
	if err := ctx.Err(); err != nil {
		return user.User{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.get(id)
}

// UpdatePasswordHash implements user.Store.
func (s *Users) UpdatePasswordHash(ctx context.Context, id string, old, replacement user.Hash) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u, ok := s.byID[id]
	if !ok {
		return user.ErrNotFound
	}
	if u.PasswordHash != old {
		return user.ErrHashChanged
	}
	u.PasswordHash = replacement
	s.byID[id] = u
	return nil
}

// ChangePassword implements user.Store.
func (s *Users) ChangePassword(ctx context.Context, id string, old, replacement user.Hash, _ time.Time) error {
	return s.UpdatePasswordHash(ctx, id, old, replacement)
}

// SetDisabled implements user.Store.
func (s *Users) SetDisabled(ctx context.Context, email string, disabled bool, _ time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u, ok := s.byID[s.byEmail[email]]
	if !ok {
		return user.ErrNotFound
	}
	u.Disabled = disabled
	s.byID[u.ID] = u
	return nil
}

func (s *Users) get(id string) (user.User, error) {
	u, ok := s.byID[id]
	if !ok {
		return user.User{}, user.ErrNotFound
	}
	return clone(u), nil
}

// clone keeps callers from sharing a slice with the store.
func clone(u user.User) user.User {
	u.Roles = slices.Clone(u.Roles)
	return u
}

var _ user.Store = (*Users)(nil)

// Package memory stores accounts (Users) and session records (Sessions) in the memory of one
// process, for `make run` and tests. It passes the same conformance tests as package postgres.
package memory

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/auth/internal/signin"
	"lilypad.example/services/auth/internal/user"
)

// New returns accounts, and sessions that follow their changes.
func New() (*Users, *Sessions) {
	users, sessions := new(Users), new(Sessions)
	users.sessions, sessions.accounts = sessions, users
	return users, sessions
}

// Users is a user.Store. The zero value is ready to use, for accounts without sessions; see New for
// accounts with sessions.
type Users struct {
	sessions *Sessions // nil if accounts have no sessions

	mu      sync.RWMutex
	byID    map[string]user.User
	byEmail map[string]string // address to ID

	identities map[signin.Identity]linked
}

// linked is the account that an identity belongs to.
type linked struct {
	id string
	at time.Time
}

// Create implements user.Store.
func (s *Users) Create(ctx context.Context, u user.User) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.create(u)
}

// create is Create. The caller holds mu.
func (s *Users) create(u user.User) error {
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
	u.Version = 1
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
	return s.replaceHash(ctx, id, old, func(u *user.User) { u.PasswordHash = replacement })
}

// ChangePassword implements user.Store.
func (s *Users) ChangePassword(ctx context.Context, id string, old, replacement user.Hash, _ time.Time, keep string) error {
	return s.replaceHash(ctx, id, old, func(u *user.User) {
		u.PasswordHash = replacement
		u.Version++
		s.changed(id, session.ReasonPasswordChanged, session.FamilyID(keep), nil)
	})
}

func (s *Users) replaceHash(ctx context.Context, id string, old user.Hash, change func(*user.User)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u, ok := s.byID[id]
	switch {
	case !ok:
		return user.ErrNotFound
	case u.PasswordHash != old:
		return user.ErrHashChanged
	}
	change(&u)
	s.byID[id] = u
	return nil
}

// SetDisabled implements user.Store.
func (s *Users) SetDisabled(ctx context.Context, email string, disabled bool, _ time.Time) error {
	return s.change(ctx, email, func(u *user.User) {
		u.Version++
		if disabled && !u.Disabled {
			s.changed(u.ID, session.ReasonUserDisabled, "", nil)
		}
		u.Disabled = disabled
	})
}

// SetRoles implements user.Store.
func (s *Users) SetRoles(ctx context.Context, email string, roles []string) error {
	return s.change(ctx, email, func(u *user.User) {
		u.Version++
		u.Roles = slices.Clone(roles)
		s.changed(u.ID, "", "", roles)
	})
}

// Delete implements user.Store.
func (s *Users) Delete(ctx context.Context, email string) error {
	return s.change(ctx, email, func(u *user.User) {
		s.changed(u.ID, session.ReasonUserDeleted, "", nil)
		delete(s.byEmail, u.Email)
	})
}

// change applies change to the user with an address. If change deletes the address, the user is
// deleted too.
func (s *Users) change(ctx context.Context, email string, change func(*user.User)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u, ok := s.byID[s.byEmail[email]]
	if !ok {
		return user.ErrNotFound
	}
	change(&u)
	s.byID[u.ID] = u
	if _, ok := s.byEmail[email]; !ok {
		delete(s.byID, u.ID)
		maps.DeleteFunc(s.identities, func(_ signin.Identity, l linked) bool { return l.id == u.ID })
	}
	return nil
}

func (s *Users) changed(id string, reason session.Reason, keep session.FamilyID, roles []string) {
	if s.sessions != nil {
		s.sessions.accountChanged(id, reason, keep, roles)
	}
}

func (s *Users) get(id string) (user.User, error) {
	u, ok := s.byID[id]
	if !ok {
		return user.User{}, user.ErrNotFound
	}
	return clone(u), nil
}

// clone copies u, so that callers share no slice with the store.
func clone(u user.User) user.User {
	u.Roles = slices.Clone(u.Roles)
	return u
}

var _ user.Store = (*Users)(nil)

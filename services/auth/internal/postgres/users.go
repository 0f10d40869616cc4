package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"lilypad.example/services/auth/internal/postgres/queries"
	"lilypad.example/services/auth/internal/user"
)

// Create implements user.Store.
func (s *Store) Create(ctx context.Context, u user.User) error {
	id, err := uuid.Parse(u.ID)
	if err != nil {
		return fmt.Errorf("create user: %w", err)
	}
	return s.do(ctx, "create user", func(ctx context.Context) error {
		return s.queries.CreateUser(ctx, queries.CreateUserParams{
			ID: id, Email: u.Email, Name: u.Name, PasswordHash: string(u.PasswordHash),
			Roles:     append([]string{}, u.Roles...), // a nil slice would be NULL
			CreatedAt: u.CreatedAt, Disabled: u.Disabled,
		})
	})
}

// ByEmail implements user.Store.
func (s *Store) ByEmail(ctx context.Context, email string) (u user.User, err error) {
	err = s.do(ctx, "user by email", func(ctx context.Context) error {
		row, err := s.queries.UserByEmail(ctx, email)
		if err == nil {
			u = fromRow(queries.UserByIDRow(row))
		}
		return err
	})
	return u, err
}

// ByID implements user.Store.
func (s *Store) ByID(ctx context.Context, id string) (u user.User, err error) {
	err = s.do(ctx, "user by id", func(ctx context.Context) error {
		key, err := parseID(id)
		if err != nil {
			return err
		}
		row, err := s.queries.UserByID(ctx, key)
		if err == nil {
			u = fromRow(row)
		}
		return err
	})
	return u, err
}

// UpdatePasswordHash implements user.Store.
func (s *Store) UpdatePasswordHash(ctx context.Context, id string, old, replacement user.Hash) error {
	return s.replaceHash(ctx, "update password hash", id, func(ctx context.Context, key uuid.UUID) (int64, error) {
		return s.queries.ReplacePasswordHash(ctx, queries.ReplacePasswordHashParams{ID: key, OldHash: string(old), NewHash: string(replacement)})
	})
}

// ChangePassword implements user.Store.
func (s *Store) ChangePassword(ctx context.Context, id string, old, replacement user.Hash, now time.Time) error {
	return s.replaceHash(ctx, "change password", id, func(ctx context.Context, key uuid.UUID) (int64, error) {
		return s.queries.ChangePassword(ctx, queries.ChangePasswordParams{ID: key, OldHash: string(old), NewHash: string(replacement), Now: now})
	})
}

// replaceHash runs an update that finds the user by id and old hash, and says which of the two it did not find.
func (s *Store) replaceHash(ctx context.Context, name, id string, update func(context.Context, uuid.UUID) (int64, error)) error {
	return s.do(ctx, name, func(ctx context.Context) error {
		key, err := parseID(id)
		if err != nil {
			return err
		}
		replaced, err := update(ctx, key)
		if err != nil || replaced == 1 {
			return err
		}
		if _, err := s.queries.UserByID(ctx, key); err != nil {
			return err
		}
		return user.ErrHashChanged
	})
}

// SetDisabled implements user.Store.
func (s *Store) SetDisabled(ctx context.Context, email string, disabled bool, now time.Time) error {
	return s.do(ctx, "disable user", func(ctx context.Context) error {
		var changed int64
		var err error
		if disabled {
			changed, err = s.queries.DisableUser(ctx, queries.DisableUserParams{Now: &now, Email: email})
		} else {
			changed, err = s.queries.EnableUser(ctx, email)
		}
		if err == nil && changed == 0 {
			return user.ErrNotFound
		}
		return err
	})
}

// parseID accepts the one form that user.Service gives out; the library also takes others, and then one user had many IDs.
func parseID(id string) (uuid.UUID, error) {
	key, err := uuid.Parse(id)
	if err != nil || key.String() != id {
		return uuid.UUID{}, user.ErrNotFound
	}
	return key, nil
}

func fromRow(row queries.UserByIDRow) user.User {
	return user.User{
		ID: row.ID.String(), Email: row.Email, Name: row.Name, Roles: row.Roles,
		PasswordHash: user.Hash(row.PasswordHash), Disabled: row.Disabled, CreatedAt: row.CreatedAt.UTC(),
	}
}

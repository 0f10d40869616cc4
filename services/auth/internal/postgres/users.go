package postgres

import (
	"context"
	"fmt"

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
	return s.do(ctx, "update password hash", func(ctx context.Context) error {
		key, err := parseID(id)
		if err != nil {
			return err
		}
		replaced, err := s.queries.ReplacePasswordHash(ctx, queries.ReplacePasswordHashParams{
			ID: key, OldHash: string(old), NewHash: string(replacement),
		})
		if err != nil || replaced == 1 {
			return err
		}
		if _, err := s.queries.UserByID(ctx, key); err != nil {
			return err
		}
		return user.ErrHashChanged
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

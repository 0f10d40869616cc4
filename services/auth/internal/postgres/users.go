package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"lilypad.example/services/auth/internal/postgres/queries"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/auth/internal/user"
)

// Create implements user.Store.
func (s *Store) Create(ctx context.Context, u user.User) error {
	id, err := uuid.Parse(u.ID)
	if err != nil {
		return fmt.Errorf("create user: %w", err)
	}
	return s.do(ctx, "create user", func(ctx context.Context) error {
		return s.queries.CreateUser(ctx, createParams(id, u))
	})
}

func createParams(id uuid.UUID, u user.User) queries.CreateUserParams {
	return queries.CreateUserParams{
		ID: id, Email: u.Email, Name: u.Name, PasswordHash: string(u.PasswordHash),
		Roles:     append([]string{}, u.Roles...), // a nil slice would be NULL
		CreatedAt: u.CreatedAt, Disabled: u.Disabled,
	}
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
		replaced, err := s.queries.ReplacePasswordHash(ctx, queries.ReplacePasswordHashParams{ID: key, OldHash: string(old), NewHash: string(replacement)})
		return hashReplaced(ctx, s.queries, key, replaced, err)
	})
}

// ChangePassword implements user.Store.
func (s *Store) ChangePassword(ctx context.Context, id string, old, replacement user.Hash, now time.Time, keep string) error {
	return s.inTx(ctx, "change password", func(ctx context.Context, q *queries.Queries) error {
		key, err := parseID(id)
		if err != nil {
			return err
		}
		changed, err := q.ChangePassword(ctx, queries.ChangePasswordParams{ID: key, OldHash: string(old), NewHash: string(replacement), Now: now})
		if err := hashReplaced(ctx, q, key, changed, err); err != nil {
			return err
		}
		return q.RevokeSessionsOfUser(ctx, queries.RevokeSessionsOfUserParams{
			UserID: key, Reason: string(session.ReasonPasswordChanged), Now: &now, ExceptFamily: keep, GraceSeconds: session.Grace.Seconds(),
		})
	})
}

// hashReplaced returns the error of an update by ID and old hash. If it matched no row, the user
// does not exist or has another hash (user.ErrHashChanged).
func hashReplaced(ctx context.Context, q *queries.Queries, key uuid.UUID, replaced int64, err error) error {
	if err != nil || replaced == 1 {
		return err
	}
	if _, err := q.UserByID(ctx, key); err != nil {
		return err
	}
	return user.ErrHashChanged
}

// SetDisabled implements user.Store. A trigger ends the sessions.
func (s *Store) SetDisabled(ctx context.Context, email string, disabled bool, now time.Time) error {
	return s.change(ctx, "disable user", func(ctx context.Context) (int64, error) {
		if disabled {
			return s.queries.DisableUser(ctx, queries.DisableUserParams{Now: &now, Email: email})
		}
		return s.queries.EnableUser(ctx, email)
	})
}

// SetRoles implements user.Store. A trigger updates the sessions.
func (s *Store) SetRoles(ctx context.Context, email string, roles []string) error {
	return s.change(ctx, "set roles", func(ctx context.Context) (int64, error) {
		return s.queries.SetUserRoles(ctx, queries.SetUserRolesParams{Roles: append([]string{}, roles...), Email: email})
	})
}

// Delete implements user.Store. A trigger ends the sessions.
func (s *Store) Delete(ctx context.Context, email string) error {
	return s.change(ctx, "delete user", func(ctx context.Context) (int64, error) { return s.queries.DeleteUser(ctx, email) })
}

// change runs a statement that changes one user. It returns user.ErrNotFound if there is none.
func (s *Store) change(ctx context.Context, name string, statement func(context.Context) (int64, error)) error {
	return s.do(ctx, name, func(ctx context.Context) error {
		changed, err := statement(ctx)
		if err == nil && changed == 0 {
			return user.ErrNotFound
		}
		return err
	})
}

// parseID accepts only the canonical form, which user.Service issues. uuid.Parse accepts others
// too, so one user would have several IDs.
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
		PasswordHash: user.Hash(row.PasswordHash), Disabled: row.Disabled, CreatedAt: row.CreatedAt.UTC(), Version: row.Version,
	}
}

package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"lilypad.example/services/auth/internal/postgres/queries"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/auth/internal/signin"
	"lilypad.example/services/auth/internal/user"
)

// SQLSTATE codes that have a meaning in the domain (PostgreSQL documentation, appendix A).
const (
	sqlstateUniqueViolation = "23505"
	sqlstateClassRollback   = "40" // serialization failure, deadlock
	sqlstateForeignKey      = "23503"
	emailConstraint         = "users_email_key"
	identityConstraint      = "identities_pkey"
)

// do runs an operation within the Store's timeout and maps its error to those of user.Store.
func (s *Store) do(ctx context.Context, name string, operation func(context.Context) error) error {
	bounded, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	err := operation(bounded)
	if err == nil {
		return nil
	}
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok && pgErr.Code == sqlstateReadOnly {
		s.pool.Reset() // the other connections lead to the same server
	}
	return fmt.Errorf("%s: %w", name, translate(ctx, err))
}

// maxTries limits the attempts at a transaction that PostgreSQL rolls back because of a concurrent
// one (a deadlock).
const maxTries = 3

// inTx is do with the operation in a transaction.
func (s *Store) inTx(ctx context.Context, name string, operation func(context.Context, *queries.Queries) error) error {
	return s.do(ctx, name, func(ctx context.Context) (err error) {
		for range maxTries {
			err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return operation(ctx, s.queries.WithTx(tx)) })
			if pgErr, ok := errors.AsType[*pgconn.PgError](err); !ok || pgErr.Code[:min(2, len(pgErr.Code))] != sqlstateClassRollback {
				break
			}
		}
		return err
	})
}

// translate maps an error of pgx to one of the domain. Connection errors have many types, so
// user.ErrUnavailable is the default: for every error that is neither an answer of the server nor
// the caller's cancellation.
func translate(ctx context.Context, err error) error {
	pgErr, answered := errors.AsType[*pgconn.PgError](err)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return user.ErrNotFound
	case errors.Is(err, user.ErrNotFound), errors.Is(err, user.ErrHashChanged), errors.Is(err, session.ErrAccountChanged):
		return err
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case answered && pgErr.Code == sqlstateUniqueViolation && pgErr.ConstraintName == emailConstraint:
		return user.ErrEmailTaken
	case answered && pgErr.Code == sqlstateUniqueViolation && pgErr.ConstraintName == identityConstraint:
		return signin.ErrLinked
	case answered && pgErr.Code == sqlstateForeignKey: // the account was deleted meanwhile
		return user.ErrNotFound
	case answered && !passing(pgErr.Code):
		return err // a bug: a wrong statement, a missing table, a violated check
	}
	return fmt.Errorf("%w: %w", user.ErrUnavailable, err)
}

// passing reports whether an error is about the state of the server and not about the statement, so
// that a retry may help.
func passing(sqlstate string) bool {
	switch sqlstate {
	case sqlstateReadOnly, "55P03": // 55P03 is lock_not_available
		return true
	}
	switch sqlstate[:min(2, len(sqlstate))] {
	case "08", // connection exception
		sqlstateClassRollback,
		"53", // insufficient resources: connections, memory, disk
		"57", // operator intervention: shutdown, starting up, statement timeout
		"58": // system error: the disk
		return true
	}
	return false
}

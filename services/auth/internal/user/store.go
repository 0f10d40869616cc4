package user

import (
	"context"
	"errors"
	"time"
)

// Errors of a Store, for errors.Is.
var (
	// ErrNotFound means that there is no such user.
	ErrNotFound = errors.New("user: not found")
	// ErrEmailTaken means that another account has the address.
	ErrEmailTaken = errors.New("user: email taken")
	// ErrHashChanged means that the password hash is not the old one that the caller passed.
	ErrHashChanged = errors.New("user: password hash changed meanwhile")
	// ErrUnavailable means that the store did not answer or cannot serve now. A write may or may
	// not have happened. A later attempt can succeed.
	ErrUnavailable = errors.New("user: store unavailable")
)

// Store keeps users. It is safe for concurrent use by many replicas. Each method returns, possibly
// wrapped, the errors that it names, the error of the context, or an unexpected error (HTTP 500, to
// be logged). Email addresses must be results of ParseEmail: a Store compares them byte by byte.
type Store interface {
	// Create adds a user. CreatedAt is stored in microseconds. Of concurrent calls with the same
	// address exactly one succeeds. After an error other than ErrUnavailable nothing was added.
	// Errors: ErrEmailTaken, ErrUnavailable.
	Create(ctx context.Context, u User) error

	// ByEmail returns the user with this address. It sees every Create that has returned.
	// Errors: ErrNotFound, ErrUnavailable.
	ByEmail(ctx context.Context, email string) (User, error)

	// ByID returns the user with this ID. It fails with ErrNotFound if the ID is malformed.
	// Errors: ErrNotFound, ErrUnavailable.
	ByID(ctx context.Context, id string) (User, error)

	// UpdatePasswordHash atomically replaces the hash if it equals old, so that a login that
	// upgrades the hash cannot undo a concurrent change of password.
	// Errors: ErrNotFound, ErrHashChanged, ErrUnavailable.
	UpdatePasswordHash(ctx context.Context, id string, old, replacement Hash) error

	// ChangePassword is UpdatePasswordHash for a new password. In the same transaction it
	// increments the version of the user and ends all sessions except keep
	// (session.ReasonPasswordChanged).
	// Errors: ErrNotFound, ErrHashChanged, ErrUnavailable.
	ChangePassword(ctx context.Context, id string, old, replacement Hash, now time.Time, keep string) error

	// SetDisabled disables or enables the account with this address and increments its version.
	// When it disables the account, it ends all its sessions in the same transaction
	// (session.ReasonUserDisabled).
	// Errors: ErrNotFound, ErrUnavailable.
	SetDisabled(ctx context.Context, email string, disabled bool, now time.Time) error

	// SetRoles replaces the roles of the account with this address and of its sessions, in one
	// transaction.
	// Errors: ErrNotFound, ErrUnavailable.
	SetRoles(ctx context.Context, email string, roles []string) error

	// Delete deletes the account with this address. In the same transaction it ends its sessions
	// (session.ReasonUserDeleted). Their records stay until they are pruned.
	// Errors: ErrNotFound, ErrUnavailable.
	Delete(ctx context.Context, email string) error
}

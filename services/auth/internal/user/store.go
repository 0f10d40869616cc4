package user

import (
	"context"
	"errors"
	"time"
)

// Errors of a Store, to be tested with errors.Is.
var (
	// ErrNotFound says that there is no such user.
	ErrNotFound = errors.New("user: not found")
	// ErrEmailTaken says that another account has the address.
	ErrEmailTaken = errors.New("user: email taken")
	// ErrHashChanged says that the password hash is no longer the one the caller saw.
	ErrHashChanged = errors.New("user: password hash changed meanwhile")
	// ErrUnavailable says that the store did not answer, or cannot serve now. Nothing is known about the outcome of a write. Trying
	// again later can succeed.
	ErrUnavailable = errors.New("user: store unavailable")
)

// Store keeps users. All methods may be called concurrently, from many replicas at once. Every error is, or wraps, one of those
// named at the method, the context's own when the caller gave up, or something unforeseen (a fault to log, HTTP 500).
// Addresses are compared as they are: callers pass what ParseEmail returned.
type Store interface {
	// Create adds a user with all its fields; CreatedAt is kept to the microsecond. It is atomic: of any number of concurrent calls
	// with one address exactly one succeeds, and after an error other than ErrUnavailable nothing was added. An ID that exists already
	// is unforeseen: Service makes a new one each time.
	// Errors: ErrEmailTaken, ErrUnavailable.
	Create(ctx context.Context, u User) error

	// ByEmail returns the user with an address. It sees every Create that has returned.
	// Errors: ErrNotFound, ErrUnavailable.
	ByEmail(ctx context.Context, email string) (User, error)

	// ByID returns the user with an ID. A malformed ID is one that nobody has.
	// Errors: ErrNotFound, ErrUnavailable.
	ByID(ctx context.Context, id string) (User, error)

	// UpdatePasswordHash replaces the hash if it still is old, atomically, so that a login that improves a hash cannot undo a
	// change of password made at the same time.
	// Errors: ErrNotFound, ErrHashChanged, ErrUnavailable.
	UpdatePasswordHash(ctx context.Context, id string, old, replacement Hash) error

	// ChangePassword is UpdatePasswordHash for a new password. In the same transaction the user gets a new version and all sessions of
	// the user but keep end (session.ReasonPasswordChanged).
	// Errors: ErrNotFound, ErrHashChanged, ErrUnavailable.
	ChangePassword(ctx context.Context, id string, old, replacement Hash, now time.Time, keep string) error

	// SetDisabled closes the account with an address, or opens it again. With a closed account all its sessions end in the same
	// transaction (session.ReasonUserDisabled), and it gets a new version.
	// Errors: ErrNotFound, ErrUnavailable.
	SetDisabled(ctx context.Context, email string, disabled bool, now time.Time) error

	// SetRoles replaces the roles of the account with an address, and in the same transaction those of its sessions.
	// Errors: ErrNotFound, ErrUnavailable.
	SetRoles(ctx context.Context, email string, roles []string) error

	// Delete removes the account with an address for ever. In the same transaction its sessions end (session.ReasonUserDeleted); their
	// records stay until they are forgotten.
	// Errors: ErrNotFound, ErrUnavailable.
	Delete(ctx context.Context, email string) error
}

// Package form is the contract of a store for forms that were posted after
// their sender's session had ended, and that the sender may send once more
// after signing in. A form comes sealed by the sidecar, with a key made from the
// session's refresh token, which is kept in the sender's browser and nowhere
// else: who reads the store reads no form. It knows no HTTP and no Redis.
package form

import (
	"context"
	"errors"
	"time"

	"lilypad.example/services/auth/internal/session"
)

// ErrNotFound says that nothing is kept under a Key: not any more, or never.
var ErrNotFound = errors.New("form: not found")

// ErrUnavailable says that the store could not answer.
var ErrUnavailable = errors.New("form: store unavailable")

const (
	// MaxBytes bounds a sealed form: 64 KiB of content, and what seals it.
	MaxBytes = 65 << 10
	// Life is how long a form is kept.
	Life = 10 * time.Minute
)

// A Key is where a form is kept: one form a session that ended. Since the
// account is part of it, nobody can ask for another account's form.
type Key struct {
	Subject string
	Session session.FamilyID
}

// A Store keeps sealed forms for Life. Every method is one atomic step, and
// fails with ErrUnavailable, wrapped, and with nothing else unless it says so.
type Store interface {
	// Keep keeps a form, in place of the one that was there.
	Keep(ctx context.Context, k Key, sealed []byte) error
	// Get returns a form, and leaves it. ErrNotFound if there is none.
	Get(ctx context.Context, k Key) ([]byte, error)
	// Take returns a form to one caller only. ErrNotFound if there is none. A
	// form whose answer is lost is lost: it must not be sent twice.
	Take(ctx context.Context, k Key) ([]byte, error)
}

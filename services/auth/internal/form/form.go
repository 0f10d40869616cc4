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

// ErrClaimed says that somebody is sending the form at this moment.
var ErrClaimed = errors.New("form: claimed")

// ErrUnavailable says that the store could not answer.
var ErrUnavailable = errors.New("form: store unavailable")

const (
	// MaxBytes bounds a sealed form: 64 KiB of content, and what seals it.
	MaxBytes = 65 << 10
	// Life is how long a form is kept.
	Life = 10 * time.Minute
	// ClaimLife is how long a claim lasts that nobody settles: longer than an
	// application may take to answer (LILYPAD_HEADER_TIMEOUT, 60 s).
	ClaimLife = 2 * time.Minute
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
	// Keep keeps a form, in place of the one that was there and of its claim.
	Keep(ctx context.Context, k Key, sealed []byte) error
	// Get returns a form, and leaves it. ErrNotFound if there is none.
	Get(ctx context.Context, k Key) ([]byte, error)
	// Claim returns a form to one caller, under an id of the caller's choice:
	// until Settle, or for ClaimLife, everybody else gets ErrClaimed.
	// ErrNotFound if there is no form.
	Claim(ctx context.Context, k Key, id string) ([]byte, error)
	// Settle ends the claim of that id, and removes the form if it was sent. It
	// does nothing when that claim is over.
	Settle(ctx context.Context, k Key, id string, sent bool) error
	// Discard removes a form, claimed or not.
	Discard(ctx context.Context, k Key) error
}

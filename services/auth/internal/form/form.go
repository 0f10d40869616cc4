// Package form defines the store for forms that users submitted after their session had ended, and
// may send again after signing in. The sidecar encrypts a form with a key derived from the
// session's refresh token. Only the user's browser holds that token, so nobody can read a form in
// the store.
package form

import (
	"context"
	"errors"
	"time"

	"lilypad.example/services/auth/internal/session"
)

// ErrNotFound reports that the store has no form under a Key.
var ErrNotFound = errors.New("form: not found")

// ErrClaimed reports that the form is being sent under another claim.
var ErrClaimed = errors.New("form: claimed")

// ErrUnavailable reports that the store is unavailable.
var ErrUnavailable = errors.New("form: store unavailable")

const (
	// MaxBytes is the maximum size of a sealed form: 64 KiB of content and the encryption overhead.
	MaxBytes = 65 << 10
	// Life is how long the store keeps a form.
	Life = 10 * time.Minute
	// ClaimLife is how long a claim lasts that is not settled. It exceeds the time that an
	// application has to respond (LILYPAD_HEADER_TIMEOUT, 60 s).
	ClaimLife = 2 * time.Minute
)

// Key identifies a form: there is at most one for each ended session. It includes the account, so
// that nobody can get a form of another account.
type Key struct {
	Subject string
	Session session.FamilyID
}

// Store keeps sealed forms for Life. Every method is atomic. Unless documented otherwise, the only
// error is ErrUnavailable, wrapped.
type Store interface {
	// Keep stores a form. It replaces an earlier form under k and its claim.
	Keep(ctx context.Context, k Key, sealed []byte) error
	// Get returns a form and keeps it. It fails with ErrNotFound if there is none.
	Get(ctx context.Context, k Key) ([]byte, error)
	// Claim returns a form and claims it under an id that the caller chooses. Until Settle, or for
	// ClaimLife, a claim under another id fails with ErrClaimed. It fails with ErrNotFound if there
	// is no form.
	Claim(ctx context.Context, k Key, id string) ([]byte, error)
	// Settle ends the claim id, and removes the form if it was sent. It does nothing if that claim
	// has ended or expired.
	Settle(ctx context.Context, k Key, id string, sent bool) error
	// Discard removes a form, even a claimed one.
	Discard(ctx context.Context, k Key) error
}

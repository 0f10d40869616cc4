package user

import (
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// WithoutPassword returns a new account that signs in with an identity provider only. email is a
// result of ParseEmail. A name that ParseName refuses is replaced by the local part of email.
func WithoutPassword(email, name string, now time.Time) (User, error) {
	parsed, err := ParseName(name)
	if err != nil {
		parsed, _, _ = strings.Cut(email, "@")
	}
	id, err := uuid.NewV7()
	if err != nil {
		return User{}, fmt.Errorf("create account: %w", err)
	}
	return User{ID: id.String(), Email: email, Name: parsed, CreatedAt: now.UTC().Truncate(time.Microsecond), Version: 1}, nil
}

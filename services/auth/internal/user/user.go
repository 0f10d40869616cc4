package user

import (
	"encoding/json"
	"log/slog"
	"time"
)

// User is an account. Email and Name are results of ParseEmail and ParseName.
type User struct {
	ID           string // UUID version 7, the claim sub of tokens; never reused
	Email        string
	Name         string
	Roles        []string
	PasswordHash Hash // empty if the user signs in with an identity provider only
	Disabled     bool
	CreatedAt    time.Time
	// Version increases when the password, the roles or Disabled change: see session.Account.
	Version int64
}

// Hash is a password hash as a PHC string. Logs, formatting and JSON show a placeholder instead;
// only string(h) returns the text.
type Hash string

const redacted = "[redacted]"

// String hides the hash from fmt.
func (Hash) String() string { return redacted }

// GoString hides the hash from %#v.
func (Hash) GoString() string { return redacted }

// LogValue hides the hash from slog.
func (Hash) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON hides the hash from JSON.
func (Hash) MarshalJSON() ([]byte, error) { return json.Marshal(redacted) }

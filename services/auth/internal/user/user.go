package user

import (
	"encoding/json"
	"log/slog"
	"time"
)

// User is an account. Email and Name are in the form that ParseEmail and ParseName return.
type User struct {
	ID           string // UUID version 7, the token's "sub"; never given to another account
	Email        string
	Name         string
	Roles        []string
	PasswordHash Hash
	Disabled     bool
	CreatedAt    time.Time
	// Version grows with the password, the roles, and when the account is disabled
	// or enabled: see session.Account.
	Version int64
}

// Hash is a password hash as a PHC string. It hides itself from logs, formatting and JSON: only string(h) gives the text.
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

package config

import (
	"encoding"
	"fmt"
	"log/slog"
)

const redacted = "[redacted]"

// A Secret is a setting that fmt, slog and encoding/json print redacted. Only Reveal returns its
// value.
type Secret struct{ value string }

// NewSecret returns a Secret with the given value.
func NewSecret(value string) Secret { return Secret{value} }

// Reveal returns the value.
func (s Secret) Reveal() string { return s.value }

// IsZero reports whether no value was given.
func (s Secret) IsZero() bool { return s.value == "" }

// UnmarshalText sets the value; kong calls it.
func (s *Secret) UnmarshalText(b []byte) error { s.value = string(b); return nil }

// MarshalText hides the value in JSON and in kong's help.
func (s Secret) MarshalText() ([]byte, error) {
	if s.IsZero() {
		return nil, nil
	}
	return []byte(redacted), nil
}

// Format hides the value under every verb of fmt.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue hides the value in slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

var (
	_ encoding.TextUnmarshaler = (*Secret)(nil)
	_ encoding.TextMarshaler   = Secret{}
	_ fmt.Formatter            = Secret{}
	_ slog.LogValuer           = Secret{}
)

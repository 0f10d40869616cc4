package password

import (
	"errors"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// The bounds of a password's length, in Unicode code points after normalization.
const (
	MinLength = 15
	MaxLength = 128
)

// maxBytes bounds the work before the length is known. No text of MaxLength code points is longer,
// even when fully decomposed (at most 18 code points for one, of at most 4 bytes each).
const maxBytes = MaxLength * 18 * utf8.UTFMax

// The errors of Check.
var (
	ErrRequired = errors.New("password: required")
	ErrTooShort = errors.New("password: too short")
	ErrTooLong  = errors.New("password: too long")
	ErrCommon   = errors.New("password: too common")
)

// Check checks a new password. It returns nil, ErrRequired, ErrTooShort, ErrTooLong or ErrCommon.
// context is what an attacker would try first for the account, such as its e-mail address and the
// user's name.
func Check(password string, context ...string) error {
	if password == "" {
		return ErrRequired
	}
	if len(password) > maxBytes {
		return ErrTooLong
	}
	password = normalize(password)
	switch n := utf8.RuneCountInString(password); {
	case n < MinLength:
		return ErrTooShort
	case n > MaxLength:
		return ErrTooLong
	case isCommon(password, context):
		return ErrCommon
	}
	return nil
}

// normalize returns the form in which passwords are counted and hashed.
func normalize(password string) string { return norm.NFC.String(password) }

package user

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The fields of the account forms.
const (
	FieldEmail    = "email"
	FieldName     = "name"
	FieldPassword = "password"

	// FieldCurrentPassword belongs to a change of password; the new one is FieldPassword.
	FieldCurrentPassword = "current_password"
)

// The codes of a FieldError.
const (
	CodeRequired = "required"
	CodeInvalid  = "invalid"   // e-mail only
	CodeTooShort = "too_short" // password only
	CodeTooLong  = "too_long"  // name and password
	CodeCommon   = "common"    // password only
	CodeWrong    = "wrong"     // current password only
)

// FieldError is a validation error of one field. It never contains the value.
type FieldError struct {
	Field string
	Code  string
}

// Error returns for example "email:invalid".
func (e FieldError) Error() string { return e.Field + ":" + e.Code }

// FieldErrors holds all validation errors of a request, at most one per field, in the order of the
// form.
type FieldErrors []FieldError

// Error returns for example "user: invalid fields: email:invalid name:required".
func (e FieldErrors) Error() string {
	var b strings.Builder
	b.WriteString("user: invalid fields:")
	for _, f := range e {
		b.WriteString(" " + f.Error())
	}
	return b.String()
}

// Maximum lengths of an e-mail address and its parts in bytes (RFC 5321 section 4.5.3.1 with
// erratum 1690), and of a name in code points.
const (
	maxEmail     = 254
	maxLocalPart = 64
	maxLabel     = 63
	maxName      = 100
)

// ParseEmail returns the normalized form of an address: trimmed and in lower case. It accepts what
// a browser's e-mail field accepts (HTML Standard, "valid email address") within the lengths of RFC
// 5321, so that form and server agree. It accepts ASCII only, because case folding of other letters
// could make the addresses of two people equal. The error is a FieldError with CodeRequired or
// CodeInvalid.
func ParseEmail(s string) (string, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return "", FieldError{FieldEmail, CodeRequired}
	}
	if len(s) > maxEmail {
		return "", FieldError{FieldEmail, CodeInvalid}
	}
	local, domain, ok := strings.Cut(s, "@")
	if !ok || !validLocalPart(local) || !validDomain(domain) {
		return "", FieldError{FieldEmail, CodeInvalid}
	}
	return strings.ToLower(s), nil
}

func validLocalPart(s string) bool {
	return s != "" && len(s) <= maxLocalPart && !strings.ContainsFunc(s, func(r rune) bool {
		return !isAlphanumeric(r) && !strings.ContainsRune(".!#$%&'*+/=?^_`{|}~-", r)
	})
}

func validDomain(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		if strings.ContainsFunc(label, func(r rune) bool { return !isAlphanumeric(r) && r != '-' }) {
			return false
		}
	}
	return true
}

func isAlphanumeric(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}

// ParseName returns the normalized form of a name: 1 to 100 characters on one line. It replaces
// control characters and runs of space with one space, and removes bidirectional formatting
// characters, with which a name could rearrange the page around it. The error is a FieldError with
// CodeRequired or CodeTooLong.
func ParseName(s string) (string, error) {
	if len(s) > maxName*utf8.UTFMax*4 { // bounds the work; no real name has that much to remove
		return "", FieldError{FieldName, CodeTooLong}
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r) || unicode.IsSpace(r):
			return ' '
		case isDirectionMark(r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, string(utf8.RuneError)))
	s = strings.Join(strings.Fields(s), " ")
	if !strings.ContainsFunc(s, isVisible) {
		return "", FieldError{FieldName, CodeRequired}
	}
	if utf8.RuneCountInString(s) > maxName {
		return "", FieldError{FieldName, CodeTooLong}
	}
	return s, nil
}

// isDirectionMark reports whether r is a directional formatting character (UAX 9 section 2).
func isDirectionMark(r rune) bool {
	return r == '\u061c' || r == '\u200e' || r == '\u200f' || '\u202a' <= r && r <= '\u202e' || '\u2066' <= r && r <= '\u2069'
}

func isVisible(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsPunct(r) || unicode.IsSymbol(r)
}

// validRole reports whether s is a valid role. The alphabet is safe in tokens, headers and route
// rules.
func validRole(s string) bool {
	return s != "" && len(s) <= maxLabel && !strings.ContainsFunc(s, func(r rune) bool {
		return ('a' > r || r > 'z') && ('0' > r || r > '9') && r != '-' && r != '_'
	})
}

// CheckRoles returns an error that names the first role that is not valid.
func CheckRoles(roles ...string) error { return checkRoles(roles) }

func checkRoles(roles []string) error {
	for _, role := range roles {
		if !validRole(role) {
			return fmt.Errorf("role %q: want 1 to %d of a-z, 0-9, - and _", role, maxLabel)
		}
	}
	return nil
}

// normalRoles returns roles sorted and without duplicates.
func normalRoles(roles []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(roles)))
}

// Package refreshtoken defines the shape of a refresh token:
//
//	v1.<key id>.<family>.<generation>.<mac>
//
// It verifies nothing: only the auth service has the keys. Whoever holds a token
// can refuse other text without a call, and tell which session a token names.
package refreshtoken

import "strings"

const (
	// Version is the first part of every token.
	Version = "v1"
	// MaxLen is the maximum length of a token in bytes.
	MaxLen = 200
)

// Parts are the parts of a token after its version.
type Parts struct{ KeyID, Family, Generation, MAC string }

// Split returns the parts of a token. ok is false if text does not have the shape
// of one; the parts themselves may still be malformed.
func Split(text string) (p Parts, ok bool) {
	if len(text) > MaxLen || strings.ContainsFunc(text, outside) {
		return Parts{}, false
	}
	var rest [4]string
	version, tail, _ := strings.Cut(text, ".")
	for i := range rest {
		if rest[i], tail, ok = strings.Cut(tail, "."); ok != (i < len(rest)-1) {
			return Parts{}, false
		}
	}
	return Parts{rest[0], rest[1], rest[2], rest[3]}, version == Version
}

// outside reports whether no token contains r.
func outside(r rune) bool {
	return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && r != '-' && r != '_' && r != '.'
}

// Family returns the family that text, a token, names; it is also the session's
// ID. For text of another shape it returns the text itself.
func Family(text string) string {
	_, rest, _ := strings.Cut(text, ".")
	_, rest, _ = strings.Cut(rest, ".")
	if family, _, ok := strings.Cut(rest, "."); ok {
		return family
	}
	return text
}

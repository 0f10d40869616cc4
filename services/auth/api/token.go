package api

import (
	"encoding/base64"
	"strconv"
	"strings"
)

// MaxKeyIDLen is the maximum length of the ID of a ring key, in bytes.
const MaxKeyIDLen = 12

const (
	refreshTokenVersion = "v1"
	sessionIDBytes      = 16
	sessionIDLen        = 22 // base64url of sessionIDBytes without padding
	macLen              = 43 // base64url of SHA-256 without padding
	// maxGeneration is the limit of exact integers in Lua, whose numbers are doubles.
	maxGeneration      = 1 << 53
	maxGenerationLen   = 16
	maxRefreshTokenLen = len(refreshTokenVersion) + MaxKeyIDLen + sessionIDLen + maxGenerationLen + macLen + 4
)

// A RefreshToken holds the parts of a refresh token, v1.<key id>.<session id>.<generation>.<mac>.
// The MAC is not verified: only the auth service has the keys.
type RefreshToken struct {
	KeyID, SessionID string
	Generation       uint64
	// Signed is the text that MAC covers. MAC is base64url.
	Signed, MAC string
}

// NewRefreshToken returns a token without a MAC. The caller computes it over Signed.
func NewRefreshToken(keyID, sessionID string, generation uint64) RefreshToken {
	signed := refreshTokenVersion + "." + keyID + "." + sessionID + "." + strconv.FormatUint(generation, 10)
	return RefreshToken{KeyID: keyID, SessionID: sessionID, Generation: generation, Signed: signed}
}

// String returns the token's text.
func (t RefreshToken) String() string { return t.Signed + "." + t.MAC }

// ParseRefreshToken splits a refresh token into its parts. It returns false if a part has the wrong
// length or alphabet. It does not allocate.
func ParseRefreshToken(text string) (RefreshToken, bool) {
	if len(text) > maxRefreshTokenLen {
		return RefreshToken{}, false
	}
	version, rest, _ := strings.Cut(text, ".")
	keyID, rest, _ := strings.Cut(rest, ".")
	sessionID, rest, _ := strings.Cut(rest, ".")
	generation, mac, _ := strings.Cut(rest, ".")
	if version != refreshTokenVersion || !ValidKeyID(keyID) ||
		len(sessionID) != sessionIDLen || !isBase64URL(sessionID) || len(mac) != macLen || !isBase64URL(mac) ||
		len(generation) > maxGenerationLen || strings.HasPrefix(generation, "0") {
		return RefreshToken{}, false
	}
	n, err := strconv.ParseUint(generation, 10, 64)
	if err != nil || n >= maxGeneration {
		return RefreshToken{}, false
	}
	return RefreshToken{keyID, sessionID, n, text[:len(text)-macLen-1], mac}, true
}

// SessionIDOf returns the session ID in a refresh token, without checking it or the other parts. If
// text has another format, it returns text.
func SessionIDOf(text string) string {
	_, rest, _ := strings.Cut(text, ".")
	_, rest, _ = strings.Cut(rest, ".")
	if id, _, ok := strings.Cut(rest, "."); ok {
		return id
	}
	return text
}

// ValidKeyID reports whether id has the form of a ring key's ID: 1 to MaxKeyIDLen lower-case
// letters and digits.
func ValidKeyID(id string) bool {
	return id != "" && len(id) <= MaxKeyIDLen && strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}

// ValidSessionID reports whether s has the form of a session ID (claim sid): 128 bits in base64url
// without padding, canonically encoded (RFC 4648 section 3.5).
func ValidSessionID(s string) bool {
	// The decoder skips line breaks. Checking both lengths excludes them.
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(s) == sessionIDLen && len(b) == sessionIDBytes
}

func isBase64URL(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

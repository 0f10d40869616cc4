package api

import (
	"encoding/base64"
	"strconv"
	"strings"
)

// MaxKeyIDLen bounds the id of a key that signs refresh tokens, in bytes.
const MaxKeyIDLen = 12

const (
	refreshTokenVersion = "v1"
	sessionIDBytes      = 16
	sessionIDLen        = 22 // base64url of sessionIDBytes without padding
	macLen              = 43 // base64url of SHA-256 without padding
	// maxGeneration keeps generations exact in Lua, whose numbers are doubles.
	maxGeneration      = 1 << 53
	maxGenerationLen   = 16
	maxRefreshTokenLen = len(refreshTokenVersion) + MaxKeyIDLen + sessionIDLen + maxGenerationLen + macLen + 4
)

// A RefreshToken holds the parts of a refresh token,
// v1.<key id>.<session id>.<generation>.<mac>. They are not verified: only the
// auth service has the keys.
type RefreshToken struct {
	KeyID, SessionID string
	Generation       uint64
	// Signed is the text that MAC covers, and MAC is in base64url.
	Signed, MAC string
}

// NewRefreshToken returns a token without its MAC, which is to be computed from
// Signed.
func NewRefreshToken(keyID, sessionID string, generation uint64) RefreshToken {
	signed := refreshTokenVersion + "." + keyID + "." + sessionID + "." + strconv.FormatUint(generation, 10)
	return RefreshToken{KeyID: keyID, SessionID: sessionID, Generation: generation, Signed: signed}
}

// String returns the token's text.
func (t RefreshToken) String() string { return t.Signed + "." + t.MAC }

// ParseRefreshToken splits a refresh token into its parts. It reports false for
// a text that cannot be one: each part must have its length and alphabet. It
// does not allocate.
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

// ValidKeyID reports whether id can be the id of a key that signs refresh
// tokens: 1 to MaxKeyIDLen lower-case letters and digits.
func ValidKeyID(id string) bool {
	return id != "" && len(id) <= MaxKeyIDLen && strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}

// ValidSessionID reports whether s can be the id of a session (sid): 128 bits in
// base64url without padding, canonically encoded (RFC 4648 section 3.5).
func ValidSessionID(s string) bool {
	// The decoder skips line breaks: only both lengths together leave no room for one.
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

package session

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"

	"lilypad.example/services/auth/api/refreshtoken"
)

// ErrMalformed says that a text is no refresh token of ours: another shape,
// or a MAC that does not verify. Nothing was looked up.
var ErrMalformed = errors.New("session: not a refresh token of ours")

const (
	familyBytes  = 16
	familyLen    = 22 // base64url of familyBytes without padding
	macLen       = 43 // base64url of SHA-256 without padding
	// maxGeneration keeps generations exact in Lua, whose numbers are doubles.
	maxGeneration = 1 << 53
)

// A FamilyID names a refresh-token family: 128 random bits as base64url. It is
// the sid of access tokens. It is no credential: a refresh token needs a MAC.
type FamilyID string

// NewFamilyID returns a fresh random FamilyID.
func NewFamilyID() FamilyID {
	var b [familyBytes]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand, Go 1.24)
	return FamilyID(base64.RawURLEncoding.EncodeToString(b[:]))
}

// ParseFamilyID refuses whatever NewFamilyID cannot have made, so that no text
// from outside ever becomes part of a key in the store.
func ParseFamilyID(s string) (FamilyID, error) {
	if len(s) != familyLen {
		return "", ErrMalformed
	}
	// The length is checked on both sides: the decoder passes over line ends.
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != familyBytes {
		return "", ErrMalformed
	}
	return FamilyID(s), nil
}

// A Token is a refresh token whose MAC was verified, or that we made.
type Token struct {
	KeyID      string
	Family     FamilyID
	Generation uint64
}

// Mint returns t's text: v1.<key id>.<family>.<generation>.<mac>. The same
// token always has the same text, whoever computes it. It fails with
// ErrUnknownKey when the ring does not hold t.KeyID.
func (r *Ring) Mint(t Token) (string, error) {
	key, ok := r.key(t.KeyID)
	if !ok {
		return "", ErrUnknownKey
	}
	b := make([]byte, 0, refreshtoken.MaxLen)
	b = append(b, refreshtoken.Version...)
	b = append(b, '.')
	b = append(b, t.KeyID...)
	b = append(b, '.')
	b = append(b, t.Family...)
	b = append(b, '.')
	b = strconv.AppendUint(b, t.Generation, 10)
	sum := mac(key, b)
	b = append(b, '.')
	return string(base64.RawURLEncoding.AppendEncode(b, sum)), nil
}

// Parse verifies text and returns what it says. It fails with ErrMalformed, or
// with ErrUnknownKey if only the key is missing: then the Token is what the text
// says, unverified. It costs one HMAC at most and no call to
// any store.
func (r *Ring) Parse(text string) (Token, error) {
	parts, ok := refreshtoken.Split(text)
	if !ok || len(parts.MAC) != macLen || !validKeyID(parts.KeyID) {
		return Token{}, ErrMalformed
	}
	got, err1 := base64.RawURLEncoding.Strict().DecodeString(parts.MAC)
	family, err2 := ParseFamilyID(parts.Family)
	generation, err3 := strconv.ParseUint(parts.Generation, 10, 64)
	if errors.Join(err1, err2, err3) != nil || generation == 0 || generation >= maxGeneration {
		return Token{}, ErrMalformed
	}
	t := Token{KeyID: parts.KeyID, Family: family, Generation: generation}
	key, ok := r.key(t.KeyID)
	if !ok {
		return t, ErrUnknownKey
	}
	if !hmac.Equal(got, mac(key, []byte(strings.TrimSuffix(text, "."+parts.MAC)))) {
		return Token{}, ErrMalformed
	}
	return t, nil
}

// Presenter returns a short keyed digest of who presents t: user agent and
// network. It is keyed by t's own ring key, so that the same token from the
// same presenter gives the same digest whatever the ring signs with meanwhile,
// and so that a reader of the store cannot tell agents or networks from it.
func (r *Ring) Presenter(t Token, userAgent, network string) string {
	key, _ := r.key(t.KeyID) // a verified token's key is in the ring; without one the digest is merely unkeyed
	sum := mac(key, []byte("presenter\x00"+userAgent+"\x00"+network))
	return base64.RawURLEncoding.EncodeToString(sum[:6])
}

func mac(key, message []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(message)
	return h.Sum(nil)
}

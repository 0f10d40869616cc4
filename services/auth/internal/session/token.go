package session

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"

	"lilypad.example/services/auth/api"
)

// ErrMalformed means that a text is not one of our refresh tokens: its format is wrong or its MAC
// does not verify. The stores were not asked.
var ErrMalformed = errors.New("session: not a refresh token of ours")

// A FamilyID identifies a refresh-token family: 128 random bits as base64url. It is the claim sid
// of access tokens. It is not a credential: a refresh token also needs a MAC.
type FamilyID string

// NewFamilyID returns a fresh random FamilyID.
func NewFamilyID() FamilyID {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand, Go 1.24)
	return FamilyID(base64.RawURLEncoding.EncodeToString(b[:]))
}

// ParseFamilyID rejects everything that NewFamilyID cannot have made, so that untrusted text never
// becomes part of a key in the store. It fails with ErrMalformed.
func ParseFamilyID(s string) (FamilyID, error) {
	if !api.ValidSessionID(s) {
		return "", ErrMalformed
	}
	return FamilyID(s), nil
}

// A Token is the content of a refresh token. It is verified, unless Parse says otherwise.
type Token struct {
	KeyID      string
	Family     FamilyID
	Generation uint64
}

// Mint returns the text of t in the format of api.RefreshToken. Every replica computes the same
// text for the same token. It fails with ErrUnknownKey if t.KeyID is not in the ring.
func (r *Ring) Mint(t Token) (string, error) {
	key, ok := r.key(t.KeyID)
	if !ok {
		return "", ErrUnknownKey
	}
	text := api.NewRefreshToken(t.KeyID, string(t.Family), t.Generation)
	text.MAC = base64.RawURLEncoding.EncodeToString(mac(key, []byte(text.Signed)))
	return text.String(), nil
}

// Parse verifies a refresh token and returns its content. It fails with ErrMalformed, or with
// ErrUnknownKey if its key is not in the ring: then the returned Token is not verified. It computes
// at most one HMAC and asks no store.
func (r *Ring) Parse(text string) (Token, error) {
	parts, ok := api.ParseRefreshToken(text)
	if !ok {
		return Token{}, ErrMalformed
	}
	sum, err1 := base64.RawURLEncoding.Strict().DecodeString(parts.MAC)
	family, err2 := ParseFamilyID(parts.SessionID)
	if errors.Join(err1, err2) != nil {
		return Token{}, ErrMalformed
	}
	t := Token{KeyID: parts.KeyID, Family: family, Generation: parts.Generation}
	key, ok := r.key(t.KeyID)
	if !ok {
		return t, ErrUnknownKey
	}
	if !hmac.Equal(sum, mac(key, []byte(parts.Signed))) {
		return Token{}, ErrMalformed
	}
	return t, nil
}

// PresenterDigest returns a short keyed digest of the user agent and network that present t. Its
// key is the ring key of t, so the digest of a token and its presenter survives a change of the
// signing key, and a reader of the store cannot learn user agents or networks from it.
func (r *Ring) PresenterDigest(t Token, userAgent, network string) string {
	key, _ := r.key(t.KeyID) // present for a verified token; otherwise the digest has an empty key
	sum := mac(key, []byte("presenter\x00"+userAgent+"\x00"+network))
	return base64.RawURLEncoding.EncodeToString(sum[:6])
}

func mac(key, message []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(message)
	return h.Sum(nil)
}

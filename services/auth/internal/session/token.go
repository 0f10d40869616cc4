package session

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"

	"lilypad.example/services/auth/api"
)

// ErrMalformed says that a text is no refresh token of ours: another shape,
// or a MAC that does not verify. Nothing was looked up.
var ErrMalformed = errors.New("session: not a refresh token of ours")

// A FamilyID names a refresh-token family: 128 random bits as base64url. It is
// the sid of access tokens. It is no credential: a refresh token needs a MAC.
type FamilyID string

// NewFamilyID returns a fresh random FamilyID.
func NewFamilyID() FamilyID {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand, Go 1.24)
	return FamilyID(base64.RawURLEncoding.EncodeToString(b[:]))
}

// ParseFamilyID refuses whatever NewFamilyID cannot have made, so that no text
// from outside ever becomes part of a key in the store.
func ParseFamilyID(s string) (FamilyID, error) {
	if !api.ValidSessionID(s) {
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

// Mint returns t's text, an api.RefreshToken. The same token always has the same
// text, whoever computes it. It fails with ErrUnknownKey when the ring does not
// hold t.KeyID.
func (r *Ring) Mint(t Token) (string, error) {
	key, ok := r.key(t.KeyID)
	if !ok {
		return "", ErrUnknownKey
	}
	text := api.NewRefreshToken(t.KeyID, string(t.Family), t.Generation)
	text.MAC = base64.RawURLEncoding.EncodeToString(mac(key, []byte(text.Signed)))
	return text.String(), nil
}

// Parse verifies text and returns what it says. It fails with ErrMalformed, or
// with ErrUnknownKey if only the key is missing: then the Token is what the text
// says, unverified. It costs at most one HMAC and no call to any store.
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

// PresenterDigest returns a short keyed digest of who presents t: user agent and
// network. It is keyed by t's own ring key, so that the same token from the
// same presenter gives the same digest whatever the ring signs with meanwhile,
// and so that a reader of the store cannot tell agents or networks from it.
func (r *Ring) PresenterDigest(t Token, userAgent, network string) string {
	key, _ := r.key(t.KeyID) // a verified token's key is in the ring; without one the digest is merely unkeyed
	sum := mac(key, []byte("presenter\x00"+userAgent+"\x00"+network))
	return base64.RawURLEncoding.EncodeToString(sum[:6])
}

func mac(key, message []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(message)
	return h.Sum(nil)
}

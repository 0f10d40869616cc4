package session

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"fmt"
)

// Seal encrypts text with a key that is derived from the signing key of the ring, for the purpose
// that label names and the object that id names. Each object has its own key, so random nonces do
// not repeat for a key. A store that keeps the result cannot read it.
func (r *Ring) Seal(label, id string, text []byte) []byte {
	aead := sealer(r.keys[r.signing], label, id)
	head := append([]byte(r.signing), '.')
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails (crypto/rand, Go 1.24)
	return aead.Seal(append(head, nonce...), nonce, text, nil)
}

// Open decrypts the result of Seal for the same label and id. It fails with ErrUnknownKey if the
// key is not in the ring, and with ErrMalformed if the result was changed.
func (r *Ring) Open(label, id string, sealed []byte) ([]byte, error) {
	keyID, rest, ok := bytes.Cut(sealed, []byte("."))
	if !ok {
		return nil, ErrMalformed
	}
	key, ok := r.key(string(keyID))
	if !ok {
		return nil, ErrUnknownKey
	}
	aead := sealer(key, label, id)
	if len(rest) < aead.NonceSize() {
		return nil, ErrMalformed
	}
	text, err := aead.Open(nil, rest[:aead.NonceSize()], rest[aead.NonceSize():], nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return text, nil
}

// sealer returns AES-256-GCM with a key of its own for label and id.
func sealer(key []byte, label, id string) cipher.AEAD {
	block, _ := aes.NewCipher(mac(key, []byte("seal\x00"+label+"\x00"+id))) // 32 bytes are always a key
	aead, _ := cipher.NewGCM(block)                                         // AES always has the block size of GCM
	return aead
}

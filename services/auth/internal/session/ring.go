package session

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"lilypad.example/services/auth/api"
)

// ErrUnknownKey means that a token names a key that is not in this ring: the key was not read yet
// or has been removed, or the token is forged.
var ErrUnknownKey = errors.New("session: unknown ring key")

const ringKeyBytes = 32

// A Ring holds the HMAC keys of refresh tokens. The first key signs, all keys verify. For the
// rotation of keys see docs/sessions.md. A Ring is immutable.
type Ring struct {
	signing string
	keys    map[string][]byte
}

// ParseRing parses a ring with one key per line, `<key id> <base64 of 32 bytes>`. It skips empty
// lines and lines that begin with #. It returns all errors joined; they never contain a key.
func ParseRing(text []byte) (*Ring, error) {
	r := &Ring{keys: make(map[string][]byte)}
	var faults []error
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := r.add(line); err != nil {
			faults = append(faults, fmt.Errorf("ring keys, line %d: %w", n, err))
		}
	}
	if len(r.keys) == 0 && len(faults) == 0 {
		faults = append(faults, errors.New("ring keys: there is none; make some with `auth keys generate`"))
	}
	if err := errors.Join(append(faults, lines.Err())...); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Ring) add(line string) error {
	id, encoded, ok := strings.Cut(line, " ")
	if !ok {
		return errors.New("want `<key id> <base64 of 32 bytes>`")
	}
	if !api.ValidKeyID(id) {
		return fmt.Errorf("key id: want 1 to %d lower-case letters and digits", api.MaxKeyIDLen)
	}
	if _, taken := r.keys[id]; taken {
		return fmt.Errorf("key id %s is there twice", id)
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if err != nil {
		return fmt.Errorf("key %s is not base64", id)
	}
	if len(key) != ringKeyBytes {
		return fmt.Errorf("key %s has %d bytes, want %d", id, len(key), ringKeyBytes)
	}
	if r.signing == "" {
		r.signing = id
	}
	r.keys[id] = key
	return nil
}

// NewRingLine returns the text of a ring with one new random key.
func NewRingLine() string {
	var key [ringKeyBytes]byte
	_, _ = rand.Read(key[:]) // never fails (crypto/rand, Go 1.24)
	return strings.ToLower(rand.Text()[:8]) + " " + base64.StdEncoding.EncodeToString(key[:]) + "\n"
}

// SigningKey returns the ID of the key that signs.
func (r *Ring) SigningKey() string { return r.signing }

func (r *Ring) key(id string) ([]byte, bool) {
	key, ok := r.keys[id]
	return key, ok
}

// Derive returns keys for the purpose that label names: one for each key of the ring, in the order
// of the key IDs. The result does not depend on which key signs.
func (r *Ring) Derive(label string) [][]byte {
	derived := make([][]byte, 0, len(r.keys))
	for _, id := range slices.Sorted(maps.Keys(r.keys)) {
		derived = append(derived, mac(r.keys[id], []byte("derive\x00"+label)))
	}
	return derived
}

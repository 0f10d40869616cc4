package rollover

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"time"

	"lilypad.example/services/auth/internal/signer"
)

// The headers that record a key's history.
const (
	headerPublished  = "Published"
	headerSigning    = "Signing"
	headerSuperseded = "Superseded"
)

// A Key is a private key of signing.pem with its history. A zero time means that the event has not
// happened or was not recorded.
type Key struct {
	ID                             string // kid
	Published, Signing, Superseded time.Time

	block *pem.Block
}

// State returns "next", "signing" or "superseded". The first key of the file signs regardless of its
// headers.
func (k Key) State(first bool) string {
	switch {
	case first:
		return "signing"
	case k.isNext():
		return "next"
	}
	return "superseded"
}

// isNext reports whether k was published to sign later.
func (k Key) isNext() bool {
	return !k.Published.IsZero() && k.Signing.IsZero() && k.Superseded.IsZero()
}

// Generate returns a new P-256 key without history.
func Generate() (Key, error) {
	text, err := signer.Generate()
	if err != nil {
		return Key{}, err
	}
	keys, err := Parse(text)
	if err != nil {
		return Key{}, err
	}
	return keys[0], nil
}

// Parse parses the keys of a signing.pem in order. It reports all errors at once, and errors never
// contain a key. A text without keys is valid.
func Parse(text []byte) ([]Key, error) {
	var keys []Key
	var errs []error
	for n := 1; ; n++ {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return keys, errors.Join(errs...)
		}
		if signer.IsParameters(block) {
			n--
			continue
		}
		key, err := parseKey(block)
		if err != nil {
			errs = append(errs, fmt.Errorf("signing keys, block %d: %w", n, err))
		}
		keys = append(keys, key)
	}
}

func parseKey(block *pem.Block) (Key, error) {
	id, err := signer.ID(block)
	if err != nil {
		return Key{}, err
	}
	key := Key{ID: id, block: block}
	for header, at := range key.history() {
		text, noted := block.Headers[header]
		if !noted {
			continue
		}
		if *at, err = time.Parse(time.RFC3339, text); err != nil {
			return Key{}, fmt.Errorf("%s is not a time such as 2026-01-31T12:00:00Z", header)
		}
	}
	return key, nil
}

func (k *Key) history() map[string]*time.Time {
	return map[string]*time.Time{headerPublished: &k.Published, headerSigning: &k.Signing, headerSuperseded: &k.Superseded}
}

// Encode encodes keys with their history as a signing.pem.
func Encode(keys []Key) ([]byte, error) {
	var text bytes.Buffer
	for _, k := range keys {
		block := &pem.Block{Type: k.block.Type, Bytes: k.block.Bytes, Headers: maps.Clone(k.block.Headers)}
		if block.Headers == nil {
			block.Headers = make(map[string]string)
		}
		for header, at := range k.history() {
			delete(block.Headers, header)
			if !at.IsZero() {
				block.Headers[header] = at.UTC().Format(time.RFC3339)
			}
		}
		if err := pem.Encode(&text, block); err != nil {
			return nil, fmt.Errorf("encode signing keys: %w", err)
		}
	}
	return text.Bytes(), nil
}

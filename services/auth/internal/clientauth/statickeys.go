package clientauth

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// StaticKeys checks assertions that clients sign themselves (private_key_jwt).
type StaticKeys struct {
	keys   map[string]crypto.PublicKey
	parser *jwt.Parser
}

// ParseStaticKeys reads a JSON object of client ids and their public keys in
// PEM form. audience is what an assertion must be for: the issuer's name.
func ParseStaticKeys(text []byte, audience string) (*StaticKeys, error) {
	var pems map[string]string
	if err := json.Unmarshal(text, &pems); err != nil {
		return nil, fmt.Errorf(`client keys: want a JSON object {"client id": "PEM public key"}: %w`, err)
	}
	s := &StaticKeys{keys: make(map[string]crypto.PublicKey), parser: jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodES256.Alg(), jwt.SigningMethodEdDSA.Alg()}),
		jwt.WithAudience(audience), jwt.WithExpirationRequired(), jwt.WithLeeway(30*time.Second), jwt.WithStrictDecoding(),
	)}
	var faults []error
	for client, text := range pems {
		block, _ := pem.Decode([]byte(text))
		if block == nil {
			faults = append(faults, fmt.Errorf("client keys: %s: not in PEM form", client))
			continue
		}
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			faults = append(faults, fmt.Errorf("client keys: %s: %w", client, err))
			continue
		}
		s.keys[client] = key
	}
	return s, errors.Join(faults...)
}

// Check implements Checker. RFC 7523 section 3: iss and sub are the client's id.
func (s *StaticKeys) Check(_ context.Context, assertion string, unverified jwt.RegisteredClaims) (string, time.Time, error) {
	key, ok := s.keys[unverified.Subject]
	if !ok || unverified.Issuer != unverified.Subject {
		return "", time.Time{}, ErrInvalid
	}
	var claims jwt.RegisteredClaims
	if _, err := s.parser.ParseWithClaims(assertion, &claims, func(*jwt.Token) (any, error) { return key, nil }); err != nil {
		return "", time.Time{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return claims.Subject, claims.ExpiresAt.Time, nil
}

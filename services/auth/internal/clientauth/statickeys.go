package clientauth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"sigs.k8s.io/json"
)

// maxLife is how far in the future the exp of a self-signed assertion may be, and how far in the
// past its iat. It bounds how long an unused copy is valid and how long used ones are remembered.
const maxLife = 5 * time.Minute

// Replays remembers used assertions for all replicas.
type Replays interface {
	// First reports whether an assertion of client with this jti is used for the first time, and
	// remembers it for the given time. It fails if it cannot tell.
	First(ctx context.Context, client, jti string, remember time.Duration) (bool, error)
}

// replayTimeout bounds a call of Replays. It is short so that a logout reaches the records before
// the caller times out, even while Replays does not respond.
const replayTimeout = time.Second

// Keys maps client IDs to public keys. A client has several during a key change.
type Keys map[string]jwt.VerificationKeySet

// ParseKeys parses a JSON object from client IDs to one or more public keys (ECDSA P-256 or Ed25519)
// in PEM form. It reports all errors at once.
func ParseKeys(text []byte) (Keys, error) {
	var clients map[string]string
	duplicates, err := json.UnmarshalStrict(text, &clients, json.DisallowDuplicateFields)
	if err != nil {
		return nil, fmt.Errorf(`client keys: want a JSON object {"client id": "PEM public keys"}: %w`, err)
	}
	var errs []error
	for _, err := range duplicates {
		errs = append(errs, fmt.Errorf("client keys: %w: put all keys of a client into one value", err))
	}
	if len(clients) == 0 {
		errs = append(errs, errors.New("client keys: no clients"))
	}
	keys := make(Keys)
	for _, client := range slices.Sorted(maps.Keys(clients)) {
		set, err := parsePublicKeys(clients[client])
		if client == "" {
			err = errors.Join(errors.New("a client id is empty"), err)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("client keys: %q: %w", client, err))
			continue
		}
		keys[client] = set
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return keys, nil
}

func parsePublicKeys(text string) (set jwt.VerificationKeySet, err error) {
	for rest := []byte(text); len(strings.TrimSpace(string(rest))) > 0; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return set, errors.New("not in PEM form")
		}
		key, err := parsePublicKey(block)
		if err != nil {
			return set, err
		}
		set.Keys = append(set.Keys, key)
	}
	if len(set.Keys) == 0 {
		return set, errors.New("not in PEM form")
	}
	return set, nil
}

func parsePublicKey(block *pem.Block) (crypto.PublicKey, error) {
	if block.Type != "PUBLIC KEY" {
		return nil, fmt.Errorf("a PEM block is %s, want PUBLIC KEY", block.Type)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("invalid public key: %w", err)
	}
	switch k := key.(type) {
	case ed25519.PublicKey:
		return k, nil
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return k, nil
		}
	}
	return nil, errors.New("want an ECDSA P-256 or Ed25519 key")
}

// StaticKeys checks assertions that clients sign themselves (private_key_jwt). Each assertion is
// valid once.
type StaticKeys struct {
	keys    func() Keys
	replays Replays
	parser  *jwt.Parser
}

// NewStaticKeys returns a StaticKeys. keys is called at each check. audience is the required aud of
// assertions: the issuer's name.
func NewStaticKeys(keys func() Keys, audience string, replays Replays) *StaticKeys {
	s := &StaticKeys{keys: keys, replays: replays}
	s.parser = jwt.NewParser(
		jwt.WithValidMethods(s.Algorithms()), jwt.WithStrictDecoding(), jwt.WithLeeway(leeway),
		jwt.WithAudience(audience), jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
	)
	return s
}

// Algorithms implements Checker.
func (*StaticKeys) Algorithms() []string {
	return []string{jwt.SigningMethodES256.Alg(), jwt.SigningMethodEdDSA.Alg()}
}

// Check implements Checker. The rules are those of RFC 7523 section 3; jti is
// required. Where the assertion comes from does not matter.
func (s *StaticKeys) Check(ctx context.Context, assertion, _ string) (string, error) {
	claims := jwt.MapClaims{} // refuses claims of the wrong JSON type, such as dates as strings
	if _, err := s.parser.ParseWithClaims(assertion, claims, s.candidates); err != nil {
		return "", fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	// The parser has validated these claims.
	client, _ := claims.GetSubject()
	expires, _ := claims.GetExpirationTime()
	issued, _ := claims.GetIssuedAt()
	jti, _ := claims["jti"].(string)
	now := time.Now()
	switch {
	case jti == "":
		return "", fmt.Errorf("%w: no jti", ErrInvalid)
	case expires.After(now.Add(maxLife + leeway)):
		return "", fmt.Errorf("%w: exp is more than %s away", ErrInvalid, maxLife)
	case issued != nil && issued.Before(now.Add(-maxLife-leeway)):
		return "", fmt.Errorf("%w: iat is more than %s ago", ErrInvalid, maxLife)
	}
	// Remember it until exp plus leeway has passed on the slowest replica's clock.
	ctx, cancel := context.WithTimeout(ctx, replayTimeout)
	defer cancel()
	first, err := s.replays.First(ctx, client, jti, expires.Sub(now)+2*leeway)
	switch {
	case err != nil:
		return client, fmt.Errorf("%w: %w", ErrMaybeReplayed, err)
	case !first:
		return "", fmt.Errorf("%w: used before", ErrInvalid)
	}
	return client, nil
}

// candidates returns the keys of the client that token names as its issuer.
func (s *StaticKeys) candidates(token *jwt.Token) (any, error) {
	if _, critical := token.Header["crit"]; critical {
		return nil, errors.New("critical extension") // RFC 7515 section 4.1.11
	}
	issuer, err1 := token.Claims.GetIssuer()
	subject, err2 := token.Claims.GetSubject()
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	keys, ok := s.keys()[subject]
	if !ok || issuer != subject {
		return nil, errors.New("iss and sub are not the ID of one client")
	}
	return keys, nil
}

package authclient

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// assertionLife is the lifetime of a self-signed assertion. Each is sent once and
	// immediately; the lifetime allows for clock skew.
	assertionLife = time.Minute
	// fileLife is how long a projected token is cached. The kubelet renews it at 80 %
	// of its lifetime, which is at least ten minutes.
	fileLife = time.Minute
)

// An Assertion authenticates the sidecar to the auth service (RFC 7523).
type Assertion interface {
	// Assertion returns a client assertion. It is called for every attempt of a call, and
	// must be safe for concurrent use.
	Assertion() (string, error)
}

// FileAssertion returns the token in a file, which the kubelet renews.
func FileAssertion(path string, now func() time.Time) Assertion {
	return &tokenFile{path: path, now: now}
}

type tokenFile struct {
	path string
	now  func() time.Time

	mu    sync.Mutex
	text  string
	until time.Time
}

// Assertion implements Assertion.
func (f *tokenFile) Assertion() (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.text != "" && f.now().Before(f.until) {
		return f.text, nil
	}
	b, err := os.ReadFile(f.path)
	if err != nil {
		return "", fmt.Errorf("client assertion: %w", err)
	}
	text := strings.TrimSpace(string(b))
	if text == "" {
		return "", fmt.Errorf("client assertion: %s is empty", f.path)
	}
	f.text, f.until = text, f.now().Add(fileLife)
	return text, nil
}

// KeyAssertion signs assertions for client with the private P-256 key in pemText. Each
// has a new jti, because the auth service accepts each once. audience is the issuer.
func KeyAssertion(client, audience string, pemText []byte, now func() time.Time) (Assertion, error) {
	key, err := parseKey(pemText)
	if err != nil {
		return nil, fmt.Errorf("client key: %w", err)
	}
	return &clientKey{client, audience, key, now}, nil
}

type clientKey struct {
	client, audience string
	key              *ecdsa.PrivateKey
	now              func() time.Time
}

// Assertion implements Assertion.
func (k *clientKey) Assertion() (string, error) {
	at := k.now()
	text, err := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.RegisteredClaims{
		Issuer: k.client, Subject: k.client, Audience: jwt.ClaimStrings{k.audience}, ID: rand.Text(),
		IssuedAt: jwt.NewNumericDate(at), ExpiresAt: jwt.NewNumericDate(at.Add(assertionLife)),
	}).SignedString(k.key)
	if err != nil {
		return "", fmt.Errorf("sign client assertion: %w", err)
	}
	return text, nil
}

func parseKey(pemText []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(pemText)
	if block == nil {
		return nil, errors.New("not PEM")
	}
	var key any
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		if key, err = x509.ParsePKCS8PrivateKey(block.Bytes); err != nil {
			return nil, fmt.Errorf("no private key: %w", err)
		}
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok || ec.Curve != elliptic.P256() {
		return nil, errors.New("want a P-256 key")
	}
	return ec, nil
}

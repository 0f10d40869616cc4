package authclient

import (
	"crypto"
	"crypto/ecdsa"
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
	// assertionLife is how long a self-signed assertion is good; it is used for half of that.
	assertionLife = 5 * time.Minute
	// fileLife is how long a projected token is used before it is read again;
	// the kubelet renews it at 80 % of its life, which is ten minutes at least.
	fileLife = time.Minute
)

// An Assertion proves to the auth service which client we are (RFC 7523).
type Assertion interface {
	Assertion() (string, error)
}

// cached renews a text when its time has come.
type cached struct {
	renew func() (text string, life time.Duration, err error)
	now   func() time.Time

	mu    sync.Mutex
	text  string
	until time.Time
}

// Assertion implements Assertion.
func (c *cached) Assertion() (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.text != "" && c.now().Before(c.until) {
		return c.text, nil
	}
	text, life, err := c.renew()
	if err != nil {
		return "", err
	}
	c.text, c.until = text, c.now().Add(life)
	return text, nil
}

// FileAssertion returns the token in a file, which Kubernetes renews there.
func FileAssertion(path string, now func() time.Time) Assertion {
	return &cached{now: now, renew: func() (string, time.Duration, error) {
		b, err := os.ReadFile(path)
		if err != nil {
			return "", 0, fmt.Errorf("client assertion: %w", err)
		}
		text := strings.TrimSpace(string(b))
		if text == "" {
			return "", 0, fmt.Errorf("client assertion: %s is empty", path)
		}
		return text, fileLife, nil
	}}
}

// KeyAssertion signs assertions for client with the private P-256 key in pemText.
// audience is the issuer's name.
func KeyAssertion(client, audience string, pemText []byte, now func() time.Time) (Assertion, error) {
	key, err := parseKey(pemText)
	if err != nil {
		return nil, fmt.Errorf("client key: %w", err)
	}
	return &cached{now: now, renew: func() (string, time.Duration, error) {
		at := now()
		text, err := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.RegisteredClaims{
			Issuer: client, Subject: client, Audience: jwt.ClaimStrings{audience}, ID: rand.Text(),
			IssuedAt: jwt.NewNumericDate(at), ExpiresAt: jwt.NewNumericDate(at.Add(assertionLife)),
		}).SignedString(key)
		if err != nil {
			return "", 0, fmt.Errorf("sign client assertion: %w", err)
		}
		return text, assertionLife / 2, nil
	}}, nil
}

func parseKey(pemText []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(pemText)
	if block == nil {
		return nil, errors.New("not in PEM form")
	}
	if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("no private key: %w", err)
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("want a P-256 key")
	}
	return ec, nil
}

package provider

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"lilypad.example/services/auth/api"
)

// A credential is how this service proves to a provider that it is the client: exactly one of the
// files, read at each use so that it can be replaced at any time.
type credential struct {
	clientID                                  string
	secretFile, privateKeyFile, assertionFile string
	keyID                                     string
}

// assertionLife is how long an assertion that we sign is valid.
const assertionLife = time.Minute

// setting returns the setting that the credential comes from.
func (c *credential) setting() string {
	switch {
	case c.secretFile != "":
		return "client_secret_file"
	case c.privateKeyFile != "":
		return "private_key_file"
	}
	return "assertion_file"
}

// check reads the credential.
func (c *credential) check() error {
	if c.privateKeyFile == "" {
		_, err := secret(c.secretFile + c.assertionFile)
		return err
	}
	_, _, err := privateKey(c.privateKeyFile)
	return err
}

func secret(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err //nolint:wrapcheck // it names the file already
	}
	if s := strings.TrimSpace(string(text)); s != "" {
		return s, nil
	}
	return "", fmt.Errorf("%s is empty", path)
}

// privateKey reads a PEM file with a private key and, optionally, its certificate.
func privateKey(path string) (crypto.Signer, *x509.Certificate, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err //nolint:wrapcheck // it names the file already
	}
	var key crypto.Signer
	var certificate *x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case block.Type == "CERTIFICATE" && certificate == nil:
			certificate, err = x509.ParseCertificate(block.Bytes)
		case strings.HasSuffix(block.Type, "PRIVATE KEY") && key == nil:
			key, err = parseKey(block.Bytes)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	if key == nil {
		return nil, nil, fmt.Errorf("%s has no private key (PEM)", path)
	}
	return key, certificate, nil
}

// parseKey parses a key in PKCS #8, PKCS #1 or SEC 1 form. Its errors have nothing of the key.
func parseKey(der []byte) (crypto.Signer, error) {
	var key any
	var err error
	if key, err = x509.ParsePKCS8PrivateKey(der); err != nil {
		if key, err = x509.ParsePKCS1PrivateKey(der); err != nil {
			key, err = x509.ParseECPrivateKey(der)
		}
	}
	if err != nil {
		return nil, errors.New("the private key cannot be read: want PKCS #8, PKCS #1 or SEC 1, not encrypted")
	}
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		if k.Curve.Params().BitSize == 256 {
			return k, nil
		}
	case ed25519.PrivateKey:
		return k, nil
	case *rsa.PrivateKey:
		if k.N.BitLen() >= 2048 {
			return k, nil
		}
	}
	return nil, errors.New("the private key must be P-256, Ed25519 or RSA with 2048 bits or more")
}

// apply adds the credential to a request with these parameters for endpoint. methods and algorithms
// are what the provider announces.
func (c *credential) apply(endpoint string, params url.Values, header http.Header, methods, algorithms []string) error {
	if c.secretFile != "" {
		text, err := secret(c.secretFile)
		if err != nil {
			return err
		}
		if len(methods) == 0 || slices.Contains(methods, "client_secret_basic") {
			// RFC 6749 section 2.3.1: both are encoded as in a form.
			basic := url.QueryEscape(c.clientID) + ":" + url.QueryEscape(text)
			header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(basic)))
			return nil
		}
		params.Set("client_id", c.clientID)
		params.Set("client_secret", text)
		return nil
	}
	assertion, err := c.assertion(endpoint, algorithms)
	if err != nil {
		return err
	}
	params.Set("client_id", c.clientID)
	params.Set("client_assertion_type", api.ClientAssertionType)
	params.Set("client_assertion", assertion)
	return nil
}

// assertion returns the pod's token, or an assertion of our own. Its audience is the very endpoint
// that it is sent to: a provider cannot use it anywhere else.
func (c *credential) assertion(endpoint string, algorithms []string) (string, error) {
	if c.assertionFile != "" {
		return secret(c.assertionFile)
	}
	key, certificate, err := privateKey(c.privateKeyFile)
	if err != nil {
		return "", err
	}
	var method jwt.SigningMethod
	switch key.(type) {
	case *ecdsa.PrivateKey:
		method = jwt.SigningMethodES256
	case ed25519.PrivateKey:
		method = jwt.SigningMethodEdDSA
	default:
		method = jwt.SigningMethodRS256
		if slices.Contains(algorithms, "PS256") {
			method = jwt.SigningMethodPS256
		}
	}
	now := time.Now()
	t := jwt.NewWithClaims(method, jwt.RegisteredClaims{
		Issuer: c.clientID, Subject: c.clientID, Audience: jwt.ClaimStrings{endpoint}, ID: rand.Text(),
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(assertionLife)),
	})
	if c.keyID != "" {
		t.Header["kid"] = c.keyID
	}
	if certificate != nil {
		sum := sha256.Sum256(certificate.Raw)
		t.Header["x5t#S256"] = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return t.SignedString(key)
}

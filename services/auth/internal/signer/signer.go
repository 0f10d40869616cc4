// Package signer holds the private keys that sign access tokens and publishes their public halves.
// It does not depend on the tokens' claims.
package signer

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

// Keys is an immutable set of signing keys. The first signs and all are published, so that verifiers
// know a new key before it signs, and an old one until its last token has expired.
type Keys struct {
	method  jwt.SigningMethod
	kid     string
	private crypto.Signer
	jwks    []byte
}

// Parse parses PEM blocks with P-256 (ES256) or Ed25519 (EdDSA) private keys in PKCS #8 or SEC 1
// form. It reports all errors at once, and errors never contain a key.
func Parse(text []byte) (*Keys, error) {
	var errs []error
	var set jwkset.JWKSMarshal
	keys := &Keys{}
	for n := 1; ; n++ {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if IsParameters(block) {
			n--
			continue
		}
		key, kid, err := parseKey(block)
		if err != nil {
			errs = append(errs, fmt.Errorf("signing keys, block %d: %w", n, err))
			continue
		}
		method := methodOf(key)
		if keys.private == nil {
			keys.private, keys.kid, keys.method = key, kid, method
		}
		jwk, err := publicJWK(key.Public(), kid, method)
		if err != nil {
			return nil, err
		}
		set.Keys = append(set.Keys, jwk)
	}
	if len(set.Keys) == 0 && len(errs) == 0 {
		errs = append(errs, errors.New("signing keys: no PEM block; create a key with `auth keys generate`"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	jwks, err := json.Marshal(set)
	if err != nil {
		return nil, fmt.Errorf("encode JWKS: %w", err)
	}
	keys.jwks = jwks
	return keys, nil
}

// Generate returns a new P-256 key in PEM form.
func Generate() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate signing key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode signing key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// Sign encodes claims as JSON and returns a compact JWS (RFC 7515 section 7.1) with the given typ,
// signed with the first key. Every refresh calls it, so it avoids jwt.Token, which allocates a map
// for the header.
func (k *Keys) Sign(typ string, claims any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("sign: encode claims: %w", err)
	}
	header := `{"alg":"` + k.method.Alg() + `","kid":"` + k.kid + `","typ":"` + typ + `"}`
	text := segment([]byte(header)) + "." + segment(payload)
	signature, err := k.method.Sign(text, k.private)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return text + "." + segment(signature), nil
}

func segment(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// JWKS returns the public halves of all keys as a JWK set (RFC 7517).
func (k *Keys) JWKS() []byte { return k.jwks }

// IsParameters reports whether block holds the EC parameters that openssl writes before a key. They
// are redundant.
func IsParameters(block *pem.Block) bool { return block.Type == "EC PARAMETERS" }

// ID returns the kid of the private key in block. It fails if Parse would.
func ID(block *pem.Block) (string, error) {
	_, kid, err := parseKey(block)
	return kid, err
}

func parseKey(block *pem.Block) (key crypto.Signer, kid string, err error) {
	var parsed any
	if parsed, err = x509.ParseECPrivateKey(block.Bytes); err != nil {
		if parsed, err = x509.ParsePKCS8PrivateKey(block.Bytes); err != nil {
			return nil, "", fmt.Errorf("a %q block is not a private key", block.Type)
		}
	}
	if key, err = supported(parsed); err != nil {
		return nil, "", err
	}
	kid, err = thumbprint(key.Public())
	return key, kid, err
}

func supported(key any) (crypto.Signer, error) {
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		if k.Curve == elliptic.P256() {
			return k, nil
		}
		return nil, fmt.Errorf("curve %s: want P-256", k.Curve.Params().Name)
	case ed25519.PrivateKey:
		return k, nil
	}
	return nil, errors.New("want a P-256 or an Ed25519 key")
}

func methodOf(key crypto.Signer) jwt.SigningMethod {
	if _, ok := key.(ed25519.PrivateKey); ok {
		return jwt.SigningMethodEdDSA
	}
	return jwt.SigningMethodES256
}

func publicJWK(public crypto.PublicKey, kid string, method jwt.SigningMethod) (jwkset.JWKMarshal, error) {
	jwk, err := jwkset.NewJWKFromKey(public, jwkset.JWKOptions{
		Metadata: jwkset.JWKMetadataOptions{KID: kid, ALG: jwkset.ALG(method.Alg()), USE: jwkset.UseSig},
	})
	if err != nil {
		return jwkset.JWKMarshal{}, fmt.Errorf("encode JWK: %w", err)
	}
	return jwk.Marshal(), nil
}

// thumbprint returns a key's ID: the hash of its SubjectPublicKeyInfo, so that a key has the same ID
// in every replica without configuration.
func thumbprint(public crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", fmt.Errorf("encode public key: %w", err)
	}
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:12]), nil
}

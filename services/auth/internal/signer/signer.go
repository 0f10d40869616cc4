// Package signer holds the private keys of access tokens and publishes their
// public halves. It signs what it is given and knows no claims.
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

// Keys is a set of signing keys: the first signs, all are published, so that
// a new key is known to every verifier before it signs, and an old one until
// the last token it signed has ended. It is immutable.
type Keys struct {
	method  jwt.SigningMethod
	kid     string
	private crypto.Signer
	jwks    []byte
}

// Parse reads PEM blocks, each a private key on P-256 (ES256) or of Ed25519
// (EdDSA), in PKCS #8 or SEC 1 form. It reports all faults and never a key.
func Parse(text []byte) (*Keys, error) {
	var faults []error
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
			faults = append(faults, fmt.Errorf("signing keys, block %d: %w", n, err))
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
	if len(set.Keys) == 0 && len(faults) == 0 {
		faults = append(faults, errors.New("signing keys: there is none in PEM form; make one with `auth keys generate`"))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	jwks, err := json.Marshal(set)
	if err != nil {
		return nil, fmt.Errorf("encode JWKS: %w", err)
	}
	keys.jwks = jwks
	return keys, nil
}

// Generate returns a fresh P-256 key in PEM form.
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

// Sign returns claims, encoded as JSON, as a compact JWS (RFC 7515 section 7.1)
// with the given typ, signed with the first key. It is on the way of every
// refresh; jwt.Token would make a map of the header first.
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

// IsParameters reports whether block is what openssl writes before an EC key:
// it says nothing that the key does not.
func IsParameters(block *pem.Block) bool { return block.Type == "EC PARAMETERS" }

// ID returns the kid of the private key in block. It fails as Parse does.
func ID(block *pem.Block) (string, error) {
	_, kid, err := parseKey(block)
	return kid, err
}

func parseKey(block *pem.Block) (key crypto.Signer, kid string, err error) {
	var parsed any
	if parsed, err = x509.ParseECPrivateKey(block.Bytes); err != nil {
		if parsed, err = x509.ParsePKCS8PrivateKey(block.Bytes); err != nil {
			return nil, "", fmt.Errorf("a %q is no private key", block.Type)
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

// thumbprint is a key's id: the hash of its SubjectPublicKeyInfo, so that the
// same key has the same id in every replica and nobody has to name keys.
func thumbprint(public crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", fmt.Errorf("encode public key: %w", err)
	}
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:12]), nil
}

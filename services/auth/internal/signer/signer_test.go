package signer_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"slices"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"lilypad.example/services/auth/internal/signer"
)

func encode(t *testing.T, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func kidOf(t *testing.T, k *signer.Keys) (kid, alg string) {
	t.Helper()
	text, err := k.Sign("at+jwt", jwt.RegisteredClaims{Subject: "u"})
	if err != nil {
		t.Fatal(err)
	}
	parsed, _, err := jwt.NewParser().ParseUnverified(text, &jwt.RegisteredClaims{})
	if err != nil || parsed.Header["typ"] != "at+jwt" {
		t.Fatalf("%v, %v", parsed.Header, err)
	}
	return parsed.Header["kid"].(string), parsed.Method.Alg()
}

func TestFirstKeySignsAllArePublished(t *testing.T) {
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(p256)
	if err != nil {
		t.Fatal(err)
	}
	ec := string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1}))
	var kids []string
	for want, text := range map[string]string{"ES256": ec + encode(t, ed), "EdDSA": encode(t, ed) + encode(t, p256)} {
		k, err := signer.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		kid, alg := kidOf(t, k)
		if alg != want {
			t.Errorf("signs with %s, want %s", alg, want)
		}
		kids = append(kids, kid)
		var set struct{ Keys []map[string]any }
		if err := json.Unmarshal(k.JWKS(), &set); err != nil || len(set.Keys) != 2 {
			t.Fatalf("%s, %v", k.JWKS(), err)
		}
		// Public members only, with use, alg and kid.
		for _, jwk := range set.Keys {
			if jwk["use"] != "sig" || jwk["alg"] == "" || jwk["kid"] == "" || jwk["d"] != nil {
				t.Errorf("%v", jwk)
			}
		}
		if !slices.ContainsFunc(set.Keys, func(jwk map[string]any) bool { return jwk["kid"] == kid && jwk["alg"] == want }) {
			t.Errorf("signing key %s is not published: %s", kid, k.JWKS())
		}
	}
	if kids[0] == kids[1] {
		t.Errorf("two keys, one id %s", kids[0])
	}
}

func TestParseReportsAllFaults(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, err = signer.Parse([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" + encode(t, p384)))
	if err == nil || !strings.Contains(err.Error(), "block 1") || !strings.Contains(err.Error(), "block 2: curve P-384") {
		t.Errorf("%v", err)
	}
	if _, err := signer.Parse([]byte("nothing")); err == nil || !strings.Contains(err.Error(), "auth keys generate") {
		t.Errorf("%v", err)
	}
	made, err := signer.Generate()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signer.Parse(made); err != nil {
		t.Errorf("a generated key: %v", err)
	}
}

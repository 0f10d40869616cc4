package authclient_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"lilypad.example/sidecar/internal/authclient"
)

func pkcs8(t testing.TB, key crypto.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func newKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestEachAssertionIsSignedAnewAndLivesAMinute(t *testing.T) {
	key, now := newKey(t, elliptic.P256()), time.Now()
	sec1, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, text := range [][]byte{pkcs8(t, key), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1})} {
		a, err := authclient.KeyAssertion("frogs/frontend", "http://auth", text, func() time.Time { return now })
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			assertion, err := a.Assertion()
			if err != nil {
				t.Fatal(err)
			}
			var claims jwt.RegisteredClaims
			if _, err := jwt.ParseWithClaims(assertion, &claims, func(*jwt.Token) (any, error) { return key.Public(), nil },
				jwt.WithIssuer("frogs/frontend"), jwt.WithSubject("frogs/frontend"), jwt.WithAudience("http://auth")); err != nil {
				t.Fatal(err)
			}
			if life := claims.ExpiresAt.Sub(claims.IssuedAt.Time); life != time.Minute || claims.IssuedAt.Unix() != now.Unix() {
				t.Errorf("issued at %s, valid for %s, want %s and a minute", claims.IssuedAt, life, now)
			}
			if claims.ID == "" || seen[claims.ID] {
				t.Errorf("jti %q, want a new one", claims.ID)
			}
			seen[claims.ID] = true
		}
	}
}

func TestAKeyThatCannotSignES256IsAFault(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(newKey(t, elliptic.P384()))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"RSA": pkcs8(t, key), "P-384": pkcs8(t, newKey(t, elliptic.P384())), "P-384 in SEC 1": pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1}),
		"no PEM": []byte("x"), "no key": []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), "nothing": nil,
	} {
		if _, err := authclient.KeyAssertion("app", "http://auth", text, time.Now); err == nil || !strings.Contains(err.Error(), "client key") {
			t.Errorf("%s: error %v, want one about the client key", name, err)
		}
	}
}

func TestAProjectedTokenIsReadOnceAMinute(t *testing.T) {
	path, now := filepath.Join(t.TempDir(), "token"), time.Now()
	a := authclient.FileAssertion(path, func() time.Time { return now })
	must := func(want string) {
		t.Helper()
		if got, err := a.Assertion(); got != want || (err == nil) != (want != "") {
			t.Errorf("assertion %q, error %v; want %q", got, err, want)
		}
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	must("")
	write("\n")
	must("")
	write("one\n")
	must("one")
	write("two\n")
	must("one")
	now = now.Add(time.Minute)
	must("two")
}

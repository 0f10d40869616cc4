package app_test

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/auth/internal/signer"
	"lilypad.example/services/pkg/authn"
)

func replace(t *testing.T, path string, content []byte) {
	t.Helper()
	// Replace the file atomically, as the kubelet does.
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRingKeysAreReplacedWithoutRestartOrLogout(t *testing.T) {
	c, key := settings(t, t.TempDir())
	s := start(t, c, key)
	token := s.register("fred@pond.test").Token
	old := read(t, c.RingKeysFile)
	replace(t, c.RingKeysFile, append([]byte(session.NewRingLine()), old...))
	keyOf := func(refreshToken string) string { return strings.Split(refreshToken, ".")[1] }
	first := keyOf(token.RefreshToken)
	eventually(t, "a refresh token of the new key", func() bool {
		token = s.mustRefresh(token.RefreshToken)
		return keyOf(token.RefreshToken) != first
	})
	// Remove the old key once no token uses it.
	ring := strings.SplitN(string(read(t, c.RingKeysFile)), "\n", 2)
	replace(t, c.RingKeysFile, []byte(ring[0]+"\n"))
	eventually(t, "the keys are reloaded twice", func() bool { return strings.Count(s.logs.String(), "keys reloaded") == 2 })
	token = s.mustRefresh(token.RefreshToken)
	// An invalid file must not change the keys.
	replace(t, c.RingKeysFile, []byte("nonsense"))
	eventually(t, "the fault is logged", func() bool { return strings.Contains(s.logs.String(), "keys not reloaded") })
	s.mustRefresh(token.RefreshToken)
}

func TestSigningKeysAreReplacedWithoutOne401(t *testing.T) {
	c, key := settings(t, t.TempDir())
	s := start(t, c, key)
	token := s.register("fred@pond.test").Token
	// ask verifies token with a new verifier, which fetches the keys at once. Running verifiers
	// refresh them every minute, so operators wait that long between publishing and signing.
	ask := func(token api.Token) {
		t.Helper()
		v := authn.NewVerifier(t.Context(), authn.Config{JWKSURL: s.url + "/.well-known/jwks.json", Issuer: s.issuer, Audience: "frogs"})
		if _, err := v.Verify(t.Context(), token.AccessToken); err != nil {
			t.Errorf("verify access token: %v", err)
		}
	}
	ask(token)
	next, err := signer.Generate()
	if err != nil {
		t.Fatal(err)
	}
	old := read(t, c.SigningKeysFile)
	jwks := func() string {
		return string(s.do(s.request(http.MethodGet, "/.well-known/jwks.json", "", "", ""), false).body)
	}
	// Publish the new key before it signs.
	replace(t, c.SigningKeysFile, append(append([]byte{}, old...), next...))
	eventually(t, "two keys are published", func() bool { return strings.Count(jwks(), `"kid"`) == 2 })
	ask(s.mustRefresh(token.RefreshToken))
	replace(t, c.SigningKeysFile, append(append([]byte{}, next...), old...))
	eventually(t, "the keys are reloaded twice", func() bool { return strings.Count(s.logs.String(), "keys reloaded") == 2 })
	token2 := decode[api.Session](t, s.login("fred@pond.test", password).body).Token
	if header(token.AccessToken) == header(token2.AccessToken) {
		t.Error("new access token has the old kid, want the new one")
	}
	ask(token)
	ask(token2)
}

func header(accessToken string) string { return strings.SplitN(accessToken, ".", 2)[0] }

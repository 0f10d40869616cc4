package clientauth_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"lilypad.example/services/auth/internal/clientauth"
)

const issuer = "http://auth"

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// public returns the public halves of keys in PEM form, concatenated.
func public(t testing.TB, keys ...crypto.Signer) string {
	t.Helper()
	var text strings.Builder
	for _, key := range keys {
		der, err := x509.MarshalPKIXPublicKey(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		_ = pem.Encode(&text, &pem.Block{Type: "PUBLIC KEY", Bytes: der})
	}
	return text.String()
}

// replays is a clientauth.Replays that remembers everything.
type replays struct {
	mu       sync.Mutex
	used     map[string]bool
	remember time.Duration // of the last call
	err      error
}

func (r *replays) First(_ context.Context, client, jti string, remember time.Duration) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return false, r.err
	}
	id := fmt.Sprintf("%q %q", client, jti)
	first := !r.used[id]
	if r.used == nil {
		r.used = make(map[string]bool)
	}
	r.used[id], r.remember = true, remember
	return first, nil
}

// service is an Authenticator that identifies clients by their keys.
type service struct {
	*clientauth.Authenticator

	replays replays
}

func newService(t testing.TB, clients map[string]string) *service {
	t.Helper()
	text, err := json.Marshal(clients)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := clientauth.ParseKeys(text)
	if err != nil {
		t.Fatal(err)
	}
	s := &service{}
	s.Authenticator = clientauth.New(clientauth.NewStaticKeys(func() clientauth.Keys { return keys }, issuer, &s.replays))
	return s
}

// claims returns valid claims of app with changes; nil removes a claim.
func claims(changes jwt.MapClaims) jwt.MapClaims {
	now := time.Now()
	c := jwt.MapClaims{
		"iss": "app", "sub": "app", "aud": issuer, "jti": rand.Text(), "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
	}
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, value any) bool { return value == nil })
	return c
}

func sign(t testing.TB, key crypto.Signer, c jwt.MapClaims) string {
	t.Helper()
	var method jwt.SigningMethod = jwt.SigningMethodES256
	if _, ok := key.(ed25519.PrivateKey); ok {
		method = jwt.SigningMethodEdDSA
	}
	text, err := jwt.NewWithClaims(method, c).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestValidAssertionsAreAccepted(t *testing.T) {
	key := newKey(t)
	_, ed25519Key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := newService(t, map[string]string{"app": public(t, key), "ed": public(t, ed25519Key)})
	at := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	for name, c := range map[string]struct {
		assertion, client string
	}{
		"as a sidecar creates it":      {sign(t, key, claims(nil)), "app"},
		"signed with Ed25519":          {sign(t, ed25519Key, claims(jwt.MapClaims{"iss": "ed", "sub": "ed"})), "ed"},
		"without iat":                  {sign(t, key, claims(jwt.MapClaims{"iat": nil})), "app"},
		"with several audiences":       {sign(t, key, claims(jwt.MapClaims{"aud": []string{"other", issuer}})), "app"},
		"that expires in five minutes": {sign(t, key, claims(jwt.MapClaims{"exp": at(5 * time.Minute)})), "app"},
		"by a clock that is behind":    {sign(t, key, claims(jwt.MapClaims{"iat": at(-80 * time.Second), "exp": at(-20 * time.Second)})), "app"},
		"by a clock that is ahead":     {sign(t, key, claims(jwt.MapClaims{"iat": at(20 * time.Second), "nbf": at(20 * time.Second), "exp": at(5*time.Minute + 20*time.Second)})), "app"},
		"with a fractional date":       {sign(t, key, claims(jwt.MapClaims{"exp": float64(at(time.Minute)) + .5})), "app"},
		"with an unknown claim":        {sign(t, key, claims(jwt.MapClaims{"exciting": true})), "app"},
	} {
		if id, err := s.Authenticate(t.Context(), c.assertion, ""); err != nil || id != c.client {
			t.Errorf("%s: client %q, %v; want %s", name, id, err, c.client)
		}
	}
}

func TestInvalidAssertionsAreRefused(t *testing.T) {
	key, other := newKey(t), newKey(t)
	s := newService(t, map[string]string{"app": public(t, key), "other": public(t, other)})
	at := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	changed := func(name string, value any) string { return sign(t, key, claims(jwt.MapClaims{name: value})) }
	good := sign(t, key, claims(nil))
	for name, assertion := range map[string]string{
		"another client's key":       sign(t, other, claims(nil)),
		"an unknown key":             sign(t, newKey(t), claims(nil)),
		"unknown client":             sign(t, key, claims(jwt.MapClaims{"iss": "x", "sub": "x"})),
		"issuer is not the subject":  changed("iss", "other"),
		"subject is not the issuer":  changed("sub", "other"),
		"no issuer":                  changed("iss", nil),
		"no subject":                 changed("sub", nil),
		"no issuer and no subject":   sign(t, key, claims(jwt.MapClaims{"iss": nil, "sub": nil})),
		"a subject that is a number": changed("sub", 1),
		"other audience":             changed("aud", "x"),
		"no audience":                changed("aud", nil),
		"no expiry":                  changed("exp", nil),
		"expired":                    changed("exp", at(-31*time.Second)),
		"expiry of zero":             changed("exp", 0),
		"expiry in ten years":        changed("exp", at(10*365*24*time.Hour)),
		"expiry in ten minutes":      changed("exp", at(10*time.Minute)),
		"expiry beyond every date":   changed("exp", 1e300),
		"an expiry that is a string": changed("exp", fmt.Sprint(at(time.Minute))),
		"issued long ago":            changed("iat", at(-10*time.Minute)),
		"issued in the future":       changed("iat", at(time.Minute)),
		"an iat that is a string":    changed("iat", fmt.Sprint(at(0))),
		"not valid yet":              changed("nbf", at(time.Minute)),
		"no jti":                     changed("jti", nil),
		"an empty jti":               changed("jti", ""),
		"a jti that is a number":     changed("jti", 7),
		"not a JWT":                  "x",
		"no signature":               good[:strings.LastIndexByte(good, '.')+1],
		"padding":                    good + "=",
		"four parts":                 good + ".x",
		"empty":                      "",
		"huge":                       strings.Repeat("A", 10<<10),
		"the algorithm none":         mustSign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil),
		"HMAC with the public key":   mustSign(t, jwt.SigningMethodHS256, []byte(public(t, key)), nil),
		"RS256":                      mustSign(t, jwt.SigningMethodRS256, clusterKey(), nil),
		"a critical header":          mustSign(t, jwt.SigningMethodES256, key, map[string]any{"crit": []string{"b64"}, "b64": true}),
		"EdDSA in the header":        mustSign(t, jwt.SigningMethodES256, key, map[string]any{"alg": "EdDSA"}),
		"an algorithm that is a map": mustSign(t, jwt.SigningMethodES256, key, map[string]any{"alg": map[string]any{}}),
	} {
		if id, err := s.Authenticate(t.Context(), assertion, ""); !errors.Is(err, clientauth.ErrInvalid) || id != "" {
			t.Errorf("%s: client %q, %v; want ErrInvalid", name, id, err)
		}
	}
	if len(s.replays.used) > 0 {
		t.Errorf("%d refused assertions are remembered, want 0", len(s.replays.used))
	}
}

func mustSign(t testing.TB, method jwt.SigningMethod, key any, header map[string]any) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims(nil))
	maps.Copy(token.Header, header)
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestAnAssertionIsGoodOnce(t *testing.T) {
	key := newKey(t)
	s := newService(t, map[string]string{"app": public(t, key), "other": public(t, key)})
	once := sign(t, key, claims(jwt.MapClaims{"jti": "a"}))
	if _, err := s.Authenticate(t.Context(), once, ""); err != nil {
		t.Fatal(err)
	}
	for name, again := range map[string]string{
		"the same":               once,
		"its jti in another one": sign(t, key, claims(jwt.MapClaims{"jti": "a", "exp": time.Now().Add(2 * time.Minute).Unix()})),
	} {
		if _, err := s.Authenticate(t.Context(), again, ""); !errors.Is(err, clientauth.ErrInvalid) {
			t.Errorf("%s: %v; want ErrInvalid", name, err)
		}
	}
	if _, err := s.Authenticate(t.Context(), sign(t, key, claims(jwt.MapClaims{"jti": "a", "iss": "other", "sub": "other"})), ""); err != nil {
		t.Errorf("another client's jti: %v, want success", err)
	}
}

// The clocks of replicas may differ by the leeway. When an assertion that one replica has accepted
// is forgotten, every other replica must consider it expired.
func TestAnAssertionIsRememberedUntilNobodyAcceptsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := newKey(t)
		s := newService(t, map[string]string{"app": public(t, key)})
		for _, left := range []time.Duration{-29 * time.Second, time.Minute, 5 * time.Minute} {
			if _, err := s.Authenticate(t.Context(), sign(t, key, claims(jwt.MapClaims{"iat": nil, "exp": time.Now().Add(left).Unix()})), ""); err != nil {
				t.Fatal(err)
			}
			if least := left + time.Minute; s.replays.remember < least || s.replays.remember > least+time.Second {
				t.Errorf("%s before its expiry: remembered for %s, want %s", left, s.replays.remember, least)
			}
		}
	})
}

func TestUnavailableReplaysAreNotARefusal(t *testing.T) {
	key := newKey(t)
	s := newService(t, map[string]string{"app": public(t, key)})
	s.replays.err = errors.New("no answer")
	id, err := s.Authenticate(t.Context(), sign(t, key, claims(nil)), "")
	if !errors.Is(err, clientauth.ErrUnavailable) || !errors.Is(err, clientauth.ErrMaybeReplayed) || errors.Is(err, clientauth.ErrInvalid) || id != "app" {
		t.Errorf("client %q, %v; want app and ErrMaybeReplayed", id, err)
	}
	if id, err := s.Authenticate(t.Context(), sign(t, newKey(t), claims(nil)), ""); !errors.Is(err, clientauth.ErrInvalid) || id != "" {
		t.Errorf("forged assertion: client %q, %v; want ErrInvalid", id, err)
	}
}

func TestAClientHasSeveralKeys(t *testing.T) {
	first, second := newKey(t), newKey(t)
	_, third, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := newService(t, map[string]string{"app": public(t, first, third, second), "other": public(t, newKey(t))})
	for i, key := range []crypto.Signer{first, second, third} {
		if id, err := s.Authenticate(t.Context(), sign(t, key, claims(nil)), ""); err != nil || id != "app" {
			t.Errorf("key %d: client %q, %v; want app", i, id, err)
		}
	}
}

func TestParseKeysReportsAllErrors(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := public(t, newKey(t))
	private, err := x509.MarshalECPrivateKey(newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	secret := string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private}))
	text, err := json.Marshal(map[string]string{
		"a": "x", "b": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "c": public(t, p384), "d": public(t, clusterKey()),
		"e": secret, "f": "", "g": good + "trailing", "h": good + public(t, p384), "": good,
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = clientauth.ParseKeys(append(text[:len(text)-1], `,"i":"x","i":"y"}`...))
	for _, want := range []string{
		`"a": not in PEM form`, `"b": invalid public key`, `"c": want an ECDSA P-256 or Ed25519 key`, `"d": want an ECDSA P-256`,
		`"e": a PEM block is EC PRIVATE KEY`, `"f": not in PEM form`, `"g": not in PEM form`, `"h": want an ECDSA P-256`,
		`"": a client id is empty`, `duplicate field "i"`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %s in error %v", want, err)
		}
	}
	for _, text := range []string{"x", "", "[]", `{"a":1}`, `{"a":["x"]}`, "{}", "null"} {
		if keys, err := clientauth.ParseKeys([]byte(text)); err == nil {
			t.Errorf("%q: keys %v, want an error", text, keys)
		}
	}
}

func TestBothKindsOfClientsAreAccepted(t *testing.T) {
	key := newKey(t)
	s := newService(t, map[string]string{"app": public(t, key)})
	review := newAPIServer().authenticator(t)
	both := clientauth.New(checker{s.Authenticator}, checker{review})
	for assertion, want := range map[string]string{sign(t, key, claims(nil)): "app", podToken{}.sign(t): "frogs/frontend"} {
		if id, err := both.Authenticate(t.Context(), assertion, ""); err != nil || id != want {
			t.Errorf("client %q, %v; want %s", id, err, want)
		}
	}
	if want := []string{"ES256", "ES384", "ES512", "EdDSA", "RS256"}; !slices.Equal(both.Algorithms(), want) {
		t.Errorf("algorithms %v, want %v", both.Algorithms(), want)
	}
	s.replays.err = errors.New("no answer")
	if id, err := both.Authenticate(t.Context(), sign(t, key, claims(nil)), ""); !errors.Is(err, clientauth.ErrMaybeReplayed) || id != "app" {
		t.Errorf("client %q, %v; want app and ErrMaybeReplayed", id, err)
	}
}

// checker is an Authenticator as a Checker.
type checker struct{ *clientauth.Authenticator }

func (c checker) Check(ctx context.Context, assertion, source string) (string, error) {
	return c.Authenticate(ctx, assertion, source)
}

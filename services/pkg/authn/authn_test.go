package authn_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"

	"lilypad.example/services/pkg/authn"
	"lilypad.example/services/pkg/problem"
)

const issuer, audience = "http://auth", "frogs"

// source is an issuer's JWKS whose answer a test may change; it is a
// RoundTripper, so that it also works inside a synctest bubble.
type source struct {
	answer  atomic.Pointer[answer]
	fetches atomic.Int64
}

type answer struct {
	status int
	body   string
}

func (s *source) RoundTrip(*http.Request) (*http.Response, error) {
	s.fetches.Add(1)
	a := s.answer.Load()
	if a == nil {
		return nil, errors.New("connection refused")
	}
	rec := httptest.NewRecorder()
	rec.WriteHeader(a.status)
	rec.WriteString(a.body)
	return rec.Result(), nil
}

func (s *source) publish(t *testing.T, keys ...*signingKey) {
	t.Helper()
	set := jwkset.JWKSMarshal{}
	for _, k := range keys {
		jwk, err := jwkset.NewJWKFromKey(k.key.Public(), jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{ALG: "ES256", KID: k.kid, USE: "sig"}})
		if err != nil {
			t.Fatal(err)
		}
		set.Keys = append(set.Keys, jwk.Marshal())
	}
	b, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	s.answer.Store(&answer{http.StatusOK, string(b)})
}

type signingKey struct {
	kid string
	key *ecdsa.PrivateKey
}

func newKey(t *testing.T, kid string) *signingKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &signingKey{kid, k}
}

// claims returns a payload that verifies, for tests to spoil.
func claims() map[string]any {
	now := time.Now().Unix()
	return map[string]any{
		"iss": issuer, "aud": []string{"auth", audience}, "sub": "u1", "sid": "s1", "jti": "j1",
		"roles": []string{"keeper"}, "iat": now, "exp": now + 300, "auth_time": now,
	}
}

func header(kid string) map[string]any {
	return map[string]any{"alg": "ES256", "typ": "at+jwt", "kid": kid}
}

// sign builds a token out of any header and payload, by hand, as an attacker would.
func (k *signingKey) sign(t *testing.T, header, payload map[string]any) string {
	t.Helper()
	part := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	text := part(header) + "." + part(payload)
	sig, err := jwt.SigningMethodES256.Sign(text, k.key)
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func verifier(ctx context.Context, s *source) *authn.Verifier {
	return authn.NewVerifier(ctx, authn.Config{
		JWKSURL: "http://auth/jwks", Issuer: issuer, Audience: audience, Client: &http.Client{Transport: s},
	})
}

func with(m map[string]any, pairs ...any) map[string]any {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == nil {
			delete(m, pairs[i].(string))
			continue
		}
		m[pairs[i].(string)] = pairs[i+1]
	}
	return m
}

func TestAGoodTokenSpeaksForItsPrincipal(t *testing.T) {
	s, k := &source{}, newKey(t, "k1")
	s.publish(t, k)
	p, err := verifier(t.Context(), s).Verify(t.Context(), k.sign(t, header("k1"), claims()))
	if err != nil || p.Subject != "u1" || p.SessionID != "s1" || !p.HasRole("keeper") || p.HasRole("admin") {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestT46_RefusalTable(t *testing.T) {
	s, k, other := &source{}, newKey(t, "k1"), newKey(t, "k1")
	s.publish(t, k)
	v := verifier(t.Context(), s)
	now := time.Now().Unix()

	public, err := x509.MarshalPKIXPublicKey(k.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	hs := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims(claims()))
	hs.Header = map[string]any{"alg": "HS256", "typ": "at+jwt", "kid": "k1"}
	hmac, err := hs.SignedString(public)
	if err != nil {
		t.Fatal(err)
	}
	none := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims(claims()))
	none.Header = map[string]any{"alg": "none", "typ": "at+jwt", "kid": "k1"}
	unsigned, err := none.SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}

	good := k.sign(t, header("k1"), claims())
	for name, token := range map[string]string{
		"alg none":                  unsigned,
		"HS256 with the public key": hmac,
		"ES384 in the header":       k.sign(t, with(header("k1"), "alg", "ES384"), claims()),
		"RS256 in the header":       k.sign(t, with(header("k1"), "alg", "RS256"), claims()),
		"EdDSA in the header":       k.sign(t, with(header("k1"), "alg", "EdDSA"), claims()),
		"another's key":             other.sign(t, header("k1"), claims()),
		"unknown kid":               k.sign(t, header("k2"), claims()),
		"no kid":                    k.sign(t, with(header("k1"), "kid", nil), claims()),
		"path-like kid":             k.sign(t, header("../../etc/passwd"), claims()),
		"kid a number":              k.sign(t, with(header("k1"), "kid", 1), claims()),
		"jku alone":                 other.sign(t, with(header("k9"), "jku", "http://evil/jwks"), claims()),
		"jwk alone":                 other.sign(t, with(header("k9"), "jwk", map[string]any{"kty": "EC"}), claims()),
		"crit":                      k.sign(t, with(header("k1"), "crit", []string{"b64"}), claims()),
		"typ JWT":                   k.sign(t, with(header("k1"), "typ", "JWT"), claims()),
		"no typ":                    k.sign(t, with(header("k1"), "typ", nil), claims()),
		"expired":                   k.sign(t, header("k1"), with(claims(), "exp", now-31)),
		"no exp":                    k.sign(t, header("k1"), with(claims(), "exp", nil)),
		"not yet":                   k.sign(t, header("k1"), with(claims(), "nbf", now+40)),
		"other issuer":              k.sign(t, header("k1"), with(claims(), "iss", "http://evil")),
		"no issuer":                 k.sign(t, header("k1"), with(claims(), "iss", nil)),
		"other audience":            k.sign(t, header("k1"), with(claims(), "aud", "frontend")),
		"no audience":               k.sign(t, header("k1"), with(claims(), "aud", nil)),
		"no subject":                k.sign(t, header("k1"), with(claims(), "sub", nil)),
		"no session":                k.sign(t, header("k1"), with(claims(), "sid", nil)),
		"no auth_time":              k.sign(t, header("k1"), with(claims(), "auth_time", nil)),
		"a refresh token":           "v1.k1.AAAAAAAAAAAAAAAAAAAAAA.1.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"five parts":                good + ".a.b",
		"padding":                   good + "=",
		"empty":                     "",
		"4 kB and more":             good + strings.Repeat("A", 4096),
	} {
		if _, err := v.Verify(t.Context(), token); !errors.Is(err, authn.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := v.Verify(t.Context(), good); err != nil {
		t.Errorf("control: %v", err)
	}
}

func TestT49_ClockSkew(t *testing.T) {
	s, k := &source{}, newKey(t, "k1")
	s.publish(t, k)
	v, now := verifier(t.Context(), s), time.Now().Unix()
	for name, c := range map[string]struct {
		claims map[string]any
		ok     bool
	}{
		"ended 20 s ago":    {with(claims(), "exp", now-20), true},
		"ended 5 min ago":   {with(claims(), "exp", now-300), false},
		"begins in 20 s":    {with(claims(), "nbf", now+20), true},
		"begins in 5 min":   {with(claims(), "nbf", now+300), false},
		"issued 20 s ahead": {with(claims(), "iat", now+20), true},
	} {
		if _, err := v.Verify(t.Context(), k.sign(t, header("k1"), c.claims)); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestT50_UnknownKidFloodFetchesOncePerCooldown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, k := &source{}, newKey(t, "k1")
		s.publish(t, k)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		v := verifier(ctx, s)
		synctest.Wait()
		before := s.fetches.Load()
		bad := k.sign(t, header("k2"), claims())
		for range 1000 {
			if _, err := v.Verify(ctx, bad); !errors.Is(err, authn.ErrInvalid) {
				t.Fatal(err)
			}
			time.Sleep(29 * time.Millisecond) // the bubble's clock: 29 s in all
		}
		if n := s.fetches.Load() - before; n > 1 {
			t.Errorf("%d fetches in 29 s, want at most 1", n)
		}
	})
}

func TestT53_WithdrawnKeyIsRefusedWithinAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, old, next := &source{}, newKey(t, "k1"), newKey(t, "k2")
		s.publish(t, old)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		v := verifier(ctx, s)
		synctest.Wait()
		s.publish(t, next)
		time.Sleep(61 * time.Second) // the bubble's clock
		synctest.Wait()
		if _, err := v.Verify(ctx, old.sign(t, header("k1"), claims())); !errors.Is(err, authn.ErrInvalid) {
			t.Errorf("withdrawn key: %v", err)
		}
		if _, err := v.Verify(ctx, next.sign(t, header("k2"), claims())); err != nil {
			t.Errorf("new key: %v", err)
		}
	})
}

func TestT54_BadJWKSAnswersChangeNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, k := &source{}, newKey(t, "k1")
		s.publish(t, k)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		v := verifier(ctx, s)
		synctest.Wait()
		for name, a := range map[string]*answer{
			"down": nil, "500": {500, "x"}, "HTML": {200, "<html>"}, "empty set": {200, `{"keys":[]}`}, "empty": {200, ""},
		} {
			s.answer.Store(a)
			time.Sleep(30 * time.Minute) // the bubble's clock
			synctest.Wait()
			if _, err := v.Verify(ctx, k.sign(t, header("k1"), claims())); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestIssuerAwayAtStartIsAnOutageThatHeals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, k := &source{}, newKey(t, "k1")
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		v := verifier(ctx, s)
		synctest.Wait()
		if _, err := v.Verify(ctx, k.sign(t, header("k1"), claims())); !errors.Is(err, authn.ErrUnavailable) {
			t.Errorf("no keys yet: %v", err)
		}
		s.publish(t, k)
		time.Sleep(2 * time.Second) // the bubble's clock
		if _, err := v.Verify(ctx, k.sign(t, header("k1"), claims())); err != nil {
			t.Errorf("keys are there: %v", err)
		}
	})
}

func TestMiddleware(t *testing.T) {
	s, k := &source{}, newKey(t, "k1")
	s.publish(t, k)
	v := verifier(t.Context(), s)
	token := k.sign(t, header("k1"), claims())
	who := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, _ := authn.FromContext(r.Context())
		_, _ = w.Write([]byte(p.Subject + "," + authn.Authorization(r.Context())))
	})
	for name, c := range map[string]struct {
		authorization []string
		required      bool
		status        int
		body          string
		challenge     string
	}{
		"stranger, optional":     {nil, false, 200, ",", ""},
		"stranger, required":     {nil, true, 401, "", "Bearer"},
		"signed in, optional":    {[]string{"Bearer " + token}, false, 200, "u1,Bearer " + token, ""},
		"signed in, required":    {[]string{"bearer " + token}, true, 200, "u1,Bearer " + token, ""},
		"bad token, optional":    {[]string{"Bearer x"}, false, 401, "", `Bearer error="invalid_token"`},
		"other scheme":           {[]string{"Basic x"}, false, 401, "", `Bearer error="invalid_token"`},
		"two headers":            {[]string{"Bearer " + token, "Bearer " + token}, false, 401, "", `Bearer error="invalid_token"`},
		"empty header, optional": {[]string{""}, false, 401, "", `Bearer error="invalid_token"`},
	} {
		mw := v.Optional(authn.JSON)
		if c.required {
			mw = v.Require(authn.JSON)
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
		r.Header["Authorization"] = c.authorization
		rec := httptest.NewRecorder()
		mw(who).ServeHTTP(rec, r)
		if rec.Code != c.status || rec.Header().Get("WWW-Authenticate") != c.challenge || c.status == 200 && rec.Body.String() != c.body {
			t.Errorf("%s: %d %q %s", name, rec.Code, rec.Header().Get("WWW-Authenticate"), rec.Body)
		}
		if c.status == 401 && rec.Header().Get("Content-Type") != problem.ContentType {
			t.Errorf("%s: %s", name, rec.Header().Get("Content-Type"))
		}
	}
}

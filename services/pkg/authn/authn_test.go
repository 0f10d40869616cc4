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
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"

	"lilypad.example/services/pkg/authn"
	"lilypad.example/services/pkg/problem"
)

const issuer, audience = "http://auth", "frogs"

// source is an issuer's JWKS endpoint whose response a test sets. It is a RoundTripper, so that it
// also works inside a synctest bubble.
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

func (s *source) publish(t testing.TB, keys ...*signingKey) {
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

func newKey(t testing.TB, kid string) *signingKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &signingKey{kid, k}
}

// claims returns a valid payload, which tests modify.
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

// sign signs any header and payload, including those that no JWT library would create.
func (k *signingKey) sign(t testing.TB, header, payload map[string]any) string {
	t.Helper()
	return k.signText(t, text(t, header), text(t, payload))
}

// signText is sign for text that is not the JSON of a map, such as an object with duplicate names.
func (k *signingKey) signText(t testing.TB, header, payload string) string {
	t.Helper()
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(header)) + "." + encode([]byte(payload))
	sig, err := jwt.SigningMethodES256.Sign(signed, k.key)
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + encode(sig)
}

func text(t testing.TB, object map[string]any) string {
	t.Helper()
	b, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
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
		t.Errorf("principal %+v, error %v, want u1 in session s1 with the role keeper alone", p, err)
	}
}

func TestBadTokensAreRefused(t *testing.T) {
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
		"a line break in the end":   good + "\n",
		"a line break inside":       strings.Replace(good, ".", "\r\n.", 1),
	} {
		if _, err := v.Verify(t.Context(), token); !errors.Is(err, authn.ErrInvalid) {
			t.Errorf("%s: error %v, want ErrInvalid", name, err)
		}
	}
	if _, err := v.Verify(t.Context(), good); err != nil {
		t.Errorf("the valid token: error %v, want none", err)
	}
}

// TestTokensThatTwoReadersMayUnderstandDifferentlyAreRefused signs tokens that lenient parsers
// accept.
func TestTokensThatTwoReadersMayUnderstandDifferentlyAreRefused(t *testing.T) {
	s, k := &source{}, newKey(t, "k1")
	s.publish(t, k)
	v := verifier(t.Context(), s)
	now := time.Now().Unix()
	head, payload := text(t, header("k1")), text(t, claims())
	add := func(object, member string) string { return "{" + member + "," + object[1:] }
	set := func(name, value string) string {
		return add(text(t, with(claims(), name, nil)), strconv.Quote(name)+":"+value)
	}

	type token struct{ header, payload string }
	refused := map[string]token{
		"two objects in the header":             {head + "{}", payload},
		"two objects in the payload":            {head, payload + payload},
		"a letter after the payload":            {head, payload + "x"},
		"a comma before the end":                {head, payload[:len(payload)-1] + ",}"},
		"a list as the header":                  {"[" + head + "]", payload},
		"a list as the payload":                 {head, "[" + payload + "]"},
		"null as the header":                    {"null", payload},
		"null as the payload":                   {head, "null"},
		"no payload":                            {head, ""},
		"invalid UTF-8 in the header":           {add(head, "\"x\":\"\xff\""), payload},
		"invalid UTF-8 in the payload":          {head, add(payload, "\"x\":\"\xff\"")},
		"invalid UTF-8 in a name":               {head, add(payload, "\"\xff\":1")},
		"a claim twice that nobody uses":        {head, add(payload, `"x":1,"x":1`)},
		"a header twice that nobody uses":       {add(head, `"x":1,"x":1`), payload},
		"a name twice after one that is nested": {head, add(payload, `"x":{"y":["x"]},"x":1`)},
		"critical null":                         {add(head, `"crit":null`), payload},
		"kid null":                              {add(text(t, with(header("k1"), "kid", nil)), `"kid":null`), payload},
	}
	for _, name := range []string{"alg", "typ", "kid"} {
		value := text(t, header("k1"))
		refused[name+" twice"] = token{add(head, strconv.Quote(name)+":"+string(member(t, value, name))), payload}
		refused[name+" also in upper case"] = token{add(head, strconv.Quote(strings.ToUpper(name))+`:"x"`), payload}
		refused[name+" also with an escape"] = token{add(head, escaped(name)+`:"x"`), payload}
	}
	for _, name := range []string{"iss", "aud", "sub", "sid", "roles", "exp", "iat", "nbf", "auth_time"} {
		value := string(member(t, text(t, with(claims(), "nbf", now)), name))
		whole := set(name, value)
		if _, err := v.Verify(t.Context(), k.signText(t, head, whole)); err != nil {
			t.Errorf("the valid token, %s first: error %v, want none", name, err)
		}
		refused[name+" twice"] = token{head, add(whole, strconv.Quote(name)+":"+value)}
		refused[name+" twice, once with an escape"] = token{head, add(whole, escaped(name)+":"+value)}
		refused[name+" only with an escape"] = token{head, strings.Replace(whole, strconv.Quote(name), escaped(name), 1)}
		for _, variant := range []string{strings.ToUpper(name), strings.ToUpper(name[:1]) + name[1:]} {
			refused[name+" also as "+variant] = token{head, add(whole, strconv.Quote(variant)+":"+value)}
			refused[name+" only as "+variant] = token{head, strings.Replace(whole, strconv.Quote(name), strconv.Quote(variant), 1)}
		}
		for _, wrong := range []string{"null", "true", "{}", "[[]]", "[1]", "[null]", `{"a":1}`} {
			refused[name+" is "+wrong] = token{head, set(name, wrong)}
		}
	}
	// encoding/json ignores case, and takes the long s for an s.
	refused["sub with a long s"] = token{head, add(payload, "\"\u017fub\":\"u2\"")}
	for _, name := range []string{"exp", "iat", "nbf", "auth_time"} {
		for _, wrong := range []string{
			strconv.FormatInt(now, 10) + ".5", strconv.FormatInt(now, 10) + ".0", strconv.FormatInt(now, 10) + "e0", "1e9", "1.7E9", "-1", "-" + strconv.FormatInt(now, 10), "1e400", "-1e400",
			strconv.Quote(strconv.FormatInt(now+60, 10)), `""`, `"NaN"`, `"Infinity"`, "NaN", "Infinity", "0x60000000", "+1", "01", "[" + strconv.FormatInt(now, 10) + "]",
			"9223372036854775807", "9223372036854775808", "18446744073709551617", "253402300800", "1" + strings.Repeat("0", 400),
		} {
			refused[name+" is "+wrong[:min(len(wrong), 25)]] = token{head, set(name, wrong)}
		}
	}
	for _, name := range []string{"exp", "iat"} {
		for _, wrong := range []string{"0", "1", "4102444800", strconv.FormatInt(now*1000, 10)} {
			refused[name+" is "+wrong] = token{head, set(name, wrong)}
		}
	}
	for _, name := range []string{"sub", "sid"} {
		for _, wrong := range []string{`""`, "1", `["u1"]`, `" "`, `"a b"`, `"a\n"`, `"\u0000"`, `"\ud800"`, `"\u00e9"`, `"` + strings.Repeat("a", 256) + `"`} {
			refused[name+" is "+wrong[:min(len(wrong), 25)]] = token{head, set(name, wrong)}
		}
	}
	for _, wrong := range []string{"1", `""`, `"frontend"`, "[]", `[""]`, `["frontend"]`, `["frogs",1]`, `["frogs",null]`, `["frogs",["frogs"]]`, `{"frogs":"frogs"}`, `"frogs,auth"`} {
		refused["aud is "+wrong] = token{head, set("aud", wrong)}
	}
	for _, wrong := range []string{"1", `""`, `"admin"`, `"admin,user"`, `{"admin":true}`, `["admin",1]`, `["admin",null]`, `[["admin"]]`, `[""]`, `["admin",""]`, `[{"name":"admin"}]`} {
		refused["roles is "+wrong] = token{head, set("roles", wrong)}
	}
	refused["iss is a list"] = token{head, set("iss", `["`+issuer+`"]`)}

	for name, c := range refused {
		if p, err := v.Verify(t.Context(), k.signText(t, c.header, c.payload)); !errors.Is(err, authn.ErrInvalid) {
			t.Errorf("%s: principal %+v, error %v, want ErrInvalid", name, p, err)
		}
	}
	for name, c := range map[string]token{
		"as issued":                {head, payload},
		"one audience":             {head, set("aud", `"frogs"`)},
		"no roles":                 {head, set("roles", "[]")},
		"spaces":                   {" " + head + "\n", "\t" + strings.ReplaceAll(payload, `":`, "\" : ") + " "},
		"a claim that nobody uses": {head, add(payload, `"client_id":"app","cnf":{"jkt":"\"}{\\","x":[{"x":1}]}`)},
		"a long name":              {head, set("sub", `"`+strings.Repeat("a", 255)+`"`)},
	} {
		if _, err := v.Verify(t.Context(), k.signText(t, c.header, c.payload)); err != nil {
			t.Errorf("%s: error %v, want none", name, err)
		}
	}
}

// member returns the value of a member of a JSON object.
func member(t testing.TB, object, name string) json.RawMessage {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(object), &members); err != nil {
		t.Fatal(err)
	}
	return members[name]
}

// escaped returns name as a JSON string whose first letter is escaped.
func escaped(name string) string { return fmt.Sprintf(`"\u%04x%s"`, name[0], name[1:]) }

// names returns the names of an object's members in lower case, with duplicates.
func names(t *testing.T, object string) (all []string) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(object))
	if _, err := d.Token(); err != nil {
		t.Fatalf("%q is not a JSON object: %v", object, err)
	}
	for d.More() {
		name, err := d.Token()
		if err == nil {
			err = d.Decode(new(any))
		}
		if err != nil {
			t.Fatalf("%q is not a JSON object: %v", object, err)
		}
		all = append(all, strings.ToLower(name.(string)))
	}
	return all
}

// FuzzVerify signs any header and payload. If they verify, another decoder must find each name
// once, and dates in whole seconds.
func FuzzVerify(f *testing.F) {
	s, k := &source{}, newKey(f, "k1")
	s.publish(f, k)
	v := verifier(f.Context(), s)
	f.Add(text(f, header("k1")), text(f, claims()))
	f.Add(text(f, header("k1")), `{"iss":"http://auth","aud":"frogs","sub":"u1","sid":"s1","roles":["a"],"iat":1,"exp":1,"exp":2,"EXP":"3","auth_time":1e9}`)
	f.Add(`{"alg":"ES256","typ":"at+jwt","kid":"k1","crit":null}`, `{"\u0065xp":[{"exp":"}"}],"nbf":null}`)
	f.Fuzz(func(t *testing.T, header, payload string) {
		p, err := v.Verify(t.Context(), k.signText(t, header, payload))
		if err != nil {
			return
		}
		for _, object := range []string{header, payload} {
			all := names(t, object)
			slices.Sort(all)
			if !utf8.ValidString(object) || len(slices.CompactFunc(all, strings.EqualFold)) < len(all) {
				t.Errorf("accepted %q, want unique names in valid UTF-8 only", object)
			}
		}
		for _, name := range []string{"exp", "iat", "auth_time"} {
			if value := string(member(t, payload, name)); !regexp.MustCompile(`^[0-9]{1,12}$`).MatchString(value) {
				t.Errorf("accepted %s of %s, want whole seconds only", name, value)
			}
		}
		if !p.Expires.Before(time.Now().Add(authn.MaxLife + 2*authn.Leeway)) {
			t.Errorf("accepted until %v, want at most MaxLife and twice the leeway from now", p.Expires)
		}
	})
}

func TestClockSkewWithinTheLeewayIsAccepted(t *testing.T) {
	s, k := &source{}, newKey(t, "k1")
	s.publish(t, k)
	v, now := verifier(t.Context(), s), time.Now().Unix()
	for name, c := range map[string]struct {
		claims map[string]any
		ok     bool
	}{
		"ended 20 s ago":      {with(claims(), "exp", now-20), true},
		"ended 5 min ago":     {with(claims(), "exp", now-300), false},
		"begins in 20 s":      {with(claims(), "nbf", now+20), true},
		"begins in 5 min":     {with(claims(), "nbf", now+300), false},
		"lives for 10 min":    {with(claims(), "exp", now+600), true},
		"lives for longer":    {with(claims(), "exp", now+601), false},
		"lived for longer":    {with(claims(), "iat", now-302), false},
		"session 20 s ahead":  {with(claims(), "auth_time", now+20), true},
		"session 5 min ahead": {with(claims(), "auth_time", now+300), false},
		"issued in 5 min":     {with(claims(), "iat", now+300, "exp", now+600), false},
		"issued 20 s ahead":   {with(claims(), "iat", now+20), true},
	} {
		if _, err := v.Verify(t.Context(), k.sign(t, header("k1"), c.claims)); (err == nil) != c.ok {
			t.Errorf("%s: error %v, want it accepted: %t", name, err, c.ok)
		}
	}
}

func TestUnknownKidFloodFetchesOncePerCooldown(t *testing.T) {
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
				t.Fatalf("error %v, want ErrInvalid", err)
			}
			time.Sleep(29 * time.Millisecond) // the bubble's clock: 29 s in all
		}
		if n := s.fetches.Load() - before; n > 1 {
			t.Errorf("%d fetches in 29 s, want at most 1", n)
		}
	})
}

func TestWithdrawnKeyIsRefusedWithinAMinute(t *testing.T) {
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
			t.Errorf("withdrawn key: error %v, want ErrInvalid", err)
		}
		if _, err := v.Verify(ctx, next.sign(t, header("k2"), claims())); err != nil {
			t.Errorf("new key: error %v, want none", err)
		}
	})
}

func TestBadJWKSAnswersChangeNothing(t *testing.T) {
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
				t.Errorf("after the response %s: error %v, want none", name, err)
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
			t.Errorf("without keys: error %v, want ErrUnavailable", err)
		}
		s.publish(t, k)
		time.Sleep(2 * time.Second) // the bubble's clock
		if _, err := v.Verify(ctx, k.sign(t, header("k1"), claims())); err != nil {
			t.Errorf("with keys: error %v, want none", err)
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
			t.Errorf("%s: status %d, WWW-Authenticate %q, body %s, want %d, %q and %q", name, rec.Code, rec.Header().Get("WWW-Authenticate"), rec.Body, c.status, c.challenge, c.body)
		}
		if c.status == 401 && rec.Header().Get("Content-Type") != problem.ContentType {
			t.Errorf("%s: Content-Type %q, want %q", name, rec.Header().Get("Content-Type"), problem.ContentType)
		}
	}
}

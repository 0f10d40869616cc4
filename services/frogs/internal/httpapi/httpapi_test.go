package httpapi_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/golang-jwt/jwt/v5"

	"lilypad.example/services/frogs/api"
	"lilypad.example/services/frogs/internal/frog"
	"lilypad.example/services/frogs/internal/httpapi"
	"lilypad.example/services/frogs/internal/memory"
	"lilypad.example/services/pkg/authn"
)

const issuerURL = "https://auth.test"

// fixture is the API on a store, the key that signs its access tokens, and the OpenAPI description
// that responses are validated against.
type fixture struct {
	api      http.Handler
	key      *ecdsa.PrivateKey
	contract routers.Router
	log      *bytes.Buffer
}

func newFixture(t *testing.T, store frog.Store) *fixture {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	jwks := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(publish(t, key)) }))
	t.Cleanup(jwks.Close)
	log := new(bytes.Buffer)
	h := httpapi.New(httpapi.Config{
		Store: store, Now: noon,
		Log:      slog.New(slog.NewTextHandler(log, nil)),
		Verifier: authn.NewVerifier(t.Context(), authn.Config{JWKSURL: jwks.URL, Issuer: issuerURL, Audience: "frogs"}),
	})
	doc, err := openapi3.NewLoader().LoadFromData(api.OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	contract, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{h, key, contract, log}
}

func noon() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) }

func publish(t *testing.T, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Error(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	return fmt.Appendf(nil, `{"keys":[{"kty":"EC","crv":"P-256","use":"sig","alg":"ES256","kid":"k1","x":"%s","y":"%s"}]}`, b64(point[1:33]), b64(point[33:]))
}

func (f *fixture) token(t *testing.T, user, audience string, life time.Duration) string {
	t.Helper()
	now := time.Now()
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"iss": issuerURL, "sub": user, "aud": []string{audience}, "sid": "s1", "jti": rand.Text(),
		"iat": now.Unix(), "exp": now.Add(life).Unix(), "auth_time": now.Unix(), "roles": []string{"user"},
	})
	token.Header["typ"], token.Header["kid"] = authn.TokenType, "k1"
	signed, err := token.SignedString(f.key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// do sends a request, without credentials if authorization is "". Responses of documented paths are
// validated against the OpenAPI description.
func (f *fixture) do(t *testing.T, method, path, authorization string, body io.Reader) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, body)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	w := httptest.NewRecorder()
	f.api.ServeHTTP(w, r)
	if route, params, err := f.contract.FindRoute(r); err == nil && method != http.MethodHead {
		in := &openapi3filter.ResponseValidationInput{
			RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route},
			Status:                 w.Code, Header: w.Header(),
			Options: &openapi3filter.Options{IncludeResponseStatus: true},
		}
		in.SetBodyBytes(w.Body.Bytes())
		if err := openapi3filter.ValidateResponse(t.Context(), in); err != nil {
			t.Errorf("%s %s: response %d violates the OpenAPI description: %v", method, path, w.Code, err)
		}
	}
	return w
}

func (f *fixture) as(t *testing.T, user, method, path string) *httptest.ResponseRecorder {
	t.Helper()
	return f.do(t, method, path, "Bearer "+f.token(t, user, "frogs", time.Minute), nil)
}

func decode[T any](t *testing.T, w *httptest.ResponseRecorder) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatalf("%s: %v", w.Body, err)
	}
	return v
}

func TestListAndPet(t *testing.T) {
	f := newFixture(t, memory.New())
	list := decode[api.FrogList](t, f.as(t, "ann", http.MethodGet, "/api/frogs"))
	if len(list.Frogs) != len(frog.Catalogue()) || list.Frogs[0].ID != frog.Catalogue()[0].ID {
		t.Fatalf("frogs %+v, want the catalogue", list)
	}
	w := f.as(t, "ann", http.MethodPost, "/api/frogs/glass-frog/pet")
	if got := decode[api.Frog](t, w); w.Code != http.StatusOK || got.Pets != 1 || !got.PettedAt.Equal(noon()) {
		t.Errorf("status %d, frog %+v, want 200 and 1 pet at noon", w.Code, got)
	}
	w = f.as(t, "bob", http.MethodGet, "/api/frogs")
	for _, got := range decode[api.FrogList](t, w).Frogs {
		if got.ID == "glass-frog" && (got.Pets != 1 || !got.PettedAt.IsZero()) {
			t.Errorf("another user sees %+v, want 1 pet and no time", got)
		}
	}
	if strings.Contains(w.Body.String(), "petted_at") {
		t.Errorf("response contains another user's petting: %s", w.Body)
	}
	if c := w.Header().Get("Cache-Control"); c != "no-store" {
		t.Errorf("Cache-Control %q, want no-store", c)
	}
}

func TestStrangersGetNothing(t *testing.T) {
	f := newFixture(t, memory.New())
	other := newFixture(t, memory.New())
	for name, authorization := range map[string]string{
		"no token":              "",
		"another scheme":        "Basic YW5uOmFubg==",
		"not a token":           "Bearer frogs",
		"expired":               "Bearer " + f.token(t, "ann", "frogs", -time.Minute),
		"for another audience":  "Bearer " + f.token(t, "ann", "frontend", time.Minute),
		"signed by another key": "Bearer " + other.token(t, "ann", "frogs", time.Minute),
	} {
		for _, target := range []string{"GET /api/frogs", "HEAD /api/frogs", "POST /api/frogs/glass-frog/pet", "GET /api/secret"} {
			method, path, _ := strings.Cut(target, " ")
			w := f.do(t, method, path, authorization, nil)
			challenge := w.Header().Get("WWW-Authenticate")
			if w.Code != http.StatusUnauthorized || !strings.HasPrefix(challenge, "Bearer") {
				t.Errorf("%s, %s: status %d, challenge %q, want 401 and Bearer", name, target, w.Code, challenge)
			}
			// RFC 6750 section 3.1: no error code without credentials.
			if strings.Contains(challenge, "invalid_token") != (authorization != "") {
				t.Errorf("%s, %s: challenge %q, want invalid_token only with credentials", name, target, challenge)
			}
		}
	}
	for _, got := range decode[api.FrogList](t, f.as(t, "ann", http.MethodGet, "/api/frogs")).Frogs {
		if got.Pets != 0 {
			t.Errorf("an unauthenticated request was counted: %+v", got)
		}
	}
}

func TestSafeMethodsChangeNothing(t *testing.T) {
	f := newFixture(t, memory.New())
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete} {
		r := httptest.NewRequestWithContext(t.Context(), method, "/api/frogs/glass-frog/pet?_method=POST", nil)
		r.Header.Set("Authorization", "Bearer "+f.token(t, "ann", "frogs", time.Minute))
		r.Header.Set("X-HTTP-Method-Override", "POST")
		w := httptest.NewRecorder()
		f.api.ServeHTTP(w, r)
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "POST" {
			t.Errorf("%s: status %d, Allow %q, want 405 and POST", method, w.Code, w.Header().Get("Allow"))
		}
	}
	if f.log.Len() == 0 {
		t.Error("no access log")
	}
	for _, got := range decode[api.FrogList](t, f.as(t, "ann", http.MethodGet, "/api/frogs")).Frogs {
		if got.Pets != 0 {
			t.Errorf("counted without POST: %+v", got)
		}
	}
}

func TestUnknownFrogsAndPathsAre404(t *testing.T) {
	f := newFixture(t, memory.New())
	for _, path := range []string{"/api/frogs/toad/pet", "/api/frogs/../pet", "/api/frogs/%2e%2e/pet", "/api/frogs/glass-frog%00/pet", "/api/frogs/glass-frog/pet/", "/api/frogs/", "/"} {
		if w := f.as(t, "ann", http.MethodPost, path); w.Code != http.StatusNotFound || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: status %d, Content-Type %q, want 404 and application/problem+json", path, w.Code, w.Header().Get("Content-Type"))
		}
	}
}

func TestALargeBodyIsRefused(t *testing.T) {
	f := newFixture(t, memory.New())
	token := "Bearer " + f.token(t, "ann", "frogs", time.Minute)
	w := f.do(t, http.MethodPut, "/api/frogs", token, strings.NewReader(strings.Repeat("x", 2<<10)))
	if w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d, want 413", w.Code)
	}
}

// away is a store that always fails with err.
type away struct{ err error }

func (a away) Frogs(context.Context, string) ([]frog.Frog, error) { return nil, a.err }
func (a away) Pet(context.Context, string, string, time.Time) (frog.Frog, error) {
	return frog.Frog{}, a.err
}

func TestStoreAwayIs503WithRetryAfter(t *testing.T) {
	f := newFixture(t, away{fmt.Errorf("dial 10.0.0.7: %w", frog.ErrUnavailable)})
	for _, target := range []string{"GET /api/frogs", "POST /api/frogs/glass-frog/pet"} {
		method, path, _ := strings.Cut(target, " ")
		w := f.as(t, "ann", method, path)
		if after, err := strconv.Atoi(w.Header().Get("Retry-After")); w.Code != http.StatusServiceUnavailable || err != nil || after < 1 {
			t.Errorf("%s: status %d, Retry-After %q, want 503 and at least 1", target, w.Code, w.Header().Get("Retry-After"))
		}
		if strings.Contains(w.Body.String(), "10.0.0.7") {
			t.Errorf("%s: response leaks internal details: %s", target, w.Body)
		}
	}
	if !strings.Contains(f.log.String(), "10.0.0.7") {
		t.Error("the log does not contain the cause")
	}
}

func TestTheAccessLogHasTheRouteAndNotThePath(t *testing.T) {
	f := newFixture(t, memory.New())
	for target, route := range map[string]string{
		"POST /api/frogs/planted-id/pet": "/api/frogs/:id/pet", "GET /api/frogs?planted-id": "/api/frogs", "GET /api/planted-id": "",
	} {
		method, path, _ := strings.Cut(target, " ")
		f.log.Reset()
		f.as(t, "ann", method, path)
		if text := f.log.String(); !strings.Contains(text, "route="+cmp.Or(route, `""`)+" ") || strings.Contains(text, "planted-id") {
			t.Errorf("%s: want route %q and no part of the URL in %s", target, route, text)
		}
	}
}

func TestAClientThatLeavesIsNoError(t *testing.T) {
	f := newFixture(t, away{fmt.Errorf("list frogs: %w", context.Canceled)})
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/frogs", http.NoBody)
	r.Header.Set("Authorization", "Bearer "+f.token(t, "ann", "frogs", time.Minute))
	f.api.ServeHTTP(httptest.NewRecorder(), r) // not f.do: there is no response to validate
	if strings.Contains(f.log.String(), "ERROR") || !strings.Contains(f.log.String(), "status=499") {
		t.Errorf("want status 499 and no ERROR in %s", f.log)
	}
}

func TestNeitherAnswerNorLogHoldsTheTokenOrTheFault(t *testing.T) {
	f := newFixture(t, away{errors.New("column frogs.pets does not exist")})
	token := f.token(t, "ann", "frogs", time.Minute)
	w := f.do(t, http.MethodGet, "/api/frogs?access_token=planted", "Bearer "+token, nil)
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "column") {
		t.Errorf("status %d, body %s, want 500 without the cause", w.Code, w.Body)
	}
	for _, secret := range []string{token, "planted"} {
		if strings.Contains(f.log.String(), secret) || strings.Contains(w.Body.String(), secret) {
			t.Errorf("%q is in the response or the log: %s", secret, f.log)
		}
	}
}

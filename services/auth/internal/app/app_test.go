package app_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/golang-jwt/jwt/v5"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/auth/internal/app"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/auth/internal/signer"
	"lilypad.example/services/pkg/config"
	"lilypad.example/services/pkg/pgtest"
	"lilypad.example/services/pkg/redistest"
	"lilypad.example/services/pkg/tlstest"
)

// service is a running auth service with a client that validates requests and responses against
// the OpenAPI document.
type service struct {
	t      *testing.T
	url    string
	ops    string
	issuer string
	key    *ecdsa.PrivateKey
	router routers.Router
	logs   *buffer
	stop   func()
}

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) { b.mu.Lock(); defer b.mu.Unlock(); return b.b.Write(p) }

func (b *buffer) String() string { b.mu.Lock(); defer b.mu.Unlock(); return b.b.String() }

// settings returns settings with key files in dir, and the client's key.
func settings(t *testing.T, dir string) (*app.Config, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public := publicPEM(t, key)
	clients, err := json.Marshal(map[string]string{"app": public, "other": public})
	if err != nil {
		t.Fatal(err)
	}
	signing, err := signer.Generate()
	if err != nil {
		t.Fatal(err)
	}
	c := &app.Config{
		Common: config.Common{OpsListen: "127.0.0.1:0", Drain: 30 * time.Second},
		Stores: app.Stores{Store: "embedded"},
		Listen: "127.0.0.1:0", Issuer: "http://auth.test", Audiences: []string{"frontend", "frogs"},
		RebuildSessions: true, Passwords: true, Registration: true,
		AccessTTL: 5 * time.Minute, IdleTTL: time.Hour, AbsoluteTTL: 2 * time.Hour, Overlap: 10 * time.Second,
		SigningKeysFile: filepath.Join(dir, "signing.pem"), RingKeysFile: filepath.Join(dir, "ring.keys"), ClientKeysFile: filepath.Join(dir, "clients.json"),
	}
	for path, content := range map[string][]byte{c.SigningKeysFile: signing, c.RingKeysFile: []byte(session.NewRingLine()), c.ClientKeysFile: clients} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return c, key
}

// publicPEM returns the public key of key as PEM.
func publicPEM(t *testing.T, key *ecdsa.PrivateKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// start starts a service and waits until it is ready.
func start(t *testing.T, c *app.Config, key *ecdsa.PrivateKey) *service {
	t.Helper()
	s := launch(t, c, key)
	eventually(t, "the service is ready", func() bool { return s.opsStatus("/readyz") == http.StatusOK })
	return s
}

// launch starts a service without waiting until it is ready.
func launch(t *testing.T, c *app.Config, key *ecdsa.PrivateKey) *service {
	t.Helper()
	s := &service{t: t, issuer: c.Issuer, key: key, logs: &buffer{}}
	ctx, cancel := context.WithCancel(t.Context())
	a, err := app.New(ctx, c, slog.New(slog.NewJSONHandler(s.logs, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	s.url, s.ops = "http://"+a.Addr().String(), "http://"+a.OpsAddr().String()
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v, want nil", err)
		}
		a.Close()
	})
	t.Cleanup(s.stop)

	doc, err := openapi3.NewLoader().LoadFromData(api.Spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.router, err = gorillamux.NewRouter(doc); err != nil {
		t.Fatal(err)
	}
	return s
}

// opsStatus returns the status of a GET request to the operations port.
func (s *service) opsStatus(path string) int {
	s.t.Helper()
	status, _ := s.opsGet(path)
	return status
}

// opsGet sends a GET request to the operations port.
func (s *service) opsGet(path string) (status int, body string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.ops+path, http.NoBody)
	if err != nil {
		s.t.Fatal(err)
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

func embedded(t *testing.T) *service {
	t.Helper()
	c, key := settings(t, t.TempDir())
	return start(t, c, key)
}

// external starts a service with a real Redis and Postgres.
func external(t *testing.T) (*service, *app.Config) {
	t.Helper()
	c, key := settings(t, t.TempDir())
	c.Store = "external"
	c.DatabaseURL = config.NewSecret(pgtest.URL(t, nil))
	c.RedisURL = config.NewSecret(redistest.Start(t).URL())
	return start(t, c, key), c
}

func (s *service) assertion(client string) string {
	s.t.Helper()
	return s.assertionBy(s.key, client)
}

func (s *service) assertionBy(key *ecdsa.PrivateKey, client string) string {
	s.t.Helper()
	text, err := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.RegisteredClaims{
		Issuer: client, Subject: client, Audience: jwt.ClaimStrings{s.issuer}, ID: rand.Text(),
		ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Minute)),
	}).SignedString(key)
	if err != nil {
		s.t.Fatal(err)
	}
	return text
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

// do sends r, and validates request and response against the OpenAPI document. Set loose for
// requests that are invalid on purpose: then only the response is validated.
func (s *service) do(r *http.Request, loose bool) answer {
	s.t.Helper()
	var sent []byte
	if r.Body != nil {
		sent, _ = io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(sent))
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		s.t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil {
		s.t.Fatal(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(sent))
	route, params, err := s.router.FindRoute(r)
	if err == nil {
		in := &openapi3filter.RequestValidationInput{
			Request: r, PathParams: params, Route: route,
			Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true},
		}
		if err := openapi3filter.ValidateRequest(s.t.Context(), in); err != nil && !loose {
			s.t.Errorf("%s %s: the request breaks the contract: %v", r.Method, r.URL.Path, err)
		}
		out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: res.StatusCode, Header: res.Header, Options: in.Options}
		if err := openapi3filter.ValidateResponse(s.t.Context(), out.SetBodyBytes(body)); err != nil {
			s.t.Errorf("%s %s: the response breaks the contract: %v", r.Method, r.URL.Path, err)
		}
	}
	return answer{res.StatusCode, res.Header, body}
}

func (s *service) request(method, path, authorization, contentType, body string) *http.Request {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if authorization != "" {
		r.Header.Set("Authorization", "Bearer "+authorization)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return r
}

func (s *service) json(path string, v any) answer {
	s.t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.do(s.request(http.MethodPost, path, s.assertion("app"), "application/json", string(b)), false)
}

const password = "a pond full of tadpoles"

func (s *service) register(email string) api.Session {
	s.t.Helper()
	return s.registerFrom(email, presenter.ClientAddress)
}

func (s *service) registerFrom(email, from string) api.Session {
	s.t.Helper()
	a := s.json("/v1/users", api.NewUser{Email: email, Name: "Fred", Password: password, Presenter: api.Presenter{UserAgent: "test", ClientAddress: from}})
	if a.status != http.StatusCreated {
		s.t.Fatalf("register: status %d, want 201: %s", a.status, a.body)
	}
	return decode[api.Session](s.t, a.body)
}

func (s *service) login(email, password string) answer {
	s.t.Helper()
	return s.json("/v1/sessions", api.Credentials{Email: email, Password: password, Presenter: presenter})
}

var presenter = api.Presenter{UserAgent: "test", ClientAddress: "192.0.2.7"}

func (s *service) refresh(client, token string) answer {
	s.t.Helper()
	return s.refreshFrom(client, token, "test", "192.0.2.7")
}

func (s *service) refreshFrom(client, token, userAgent, address string) answer {
	s.t.Helper()
	return s.form("/oauth2/token", url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {token}, "client_assertion_type": {api.ClientAssertionType},
		"client_assertion": {s.assertion(client)}, "user_agent": {userAgent}, "client_address": {address},
	}, false)
}

func (s *service) revoke(token string) answer {
	s.t.Helper()
	return s.revokeWith(s.assertion("app"), token)
}

func (s *service) revokeWith(assertion, token string) answer {
	s.t.Helper()
	return s.form("/oauth2/revoke", url.Values{
		"token": {token}, "client_assertion_type": {api.ClientAssertionType}, "client_assertion": {assertion},
	}, false)
}

func (s *service) form(path string, values url.Values, loose bool) answer {
	s.t.Helper()
	return s.do(s.request(http.MethodPost, path, "", "application/x-www-form-urlencoded", values.Encode()), loose)
}

func decode[T any](t *testing.T, body []byte) (v T) {
	t.Helper()
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return v
}

func oauthCode(t *testing.T, a answer) string {
	t.Helper()
	return string(decode[api.OAuthError](t, a.body).Error)
}

func TestTheWholeLifeOfASession(t *testing.T) {
	for name, open := range map[string]func(*testing.T) *service{
		"embedded": embedded,
		"real":     func(t *testing.T) *service { s, _ := external(t); return s },
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			begun := s.register("fred@pond.test")
			if begun.User.Name != "Fred" || begun.Token.ExpiresIn != 300 {
				t.Errorf("registered session is %+v, want name Fred and an access token for 300 s", begun)
			}
			me := s.do(s.request(http.MethodGet, "/v1/me", begun.Token.AccessToken, "", ""), false)
			if u := decode[api.User](t, me.body); me.status != http.StatusOK || u.Email != "fred@pond.test" || u.Sub != begun.User.Sub {
				t.Errorf("me: status %d, want 200 and the registered user: %s", me.status, me.body)
			}
			a := s.refresh("app", begun.Token.RefreshToken)
			next := decode[api.Token](t, a.body)
			if a.status != http.StatusOK || next.RefreshToken == begun.Token.RefreshToken || next.Sid != begun.Token.Sid || !next.ExpiresAt.Equal(begun.Token.ExpiresAt) {
				t.Errorf("refresh: status %d, want 200 and a new token of the same session: %s", a.status, a.body)
			}
			if a.header.Get("Cache-Control") != "no-store" {
				t.Errorf("headers of a refresh are %v, want Cache-Control: no-store", a.header)
			}
			// If the response was lost, the client sends the old token again.
			if again := decode[api.Token](t, s.refresh("app", begun.Token.RefreshToken).body); again.RefreshToken != next.RefreshToken {
				t.Errorf("retry returned refresh token %s, want the same successor %s", again.RefreshToken, next.RefreshToken)
			}
			// Another client's attempt fails and changes nothing.
			if a := s.refresh("other", next.RefreshToken); a.status != http.StatusUnauthorized || oauthCode(t, a) != "invalid_client" {
				t.Errorf("refresh by another client: status %d, want 401 invalid_client: %s", a.status, a.body)
			}
			third := decode[api.Token](t, s.refresh("app", next.RefreshToken).body)
			// A token two generations behind ends the family for both holders.
			if a := s.refresh("app", begun.Token.RefreshToken); a.status != http.StatusBadRequest || oauthCode(t, a) != "invalid_grant" {
				t.Errorf("refresh with a token two generations behind: status %d, want 400 invalid_grant: %s", a.status, a.body)
			}
			if a := s.refresh("app", third.RefreshToken); a.status != http.StatusBadRequest {
				t.Errorf("refresh after reuse: status %d, want 400: %s", a.status, a.body)
			}
			if !strings.Contains(s.logs.String(), "session.reuse_detected") {
				t.Error("no audit event session.reuse_detected")
			}
			// A login begins another family, and logout ends it.
			in := s.login("fred@pond.test", password)
			second := decode[api.Session](t, in.body)
			if in.status != http.StatusCreated || second.Token.Sid == begun.Token.Sid {
				t.Fatalf("login: status %d, want 201 and a new session: %s", in.status, in.body)
			}
			for range 2 { // RFC 7009 section 2.2: revoking an invalid token succeeds
				if a := s.revoke(second.Token.RefreshToken); a.status != http.StatusOK {
					t.Errorf("revoke: status %d, want 200: %s", a.status, a.body)
				}
			}
			if a := s.refresh("app", second.Token.RefreshToken); oauthCode(t, a) != "invalid_grant" {
				t.Errorf("refresh after logout: status %d, want 400 invalid_grant: %s", a.status, a.body)
			}
			if secrets := []string{password, second.Token.AccessToken, second.Token.RefreshToken, next.RefreshToken}; true {
				for _, secret := range secrets { // at debug level
					if strings.Contains(s.logs.String(), secret) {
						t.Errorf("the log contains the secret %s", secret)
					}
				}
			}
		})
	}
}

func TestRestartKeepsSessions(t *testing.T) {
	s, c := external(t)
	begun := s.register("fred@pond.test")
	s.stop()
	s = start(t, c, s.key)
	if a := s.refresh("app", begun.Token.RefreshToken); a.status != http.StatusOK {
		t.Errorf("refresh after a restart: status %d, want 200: %s", a.status, a.body)
	}
	if a := s.login("fred@pond.test", password); a.status != http.StatusCreated {
		t.Errorf("login after a restart: status %d, want 201: %s", a.status, a.body)
	}
}

func TestRefusals(t *testing.T) {
	s := embedded(t)
	s.register("fred@pond.test")
	wrong, unknown := s.login("fred@pond.test", "not the password"), s.login("nobody@pond.test", "not the password")
	if wrong.status != http.StatusUnauthorized || unknown.status != wrong.status || !bytes.Equal(wrong.body, unknown.body) {
		t.Errorf("wrong password: %d %s; unknown user: %d %s; want the same 401 response", wrong.status, wrong.body, unknown.status, unknown.body)
	}
	taken := s.json("/v1/users", api.NewUser{Email: "FRED@pond.test ", Name: "x", Password: password, Presenter: presenter})
	if taken.status != http.StatusConflict {
		t.Errorf("taken e-mail address: status %d, want 409: %s", taken.status, taken.body)
	}
	invalid := s.json("/v1/users", api.NewUser{Email: "x", Name: " ", Password: "short", Presenter: presenter})
	if p := decode[api.Problem](t, invalid.body); invalid.status != http.StatusUnprocessableEntity || p.Errors == nil || len(*p.Errors) != 3 {
		t.Errorf("invalid fields: status %d, want 422 with 3 field errors: %s", invalid.status, invalid.body)
	}
	for name, body := range map[string]string{
		"not JSON": "x", "unknown field": `{"colour":1}`, "an array": `[]`, "two objects": `{}{}`, "wrong type": `{"email":1}`, "empty": "",
	} {
		if a := s.do(s.request(http.MethodPost, "/v1/sessions", s.assertion("app"), "application/json", body), true); a.status != http.StatusBadRequest {
			t.Errorf("%s: status %d, want 400: %s", name, a.status, a.body)
		}
	}
	if a := s.do(s.request(http.MethodPost, "/v1/sessions", s.assertion("app"), "application/json", `"`+strings.Repeat("x", 40<<10)+`"`), true); a.status != http.StatusRequestEntityTooLarge {
		t.Errorf("large body: status %d, want 413: %s", a.status, a.body)
	}
	for name, authorization := range map[string]string{"no assertion": "", "bad assertion": "x"} {
		if a := s.do(s.request(http.MethodPost, "/v1/users", authorization, "application/json", "{}"), true); a.status != http.StatusUnauthorized {
			t.Errorf("%s: status %d, want 401: %s", name, a.status, a.body)
		}
	}
	for name, c := range map[string]struct {
		values url.Values
		status int
		code   string
	}{
		"no client":       {url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}}, 401, "invalid_client"},
		"forged client":   {url.Values{"client_assertion_type": {api.ClientAssertionType}, "client_assertion": {"a.b.c"}}, 401, "invalid_client"},
		"other grant":     {url.Values{"grant_type": {"password"}, "client_assertion_type": {api.ClientAssertionType}, "client_assertion": {s.assertion("app")}}, 400, "unsupported_grant_type"},
		"no token":        {url.Values{"grant_type": {"refresh_token"}, "client_assertion_type": {api.ClientAssertionType}, "client_assertion": {s.assertion("app")}}, 400, "invalid_request"},
		"a forged token":  {url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"v1.k.*.1.x"}, "client_assertion_type": {api.ClientAssertionType}, "client_assertion": {s.assertion("app")}}, 400, "invalid_grant"},
		"token too large": {url.Values{"grant_type": {"refresh_token"}, "refresh_token": {strings.Repeat("v", 4096)}, "client_assertion_type": {api.ClientAssertionType}, "client_assertion": {s.assertion("app")}}, 400, "invalid_grant"},
	} {
		if a := s.form("/oauth2/token", c.values, true); a.status != c.status || oauthCode(t, a) != c.code {
			t.Errorf("%s: status %d, want %d %s: %s", name, a.status, c.status, c.code, a.body)
		}
	}
	for name, c := range map[string]struct {
		media, body string
		status      int
	}{
		"not a form":            {"application/json", "{}", 400},
		"a parameter twice":     {"application/x-www-form-urlencoded", "grant_type=refresh_token&grant_type=refresh_token", 400}, // RFC 6749 section 3.2
		"a form that is broken": {"application/x-www-form-urlencoded", "a=%zz", 400},
		"a form too large":      {"application/x-www-form-urlencoded", "a=" + strings.Repeat("x", 40<<10), 413},
	} {
		for _, path := range []string{"/oauth2/token", "/oauth2/revoke"} {
			if a := s.do(s.request(http.MethodPost, path, "", c.media, c.body), true); a.status != c.status {
				t.Errorf("%s at %s: status %d, want %d: %s", name, path, a.status, c.status, a.body)
			}
		}
	}
	if !strings.Contains(s.logs.String(), "client.refused") {
		t.Error("no audit event client.refused")
	}
	if a := s.do(s.request(http.MethodGet, "/v1/me", "", "", ""), false); a.status != http.StatusUnauthorized || a.header.Get("WWW-Authenticate") == "" {
		t.Errorf("me without a token: status %d, header %v; want 401 with WWW-Authenticate", a.status, a.header)
	}
	for path, status := range map[string]int{"/nowhere": 404, "/oauth2/token": 405} {
		if a := s.do(s.request(http.MethodGet, path, "", "", ""), true); a.status != status || a.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: status %d, header %v; want %d as a problem", path, a.status, a.header, status)
		}
	}
}

func TestGuessingIsLimitedByAccount(t *testing.T) {
	s := embedded(t)
	s.register("fred@pond.test")
	var last answer
	tries := 1
	for ; tries <= 100; tries++ {
		if last = s.login("fred@pond.test", "not the password"); last.status != http.StatusUnauthorized {
			break
		}
	}
	if last.status != http.StatusTooManyRequests || last.header.Get("Retry-After") == "" {
		t.Errorf("after %d tries: status %d, want 429 with Retry-After: %s", tries, last.status, last.body)
	}
	if !strings.Contains(s.logs.String(), "limit.exceeded") {
		t.Error("no audit event limit.exceeded")
	}
}

func TestMetadata(t *testing.T) {
	s := embedded(t)
	a := s.do(s.request(http.MethodGet, "/.well-known/oauth-authorization-server", "", "", ""), false)
	if m := decode[api.Metadata](t, a.body); m.Issuer != "http://auth.test" || m.TokenEndpoint != m.Issuer+"/oauth2/token" || m.IntrospectionEndpoint != m.Issuer+"/oauth2/introspect" {
		t.Errorf("metadata is %s, want the endpoints under the issuer", a.body)
	}
	if a := s.do(s.request(http.MethodGet, "/.well-known/jwks.json", "", "", ""), false); !strings.Contains(a.header.Get("Cache-Control"), "max-age=60") {
		t.Errorf("header %v, want Cache-Control with max-age=60", a.header)
	}
}

func TestBadSettingsAreReportedAtOnce(t *testing.T) {
	c, _ := settings(t, t.TempDir())
	c.Store = "external"
	c.Issuer, c.AccessTTL, c.IdleTTL = "nowhere", time.Hour, time.Minute
	c.ClientServiceAccounts = []string{"*"}
	err := c.Check()
	for _, want := range []string{"LILYPAD_DATABASE_URL", "LILYPAD_REDIS_URL", "LILYPAD_ISSUER", "LILYPAD_ACCESS_TTL", "LILYPAD_CLIENT_SERVICE_ACCOUNTS"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %s in error: %v", want, err)
		}
	}
}

func TestStoresAreVerifiedByTheirAuthorities(t *testing.T) {
	c, key := settings(t, t.TempDir())
	forRedis, forPostgres := tlstest.NewCA(t), tlstest.NewCA(t)
	redis, postgres := redistest.StartTLS(t, forRedis), pgtest.StartServerTLS(t, forPostgres)
	database := "postgres://postgres@" + postgres.Addr() + "/postgres"
	c.Store, c.RedisURL, c.DatabaseURL = "external", config.NewSecret("rediss://"+redis.Addr()), config.NewSecret(database)
	refused := func(name string, faults ...string) {
		t.Helper()
		a, err := app.New(t.Context(), c, slog.New(slog.DiscardHandler))
		if err == nil {
			defer a.Close()
			err = a.Run(t.Context())
		}
		for _, want := range faults {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %v, want it to contain %q", name, err, want)
			}
		}
	}
	refused("no authority", "LILYPAD_REDIS_CA_FILE names the file", "LILYPAD_DATABASE_CA_FILE names the file")
	c.RedisCAFile, c.DatabaseCAFile = forPostgres.File, forRedis.File
	refused("each has the other's", "LILYPAD_REDIS_CA_FILE names the file", "LILYPAD_DATABASE_CA_FILE names the file")
	c.RedisCAFile, c.DatabaseCAFile = c.RingKeysFile, "/nowhere"
	refused("no certificates", "LILYPAD_REDIS_CA_FILE: "+c.RingKeysFile, "LILYPAD_DATABASE_CA_FILE: open /nowhere")
	c.RedisCAFile, c.DatabaseCAFile = forRedis.File, forPostgres.File
	c.RedisURL, c.DatabaseURL = config.NewSecret("redis://"+redis.Addr()), config.NewSecret(database+"?sslmode=disable")
	refused("authorities without TLS", "redis URL: a certificate authority is set", "LILYPAD_DATABASE_CA_FILE: a certificate authority is set")

	c.RedisURL, c.DatabaseURL = config.NewSecret("rediss://"+redis.Addr()), config.NewSecret(database)
	s := start(t, c, key)
	begun := s.register("fred@pond.test")
	if a := s.refresh("app", begun.Token.RefreshToken); a.status != http.StatusOK {
		t.Errorf("refresh: status %d, want 200: %s", a.status, a.body)
	}
}

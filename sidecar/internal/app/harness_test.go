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
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/pkg/config"
	"lilypad.example/services/pkg/problem"
	"lilypad.example/sidecar/internal/app"
	"lilypad.example/sidecar/internal/cookie"
)

const policy = `
upstreams: {app: "%s"}
routes:
  - {path: /public, upstream: app, policy: public}
  - {path: /account, upstream: app, policy: session}
  - {prefix: /api, upstream: app, policy: session}
  - {prefix: /admin, upstream: app, policy: "role:admin"}
  - {prefix: /vault, upstream: app, policy: session, fresh: 15m}
  - {prefix: /safe, upstream: app, policy: session, fresh: 10m, acr: [gold, silver]}
  - {prefix: /pond, upstream: app, policy: "role:keeper", deny: {text: "Login to pet the <phrog> 👀"}}
  - {prefix: /club, upstream: app, policy: "role:member", deny: {page: /join}}
  - {prefix: /, upstream: app, policy: optional}
`

const (
	email      = "fred@pond.test"
	otherEmail = "mina@pond.test"
	password   = "a pond full of tadpoles"
)

// auth is a fake auth service with two accounts, whose behavior a test may change.
type auth struct {
	mu       sync.Mutex
	sessions map[string]int    // family to generation
	owners   map[string]string // family to e-mail address, ended sessions included
	forms    map[string][]byte // e-mail address and family, to sealed form
	claims   map[string]string // same key, to the claim that is sending the form
	begun    map[string]time.Time
	flows    map[string]api.NewAuthorization // sign-ins under way, by state
	last     api.NewAuthorization            // the last of them
	grades   map[string]string               // family of a user of the provider corp, to acr
	idp      string                          // address of the provider, if not the usual one
	returns  string                          // post_logout_redirect_uri of the last logout
	leave    string                          // logout_url of the next one
	age      time.Duration                   // age of the login at the start of a new session
	serial   int
	roles    []string
	life     int
	rotate   bool
	instead  http.HandlerFunc // handles all requests, if set
	pages    http.HandlerFunc // handles requests for pages, if set
	calls    int
	address  string      // client address of the last login
	had      []string    // sessions that the browser presented at the last login
	fails    string      // the path that responds with 503, if set
	strict   bool        // logins without a session of the account are rate limited
	ended    chan string // session ids for the feed
}

func (a *auth) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/v1/revocations" {
		a.feed(w, r)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if strings.HasPrefix(r.URL.Path, "/auth/") && a.pages == nil {
		w.WriteHeader(http.StatusNotFound) // not counted: it has no pages
		return
	}
	a.calls++
	if strings.HasPrefix(r.URL.Path, "/auth/") {
		a.pages(w, r)
		return
	}
	if a.instead != nil {
		a.instead(w, r)
		return
	}
	if r.URL.Path == a.fails {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	switch r.URL.Path {
	case "/v1/sessions", "/v1/users":
		var in api.NewUser
		_ = json.NewDecoder(r.Body).Decode(&in)
		a.address, a.had = in.Presenter.ClientAddress, nil
		if in.Presenter.Sessions != nil {
			a.had = *in.Presenter.Sessions
		}
		others := []string{}
		known := false
		for _, token := range a.had {
			switch owner := a.owners[strings.SplitN(token+"...", ".", 4)[2]]; owner {
			case "":
			case in.Email:
				known = true
			default:
				others = append(others, token)
			}
		}
		if a.strict && !known {
			p := problem.New(http.StatusTooManyRequests, problem.RateLimited, "Too many attempts.")
			p.RetryAfter = 17 * time.Minute
			problem.Write(w, p)
			return
		}
		if r.URL.Path == "/v1/sessions" && (in.Email != email && in.Email != otherEmail || in.Password != password) {
			problem.Write(w, problem.New(http.StatusUnauthorized, "invalid_credentials", "E-mail or password is not right."))
			return
		}
		if len(in.Password) < 15 {
			p := problem.New(http.StatusUnprocessableEntity, problem.InvalidFields, "Please correct the marked fields.")
			p.Errors = []problem.FieldError{{Field: "password", Code: "too_short", Detail: "x"}}
			problem.Write(w, p)
			return
		}
		a.serial++
		family := fmt.Sprintf("family%016d", a.serial)
		a.sessions[family], a.begun[family], a.owners[family] = 1, time.Now().Add(-a.age), in.Email
		answer(w, http.StatusCreated, api.Session{User: api.User{Sub: "u1", Email: in.Email, Name: "Fred", Roles: a.roles}, Token: a.token(family), OtherSessions: others})
	case "/oauth2/token":
		family, ok := a.family(r.FormValue("refresh_token"))
		if !ok {
			answer(w, http.StatusBadRequest, api.OAuthError{Error: api.InvalidGrant})
			return
		}
		if a.rotate {
			a.sessions[family]++
		}
		answer(w, http.StatusOK, a.token(family))
	case "/oauth2/revoke":
		if family, ok := a.family(r.FormValue("token")); ok {
			delete(a.sessions, family)
		}
		if a.returns = r.FormValue("post_logout_redirect_uri"); a.leave != "" {
			answer(w, http.StatusOK, api.Revoked{LogoutUrl: &a.leave})
		}
	case "/v1/authorizations":
		a.authorize(w, r)
	case "/v1/authorizations/complete":
		a.complete(w, r)
	case "/v1/sessions/confirm":
		a.calls-- // not counted: sent asynchronously
		w.WriteHeader(http.StatusNoContent)
	case "/v1/me":
		family, _, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer access-"), "-")
		if _, lives := a.sessions[family]; !lives {
			problem.Write(w, problem.New(http.StatusUnauthorized, problem.Unauthorized, "no"))
			return
		}
		answer(w, http.StatusOK, api.User{Sub: "u1", Email: a.owner(r), Name: "Fred <b>", Roles: a.roles})
	case "/v1/forms":
		var in api.KeptForm
		_ = json.NewDecoder(r.Body).Decode(&in)
		family := strings.SplitN(in.RefreshToken+"...", ".", 4)[2]
		if a.owners[family] == "" || !strings.HasSuffix(in.RefreshToken, strings.Repeat("m", 43)) {
			problem.Write(w, problem.New(http.StatusForbidden, problem.Forbidden, "no"))
			return
		}
		a.forms[a.owners[family]+" "+family] = in.Sealed
		w.WriteHeader(http.StatusNoContent)
	default:
		a.form(w, r)
	}
}

// authorize begins a sign-in with the provider corp. The provider down does not answer.
func (a *auth) authorize(w http.ResponseWriter, r *http.Request) {
	var in api.NewAuthorization
	_ = json.NewDecoder(r.Body).Decode(&in)
	provider := text(in.Provider)
	if text(in.Issuer) == "https://corp.test" {
		provider = "corp"
	}
	switch provider {
	case "corp":
		a.serial++
		state := fmt.Sprintf("state%d", a.serial)
		a.flows[state], a.last = in, in
		address := "https://corp.test/authorize?state=" + state
		if a.idp != "" {
			address = a.idp
		}
		answer(w, http.StatusCreated, api.Authorization{AuthorizationUrl: address})
	case "wrong":
		problem.Write(w, problem.New(http.StatusBadGateway, "provider_failed", "no"))
	case "down":
		problem.Write(w, problem.New(http.StatusServiceUnavailable, "provider_unavailable", "no"))
	default:
		problem.Write(w, problem.New(http.StatusNotFound, "unknown_provider", "no"))
	}
}

// complete completes a sign-in. The query names the acr, or an error.
func (a *auth) complete(w http.ResponseWriter, r *http.Request) {
	var in api.AuthorizationResponse
	_ = json.NewDecoder(r.Body).Decode(&in)
	q, _ := url.ParseQuery(in.Query)
	begun, ok := a.flows[q.Get("state")]
	if !ok || begun.Browser != in.Browser || in.Provider != "corp" {
		problem.Write(w, problem.New(http.StatusNotFound, "unknown_authorization", "no"))
		return
	}
	delete(a.flows, q.Get("state"))
	done := api.CompletedAuthorization{Next: text(begun.Next)}
	if code := q.Get("error"); code != "" {
		done.Refusal = &api.Refusal{Code: api.RefusalCode(code)}
		answer(w, http.StatusOK, done)
		return
	}
	a.serial++
	family := fmt.Sprintf("family%016d", a.serial)
	a.sessions[family], a.begun[family], a.owners[family], a.grades[family] = 1, time.Now().Add(-a.age), email, q.Get("acr")
	done.Session = &api.Session{User: api.User{Sub: "u1", Email: email, Name: "Fred", Roles: a.roles}, Token: a.token(family), OtherSessions: []string{}}
	answer(w, http.StatusOK, done)
}

func text[T ~string](s *T) T {
	if s == nil {
		return ""
	}
	return *s
}

// form handles all requests under /v1/forms/{sid}.
func (a *auth) form(w http.ResponseWriter, r *http.Request) {
	path, ok := strings.CutPrefix(r.URL.Path, "/v1/forms/")
	sid, claim, claims := strings.Cut(path, "/claims/")
	key := a.owner(r) + " " + sid
	sealed, kept := a.forms[key]
	switch {
	case !ok || !kept:
		problem.Write(w, problem.New(http.StatusNotFound, problem.NotFound, "no"))
		return
	case r.Method == http.MethodPut && a.claims[key] != "":
		problem.Write(w, problem.New(http.StatusConflict, "form_claimed", "no"))
		return
	case r.Method == http.MethodPut:
		a.claims[key] = claim
	case claims && claim == a.claims[key]:
		delete(a.claims, key)
		if r.FormValue("sent") == "true" {
			delete(a.forms, key)
		}
	case r.Method == http.MethodDelete && !claims:
		delete(a.forms, key)
	}
	if r.Method == http.MethodDelete {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	answer(w, http.StatusOK, api.SealedForm{Sealed: sealed})
}

// owner returns the e-mail address of the user whose access token r carries.
func (a *auth) owner(r *http.Request) string {
	family, _, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer access-"), "-")
	return a.owners[family]
}

// feed is the revocation feed: it sends heartbeats, and an event for each session id in a.ended.
func (a *auth) feed(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	for text := ": hello\n\n"; ; {
		_, _ = io.WriteString(w, text)
		_ = http.NewResponseController(w).Flush()
		select {
		case <-r.Context().Done():
			return
		case <-time.After(time.Second):
			text = ": beat\n\n"
		case sid := <-a.ended:
			text = fmt.Sprintf("id: %d-0\ndata: {\"sid\":%q,\"reason\":\"logout\"}\n\n", time.Now().UnixMilli(), sid)
		}
	}
}

func (a *auth) family(token string) (string, bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 5 || parts[4] != strings.Repeat("m", 43) {
		return "", false
	}
	_, ok := a.sessions[parts[2]]
	return parts[2], ok
}

func (a *auth) token(family string) api.Token {
	a.serial++
	var provider, acr *string
	if grade, ok := a.grades[family]; ok {
		corp := "corp"
		provider, acr = &corp, &grade
	}
	return api.Token{
		Provider: provider, Acr: acr,
		AccessToken: fmt.Sprintf("access-%s-%d", family, a.serial), TokenType: api.Bearer, ExpiresIn: a.life,
		RefreshToken: fmt.Sprintf("v1.k1.%s.%d.%s", family, a.sessions[family], strings.Repeat("m", 43)),
		Sid:          family, Roles: a.roles, AuthTime: a.begun[family], ExpiresAt: time.Now().Add(time.Hour),
	}
}

func (a *auth) set(change func(*auth)) { a.mu.Lock(); defer a.mu.Unlock(); change(a) }

func (a *auth) count() int { a.mu.Lock(); defer a.mu.Unlock(); return a.calls }

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// seen is a request as the application received it.
type seen struct {
	Method, Path, Body string
	Header             http.Header
}

// world is a sidecar between a browser and an application that echoes requests.
type world struct {
	t    testing.TB
	auth *auth
	url  string
	ops  string
	// verify is the address for forward authentication.
	verify string
	// extAuthz is the address for Envoy's external authorization.
	extAuthz string
	logs     *lockedBuffer
	stop     func() // stops the sidecar, once
	// app handles requests at the application instead of the echo, if it returns true.
	app func(w http.ResponseWriter, r *http.Request) bool
	mu  sync.Mutex
	hit int
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string { b.mu.Lock(); defer b.mu.Unlock(); return b.b.String() }

func (w *world) hits() int { w.mu.Lock(); defer w.mu.Unlock(); return w.hit }

func (w *world) echo(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	w.hit++
	w.mu.Unlock()
	if w.app != nil && w.app(rw, r) {
		return
	}
	body, _ := io.ReadAll(r.Body)
	answer(rw, http.StatusOK, seen{r.Method, r.URL.RequestURI(), string(body), r.Header})
}

// newWorld starts a world. change may alter the sidecar's settings first.
func newWorld(t testing.TB, change ...func(*app.Config)) *world {
	t.Helper()
	w := &world{t: t, auth: &auth{sessions: map[string]int{}, begun: map[string]time.Time{}, flows: map[string]api.NewAuthorization{}, grades: map[string]string{}, owners: map[string]string{}, forms: map[string][]byte{}, claims: map[string]string{}, roles: []string{}, life: 300, rotate: true, ended: make(chan string)}, logs: &lockedBuffer{}}
	authServer := httptest.NewServer(w.auth)
	t.Cleanup(func() { authServer.CloseClientConnections(); authServer.Close() })
	upstream := httptest.NewServer(http.HandlerFunc(w.echo))
	t.Cleanup(upstream.Close)
	dir := t.TempDir()
	c := &app.Config{
		Common: config.Common{OpsListen: "127.0.0.1:0", Drain: 30 * time.Second}, Listen: "127.0.0.1:0",
		RoutesFile: filepath.Join(dir, "routes.yaml"), AuthURL: authServer.URL, ClientID: "test", ClientKeyFile: filepath.Join(dir, "client.pem"),
		LoginPath: "/login", RegisterPath: "/register", HomePath: "/", MaxSessions: 100,
		HeaderTimeout: 5 * time.Second, Limits: limits(), AccessLog: "all", AccessLogSample: 100,
	}
	write(t, c.RoutesFile, fmt.Appendf(nil, policy, upstream.URL))
	write(t, c.ClientKeyFile, privateKey(t))
	for _, f := range change {
		f(c)
	}
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	log := slog.New(slog.NewJSONHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	a, err := app.New(ctx, c, log, log)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(w.stop)
	w.url, w.ops, w.verify = "http://"+a.Addr().String(), "http://"+a.OpsAddr().String(), "http://"+at(a.VerifyAddr())
	w.extAuthz = "http://" + at(a.ExtAuthzAddr())
	return w
}

// at returns an address as text, or "".
func at(a net.Addr) string {
	if a == nil {
		return ""
	}
	return a.String()
}

// limits returns limits that no test reaches by chance.
func limits() app.Limits {
	return app.Limits{
		MaxConnections: 100, MaxHeaderBytes: 32 << 10, MaxHeaders: 100, MaxBody: 1 << 30,
		ReadHeaderTimeout: time.Minute, ReadBodyTimeout: time.Minute, WriteTimeout: time.Minute, IdleTimeout: time.Minute,
	}
}

func write(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func privateKey(t testing.TB) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// reply is a response with its body.
type reply struct {
	status int
	header http.Header
	body   string
}

func (r reply) seen(t *testing.T) (s seen) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.body), &s); err != nil {
		t.Fatalf("status %d, body %s, want an echoed request: %v", r.status, r.body, err)
	}
	return s
}

// setCookie returns the value of the session cookie that the response sets, and whether it sets
// one.
func (r reply) setCookie(t testing.TB) (string, bool) { t.Helper(); return r.sets(t, cookie.Name) }

func (r reply) sets(t testing.TB, name string) (string, bool) {
	t.Helper()
	for _, line := range r.header.Values("Set-Cookie") {
		if c, err := http.ParseSetCookie(line); err == nil && c.Name == name {
			return c.Value, true
		}
	}
	return "", false
}

// send sends a request with the header fields in pairs.
func (w *world) send(method, path, body string, pairs ...string) reply {
	w.t.Helper()
	return w.sendTo(w.url, method, path, body, pairs...)
}

func (w *world) sendTo(door, method, path, body string, pairs ...string) reply {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, door+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i < len(pairs); i += 2 {
		r.Header[pairs[i]] = append(r.Header[pairs[i]], pairs[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return reply{res.StatusCode, res.Header, string(b)}
}

func (w *world) get(path string, pairs ...string) reply {
	w.t.Helper()
	return w.send(http.MethodGet, path, "", pairs...)
}

const (
	form      = "application/x-www-form-urlencoded"
	jsonType  = "application/json"
	pageTypes = "text/html,application/xhtml+xml"
)

func credentials(password string) string {
	return fmt.Sprintf(`{"email":%q,"password":%q}`, email, password)
}

// login logs in and returns the value of the Cookie header.
func (w *world) login() string {
	w.t.Helper()
	r := w.send(http.MethodPost, "/auth/login", credentials(password), "Content-Type", jsonType)
	value, ok := r.setCookie(w.t)
	if r.status != http.StatusOK || !ok {
		w.t.Fatalf("login: status %d, want 200: %s", r.status, r.body)
	}
	return cookie.Name + "=" + value
}

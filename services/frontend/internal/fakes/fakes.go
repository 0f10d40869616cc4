// Package fakes is a test environment for the frontend: a fake auth service with accounts and
// sessions, a fake frogs API with counts per user, and the whole frontend between them. Both fakes
// can simulate outages.
package fakes

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"lilypad.example/services/frontend/internal/app"
	"lilypad.example/services/frontend/internal/auth"
	"lilypad.example/services/frontend/internal/frogs"
	"lilypad.example/services/frontend/internal/user"
	"lilypad.example/services/pkg/authn"
)

// Issuer is the issuer of the tokens.
const Issuer = "https://auth.test"

// Noon returns the fixed current time of the frontend.
func Noon() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) }

// A Person is a user with an account.
type Person struct {
	Sub   string   `json:"sub"`
	Email string   `json:"email"`
	Name  string   `json:"name"`
	Roles []string `json:"roles"`
}

// A World is the frontend with its fake dependencies.
type World struct {
	Frontend http.Handler

	key         *ecdsa.PrivateKey
	auth, frogs *httptest.Server

	mu       sync.Mutex
	people   map[string]Person
	accounts accounts
	pets     map[string]int64 // by person and frog
	list     []frogs.Frog
	authSay  int
	frogSay  int
	garbage  bool
	log      bytes.Buffer
}

// New returns a World with three frogs and no accounts. It ends with ctx and Close.
func New(ctx context.Context) (*World, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	w := &World{
		key: key, people: make(map[string]Person), accounts: newAccounts(),
		pets: make(map[string]int64), authSay: http.StatusOK, frogSay: http.StatusOK,
		list: []frogs.Frog{
			{ID: "glass-frog", Name: "Glass frog", Latin: "Hyalinobatrachium valerioi"},
			{ID: "tree-frog", Name: "European tree frog", Latin: "Hyla arborea"},
			{ID: "new-frog", Name: "Frog without a drawing", Latin: "Rana nova"},
		},
	}
	w.auth = httptest.NewServer(http.HandlerFunc(w.serveAuth))
	w.frogs = httptest.NewServer(http.HandlerFunc(w.serveFrogs))
	log := slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.Frontend, err = app.Handler(app.Dependencies{
		Verifier: authn.NewVerifier(ctx, authn.Config{JWKSURL: w.auth.URL + "/.well-known/jwks.json", Issuer: Issuer, Audience: "frontend"}),
		Users:    user.NewDirectory(w.auth.URL, log), Auth: auth.New(w.auth.URL), Frogs: frogs.New(w.frogs.URL), Now: Noon, Log: log,
	})
	if err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// Close stops the fake services.
func (w *World) Close() { w.auth.Close(); w.frogs.Close() }

// Write appends to the log.
func (w *World) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(b)
}

// Log returns everything logged so far.
func (w *World) Log() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.String()
}

// Add creates an account.
func (w *World) Add(p Person) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.people[p.Sub] = p
}

// SetFrogs replaces the frogs.
func (w *World) SetFrogs(list ...frogs.Frog) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = list
}

// AuthSays sets the response status of the auth service, except for its keys.
func (w *World) AuthSays(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.authSay = status
}

// FrogsSay sets the response status of the frogs API.
func (w *World) FrogsSay(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.frogSay = status
}

// FrogsTalkGarbage makes the frogs API respond with a body that is not JSON.
func (w *World) FrogsTalkGarbage() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.garbage = true
}

// Pets returns how often a person petted a frog.
func (w *World) Pets(sub, frog string) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pets[sub+" "+frog]
}

// Token returns an access token for sub. change may alter its claims.
func (w *World) Token(sub string, change ...func(jwt.MapClaims)) (string, error) {
	now := time.Now()
	claims := jwt.MapClaims{
		"iss": Issuer, "sub": sub, "aud": []string{"auth", "frontend", "frogs"}, "sid": SessionID(sub), "jti": rand.Text(),
		"iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(), "auth_time": now.Unix(), "roles": []string{"user"},
	}
	for _, c := range change {
		c(claims)
	}
	t := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	t.Header["typ"], t.Header["kid"] = authn.TokenType, "k1"
	return t.SignedString(w.key)
}

// Do sends a request as a browser does, without a token if token is "".
func (w *World) Do(ctx context.Context, method, target, token string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(ctx, method, target, http.NoBody)
	r.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for _, c := range change {
		c(r)
	}
	rec := httptest.NewRecorder()
	w.Frontend.ServeHTTP(rec, r)
	return rec
}

// Form returns a change for Do that sends fields as a form.
func Form(fields url.Values) func(*http.Request) {
	return func(r *http.Request) {
		body := fields.Encode()
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
}

// claims are the token claims that the fakes read.
type claims struct {
	jwt.RegisteredClaims

	SID string `json:"sid"`
}

// speaks returns the claims of the request's token. It does not verify the token, because only the
// frontend calls the fakes.
func speaks(r *http.Request) claims {
	var c claims
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if _, _, err := jwt.NewParser().ParseUnverified(token, &c); err != nil {
		return claims{}
	}
	return c
}

func (w *World) serveAuth(out http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/.well-known/jwks.json" {
		_, _ = out.Write(w.keys())
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	who := speaks(r)
	p, ok := w.people[who.Subject]
	switch {
	case w.authSay != http.StatusOK:
		out.WriteHeader(w.authSay)
	case !ok:
		out.WriteHeader(http.StatusUnauthorized)
	case r.URL.Path == "/v1/me" && r.Method == http.MethodGet:
		_ = json.NewEncoder(out).Encode(p)
	default:
		w.accounts.serve(out, r, who)
	}
}

func (w *World) keys() []byte {
	point, err := w.key.PublicKey.Bytes()
	if err != nil {
		return nil
	}
	b64 := base64.RawURLEncoding.EncodeToString
	return fmt.Appendf(nil, `{"keys":[{"kty":"EC","crv":"P-256","use":"sig","alg":"ES256","kid":"k1","x":"%s","y":"%s"}]}`, b64(point[1:33]), b64(point[33:]))
}

func (w *World) serveFrogs(out http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	sub := speaks(r).Subject
	id := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/api/frogs/"), "/pet")
	switch {
	case w.frogSay != http.StatusOK:
		out.WriteHeader(w.frogSay)
	case sub == "":
		out.WriteHeader(http.StatusUnauthorized)
	case w.garbage:
		_, _ = out.Write([]byte("<html>a proxy's page</html>"))
	case r.Method == http.MethodGet && r.URL.Path == "/api/frogs":
		all := make([]frogs.Frog, 0, len(w.list))
		for _, f := range w.list {
			all = append(all, w.see(f, sub))
		}
		_ = json.NewEncoder(out).Encode(map[string]any{"frogs": all})
	case r.Method == http.MethodPost:
		w.pet(out, sub, id)
	default:
		out.WriteHeader(http.StatusNotFound)
	}
}

func (w *World) pet(out http.ResponseWriter, sub, id string) {
	for _, f := range w.list {
		if f.ID == id {
			w.pets[sub+" "+id]++
			_ = json.NewEncoder(out).Encode(w.see(f, sub))
			return
		}
	}
	out.WriteHeader(http.StatusNotFound)
}

// see returns f with the count of this person only, so that a response to the wrong person is
// noticed.
func (w *World) see(f frogs.Frog, sub string) frogs.Frog {
	if n := w.pets[sub+" "+f.ID]; n > 0 {
		f.Pets, f.PettedAt = f.Pets+n, Noon().Add(-30*time.Second)
	}
	return f
}

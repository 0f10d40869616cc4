// Package providertest has an OpenID Connect provider, and GitHub's API, for tests. It does
// everything right until a test tells it what to do wrong.
package providertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Client and Secret are what the provider expects.
const (
	Client = "lilypad"
	Secret = "s3cret & more"
)

// A Wrong is what the provider does wrong. The zero Wrong is nothing.
type Wrong struct {
	// Discovery, Claims, Refreshed, UserInfo and Answer change the discovery document, the claims
	// of an ID token after a sign-in or a refresh, the UserInfo, and the answer with tokens.
	Discovery, UserInfo, Answer func(map[string]any)
	Claims, Refreshed           func(jwt.MapClaims)
	// Sign replaces the signing of ID tokens.
	Sign func(*Provider, jwt.MapClaims) string
	// Token, UserInfoEndpoint, Keys and Document replace an endpoint if they return true.
	Token, Keys, Document func(http.ResponseWriter, *http.Request) bool
	// Callback changes the parameters of the response.
	Callback func(url.Values)
}

// A Provider is a provider that listens on loopback.
type Provider struct {
	*httptest.Server
	t *testing.T

	mu    sync.Mutex
	wrong Wrong
	user  jwt.MapClaims
	key   *ecdsa.PrivateKey
	kid   string
	old   []map[string]any // public keys from before
	codes map[string]url.Values
	// refresh tokens that are valid; a refresh replaces the token
	refresh  map[string]bool
	requests map[string]int
}

// New starts a provider whose user is the one with these claims.
func New(t *testing.T, user jwt.MapClaims) *Provider {
	t.Helper()
	p := &Provider{t: t, user: user, codes: map[string]url.Values{}, refresh: map[string]bool{}, requests: map[string]int{}}
	p.Rotate()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.document)
	mux.HandleFunc("GET /keys", p.keys)
	mux.HandleFunc("POST /token", p.token)
	mux.HandleFunc("GET /userinfo", p.userInfo)
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

// Do makes the provider do something wrong from now on, and nothing else.
func (p *Provider) Do(w Wrong) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wrong = w
}

// Is changes who signs in.
func (p *Provider) Is(user jwt.MapClaims) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.user = user
}

// Rotate replaces the signing key. The old one stays published.
func (p *Provider) Rotate() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.key != nil {
		p.old = append(p.old, p.jwk())
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	p.key, p.kid = key, rand.Text()[:6]
}

// Forget makes the provider refuse all refresh tokens.
func (p *Provider) Forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.refresh)
}

// Requests returns how many requests an endpoint got.
func (p *Provider) Requests(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.requests[path]
}

func (p *Provider) jwk() map[string]any {
	point, err := p.key.PublicKey.Bytes()
	if err != nil {
		p.t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	return map[string]any{"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": p.kid, "x": b64(point[1:33]), "y": b64(point[33:])}
}

// Signed returns claims signed with the current key.
func (p *Provider) Signed(claims jwt.MapClaims, header map[string]any) string {
	t := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	t.Header["kid"] = p.kid
	for name, value := range header {
		if t.Header[name] = value; value == nil {
			delete(t.Header, name)
		}
	}
	text, err := t.SignedString(p.key)
	if err != nil {
		p.t.Fatal(err)
	}
	return text
}

// SignedBy returns claims signed with another method and key.
func (p *Provider) SignedBy(method jwt.SigningMethod, key any, claims jwt.MapClaims) string {
	t := jwt.NewWithClaims(method, claims)
	t.Header["kid"] = p.kid
	text, err := t.SignedString(key)
	if err != nil {
		p.t.Fatal(err)
	}
	return text
}

// Approve does what the user does at the provider: it returns the query that the redirect URI is
// called with.
func (p *Provider) Approve(authorizationURL string) string {
	p.t.Helper()
	to, err := url.Parse(authorizationURL)
	if err != nil || !strings.HasPrefix(authorizationURL, p.URL+"/authorize?") {
		p.t.Fatalf("authorization URL %q, want one of %s", authorizationURL, p.URL)
	}
	q := to.Query()
	for name, want := range map[string]string{"response_type": "code", "client_id": Client, "code_challenge_method": "S256"} {
		if q.Get(name) != want {
			p.t.Errorf("%s is %q, want %q", name, q.Get(name), want)
		}
	}
	for _, name := range []string{"state", "nonce", "code_challenge"} {
		if len(q.Get(name)) < 20 {
			p.t.Errorf("%s is %q, want a random value", name, q.Get(name))
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	code := rand.Text()
	p.codes[code] = q
	back := url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {p.URL}}
	if p.wrong.Callback != nil {
		p.wrong.Callback(back)
	}
	return back.Encode()
}

func (p *Provider) count(r *http.Request) Wrong {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests[r.URL.Path]++
	return p.wrong
}

func (p *Provider) document(w http.ResponseWriter, r *http.Request) {
	wrong := p.count(r)
	if wrong.Document != nil && wrong.Document(w, r) {
		return
	}
	d := map[string]any{
		"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys",
		"userinfo_endpoint": p.URL + "/userinfo", "end_session_endpoint": p.URL + "/logout",
		"authorization_response_iss_parameter_supported": true, "id_token_signing_alg_values_supported": []string{"ES256"},
	}
	if wrong.Discovery != nil {
		wrong.Discovery(d)
	}
	reply(w, http.StatusOK, d)
}

func (p *Provider) keys(w http.ResponseWriter, r *http.Request) {
	if wrong := p.count(r); wrong.Keys != nil && wrong.Keys(w, r) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	reply(w, http.StatusOK, map[string]any{"keys": append([]map[string]any{p.jwk()}, p.old...)})
}

func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	wrong := p.count(r)
	if wrong.Token != nil && wrong.Token(w, r) {
		return
	}
	id, secret, _ := r.BasicAuth()
	if id, _ = url.QueryUnescape(id); id != Client {
		reply(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	}
	if secret, _ = url.QueryUnescape(secret); secret != Secret {
		reply(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	claims := jwt.MapClaims{"iss": p.URL, "aud": Client, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "auth_time": now.Unix(), "sid": "provider-session"}
	maps.Copy(claims, p.user)
	switch r.FormValue("grant_type") {
	case "authorization_code":
		q, ok := p.codes[r.FormValue("code")]
		delete(p.codes, r.FormValue("code"))
		sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		if !ok || q.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]) || q.Get("redirect_uri") != r.FormValue("redirect_uri") {
			reply(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant"})
			return
		}
		claims["nonce"] = q.Get("nonce")
		if wrong.Claims != nil {
			wrong.Claims(claims)
		}
	case "refresh_token":
		if !p.refresh[r.FormValue("refresh_token")] {
			reply(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant"})
			return
		}
		delete(p.refresh, r.FormValue("refresh_token"))
		if wrong.Refreshed != nil {
			wrong.Refreshed(claims)
		}
	default:
		reply(w, http.StatusBadRequest, map[string]any{"error": "unsupported_grant_type"})
		return
	}
	for name, value := range claims {
		if value == nil {
			delete(claims, name)
		}
	}
	refresh := rand.Text()
	p.refresh[refresh] = true
	answer := map[string]any{"access_token": "access-" + rand.Text(), "token_type": "Bearer", "expires_in": 3600, "refresh_token": refresh}
	if wrong.Sign != nil {
		answer["id_token"] = wrong.Sign(p, claims)
	} else {
		answer["id_token"] = p.Signed(claims, nil)
	}
	if wrong.Answer != nil {
		wrong.Answer(answer)
	}
	reply(w, http.StatusOK, answer)
}

func (p *Provider) userInfo(w http.ResponseWriter, r *http.Request) {
	wrong := p.count(r)
	p.mu.Lock()
	defer p.mu.Unlock()
	claims := map[string]any{}
	maps.Copy(claims, p.user)
	if wrong.UserInfo != nil {
		wrong.UserInfo(claims)
	}
	reply(w, http.StatusOK, claims)
}

// LogoutToken returns a logout token for the user. change may make it wrong.
func (p *Provider) LogoutToken(change func(claims jwt.MapClaims, header map[string]any)) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	claims := jwt.MapClaims{
		"iss": p.URL, "aud": Client, "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "jti": rand.Text(), "sub": p.user["sub"],
		"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
	}
	header := map[string]any{"typ": "logout+jwt"}
	if change != nil {
		change(claims, header)
	}
	for name, value := range claims {
		if value == nil {
			delete(claims, name)
		}
	}
	return p.Signed(claims, header)
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

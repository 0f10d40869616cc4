package main

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
)

// world is a provider, a client of it, and a browser.
type world struct {
	t       *testing.T
	issuer  string
	browser *http.Client
	logouts chan string // logout tokens that the client got
}

const callback = "http://127.0.0.1:1/callback"

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, logouts: make(chan string, 8)}
	client := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { w.logouts <- r.PostFormValue("logout_token") }))
	t.Cleanup(client.Close)
	server := httptest.NewUnstartedServer(nil)
	w.issuer = "http://" + server.Listener.Addr().String()
	handler, err := newHandler(w.issuer, &relyingParty{
		id: "lilypad", secret: "secret", redirectURIs: []string{callback}, logoutURIs: []string{callback}, backChannel: client.URL, tokenLife: time.Minute,
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = handler
	server.Start()
	t.Cleanup(server.Close)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	w.browser = &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), callback) {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	return w
}

// do sends a request of the browser, and returns the redirect to the client, or nil, and the body.
func (w *world) do(method, address string, form url.Values) (*url.URL, string) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := w.browser.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	to, _ := res.Location()
	return to, string(body)
}

// authorize asks for an authorization. It returns where the provider sends the browser to, or the
// ID of the request that the login page asks about.
func (w *world) authorize(extra url.Values) (*url.URL, string) {
	w.t.Helper()
	q := url.Values{
		"client_id": {"lilypad"}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {"openid email offline_access"}, "state": {"s"}, "nonce": {"n"},
		"code_challenge": {oidc.NewSHACodeChallenge("verifier")}, "code_challenge_method": {"S256"},
	}
	maps.Copy(q, extra)
	to, body := w.do(http.MethodGet, w.issuer+"/authorize?"+q.Encode(), nil)
	_, id, _ := strings.Cut(body, `name="id" value="`)
	id, _, _ = strings.Cut(id, `"`)
	return to, id
}

func (w *world) signIn(id, user string) *url.URL {
	w.t.Helper()
	to, body := w.do(http.MethodPost, w.issuer+"/login", url.Values{"id": {id}, "user": {user}})
	if to == nil {
		w.t.Fatalf("no redirect to the client: %s", body)
	}
	return to
}

// token makes a token request, and returns the status and the response.
func (w *world) token(form url.Values) (int, map[string]any) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.issuer+"/oauth/token", strings.NewReader(form.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("lilypad", "secret")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var got map[string]any
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil {
		w.t.Fatal(err)
	}
	return res.StatusCode, got
}

func (w *world) redeem(to *url.URL) map[string]any {
	w.t.Helper()
	status, got := w.token(url.Values{"grant_type": {"authorization_code"}, "code": {to.Query().Get("code")}, "redirect_uri": {callback}, "code_verifier": {"verifier"}})
	if status != http.StatusOK {
		w.t.Fatalf("status %d: %v", status, got)
	}
	return got
}

func (w *world) refresh(token any) (int, map[string]any) {
	w.t.Helper()
	return w.token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token.(string)}})
}

// claims returns the payload of a JWT.
func claims(t *testing.T, token any) map[string]any {
	t.Helper()
	parts := strings.Split(token.(string), ".")
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(payload, &got); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestASignInAndItsRefreshes(t *testing.T) {
	w := newWorld(t)
	_, id := w.authorize(nil)
	got := w.redeem(w.signIn(id, "ada"))
	who := claims(t, got["id_token"])
	if who["sub"] != "ada" || who["email"] != "ada@pond.example" || who["email_verified"] != true || who["nonce"] != "n" || who["acr"] != "password" || who["sid"] == "" || who["auth_time"] == nil {
		t.Errorf("claims %v, want those of Ada", who)
	}
	if groups, _ := who["groups"].([]any); !slices.Contains(groups, any("keepers")) {
		t.Errorf("groups %v, want keepers among them", who["groups"])
	}
	status, next := w.refresh(got["refresh_token"])
	if status != http.StatusOK || next["refresh_token"] == got["refresh_token"] || claims(t, next["id_token"])["sid"] != who["sid"] {
		t.Errorf("status %d, %v, want another refresh token of the same session", status, next)
	}
	if status, got := w.refresh(got["refresh_token"]); status != http.StatusBadRequest || got["error"] != "invalid_grant" {
		t.Errorf("the old refresh token: status %d, %v, want invalid_grant", status, got)
	}
	w.do(http.MethodPost, w.issuer+"/users/ada", url.Values{"action": {"disable"}})
	if status, got := w.refresh(next["refresh_token"]); status != http.StatusBadRequest || got["error"] != "invalid_grant" {
		t.Errorf("a disabled user: status %d, %v, want invalid_grant", status, got)
	}
}

func TestABrowserThatIsSignedInIsAskedAgainOnlyIfNeeded(t *testing.T) {
	w := newWorld(t)
	_, id := w.authorize(nil)
	w.signIn(id, "bo")
	for name, c := range map[string]struct {
		extra url.Values
		asks  bool
	}{
		"nothing special":      {nil, false},
		"a class that it has":  {url.Values{"acr_values": {"mfa password"}}, false},
		"a stronger class":     {url.Values{"acr_values": {"mfa"}}, true},
		"another account":      {url.Values{"prompt": {"select_account"}}, true},
		"a login":              {url.Values{"prompt": {"login"}}, true},
		"a login of this hour": {url.Values{"max_age": {"3600"}}, false},
	} {
		to, id := w.authorize(c.extra)
		if (id != "") != c.asks || (to == nil) != c.asks {
			t.Errorf("%s: redirected to %v, asks %q, want it to ask: %v", name, to, id, c.asks)
		}
	}
	_, id = w.authorize(url.Values{"acr_values": {"mfa"}})
	if to := w.signIn(id, ""); to.Query().Get("error") != "access_denied" || to.Query().Get("state") != "s" {
		t.Errorf("cancelled: redirected to %s, want access_denied", to)
	}
}

func TestLogoutAtEitherSide(t *testing.T) {
	w := newWorld(t)
	_, id := w.authorize(nil)
	got := w.redeem(w.signIn(id, "ada"))
	to, body := w.do(http.MethodGet, w.issuer+"/end_session?"+url.Values{"id_token_hint": {got["id_token"].(string)}, "post_logout_redirect_uri": {callback}}.Encode(), nil)
	if to == nil || to.String() != callback {
		t.Errorf("redirected to %v, want %s: %s", to, callback, body)
	}
	if status, _ := w.refresh(got["refresh_token"]); status != http.StatusBadRequest {
		t.Errorf("refresh after the logout: status %d, want 400", status)
	}
	_, id = w.authorize(nil)
	if id == "" {
		t.Fatal("the browser is still signed in")
	}
	got = w.redeem(w.signIn(id, "ada"))
	w.do(http.MethodPost, w.issuer+"/users/ada", url.Values{"action": {"end"}})
	token := claims(t, <-w.logouts)
	if events, _ := token["events"].(map[string]any); token["sid"] != claims(t, got["id_token"])["sid"] || token["sub"] != "ada" || events["http://schemas.openid.net/event/backchannel-logout"] == nil {
		t.Errorf("logout token %v, want one for the session", token)
	}
	if status, _ := w.refresh(got["refresh_token"]); status != http.StatusBadRequest {
		t.Errorf("refresh after that: status %d, want 400", status)
	}
}

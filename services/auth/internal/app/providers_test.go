package app_test

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/auth/internal/provider/providertest"
)

// mina is a user at a provider.
func mina() jwt.MapClaims {
	return jwt.MapClaims{"sub": "mina-1", "email": "Mina@pond.test", "email_verified": true, "name": "Mina", "acr": "pwd"}
}

// federation is a service with providers.
type federation struct {
	*service
	*providertest.Provider
}

// providersFile writes a providers file with these entries in YAML, and returns its path.
// SECRET in it is a file with the secret that the test provider accepts.
func providersFile(t *testing.T, dir string, entries ...string) string {
	t.Helper()
	secret, path := filepath.Join(dir, "secret"), filepath.Join(dir, "providers.yaml")
	text := "providers:\n" + strings.ReplaceAll(strings.Join(entries, ""), "SECRET", secret)
	for path, content := range map[string]string{secret: providertest.Secret + "\n", path: text} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// entry returns an entry of a providers file. Each of more is a further line.
func entry(id string, p *providertest.Provider, more ...string) string {
	text := fmt.Sprintf("- id: %s\n  type: oidc\n  name: %s\n  issuer: %s\n  client_id: %s\n  client_secret_file: SECRET\n", id, id, p.URL, providertest.Client)
	for _, line := range more {
		text += "  " + line + "\n"
	}
	return text
}

// federated starts an embedded service with the provider "pond", whose user is mina. Each of more is
// a further line of its entry.
func federated(t *testing.T, more ...string) federation {
	t.Helper()
	dir := t.TempDir()
	c, key := settings(t, dir)
	p := providertest.New(t, mina())
	c.ProvidersFile = providersFile(t, dir, entry("pond", p, more...))
	return federation{start(t, c, key), p}
}

const browser = "the-flow-cookie-of-one-browser"

func (s *service) begin(change func(*api.NewAuthorization)) answer {
	s.t.Helper()
	in := api.NewAuthorization{
		Provider: new("pond"), Browser: browser, RedirectUri: "https://app.test/auth/callback/pond", Next: new("/lily?a=b"), Presenter: presenter,
	}
	if change != nil {
		change(&in)
	}
	return s.json("/v1/authorizations", in)
}

func (s *service) mustBegin(change func(*api.NewAuthorization)) string {
	s.t.Helper()
	a := s.begin(change)
	if a.status != http.StatusCreated {
		s.t.Fatalf("begin: status %d, want 201: %s", a.status, a.body)
	}
	return decode[api.Authorization](s.t, a.body).AuthorizationUrl
}

func (s *service) complete(query string, change func(*api.AuthorizationResponse)) answer {
	s.t.Helper()
	in := api.AuthorizationResponse{Provider: "pond", Browser: browser, Query: query, Presenter: presenter}
	if change != nil {
		change(&in)
	}
	return s.json("/v1/authorizations/complete", in)
}

// signInWith signs in with the provider. change may change the beginning.
func (f federation) signInWith(change func(*api.NewAuthorization)) api.CompletedAuthorization {
	f.t.Helper()
	a := f.complete(f.Approve(f.mustBegin(change)), nil)
	if a.status != http.StatusOK {
		f.t.Fatalf("complete: status %d, want 200: %s", a.status, a.body)
	}
	out := decode[api.CompletedAuthorization](f.t, a.body)
	if (out.Session == nil) == (out.Refusal == nil) {
		f.t.Fatalf("completed with %s, want a session or a refusal", a.body)
	}
	return out
}

func (f federation) mustSignIn(change func(*api.NewAuthorization)) api.Session {
	f.t.Helper()
	out := f.signInWith(change)
	if out.Session == nil {
		f.t.Fatalf("refused with %s, want a session:\n%s", out.Refusal.Code, f.logs)
	}
	return *out.Session
}

func (f federation) mustRefuse(code api.RefusalCode, change func(*api.NewAuthorization)) {
	f.t.Helper()
	if out := f.signInWith(change); out.Refusal == nil || out.Refusal.Code != code || out.Refusal.Detail == "" || out.Next != "/lily?a=b" {
		f.t.Errorf("completed with %+v (refusal %+v), want refusal %s and next", out, out.Refusal, code)
	}
}

func TestSignInWithAProvider(t *testing.T) {
	run := func(t *testing.T, f federation) {
		first := f.mustSignIn(nil)
		if first.User.Email != "mina@pond.test" || first.User.Name != "Mina" || first.Token.Provider == nil || *first.Token.Provider != "pond" || first.Token.Acr == nil || *first.Token.Acr != "pwd" {
			t.Errorf("signed in as %+v with %+v, want mina with provider pond and acr pwd", first.User, first.Token)
		}
		if again := f.mustSignIn(nil); again.User.Sub != first.User.Sub || again.Token.Sid == first.Token.Sid {
			t.Errorf("signed in again as %s, want %s with another session", again.User.Sub, first.User.Sub)
		}
		next := f.mustRefresh(first.Token.RefreshToken)
		if next.Provider == nil || *next.Provider != "pond" || next.Acr == nil || !next.AuthTime.Equal(first.Token.AuthTime) {
			t.Errorf("refreshed: %+v, want the provider, acr and auth_time of %+v", next, first.Token)
		}
		if a := f.login("mina@pond.test", password); a.status != http.StatusUnauthorized {
			t.Errorf("login with a password: status %d, want 401: %s", a.status, a.body)
		}
		out := f.form("/oauth2/revoke", url.Values{
			"token": {next.RefreshToken}, "client_assertion_type": {api.ClientAssertionType}, "client_assertion": {f.assertion("app")},
			"post_logout_redirect_uri": {"https://app.test/auth/login?signed_out=1"},
		}, false)
		to, err := url.Parse(value(decode[api.Revoked](t, out.body).LogoutUrl))
		if err != nil || !strings.HasPrefix(to.String(), f.URL+"/logout?") || to.Query().Get("id_token_hint") == "" || to.Query().Get("post_logout_redirect_uri") != "https://app.test/auth/login?signed_out=1" {
			t.Errorf("logout URL %v, %v; want the provider's with id_token_hint: %s", to, err, out.body)
		}
		f.mustBeEnded(next.RefreshToken)
	}
	t.Run("embedded", func(t *testing.T) { run(t, federated(t)) })
	t.Run("real", func(t *testing.T) {
		_, c := external(t)
		p := providertest.New(t, mina())
		c.ProvidersFile = providersFile(t, t.TempDir(), entry("pond", p))
		c2, key := settings(t, t.TempDir())
		c.ClientKeysFile, c.SigningKeysFile, c.RingKeysFile = c2.ClientKeysFile, c2.SigningKeysFile, c2.RingKeysFile
		run(t, federation{start(t, c, key), p})
	})
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

package app_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/client-go/rest"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/auth/internal/app"
	"lilypad.example/services/auth/internal/clientauth"
	"lilypad.example/services/pkg/config"
	"lilypad.example/services/pkg/pgtest"
	"lilypad.example/services/pkg/redistest"
)

// refreshWith refreshes with the given client assertion.
func (s *service) refreshWith(assertion, token string) answer {
	s.t.Helper()
	return s.form("/oauth2/token", url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {token},
		"client_assertion_type": {api.ClientAssertionType}, "client_assertion": {assertion},
	}, false)
}

func TestAnAssertionIsGoodOnceAtAllReplicas(t *testing.T) {
	one, c := external(t)
	two := start(t, c, one.key)
	token := one.register("fred@pond.test").Token.RefreshToken
	used := one.assertion("app")
	a := one.refreshWith(used, token)
	if a.status != http.StatusOK {
		t.Fatalf("refresh: status %d, want 200: %s", a.status, a.body)
	}
	token = decode[api.Token](t, a.body).RefreshToken
	for name, s := range map[string]*service{"at the same replica": one, "at another": two} {
		if a := s.refreshWith(used, token); a.status != http.StatusUnauthorized || oauthCode(t, a) != "invalid_client" {
			t.Errorf("a replay %s: status %d, want 401 invalid_client: %s", name, a.status, a.body)
		}
		if a := s.do(s.request(http.MethodPost, "/v1/sessions/confirm", used, "application/json", `{"refresh_tokens":[]}`), false); a.status != http.StatusUnauthorized {
			t.Errorf("a replay as a bearer token %s: status %d, want 401: %s", name, a.status, a.body)
		}
		if !strings.Contains(s.logs.String(), "client.refused") {
			t.Errorf("a replay %s: no audit event client.refused", name)
		}
	}
	two.mustRefresh(token) // the session is still active
}

func TestWithoutRedisAClientIsNotRefused(t *testing.T) {
	c, key := settings(t, t.TempDir())
	redis := redistest.Start(t)
	c.Store, c.DatabaseURL, c.RedisURL = "external", config.NewSecret(pgtest.URL(t, nil)), config.NewSecret(redis.URL())
	s := start(t, c, key)
	token := s.register("fred@pond.test").Token
	redis.Stop()
	for name, a := range map[string]answer{
		"refresh":    s.refresh("app", token.RefreshToken),
		"introspect": s.introspect("app", token.AccessToken),
		"confirm":    s.json("/v1/sessions/confirm", api.Confirmation{RefreshTokens: []string{}}),
	} {
		if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
			t.Errorf("%s: status %d, want 503 with Retry-After: %s", name, a.status, a.body)
		}
	}
	// A logout still reaches the records, unless the assertion is forged.
	stranger := newClientKey(t)
	if a := s.revokeWith(s.assertionBy(stranger, "app"), token.RefreshToken); a.status != http.StatusUnauthorized {
		t.Errorf("revoke with a forged assertion: status %d, want 401: %s", a.status, a.body)
	}
	if a := s.revoke(token.RefreshToken); a.status != http.StatusServiceUnavailable {
		t.Errorf("revoke: status %d, want 503: %s", a.status, a.body)
	}
	redis.Start(t)
	eventually(t, "a refresh is not answered with 503", func() bool { return s.refresh("app", token.RefreshToken).status != http.StatusServiceUnavailable })
	s.mustBeEnded(token.RefreshToken)
}

func TestClientKeysAreReplacedWithoutARestart(t *testing.T) {
	c, old := settings(t, t.TempDir())
	s := start(t, c, old)
	next := newClientKey(t)
	write := func(keys ...*ecdsa.PrivateKey) {
		t.Helper()
		var text strings.Builder
		for _, key := range keys {
			text.WriteString(publicPEM(t, key))
		}
		content, err := json.Marshal(map[string]string{"app": text.String()})
		if err != nil {
			t.Fatal(err)
		}
		replace(t, c.ClientKeysFile, content)
	}
	// status refreshes with an invalid token: 400 if key authenticates the client, else 401.
	status := func(key *ecdsa.PrivateKey) int {
		t.Helper()
		return s.refreshWith(s.assertionBy(key, "app"), "x").status
	}
	must := func(key *ecdsa.PrivateKey, want int) {
		t.Helper()
		if got := status(key); got != want {
			t.Errorf("status %d, want %d", got, want)
		}
	}
	must(old, http.StatusBadRequest)
	must(next, http.StatusUnauthorized)
	write(old, next)
	eventually(t, "the new key is accepted", func() bool { return status(next) == http.StatusBadRequest })
	must(old, http.StatusBadRequest)
	write(next)
	eventually(t, "the old key is refused", func() bool { return status(old) == http.StatusUnauthorized })
	must(next, http.StatusBadRequest)
	replace(t, c.ClientKeysFile, []byte(`{"app": "nonsense", "other": "nonsense"}`))
	eventually(t, "both faults are logged", func() bool {
		logs := s.logs.String()
		return strings.Contains(logs, "keys not reloaded") && strings.Contains(logs, `\"app\": not in PEM form`) && strings.Contains(logs, `\"other\": not in PEM form`)
	})
	must(next, http.StatusBadRequest)
}

func TestFaultsOfClientKeysStopTheStart(t *testing.T) {
	c, _ := settings(t, t.TempDir())
	replace(t, c.ClientKeysFile, []byte(`{"app": "nonsense", "other": "nonsense"}`))
	replace(t, c.RingKeysFile, []byte("short AAAA\n"))
	_, err := app.New(t.Context(), c, slog.New(slog.DiscardHandler))
	for _, want := range []string{c.ClientKeysFile, `"app": not in PEM form`, `"other": not in PEM form`, "3 bytes, want 32"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %s in error: %v", want, err)
		}
	}
}

// TestAClientIDMustBeTheAssertions checks that client_id, if present, must name the client of the
// assertion (RFC 7521 section 4.2).
func TestAClientIDMustBeTheAssertions(t *testing.T) {
	s := embedded(t)
	token := s.register("fred@pond.test").Token.RefreshToken
	for id, want := range map[string]int{"app": http.StatusOK, "other": http.StatusUnauthorized, "": http.StatusUnauthorized} {
		a := s.form("/oauth2/token", url.Values{
			"grant_type": {"refresh_token"}, "refresh_token": {token}, "client_id": {id},
			"client_assertion_type": {api.ClientAssertionType}, "client_assertion": {s.assertion("app")},
		}, false)
		if a.status != want {
			t.Errorf("client_id %q: status %d, want %d: %s", id, a.status, want, a.body)
		}
	}
}

func TestTheMetadataNamesTheAlgorithmsOfTheClients(t *testing.T) {
	apiServer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review authenticationv1.TokenReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			http.NotFound(w, r) // no discovery
			return
		}
		review.Status = authenticationv1.TokenReviewStatus{
			Authenticated: true, Audiences: review.Spec.Audiences,
			User: authenticationv1.UserInfo{Username: "system:serviceaccount:frogs:frontend"},
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(review)
	}))
	defer apiServer.Close()
	for name, tt := range map[string]struct {
		change func(*app.Config)
		want   []string
	}{
		"keys of their own": {func(*app.Config) {}, []string{"ES256", "EdDSA"}},
		"ServiceAccounts": {func(c *app.Config) {
			c.ClientKeysFile, c.ClientServiceAccounts, c.Cluster = "", []string{"frogs/frontend"}, &rest.Config{Host: apiServer.URL}
		}, []string{"ES256", "ES384", "ES512", "RS256"}},
		"both": {func(c *app.Config) {
			c.ClientServiceAccounts, c.Cluster = []string{"frogs/frontend"}, &rest.Config{Host: apiServer.URL}
		}, []string{"ES256", "ES384", "ES512", "EdDSA", "RS256"}},
	} {
		t.Run(name, func(t *testing.T) {
			c, key := settings(t, t.TempDir())
			tt.change(c)
			s := start(t, c, key)
			m := decode[api.Metadata](t, s.do(s.request(http.MethodGet, "/.well-known/oauth-authorization-server", "", "", ""), false).body)
			for kind, got := range map[string]*[]string{
				"token": m.TokenEndpointAuthSigningAlgValuesSupported, "introspection": m.IntrospectionEndpointAuthSigningAlgValuesSupported,
			} {
				if got == nil || !slices.Equal(*got, tt.want) {
					t.Errorf("algorithms of the %s endpoint are %v, want %v", kind, got, tt.want)
				}
			}
			if c.Cluster == nil {
				return
			}
			pod, err := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.RegisteredClaims{
				Subject: "system:serviceaccount:frogs:frontend", Audience: jwt.ClaimStrings{clientauth.Audience},
				ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Hour)),
			}).SignedString(key)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // it may be used until it expires
				if a := s.refreshWith(pod, "x"); a.status != http.StatusBadRequest || oauthCode(t, a) != "invalid_grant" {
					t.Errorf("a ServiceAccount token: status %d, want 400 invalid_grant: %s", a.status, a.body)
				}
			}
		})
	}
}

func newClientKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

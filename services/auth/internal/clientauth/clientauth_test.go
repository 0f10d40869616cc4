package clientauth_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/client-go/rest"

	"lilypad.example/services/auth/internal/clientauth"
)

const issuer = "http://auth"

type client struct {
	key *ecdsa.PrivateKey
	pem string
}

func newClient(t *testing.T) client {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return client{key, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))}
}

func (c client) assert(t *testing.T, change func(*jwt.RegisteredClaims)) string {
	t.Helper()
	claims := jwt.RegisteredClaims{
		Issuer: "app", Subject: "app", Audience: jwt.ClaimStrings{issuer}, ID: rand.Text(),
		ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Minute)),
	}
	if change != nil {
		change(&claims)
	}
	text, err := jwt.NewWithClaims(jwt.SigningMethodES256, claims).SignedString(c.key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestStaticKeys(t *testing.T) {
	app, other := newClient(t), newClient(t)
	config, err := json.Marshal(map[string]string{"app": app.pem, "other": other.pem})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := clientauth.ParseStaticKeys(config, issuer)
	if err != nil {
		t.Fatal(err)
	}
	a := clientauth.New(time.Now, keys)
	if id, err := a.Authenticate(t.Context(), app.assert(t, nil)); err != nil || id != "app" {
		t.Errorf("%s, %v", id, err)
	}
	for name, assertion := range map[string]string{
		"another client's key": other.assert(t, nil),
		"unknown client":       app.assert(t, func(c *jwt.RegisteredClaims) { c.Issuer, c.Subject = "x", "x" }),
		"issuer is not itself": app.assert(t, func(c *jwt.RegisteredClaims) { c.Issuer = "other" }),
		"other audience":       app.assert(t, func(c *jwt.RegisteredClaims) { c.Audience = jwt.ClaimStrings{"x"} }),
		"expired":              app.assert(t, func(c *jwt.RegisteredClaims) { c.ExpiresAt = jwt.NewNumericDate(time.Now().Add(-time.Minute)) }),
		"no expiry":            app.assert(t, func(c *jwt.RegisteredClaims) { c.ExpiresAt = nil }),
		"no JWT":               "x",
		"empty":                "",
		"huge":                 strings.Repeat("A", 10<<10),
	} {
		if id, err := a.Authenticate(t.Context(), assertion); !errors.Is(err, clientauth.ErrInvalid) {
			t.Errorf("%s: %q, %v", name, id, err)
		}
	}
}

func TestStaticKeysReportAllFaults(t *testing.T) {
	_, err := clientauth.ParseStaticKeys([]byte(`{"a": "x", "b": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"}`), issuer)
	if err == nil || !strings.Contains(err.Error(), "a: not in PEM") || !strings.Contains(err.Error(), "b: ") {
		t.Errorf("%v", err)
	}
	if _, err := clientauth.ParseStaticKeys([]byte("x"), issuer); err == nil {
		t.Error("no JSON passed")
	}
}

// apiServer answers TokenReviews as the API server does, and counts them.
type apiServer struct {
	status  authenticationv1.TokenReviewStatus
	failing atomic.Bool
	reviews atomic.Int64
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.reviews.Add(1)
	if s.failing.Load() || r.URL.Path != "/apis/authentication.k8s.io/v1/tokenreviews" {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	review := authenticationv1.TokenReview{Status: s.status}
	review.APIVersion, review.Kind = "authentication.k8s.io/v1", "TokenReview"
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(review)
}

func account(t *testing.T, subject string, audience ...string) string {
	t.Helper()
	return newClient(t).assert(t, func(c *jwt.RegisteredClaims) {
		c.Issuer, c.Subject, c.Audience = "https://kubernetes.default.svc", subject, audience
	})
}

func review(t *testing.T, status authenticationv1.TokenReviewStatus) (*clientauth.Authenticator, *apiServer) {
	t.Helper()
	server := &apiServer{status: status}
	ts := httptest.NewServer(server)
	t.Cleanup(ts.Close)
	checker, err := clientauth.NewTokenReview(&rest.Config{Host: ts.URL}, []string{"frogs/frontend"})
	if err != nil {
		t.Fatal(err)
	}
	return clientauth.New(time.Now, checker), server
}

func accepted(username string) authenticationv1.TokenReviewStatus {
	return authenticationv1.TokenReviewStatus{
		Authenticated: true, Audiences: []string{clientauth.Audience},
		User: authenticationv1.UserInfo{Username: username},
	}
}

const frontend = "system:serviceaccount:frogs:frontend"

func TestTokenReviewAsksOnce(t *testing.T) {
	a, server := review(t, accepted(frontend))
	assertion := account(t, frontend, clientauth.Audience)
	for range 10 {
		if id, err := a.Authenticate(t.Context(), assertion); err != nil || id != "frogs/frontend" {
			t.Fatalf("%q, %v", id, err)
		}
	}
	if n := server.reviews.Load(); n != 1 {
		t.Errorf("%d reviews", n)
	}
}

func TestTokenReviewRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		status    authenticationv1.TokenReviewStatus
		assertion string
		reviews   int64
	}{
		"not authenticated":                     {authenticationv1.TokenReviewStatus{}, account(t, frontend, clientauth.Audience), 1},
		"another account's token":               {accepted("system:serviceaccount:frogs:other"), account(t, frontend, clientauth.Audience), 1},
		"not for us after all":                  {authenticationv1.TokenReviewStatus{Authenticated: true, User: authenticationv1.UserInfo{Username: frontend}}, account(t, frontend, clientauth.Audience), 1},
		"an account that is no client, unasked": {accepted(frontend), account(t, "system:serviceaccount:frogs:other", clientauth.Audience), 0},
		"a pod's own API token, unasked":        {accepted(frontend), account(t, frontend, "https://kubernetes.default.svc"), 0},
		"a person, unasked":                     {accepted(frontend), account(t, "admin", clientauth.Audience), 0},
	} {
		t.Run(name, func(t *testing.T) {
			a, server := review(t, c.status)
			if id, err := a.Authenticate(t.Context(), c.assertion); !errors.Is(err, clientauth.ErrInvalid) {
				t.Errorf("%q, %v", id, err)
			}
			if n := server.reviews.Load(); n != c.reviews {
				t.Errorf("%d reviews", n)
			}
		})
	}
}

func TestTokenReviewOutageIsNoRefusal(t *testing.T) {
	a, server := review(t, accepted(frontend))
	server.failing.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := a.Authenticate(ctx, account(t, frontend, clientauth.Audience)); !errors.Is(err, clientauth.ErrUnavailable) {
		t.Errorf("%v", err)
	}
}

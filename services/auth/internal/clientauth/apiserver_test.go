package clientauth_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/time/rate"
	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/client-go/rest"

	"lilypad.example/services/auth/internal/clientauth"
)

const (
	clusterIssuer = "https://kubernetes.default.svc.cluster.local"
	frontend      = "system:serviceaccount:frogs:frontend"
	kid           = "cluster-1"
)

// clusterKey signs the cluster's tokens; otherKey does not belong to the cluster.
var clusterKey, otherKey = sync.OnceValue(newRSA), sync.OnceValue(newRSA)

func newRSA() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
}

// apiServer is a Kubernetes API server with TokenReview and issuer discovery. It is a RoundTripper,
// so that it also works inside a synctest bubble.
type apiServer struct {
	keys map[string]crypto.Signer // verified with, and published
	took time.Duration            // response time
	rate *rate.Limiter            // of reviews; beyond it the response is 429. nil for no limit
	// hidden, if set, replaces responses to discovery, failing those to reviews.
	hidden, failing func() (int, string, error)
	change          func(*authenticationv1.TokenReviewStatus)

	mu                 sync.Mutex
	deleted            []string // tokens of deleted pods
	reviews, discovery int
}

func newAPIServer() *apiServer {
	return &apiServer{keys: map[string]crypto.Signer{kid: clusterKey()}, took: 5 * time.Millisecond}
}

func forbidden() (int, string, error) { return http.StatusForbidden, `{"kind":"Status"}`, nil }

// hanging never responds.
func hanging() (int, string, error) { return 0, "", nil }

func (s *apiServer) counts() (reviews, discovery int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reviews, s.discovery
}

func (s *apiServer) RoundTrip(r *http.Request) (*http.Response, error) {
	review := r.URL.Path == "/apis/authentication.k8s.io/v1/tokenreviews" && r.Method == http.MethodPost
	s.mu.Lock()
	if review {
		s.reviews++
	} else {
		s.discovery++
	}
	s.mu.Unlock()
	instead := s.hidden
	if review {
		instead = s.failing
		if s.rate != nil && !s.rate.Allow() {
			instead = func() (int, string, error) { return http.StatusTooManyRequests, `{"kind":"Status"}`, nil }
		}
	}
	if instead != nil {
		status, body, err := instead()
		if status == 0 && err == nil {
			<-r.Context().Done()
			err = r.Context().Err()
		}
		if err != nil {
			return nil, err
		}
		return reply(status, body), nil
	}
	select {
	case <-time.After(s.took):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	switch {
	case review:
		return s.review(r)
	case r.URL.Path == "/.well-known/openid-configuration":
		return reply(http.StatusOK, `{"issuer":"`+clusterIssuer+`","jwks_uri":"https://elsewhere.example/jwks"}`), nil
	case r.URL.Path == "/openid/v1/jwks":
		return s.jwks()
	}
	return reply(http.StatusNotFound, `{"kind":"Status"}`), nil
}

// review decides like the API server: by signature, claims, and whether the pod still exists.
func (s *apiServer) review(r *http.Request) (*http.Response, error) {
	var review authenticationv1.TokenReview
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
		return nil, err
	}
	var claims jwt.RegisteredClaims
	_, err := jwt.ParseWithClaims(review.Spec.Token, &claims, func(t *jwt.Token) (any, error) {
		key, ok := s.keys[t.Header["kid"].(string)]
		if !ok {
			return nil, errors.New("unknown kid")
		}
		return key.Public(), nil
	}, jwt.WithIssuer(clusterIssuer))
	s.mu.Lock()
	gone := slices.Contains(s.deleted, review.Spec.Token)
	s.mu.Unlock()
	review.Status = authenticationv1.TokenReviewStatus{Error: "invalid bearer token"}
	if err == nil && !gone && slices.Equal(claims.Audience, review.Spec.Audiences) {
		review.Status = authenticationv1.TokenReviewStatus{
			Authenticated: true, Audiences: review.Spec.Audiences, User: authenticationv1.UserInfo{Username: claims.Subject},
		}
	}
	if s.change != nil {
		s.change(&review.Status)
	}
	review.APIVersion, review.Kind = "authentication.k8s.io/v1", "TokenReview"
	body, err := json.Marshal(review)
	return reply(http.StatusCreated, string(body)), err
}

func (s *apiServer) jwks() (*http.Response, error) {
	var set jwkset.JWKSMarshal
	for kid, key := range s.keys {
		alg := jwkset.AlgRS256
		if _, ok := key.(*rsa.PrivateKey); !ok {
			alg = jwkset.AlgES384
		}
		jwk, err := jwkset.NewJWKFromKey(key.Public(), jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{ALG: alg, KID: kid, USE: jwkset.UseSig}})
		if err != nil {
			return nil, err
		}
		set.Keys = append(set.Keys, jwk.Marshal())
	}
	body, err := json.Marshal(set)
	return reply(http.StatusOK, string(body)), err
}

func reply(status int, body string) *http.Response {
	header := http.Header{"Content-Type": {"application/json"}}
	if status == http.StatusTooManyRequests {
		header.Set("Retry-After", "1")
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
}

// A podToken is an unsigned ServiceAccount token. The zero value is a valid one of the frontend.
type podToken struct {
	header map[string]any // overrides; nil removes a field
	claims jwt.MapClaims  // overrides; nil removes a claim
	method jwt.SigningMethod
	key    any
}

func (p podToken) sign(t testing.TB) string {
	t.Helper()
	now := time.Now()
	claims := jwt.MapClaims{
		"iss": clusterIssuer, "sub": frontend, "aud": []string{clientauth.Audience}, "jti": rand.Text(),
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	maps.Copy(claims, p.claims)
	maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
	if p.method == nil {
		p.method = jwt.SigningMethodRS256
	}
	if p.key == nil {
		p.key = clusterKey()
	}
	token := jwt.NewWithClaims(p.method, claims)
	token.Header["kid"] = kid
	maps.Copy(token.Header, p.header)
	maps.DeleteFunc(token.Header, func(_ string, value any) bool { return value == nil })
	text, err := token.SignedString(p.key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// forged returns a token that is valid except for its signature.
func forged(t testing.TB) string { return podToken{key: otherKey()}.sign(t) }

func (s *apiServer) authenticator(t testing.TB) *clientauth.Authenticator {
	t.Helper()
	review, err := clientauth.NewTokenReview(&rest.Config{Host: "http://kubernetes", Transport: s}, []string{"frogs/frontend"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return clientauth.New(review)
}

// mustAccept fails the test unless assertion authenticates the frontend.
func mustAccept(t testing.TB, a *clientauth.Authenticator, assertion, source string) {
	t.Helper()
	if id, err := a.Authenticate(context.WithoutCancel(t.Context()), assertion, source); err != nil || id != "frogs/frontend" {
		t.Errorf("client %q, %v; want frogs/frontend", id, err)
	}
}

func mustFail(t testing.TB, a *clientauth.Authenticator, assertion, source string, want error) {
	t.Helper()
	if id, err := a.Authenticate(t.Context(), assertion, source); !errors.Is(err, want) || id != "" {
		t.Errorf("client %q, %v; want %v", id, err, want)
	}
}

// altered returns token with another signature; it is cheaper than signing.
func altered(token string, i int) string {
	head := token[:strings.LastIndexByte(token, '.')+1]
	signature := make([]byte, 256)
	binary.BigEndian.PutUint64(signature, uint64(i))
	return head + base64.RawURLEncoding.EncodeToString(signature)
}

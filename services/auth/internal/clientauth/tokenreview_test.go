package clientauth_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/time/rate"
	authenticationv1 "k8s.io/api/authentication/v1"

	"lilypad.example/services/auth/internal/clientauth"
)

const (
	pod      = "10.0.0.7"
	attacker = "10.0.9.0"
)

func (s *apiServer) mustHaveReviewed(t testing.TB, want int) {
	t.Helper()
	if n, _ := s.counts(); n != want {
		t.Errorf("%d reviews, want %d", n, want)
	}
}

func TestAcceptanceIsCachedForAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newAPIServer()
		a, token := server.authenticator(t), podToken{}.sign(t)
		for range 10 {
			mustAccept(t, a, token, pod)
		}
		server.mustHaveReviewed(t, 1)
		server.deleted = []string{token}
		time.Sleep(time.Minute)
		mustFail(t, a, token, pod, clientauth.ErrInvalid)
		server.mustHaveReviewed(t, 2)
	})
}

func TestCallersWithOneTokenShareAReview(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newAPIServer()
		a, token := server.authenticator(t), podToken{}.sign(t)
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() { mustAccept(t, a, token, pod) })
		}
		all.Wait()
		server.mustHaveReviewed(t, 1)
	})
}

func TestACanceledCallerDoesNotFailOthers(t *testing.T) {
	for name, known := range map[string]bool{"while the keys are fetched": false, "during the review": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := newAPIServer()
				server.took = time.Second / 2
				a, token := server.authenticator(t), podToken{}.sign(t)
				if known {
					mustFail(t, a, forged(t), pod, clientauth.ErrInvalid)
				}
				ctx, cancel := context.WithCancel(t.Context())
				var all sync.WaitGroup
				all.Go(func() {
					if _, err := a.Authenticate(ctx, token, pod); !errors.Is(err, clientauth.ErrUnavailable) {
						t.Errorf("canceled caller: %v; want ErrUnavailable", err)
					}
				})
				synctest.Wait()
				all.Go(func() { mustAccept(t, a, token, pod) })
				synctest.Wait()
				cancel()
				all.Wait()
				mustFail(t, a, forged(t), pod, clientauth.ErrInvalid)
				server.mustHaveReviewed(t, 1)
			})
		})
	}
}

func TestAForgedTokenCostsNoReview(t *testing.T) {
	public := x509.MarshalPKCS1PublicKey(&clusterKey().PublicKey)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := podToken{}.sign(t)
	at := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	claim := func(name string, value any) podToken { return podToken{claims: jwt.MapClaims{name: value}} }
	for name, forgery := range map[string]podToken{
		"another key":              {key: otherKey()},
		"another key, unknown kid": {key: otherKey(), header: map[string]any{"kid": "x"}},
		"no kid":                   {header: map[string]any{"kid": nil}},
		"a kid that is a number":   {header: map[string]any{"kid": 1}},
		"the algorithm none":       {method: jwt.SigningMethodNone, key: jwt.UnsafeAllowNoneSignatureType},
		"HMAC with the public key": {method: jwt.SigningMethodHS256, key: public},
		"PS256":                    {method: jwt.SigningMethodPS256},
		"an algorithm that does not match the key": {method: jwt.SigningMethodES384, key: p384},
		"another issuer":                      claim("iss", "https://elsewhere.example"),
		"no issuer":                           claim("iss", nil),
		"an issuer that is a number":          claim("iss", 1),
		"another audience":                    claim("aud", []string{"https://kubernetes.default.svc"}),
		"an audience that only contains ours": claim("aud", clientauth.Audience+"2"),
		"no audience":                         claim("aud", nil),
		"expired":                             claim("exp", at(-time.Minute)),
		"no expiry":                           claim("exp", nil),
		"an expiry that is a string":          claim("exp", fmt.Sprint(at(time.Hour))),
		"not valid yet":                       claim("nbf", at(time.Minute)),
		"an nbf that is a string":             claim("nbf", "x"),
		"an account that is not a client":     claim("sub", "system:serviceaccount:frogs:other"),
		"an account in another namespace":     claim("sub", "system:serviceaccount:toads:frontend"),
		"a user":                              claim("sub", "admin"),
		"no subject":                          claim("sub", nil),
		"a subject that is a list":            claim("sub", []string{frontend}),
	} {
		t.Run(name, func(t *testing.T) {
			server := newAPIServer()
			mustFail(t, server.authenticator(t), forgery.sign(t), pod, clientauth.ErrInvalid)
			server.mustHaveReviewed(t, 0)
		})
	}
	for name, token := range map[string]string{
		"empty": "", "not a JWT": "x", "two parts": "a.b", "four parts": good + ".a", "padding": good + "=", "no signature": good[:len(good)-342],
	} {
		t.Run(name, func(t *testing.T) {
			server := newAPIServer()
			mustFail(t, server.authenticator(t), token, pod, clientauth.ErrInvalid)
			server.mustHaveReviewed(t, 0)
		})
	}
	server := newAPIServer()
	mustAccept(t, server.authenticator(t), good, pod) // a valid token passes
}

func TestTheAPIServerDecides(t *testing.T) {
	for name, change := range map[string]func(*authenticationv1.TokenReviewStatus){
		"not authenticated": func(s *authenticationv1.TokenReviewStatus) { s.Authenticated = false },
		"another account":   func(s *authenticationv1.TokenReviewStatus) { s.User.Username = "system:serviceaccount:frogs:other" },
		"a user":            func(s *authenticationv1.TokenReviewStatus) { s.User.Username = "admin" },
		"another audience":  func(s *authenticationv1.TokenReviewStatus) { s.Audiences = []string{"other"} },
		"no audience":       func(s *authenticationv1.TokenReviewStatus) { s.Audiences = nil },
	} {
		t.Run(name, func(t *testing.T) {
			server := newAPIServer()
			server.change = change
			mustFail(t, server.authenticator(t), podToken{}.sign(t), pod, clientauth.ErrInvalid)
			server.mustHaveReviewed(t, 1)
		})
	}
}

func TestRefusalIsCachedForTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newAPIServer()
		a, token := server.authenticator(t), podToken{}.sign(t)
		server.deleted = []string{token}
		for range 10 {
			mustFail(t, a, token, pod, clientauth.ErrInvalid)
			time.Sleep(time.Second / 2)
		}
		server.mustHaveReviewed(t, 1)
		server.deleted = nil // the API server was lagging
		time.Sleep(5 * time.Second)
		mustAccept(t, a, token, pod)
	})
}

func TestAnOutageOfTheAPIServerIsNotARefusal(t *testing.T) {
	for name, failing := range map[string]func() (int, string, error){
		"503":               func() (int, string, error) { return http.StatusServiceUnavailable, "x", nil },
		"forbidden":         forbidden,
		"too many requests": func() (int, string, error) { return http.StatusTooManyRequests, "x", nil },
		"malformed":         func() (int, string, error) { return http.StatusCreated, "<html>", nil },
		"no connection":     func() (int, string, error) { return 0, "", errors.New("connection refused") },
		"no response":       hanging,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := newAPIServer()
				server.failing = failing
				a, token := server.authenticator(t), podToken{}.sign(t)
				mustFail(t, a, token, pod, clientauth.ErrUnavailable)
				server.failing = nil // the failure is not cached
				mustAccept(t, a, token, pod)
			})
		})
	}
}

func TestWithoutTheKeysOfTheClusterTheReviewDecides(t *testing.T) {
	for name, hidden := range map[string]func() (int, string, error){
		"forbidden":     forbidden,
		"no discovery":  func() (int, string, error) { return http.StatusNotFound, "x", nil },
		"malformed":     func() (int, string, error) { return http.StatusOK, "<html>", nil },
		"no keys":       func() (int, string, error) { return http.StatusOK, `{"issuer":"` + clusterIssuer + `","keys":[]}`, nil },
		"no issuer":     func() (int, string, error) { return http.StatusOK, `{}`, nil },
		"no connection": func() (int, string, error) { return 0, "", errors.New("connection refused") },
		"no response":   hanging,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := newAPIServer()
				server.hidden = hidden
				a := server.authenticator(t)
				mustAccept(t, a, podToken{}.sign(t), pod)
				mustFail(t, a, forged(t), pod, clientauth.ErrInvalid)
				server.mustHaveReviewed(t, 2)
				server.hidden = nil
				time.Sleep(5 * time.Second)
				mustFail(t, a, forged(t), pod, clientauth.ErrInvalid)
				server.mustHaveReviewed(t, 2)
			})
		})
	}
}

func TestANewKeyOfTheClusterIsFetchedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newAPIServer()
		a := server.authenticator(t)
		mustAccept(t, a, podToken{}.sign(t), pod)
		time.Sleep(time.Hour)
		_, before := server.counts()
		mustAccept(t, a, podToken{}.sign(t), pod)
		if _, n := server.counts(); n != before {
			t.Error("known keys were fetched again")
		}
		next, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		server.keys = map[string]crypto.Signer{kid: clusterKey(), "cluster-2": next}
		mustAccept(t, a, podToken{method: jwt.SigningMethodES384, key: next, header: map[string]any{"kid": "cluster-2"}}.sign(t), pod)
		mustAccept(t, a, podToken{}.sign(t), pod)
		// While the keys cannot be fetched, the review decides about tokens with unknown ones.
		server.hidden = forbidden
		time.Sleep(5 * time.Second)
		third := newRSA()
		server.keys = map[string]crypto.Signer{kid: clusterKey(), "cluster-3": third}
		mustAccept(t, a, podToken{key: third, header: map[string]any{"kid": "cluster-3"}}.sign(t), pod)
	})
}

func TestUnknownKeysAndIssuersFetchOncePerCooldown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newAPIServer()
		a := server.authenticator(t)
		for i := range 600 { // a minute
			token := podToken{key: otherKey(), header: map[string]any{"kid": fmt.Sprint(i)}}
			if i%2 == 0 {
				token = podToken{claims: jwt.MapClaims{"iss": fmt.Sprint(i)}}
			}
			mustFail(t, a, token.sign(t), attacker, clientauth.ErrInvalid)
			time.Sleep(100 * time.Millisecond)
		}
		server.mustHaveReviewed(t, 0)
		if _, n := server.counts(); n > 2*12 { // two documents each time
			t.Errorf("%d documents fetched in a minute, want at most 24", n)
		}
	})
}

// The API server allows 20 reviews per second.
func TestAColdStartOfFiftyPodsTakesFiveSecondsAtMost(t *testing.T) {
	for name, c := range map[string]struct {
		hidden func() (int, string, error)
		source func(i int) string
	}{
		"pods":                                         {nil, func(i int) string { return fmt.Sprintf("10.0.0.%d", i) }},
		"pods, without the cluster's keys":             {forbidden, func(i int) string { return fmt.Sprintf("10.0.0.%d", i) }},
		"behind one address":                           {nil, func(int) string { return pod }},
		"behind one address, without the keys":         {forbidden, func(int) string { return pod }},
		"behind one address, discovery never responds": {hanging, func(int) string { return pod }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := newAPIServer()
				server.hidden, server.rate = c.hidden, rate.NewLimiter(20, 20)
				a, begun := server.authenticator(t), time.Now()
				var all sync.WaitGroup
				for i := range 50 {
					token := podToken{}.sign(t)
					all.Go(func() { mustAccept(t, a, token, c.source(i)) })
				}
				all.Wait()
				if took := time.Since(begun); took > 5*time.Second {
					t.Errorf("took %s, want at most 5s", took)
				}
			})
		})
	}
}

func TestForgeriesDoNotDelayAClient(t *testing.T) {
	// What the suspects' lane allows: its burst, 100 per second, and those that wait in it at the
	// end, for at most five seconds.
	const seconds = 6
	const lane = 100 * (1 + seconds + 5)
	for name, c := range map[string]struct {
		hidden  func() (int, string, error)
		rate    int    // forged tokens per second
		sources int    // of forged tokens
		from    string // the client's source
		reviews int    // of forged tokens, at most
	}{
		"50/s":                             {nil, 50, 1, pod, 0},
		"50/s from the client's address":   {nil, 50, 1, attacker, 0},
		"50/s, without the cluster's keys": {forbidden, 50, 1, pod, lane + 8},
		"50/s from the client's address, without the keys": {forbidden, 50, 1, attacker, lane + 8},
		"300/s from 50 addresses":                          {nil, 300, 50, pod, 0},
		"300/s, without the keys":                          {forbidden, 300, 1, pod, lane + 8},
		"300/s from 50 addresses, without the keys":        {forbidden, 300, 50, pod, lane + 50*8},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := newAPIServer()
				server.hidden = c.hidden
				a := server.authenticator(t)
				mustFail(t, a, forged(t), "10.0.1.1", clientauth.ErrInvalid) // fetches the cluster's keys
				before, _ := server.counts()
				stop := flood(t, a, c.rate, c.sources)
				clients := 0
				for range 2 * seconds {
					time.Sleep(time.Second / 2)
					token, asked := podToken{}.sign(t), time.Now()
					mustAccept(t, a, token, c.from)
					clients++
					if took := time.Since(asked); took > 100*time.Millisecond {
						t.Errorf("client %d waited %s, want at most 100ms", clients, took)
					}
				}
				stop()
				after, _ := server.counts()
				if n := after - before - clients; n > c.reviews {
					t.Errorf("%d reviews of forged tokens, want at most %d", n, c.reviews)
				}
			})
		})
	}
}

// A client that the API server has accepted before is not delayed, whatever its address sends.
func TestForgeriesFromItsOwnAddressDoNotDelayAKnownClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newAPIServer()
		server.hidden = forbidden
		a, token := server.authenticator(t), podToken{}.sign(t)
		mustAccept(t, a, token, attacker)
		time.Sleep(55 * time.Second)
		stop := flood(t, a, 300, 1)
		time.Sleep(6 * time.Second) // the cached answer expires
		asked := time.Now()
		mustAccept(t, a, token, attacker)
		if took := time.Since(asked); took > 100*time.Millisecond {
			t.Errorf("waited %s, want at most 100ms", took)
		}
		stop()
	})
}

// flood sends forged tokens from the addresses 10.0.9.0 and following until stop is called.
func flood(t *testing.T, a *clientauth.Authenticator, perSecond, sources int) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	template := forged(t)
	var all sync.WaitGroup
	all.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			token := altered(template, i)
			all.Go(func() {
				if id, err := a.Authenticate(ctx, token, fmt.Sprintf("10.0.9.%d", i%sources)); err == nil {
					t.Errorf("forged token accepted as %q, want an error", id)
				}
			})
			time.Sleep(time.Second / time.Duration(perSecond))
		}
	})
	return func() {
		cancel()
		all.Wait()
		time.Sleep(10 * time.Second) // until abandoned reviews have ended
	}
}

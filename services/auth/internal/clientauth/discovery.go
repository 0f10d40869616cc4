package clientauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/sync/singleflight"
	"k8s.io/client-go/rest"

	"lilypad.example/services/pkg/authn"
)

const (
	// discoveryCooldown bounds the fetches that unknown issuers and key ids cause.
	// It is short: an API server that has a new key signs with it at once.
	discoveryCooldown = 5 * time.Second
	discoveryTimeout  = 2 * time.Second
)

// discovery knows the cluster's issuer of ServiceAccount tokens and the keys
// that it publishes (ServiceAccount issuer discovery). Both are fetched when a
// token names what is not known: a key that was withdrawn does no harm, for the
// API server is asked about each token that passes.
type discovery struct {
	client rest.Interface
	log    *slog.Logger

	flights singleflight.Group
	mu      sync.Mutex
	state   discovered
}

// discovered is what came of the fetches so far.
type discovered struct {
	keys   *issuerKeys // nil if none succeeded
	at     time.Time   // when the last one ended
	failed bool        // whether it failed
}

type issuerKeys struct {
	issuer string
	keys   map[string]authn.PublicKey
}

// verify reports whether the signature of token is the cluster's. It fails with
// ErrInvalid if it is not. If that cannot be found out it is false, and no error:
// then the review alone decides.
func (d *discovery) verify(ctx context.Context, token *jwt.Token) (signed bool, err error) {
	issuer, err := token.Claims.GetIssuer()
	kid, _ := token.Header["kid"].(string)
	if err != nil {
		return false, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	state := d.current()
	if !state.keys.have(issuer, kid) {
		if state, err = d.refresh(ctx); err != nil {
			return false, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
	switch {
	case state.keys.have(issuer, kid):
	case state.failed:
		return false, nil
	default:
		return false, fmt.Errorf("%w: unknown issuer or key", ErrInvalid)
	}
	key := state.keys.keys[kid]
	if key.Algorithm != token.Method.Alg() {
		return false, fmt.Errorf("%w: algorithm is not the key's", ErrInvalid)
	}
	text := token.Raw[:strings.LastIndexByte(token.Raw, '.')]
	if err := token.Method.Verify(text, token.Signature, key.Key); err != nil {
		return false, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return true, nil
}

func (k *issuerKeys) have(issuer, kid string) bool {
	if k == nil || k.issuer != issuer {
		return false
	}
	_, ok := k.keys[kid]
	return ok
}

func (d *discovery) current() discovered {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state
}

// refresh fetches, once for all who wait, unless that was done just now. It
// fails when ctx ends, and with nothing else.
func (d *discovery) refresh(ctx context.Context) (discovered, error) {
	done := d.flights.DoChan("", func() (any, error) {
		if time.Since(d.current().at) >= discoveryCooldown {
			d.note(d.fetch(context.WithoutCancel(ctx)))
		}
		return nil, nil
	})
	select {
	case <-ctx.Done():
		return discovered{}, ctx.Err()
	case <-done:
		return d.current(), nil
	}
}

// note keeps what a fetch brought. One that failed changes no keys.
func (d *discovery) note(keys *issuerKeys, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil && !d.state.failed {
		d.log.Warn("cannot read the token keys of the API server: TokenReview alone refuses forgeries", "error", err)
	}
	d.state.at, d.state.failed = time.Now(), err != nil
	if err == nil {
		d.state.keys = keys
	}
}

func (d *discovery) fetch(ctx context.Context) (*issuerKeys, error) {
	ctx, cancel := context.WithTimeout(ctx, discoveryTimeout)
	defer cancel()
	var config struct {
		Issuer string `json:"issuer"`
	}
	text, err1 := d.client.Get().AbsPath("/.well-known/openid-configuration").DoRaw(ctx)
	jwks, err2 := d.client.Get().AbsPath("/openid/v1/jwks").DoRaw(ctx)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &config); err != nil {
		return nil, fmt.Errorf("openid-configuration: %w", err)
	}
	if config.Issuer == "" {
		return nil, errors.New("openid-configuration: no issuer")
	}
	keys, err := authn.ParseKeys(jwks)
	return &issuerKeys{config.Issuer, keys}, err
}

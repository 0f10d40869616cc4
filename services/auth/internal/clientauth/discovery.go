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
	// discoveryCooldown is the minimum time between fetches that unknown issuers and key IDs cause.
	// It is short because an API server signs with a new key at once.
	discoveryCooldown = 5 * time.Second
	discoveryTimeout  = 2 * time.Second
)

// discovery verifies signatures of ServiceAccount tokens with the keys from the cluster's
// ServiceAccount issuer discovery. It fetches issuer and keys when a token names unknown ones. A
// key that was withdrawn is harmless, because the API server also reviews each token.
type discovery struct {
	client rest.Interface
	log    *slog.Logger

	flights singleflight.Group
	mu      sync.Mutex
	state   discovered
}

// discovered is the result of the fetches so far.
type discovered struct {
	keys   *issuerKeys // nil if no fetch succeeded
	at     time.Time   // when the last fetch ended
	failed bool        // whether the last fetch failed
}

type issuerKeys struct {
	issuer string
	keys   map[string]authn.PublicKey
}

// verify verifies that the cluster signed token, and fails with ErrInvalid if it did not. It
// returns false without an error if the keys are unavailable: the review alone then decides.
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
		return false, fmt.Errorf("%w: alg does not match the key", ErrInvalid)
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

// refresh fetches issuer and keys, once for all concurrent callers, unless that was done within the
// cooldown. It fails only when ctx ends.
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

// note stores the result of a fetch. A failed one leaves the keys as they are.
func (d *discovery) note(keys *issuerKeys, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil && !d.state.failed {
		d.log.Warn("cannot fetch the API server's token keys; forged tokens are refused by TokenReview alone", "error", err)
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

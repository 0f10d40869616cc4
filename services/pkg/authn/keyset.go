package authn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/MicahParks/jwkset"
)

const (
	// RefreshEvery limits how long a key that was removed from the JWKS is still accepted. An
	// issuer publishes a new key at least this long before it signs with it.
	RefreshEvery = time.Minute
	// cooldown is the minimum time between fetches that unknown key IDs cause.
	cooldown = 30 * time.Second
	// cooldownEmpty replaces cooldown and RefreshEvery while there are no keys, so that a service
	// that starts before its issuer works soon after the issuer is up.
	cooldownEmpty = 200 * time.Millisecond
	maxJWKS       = 256 << 10
	maxKeys       = 64
)

// A PublicKey is a key of a JWKS with its one algorithm (RFC 7518).
type PublicKey struct {
	Algorithm string
	Key       any
}

// keySet caches the issuer's published keys. A fetch replaces the whole set, which drops withdrawn
// keys. A fetch that fails or returns no usable key changes nothing.
type keySet struct {
	url     string
	client  *http.Client
	current atomic.Pointer[map[string]PublicKey]

	mu      sync.Mutex // one fetch at a time
	fetched time.Time
}

func newKeySet(url string, client *http.Client) *keySet {
	if client == nil {
		client = &http.Client{Timeout: 5 * time.Second}
	}
	return &keySet{url: url, client: client}
}

func (s *keySet) refreshLoop(ctx context.Context) {
	for ctx.Err() == nil {
		s.refresh(ctx, 0)
		wait := RefreshEvery
		if s.current.Load() == nil {
			wait = cooldownEmpty
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// get returns the key with ID kid for algorithm alg.
func (s *keySet) get(ctx context.Context, kid, alg string) (any, error) {
	key, known, loaded := s.lookup(kid)
	if !known {
		wait := cooldown
		if !loaded {
			wait = cooldownEmpty
		}
		s.refresh(ctx, wait)
		key, known, loaded = s.lookup(kid)
	}
	switch {
	case !loaded:
		return nil, ErrUnavailable
	case !known:
		return nil, fmt.Errorf("%w: unknown kid", ErrInvalid)
	case key.Algorithm != alg:
		// The key determines the algorithm, not the token (RFC 8725 section 3.1).
		return nil, fmt.Errorf("%w: algorithm is not the key's", ErrInvalid)
	}
	return key.Key, nil
}

func (s *keySet) lookup(kid string) (key PublicKey, known, loaded bool) {
	keys := s.current.Load()
	if keys == nil {
		return PublicKey{}, false, false
	}
	key, known = (*keys)[kid]
	return key, known, true
}

// refresh fetches the keys unless the last fetch was less than wait ago. Callers that waited for a
// concurrent fetch do not repeat it.
func (s *keySet) refresh(ctx context.Context, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if wait > 0 && time.Since(s.fetched) < wait {
		return
	}
	// All callers share the fetch, so it must not end with the request that started it.
	keys, err := s.fetch(context.WithoutCancel(ctx))
	s.fetched = time.Now()
	if err == nil {
		s.current.Store(&keys)
	}
}

func (s *keySet) fetch(ctx context.Context) (map[string]PublicKey, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("fetch keys: %w", err)
	}
	res, err := s.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetch keys: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch keys: status %d", res.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxJWKS))
	if err != nil {
		return nil, fmt.Errorf("fetch keys: %w", err)
	}
	return ParseKeys(body)
}

var errNoKeys = errors.New("authn: no usable key in the JWKS")

// ParseKeys returns the signature keys of a JWKS (RFC 7517) by key ID. It skips keys that it cannot
// use (section 5), and fails if none is left.
func ParseKeys(body []byte) (map[string]PublicKey, error) {
	var set jwkset.JWKSMarshal
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, fmt.Errorf("parse JWKS: %w", err)
	}
	keys := make(map[string]PublicKey)
	for _, m := range set.Keys {
		jwk, err := jwkset.NewJWKFromMarshal(m, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
		if err != nil || m.KID == "" || m.USE != "" && m.USE != jwkset.UseSig || len(keys) == maxKeys {
			continue
		}
		keys[m.KID] = PublicKey{string(m.ALG), jwk.Key()}
	}
	if len(keys) == 0 {
		return nil, errNoKeys
	}
	return keys, nil
}

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
	// RefreshEvery bounds how long a key that left the JWKS is still accepted. An
	// issuer waits at least as long before it signs with a new key.
	RefreshEvery = time.Minute
	// cooldown is the least time between fetches that unknown key ids cause.
	cooldown = 30 * time.Second
	// cooldownEmpty replaces cooldown and RefreshEvery while there are no keys, so
	// that a service that starts before its issuer works soon after it is up.
	cooldownEmpty = 200 * time.Millisecond
	maxJWKS       = 256 << 10
	maxKeys       = 64
)

type publicKey struct {
	alg string
	key any
}

// keySet is the issuer's published keys as last seen. A fetch replaces the
// whole set, which drops withdrawn keys. A fetch that fails or brings no usable
// key changes nothing.
type keySet struct {
	url     string
	client  *http.Client
	current atomic.Pointer[map[string]publicKey]

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

// get returns the key named kid for algorithm alg.
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
	case key.alg != alg:
		// The algorithm belongs to the key, not to the token (RFC 8725, 3.1).
		return nil, fmt.Errorf("%w: algorithm is not the key's", ErrInvalid)
	}
	return key.key, nil
}

func (s *keySet) lookup(kid string) (key publicKey, known, loaded bool) {
	keys := s.current.Load()
	if keys == nil {
		return publicKey{}, false, false
	}
	key, known = (*keys)[kid]
	return key, known, true
}

// refresh fetches the keys unless the last fetch is less than wait ago. Callers
// that waited for another one's fetch do not repeat it.
func (s *keySet) refresh(ctx context.Context, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if wait > 0 && time.Since(s.fetched) < wait {
		return
	}
	// All callers share the fetch: it must not end with the request that began it.
	keys, err := s.fetch(context.WithoutCancel(ctx))
	s.fetched = time.Now()
	if err == nil {
		s.current.Store(&keys)
	}
}

func (s *keySet) fetch(ctx context.Context) (map[string]publicKey, error) {
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
	return parseKeys(body)
}

var errNoKeys = errors.New("authn: no usable key in the JWKS")

// parseKeys returns the signature keys of a JWKS (RFC 7517). It skips keys that
// it cannot use (section 5).
func parseKeys(body []byte) (map[string]publicKey, error) {
	var set jwkset.JWKSMarshal
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, fmt.Errorf("parse JWKS: %w", err)
	}
	keys := make(map[string]publicKey)
	for _, m := range set.Keys {
		jwk, err := jwkset.NewJWKFromMarshal(m, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
		if err != nil || m.KID == "" || m.USE != "" && m.USE != jwkset.UseSig || len(keys) == maxKeys {
			continue
		}
		keys[m.KID] = publicKey{alg: string(m.ALG), key: jwk.Key()}
	}
	if len(keys) == 0 {
		return nil, errNoKeys
	}
	return keys, nil
}

// Package clientauth finds out which client (which sidecar) calls, from its
// assertion (RFC 7523): in a cluster the ServiceAccount token that Kubernetes
// projects into the pod, checked by TokenReview; elsewhere a JWT that the
// client signs with a key whose public half is in our configuration.
package clientauth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// ErrInvalid says that an assertion is nobody's.
var ErrInvalid = errors.New("clientauth: invalid client assertion")

// ErrUnavailable says that an assertion cannot be checked now.
var ErrUnavailable = errors.New("clientauth: cannot check assertions now")

const (
	// cacheLife bounds how long a client that was withdrawn is still accepted.
	cacheLife    = time.Minute
	cacheEntries = 4096
	maxAssertion = 8 << 10
)

// A Checker finds the client of an assertion, and until when that holds.
type Checker interface {
	// Check fails with ErrInvalid or ErrUnavailable. claims are not verified yet.
	Check(ctx context.Context, assertion string, claims jwt.RegisteredClaims) (client string, until time.Time, err error)
}

// Authenticator asks checkers and remembers their yes.
type Authenticator struct {
	checkers []Checker
	now      func() time.Time

	mu    sync.Mutex
	known map[[sha256.Size]byte]entry
}

type entry struct {
	client string
	until  time.Time
}

// New returns an Authenticator that accepts what any of checkers accepts.
func New(now func() time.Time, checkers ...Checker) *Authenticator {
	return &Authenticator{checkers: checkers, now: now, known: make(map[[sha256.Size]byte]entry)}
}

// Authenticate returns the id of the client that assertion belongs to. It
// fails with ErrInvalid or ErrUnavailable.
func (a *Authenticator) Authenticate(ctx context.Context, assertion string) (string, error) {
	if len(assertion) > maxAssertion {
		return "", ErrInvalid
	}
	sum := sha256.Sum256([]byte(assertion))
	if client, ok := a.recall(sum); ok {
		return client, nil
	}
	var claims jwt.RegisteredClaims
	if _, _, err := jwt.NewParser().ParseUnverified(assertion, &claims); err != nil {
		return "", fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	err := ErrInvalid
	for _, c := range a.checkers {
		client, until, e := c.Check(ctx, assertion, claims)
		if e == nil {
			a.remember(sum, entry{client, until})
			return client, nil
		}
		if errors.Is(e, ErrUnavailable) {
			err = e
		}
	}
	return "", err
}

func (a *Authenticator) recall(sum [sha256.Size]byte) (string, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e, ok := a.known[sum]
	return e.client, ok && a.now().Before(e.until)
}

func (a *Authenticator) remember(sum [sha256.Size]byte, e entry) {
	if limit := a.now().Add(cacheLife); e.until.After(limit) {
		e.until = limit
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.known) >= cacheEntries {
		clear(a.known) // rare, and costs each client one check
	}
	a.known[sum] = e
}

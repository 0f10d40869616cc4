// Package clientauth authenticates clients (sidecars) by their client assertions (RFC 7523). In a
// cluster the assertion is the ServiceAccount token that Kubernetes projects into the pod, checked
// by TokenReview. Elsewhere it is a JWT that the client signs with a key whose public half is in
// the configuration.
package clientauth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// ErrInvalid reports that an assertion belongs to no client.
var ErrInvalid = errors.New("clientauth: invalid client assertion")

// ErrUnavailable reports that an assertion cannot be checked now.
var ErrUnavailable = errors.New("clientauth: cannot check assertions now")

// ErrMaybeReplayed is an ErrUnavailable: the client signed the assertion, but whether it was used
// before cannot be checked now.
var ErrMaybeReplayed = fmt.Errorf("%w: it may have been used before", ErrUnavailable)

const (
	// leeway is how far the clocks of issuer and verifier may differ.
	leeway       = 30 * time.Second
	maxAssertion = 8 << 10
)

// A Checker checks one kind of assertion.
type Checker interface {
	// Check does what Authenticator.Authenticate does, for this kind.
	Check(ctx context.Context, assertion, source string) (client string, err error)
	// Algorithms returns the accepted signature algorithms (RFC 7518).
	Algorithms() []string
}

// Authenticator accepts an assertion if one of its checkers does.
type Authenticator struct{ checkers []Checker }

// New returns an Authenticator with the given checkers.
func New(checkers ...Checker) *Authenticator { return &Authenticator{checkers} }

// Authenticate returns the ID of the client that assertion belongs to. source is the network
// address of the connection. It fails with ErrInvalid or ErrUnavailable. With ErrMaybeReplayed it
// also returns the client, for calls that are safe to repeat.
func (a *Authenticator) Authenticate(ctx context.Context, assertion, source string) (client string, err error) {
	if len(assertion) > maxAssertion {
		return "", ErrInvalid
	}
	err = ErrInvalid
	for _, c := range a.checkers {
		found, e := c.Check(ctx, assertion, source)
		switch {
		case e == nil:
			return found, nil
		case errors.Is(e, ErrUnavailable):
			client, err = found, e
		}
	}
	return client, err
}

// Algorithms returns the accepted signature algorithms (RFC 7518), sorted.
func (a *Authenticator) Algorithms() []string {
	var all []string
	for _, c := range a.checkers {
		all = append(all, c.Algorithms()...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

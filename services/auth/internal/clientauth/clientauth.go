// Package clientauth finds out which client (which sidecar) calls, from its
// assertion (RFC 7523): in a cluster the ServiceAccount token that Kubernetes
// projects into the pod, checked by TokenReview; elsewhere a JWT that the
// client signs with a key whose public half is in our configuration.
package clientauth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// ErrInvalid says that an assertion is nobody's.
var ErrInvalid = errors.New("clientauth: invalid client assertion")

// ErrUnavailable says that an assertion cannot be checked now.
var ErrUnavailable = errors.New("clientauth: cannot check assertions now")

// ErrMaybeReplayed is an ErrUnavailable: the client has signed the assertion,
// but whether it was used before cannot be found out now.
var ErrMaybeReplayed = fmt.Errorf("%w: it may have been used before", ErrUnavailable)

const (
	// leeway is how far the clocks of issuer and verifier may be apart.
	leeway       = 30 * time.Second
	maxAssertion = 8 << 10
)

// A Checker knows one kind of assertion.
type Checker interface {
	// Check is Authenticator.Authenticate for this kind.
	Check(ctx context.Context, assertion, source string) (client string, err error)
	// Algorithms are the signature algorithms (RFC 7518) that it accepts.
	Algorithms() []string
}

// Authenticator accepts what any of its checkers accepts.
type Authenticator struct{ checkers []Checker }

// New returns an Authenticator of checkers.
func New(checkers ...Checker) *Authenticator { return &Authenticator{checkers} }

// Authenticate returns the id of the client that assertion belongs to. source
// is the network address of whoever sent it, as the connection has it. It fails
// with ErrInvalid or ErrUnavailable. With ErrMaybeReplayed it returns the client
// too, for calls that do no harm when they are made twice.
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

// Algorithms are the signature algorithms (RFC 7518) that assertions may have, sorted.
func (a *Authenticator) Algorithms() []string {
	var all []string
	for _, c := range a.checkers {
		all = append(all, c.Algorithms()...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

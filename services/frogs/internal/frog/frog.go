// Package frog is the domain of the frogs service: the catalogue of frogs, and how often each was
// petted, by all users and by the requesting one.
//
// It does not depend on HTTP or SQL. A user is an opaque string here. Invariant: the total of a
// frog is the sum over all users.
package frog

import (
	"context"
	"errors"
	"time"
)

var (
	// ErrUnknown means that there is no frog with this id.
	ErrUnknown = errors.New("frog: unknown frog")
	// ErrUnavailable means that the store is unreachable or read-only. If the connection was lost
	// during Pet, the petting may or may not be counted: do not retry it unless the user asks.
	ErrUnavailable = errors.New("frog: store unavailable")
)

// A Species is one entry of the catalogue.
type Species struct {
	ID    string // stable: it is part of URLs and of the name of the drawing
	Name  string
	Latin string
}

// A Frog is a species with its petting counts, as one user sees it.
type Frog struct {
	Species

	// Pets is how often all users together petted it.
	Pets int64
	// PettedAt is when this user last petted it; zero if never.
	PettedAt time.Time
}

// A Store keeps the pettings. Implementations are safe for concurrent use and return an error that
// wraps ErrUnavailable if the store cannot be used. If the context has ended, they return its error
// and change nothing.
type Store interface {
	// Frogs returns all frogs in the order of the catalogue, with the times at which user last
	// petted them. All totals are from one consistent snapshot.
	Frogs(ctx context.Context, user string) ([]Frog, error)
	// Pet counts one petting of the frog by user at the given time and returns the updated frog.
	// The total and the user's row change atomically; concurrent calls are all counted. PettedAt
	// never decreases, even if the clocks of instances differ. It returns ErrUnknown for an unknown
	// id.
	Pet(ctx context.Context, user, id string, at time.Time) (Frog, error)
}

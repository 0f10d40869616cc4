// Package frog is the domain of the frogs service: which frogs there are, and
// how often each was petted, by everybody and by the one who asks.
//
// It owns the catalogue, the Store's contract and the errors a Store may
// answer. It knows neither HTTP nor SQL nor who a user is: a user is an opaque
// string here. The invariant: a frog's total is the sum of what all users did.
package frog

import (
	"context"
	"errors"
	"time"
)

var (
	// ErrUnknown says that there is no frog with the id.
	ErrUnknown = errors.New("frog: unknown frog")
	// ErrUnavailable says that the store cannot be reached or is not writable
	// now. Whether a Pet took place is unknown if the connection was lost
	// meanwhile: it is not to be repeated without the user's asking.
	ErrUnavailable = errors.New("frog: store unavailable")
)

// A Species is one entry of the catalogue.
type Species struct {
	ID    string // stable: it is part of URLs and of the name of the drawing
	Name  string
	Latin string
}

// A Frog is a species with its pettings, as one user sees it.
type Frog struct {
	Species

	// Pets is how often all users together have petted it.
	Pets int64
	// PettedAt is when this user last petted it; zero for never.
	PettedAt time.Time
}

// A Store keeps the pettings. Implementations are safe for concurrent use and
// answer ErrUnavailable, wrapped, when they cannot say. A context that has
// ended yields its error and changes nothing.
type Store interface {
	// Frogs returns all frogs in the catalogue's order, with user's own last
	// pettings. All totals are of one moment.
	Frogs(ctx context.Context, user string) ([]Frog, error)
	// Pet counts one petting of the frog by user at a time and returns the frog
	// with the count. Total and user's own row change together or not at all,
	// and no concurrent Pet is lost. PettedAt never goes back, whichever
	// instance's clock is ahead. It answers ErrUnknown for an unknown id.
	Pet(ctx context.Context, user, id string, at time.Time) (Frog, error)
}

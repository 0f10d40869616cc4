package session

import (
	"context"
	"errors"
	"time"
)

// ErrUnavailable means that a store did not answer, or gave an invalid answer. It is an outage
// (503) and never ends a session.
var ErrUnavailable = errors.New("session: store unavailable")

// ErrExists means that a family with this ID exists or has ended.
var ErrExists = errors.New("session: family exists")

// A Beginning describes a family that the Store creates: a new one at generation 1, or one that the
// Store lost, at the generation that was presented.
type Beginning struct {
	Family     FamilyID
	Generation uint64
	// Rotated is when this generation was made. The zero time means long ago.
	Rotated  time.Time
	Subject  string
	Roles    []string
	Client   string
	KeyID    string
	AuthTime time.Time
	// Provider and ACR are those of the Login. Without a provider the Store keeps neither.
	Provider, ACR string
	End           time.Time
	// Lost is set if the family is rebuilt from its record. It is Unverified until the record has
	// been read again.
	Lost bool
}

// A Grant is the result of presenting a refresh token. Unless Outcome.Granted(), the fields from
// Generation on are not set.
type Grant struct {
	Outcome Outcome
	Family  FamilyID
	// Reason is why the family ended. The Store sets it with Revoked.
	Reason Reason
	// Doubt is set with Unverified: see Presentation.Settled.
	Doubt Doubt
	// At is the Store's time, set with Unverified, Missing and Stale. With Stale it is the
	// challenge: see Presentation.Challenge.
	At         time.Time
	Generation uint64
	KeyID      string
	Subject    string
	Roles      []string
	AuthTime   time.Time
	// Provider and ACR are those of Beginning.
	Provider, ACR string
	End           time.Time
}

// A Store keeps families. Every method is atomic per family, and idempotent: a client library that
// loses the answer sends the command again.
//
// Methods fail with ErrUnavailable, wrapped, and with the errors that they name.
type Store interface {
	// Begin creates a family; its idle time starts now. It fails with ErrExists if the ID is taken.
	Begin(ctx context.Context, b Beginning) error
	// Use applies redis.Decide to the family and p, and stores the result. The time and the epoch
	// are the Store's own, so that the clocks of replicas do not matter.
	Use(ctx context.Context, family FamilyID, p Presentation) (Grant, error)
	// Generation returns the current generation of the family, 0 if there is no such family, and
	// whether it was revoked. It changes nothing.
	Generation(ctx context.Context, family FamilyID) (generation uint64, revoked bool, err error)
	// Confirm records that a browser has presented this generation. It does nothing unless it is
	// the current one and the family was issued to client.
	Confirm(ctx context.Context, family FamilyID, generation uint64, client string) error
	// Revoke ends families permanently. Families that do not exist cannot be begun for a while. The
	// records must have been revoked before, because the Store forgets ended families. Revoke is
	// atomic for each family, not for all together.
	Revoke(ctx context.Context, all []Revocation) error
	// RevokeUnrecorded ends a family whose record is not revoked, if it was issued to client. An
	// empty client matches any.
	RevokeUnrecorded(ctx context.Context, family FamilyID, client string, reason Reason) error
	// Unverify makes the next Use of each family Unverified, because its record has changed.
	Unverify(ctx context.Context, families []FamilyID) error
}

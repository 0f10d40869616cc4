package session

import (
	"context"
	"errors"
	"time"
)

// ErrUnavailable says that the store could not answer, or answered nonsense.
// It is an outage (503): a session never ends because of it.
var ErrUnavailable = errors.New("session: store unavailable")

// ErrExists says that a family of that id is there already, or has ended.
var ErrExists = errors.New("session: family exists")

// A Beginning is a family that the Store is to have: a new one at generation
// 1, or one that it lost, at the generation that was presented.
type Beginning struct {
	Family     FamilyID
	Generation uint64
	// Rotated is when this generation was made; zero for long ago.
	Rotated  time.Time
	Subject  string
	Roles    []string
	Client   string
	KeyID    string
	AuthTime time.Time
	End      time.Time
	// Lost says that the family is put back from its record. It is Unverified
	// until the record has been read once more.
	Lost bool
}

// A Grant is what presenting a refresh token came to. Only Outcome, Family and
// Reason are set unless Outcome.Granted().
type Grant struct {
	Outcome Outcome
	Family  FamilyID
	// Reason is why a Revoked family was ended.
	Reason Reason
	// Doubt comes with Unverified: see Presentation.Settled.
	Doubt Doubt
	// At is the Store's time. It comes with Unverified, Missing and Stale, where
	// it is the challenge: see Presentation.Challenge.
	At         time.Time
	Generation uint64
	KeyID      string
	Subject    string
	Roles      []string
	AuthTime   time.Time
	End        time.Time
}

// A Store keeps families. Every method is one atomic step with respect to all
// others on the same family, and may be sent twice by a client library that
// lost the answer: doing it again changes nothing more.
//
// All methods fail with ErrUnavailable, wrapped, and with nothing else unless
// they say so.
type Store interface {
	// Begin creates a family, whose idle life begins now. ErrExists if the id is taken.
	Begin(ctx context.Context, b Beginning) error
	// Use applies redis.Decide to the family and p and keeps the result. The time and
	// the epoch are the store's own, so that replicas' clocks do not matter.
	Use(ctx context.Context, family FamilyID, p Presentation) (Grant, error)
	// Generation returns how far the family has come, 0 if it is not there, and
	// whether it was revoked. It changes nothing.
	Generation(ctx context.Context, family FamilyID) (generation uint64, revoked bool, err error)
	// Confirm notes that somebody presented this generation, if it is the
	// current one and the family was issued to client.
	Confirm(ctx context.Context, family FamilyID, generation uint64, client string) error
	// Revoke ends families for ever, for a while also those that are not there,
	// whoever begins them again. Their records must say the same already: the
	// Store may forget them. Each family is a step of its own.
	Revoke(ctx context.Context, all []Revocation) error
	// RevokeUnrecorded ends a family whose record does not say so, if it was
	// issued to client; an empty client means any.
	RevokeUnrecorded(ctx context.Context, family FamilyID, client string, reason Reason) error
	// Unverify makes the next Use of families Unverified: their records changed.
	Unverify(ctx context.Context, families []FamilyID) error
}

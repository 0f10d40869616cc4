package session

import (
	"context"
	"errors"
	"time"

	"lilypad.example/services/auth/api"
)

// ErrNotFound means that a session has no record.
var ErrNotFound = errors.New("session: not found")

// ErrAccountChanged means that the account was disabled or deleted, or that its password or roles
// changed, after the credentials were checked.
var ErrAccountChanged = errors.New("session: account changed since its credentials were checked")

// An Account is the owner of a new session, as of the check of the credentials.
type Account struct {
	ID    string
	Roles []string
	// Version increases whenever the password, the roles or the disabled state changes.
	Version int64
	Login   Login
}

// A Login is how the owner of a new session proved who they are. The zero Login is a password that
// was given just now.
type Login struct {
	// Provider is the ID of an identity provider, or empty for a password.
	Provider string
	// ACR is how strictly the provider asked, in its own words. It is empty if it did not say.
	ACR string
	// AuthTime is when the provider asked. It is the zero time for a password, and UnknownAuthTime
	// if the provider did not say.
	AuthTime time.Time
	// MaxLife bounds the session's life, besides Config.Absolute. 0 means no further bound.
	MaxLife time.Duration
}

// UnknownAuthTime is the AuthTime of a Login whose provider does not say when it asked for
// credentials. It is long ago, so that the session never counts as freshly authenticated.
var UnknownAuthTime = time.Unix(0, 0) //nolint:gochecknoglobals // a constant

// A Record is the durable part of a session. It outlives the Store's data and decides when the two
// disagree.
type Record struct {
	Family  FamilyID
	Subject string
	Roles   []string
	Client  string
	// Device is the user agent that began the session, shown to the user.
	Device string
	Begun  time.Time
	// AuthTime, Provider and ACR are those of the Login. A zero AuthTime is stored as Begun.
	AuthTime      time.Time
	Provider, ACR string
	// Seen and Floor are written in batches and lag behind: Seen is the last known use, and every
	// token of a generation below Floor is stale.
	Seen  time.Time
	Floor uint64
	End   time.Time
	// Revoked is when the session was ended; the zero time if it was not.
	Revoked time.Time
	Reason  Reason
}

// A Reason is why a session ended: an api.EndReason. Audit events, metrics and the revocation feed
// use the same values.
type Reason string

// The reasons.
const (
	// Reasons that are written with a tombstone:
	ReasonLogout          = Reason(api.EndLogout)          // the user signed out
	ReasonUserRequest     = Reason(api.EndUserRequest)     // the user ended it from another session
	ReasonPasswordChanged = Reason(api.EndPasswordChanged) // the user changed the password elsewhere
	ReasonUserDisabled    = Reason(api.EndUserDisabled)
	ReasonAdmin           = Reason(api.EndAdmin)
	ReasonUserDeleted     = Reason(api.EndUserDeleted)
	ReasonSessionLimit    = Reason(api.EndSessionLimit) // the user has more than Config.MaxSessions
	ReasonReuse           = Reason(api.EndReuse)        // a stale refresh token was presented
	ReasonIdle            = Reason(api.EndIdle)         // it was not used for Config.Idle
	ReasonExpired         = Reason(api.EndExpired)      // it reached its absolute end
	ReasonProvider        = Reason(api.EndProvider)     // the identity provider ended it
	// Reasons to refuse a refresh token without ending a known session:
	ReasonLost     = Reason(api.EndLost)     // its session is unknown, or rebuilding is off
	ReasonUnusable = Reason(api.EndUnusable) // damaged, forged, or signed by a key that left the ring
)

// Valid reports whether r is one of the reasons above.
func (r Reason) Valid() bool { return api.EndReason(r).Valid() }

// Which selects sessions to end: the session Family, or all sessions of Subject but Except. All
// fields that are set must match.
type Which struct {
	Family  FamilyID
	Subject string
	Client  string
	Except  FamilyID
}

// A Revocation is an ended session.
type Revocation struct {
	Family FamilyID
	Reason Reason
}

// An Entry is a revocation in the stream, with the ID that the stream gave it.
type Entry struct {
	ID string
	Revocation
}

// A Sighting records that a browser presented this generation of a session at this time.
type Sighting struct {
	Family     FamilyID
	Generation uint64
	At         time.Time
}

// Pending lists the changes that have not been propagated to the Store and the stream.
type Pending struct {
	Ended []Revocation
	// Changed are live sessions whose roles have changed, as of AsOf by the clock of the records.
	Changed []FamilyID
	AsOf    time.Time
}

// Grace is how long the replica that revoked a session has to propagate the revocation, before the
// leader takes over.
const Grace = 3 * time.Second

// Grace returns how long the leader waits before it propagates a revocation with this reason. A
// revocation by an operator goes through no replica, so the leader does not wait.
func (r Reason) Grace() time.Duration {
	if r == ReasonAdmin {
		return 0
	}
	return Grace
}

// Records keeps session records durably. Methods fail with ErrUnavailable, wrapped, and with the
// errors that they name.
//
// When an account is disabled or deleted, all its sessions are revoked in the same transaction.
type Records interface {
	// Add stores a new session. It fails with ErrAccountChanged if at commit the account is
	// disabled or deleted or has another version. It ends the oldest sessions of the account beyond
	// limit (0 means no limit); those are pending then.
	Add(ctx context.Context, r Record, version int64, limit int) error
	// Get returns the record of a session. It fails with ErrNotFound if there is none.
	Get(ctx context.Context, family FamilyID) (Record, error)
	// Live returns the live sessions of a user, newest first.
	Live(ctx context.Context, subject string, now time.Time) ([]Record, error)
	// Revoke ends the live sessions that w selects. When it returns nil, the tombstones survive a
	// crash and a failover. The revocations are pending, and due after reason.Grace.
	Revoke(ctx context.Context, w Which, reason Reason, now time.Time) error
	// PendingOf returns all pending revocations of a family or, if family is empty, of a subject,
	// due or not.
	PendingOf(ctx context.Context, family FamilyID, subject string) ([]Revocation, error)
	// Pending returns up to limit pending sessions that are due within the given time by the clock
	// of the records, the earliest first. Sessions that ended or changed with their account, or
	// ended because of the limit, are due at once.
	Pending(ctx context.Context, within time.Duration, limit int) (Pending, error)
	// Settle marks p as done, except sessions that have changed again since AsOf. It returns the
	// records of ended sessions that were still pending, so that exactly one replica reports each.
	Settle(ctx context.Context, p Pending) ([]Record, error)
	// RevokedSince calls each with batches of all sessions that ended after since. It stops at the
	// first error and returns it.
	RevokedSince(ctx context.Context, since time.Time, each func([]Revocation) error) error
	// See raises Seen and Floor to the sightings. It never lowers them.
	See(ctx context.Context, sightings []Sighting) error
	// Prune deletes the records of sessions whose End was before the given time.
	Prune(ctx context.Context, before time.Time) error
}

// A Lead is the answer to Stream.Lead.
type Lead struct {
	// Leader is set if the replica is the leader. There is one at a time.
	Leader bool
	// Incomplete is the current epoch of the stream's Redis if no leader has completed the stream
	// in it, so that entries may be missing. It is empty otherwise.
	Incomplete Epoch
	// Since is the time from which on the stream has to be complete.
	Since time.Time
}

// A Stream carries revocations to everything that verifies access tokens. Its methods fail with
// ErrUnavailable only.
type Stream interface {
	// Publish appends revocations.
	Publish(ctx context.Context, all []Revocation) error
	// Lead makes replica the leader for the given time, or extends its lease, unless another
	// replica is the leader.
	Lead(ctx context.Context, replica string, life time.Duration) (Lead, error)
	// Complete records that the stream is complete in this epoch.
	Complete(ctx context.Context, epoch Epoch) error
}

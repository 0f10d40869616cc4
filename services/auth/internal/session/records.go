package session

import (
	"context"
	"errors"
	"time"

	"lilypad.example/services/auth/api"
)

// ErrNotFound says that there is no record of a session.
var ErrNotFound = errors.New("session: not found")

// ErrAccountChanged says that an account was disabled or deleted, or got another
// password or other roles, after its user's credentials were checked.
var ErrAccountChanged = errors.New("session: account changed since its credentials were checked")

// An Account is whom a session is begun for, as its credentials were checked.
type Account struct {
	ID    string
	Roles []string
	// Version grows whenever the account changes in a way that matters here.
	Version int64
}

// A Record is what must not be lost of a session, whatever becomes of the
// Store: who it belongs to, how far it had come, and whether it was ended.
type Record struct {
	Family  FamilyID
	Subject string
	Roles   []string
	Client  string
	// Device is the user agent that began it, for its owner to know it by.
	Device string
	Begun  time.Time
	// Seen and Floor lag behind: they are written now and then. Every token of
	// a generation below Floor is stale for certain.
	Seen  time.Time
	Floor uint64
	End   time.Time
	// Revoked is when it was ended; the zero time while it lives.
	Revoked time.Time
	Reason  Reason
}

// A Reason is why a session is over: an api.EndReason, which it also is in audit
// events, metrics and the revocation feed.
type Reason string

// The reasons.
const (
	// A session is ended on purpose or by a rule, with a tombstone:
	ReasonLogout          = Reason(api.EndLogout)          // its user signed out
	ReasonUserRequest     = Reason(api.EndUserRequest)     // its user ended it from another one
	ReasonPasswordChanged = Reason(api.EndPasswordChanged) // ended with all others of the user
	ReasonUserDisabled    = Reason(api.EndUserDisabled)
	ReasonAdmin           = Reason(api.EndAdmin)
	ReasonUserDeleted     = Reason(api.EndUserDeleted)
	ReasonSessionLimit    = Reason(api.EndSessionLimit) // the user began more than Config.MaxSessions
	ReasonReuse           = Reason(api.EndReuse)        // a stale refresh token was presented
	ReasonIdle            = Reason(api.EndIdle)         // nobody used it for Config.Idle
	ReasonExpired         = Reason(api.EndExpired)      // its absolute end
	// The refresh token is unusable, and no session is known to end with it:
	ReasonLost     = Reason(api.EndLost)     // its session is unknown, or rebuilding is off
	ReasonUnusable = Reason(api.EndUnusable) // damaged, forged, or of a key that has left the ring
)

// Valid reports whether r is one of the reasons.
func (r Reason) Valid() bool { return api.EndReason(r).Valid() }

// Which selects sessions to end: the Family, or all of Subject but Except.
// Where several are given all must match; Client "" matches any.
type Which struct {
	Family  FamilyID
	Subject string
	Client  string
	Except  FamilyID
}

// A Revocation is a session that was ended.
type Revocation struct {
	Family FamilyID
	Reason Reason
}

// An Entry is a revocation at its place in the stream, by the stream's own name
// for that.
type Entry struct {
	ID string
	Revocation
}

// A Sighting is how far a session has come.
type Sighting struct {
	Family     FamilyID
	Generation uint64
	At         time.Time
}

// Pending is what the Store and the stream have not got yet.
type Pending struct {
	Ended []Revocation
	// Changed are sessions that live and whose roles are others now, as of AsOf by
	// the records' own clock.
	Changed []FamilyID
	AsOf    time.Time
}

// Grace is how long a revocation is left to the replica that was asked for it,
// before the leader finishes what that did not.
const Grace = 3 * time.Second

// Grace is how long a revocation for that reason is left to the replica that
// was asked for it. An operator asks none: the leader sees to it at once.
func (r Reason) Grace() time.Duration {
	if r == ReasonAdmin {
		return 0
	}
	return Grace
}

// Records keeps sessions durably. Every method fails with ErrUnavailable,
// wrapped, and with nothing else unless it says so.
//
// A record ends with its account: when that is disabled or deleted, all its
// sessions get their tombstones in the same transaction.
type Records interface {
	// Add keeps a new session, if its account is enabled and of this version at
	// the commit; otherwise it fails with ErrAccountChanged. Of the account's
	// sessions at most limit live afterwards: the oldest are ended, and pending.
	Add(ctx context.Context, r Record, version int64, limit int) error
	// Get returns a session. ErrNotFound if there is none.
	Get(ctx context.Context, family FamilyID) (Record, error)
	// Live returns the sessions of a user that have not ended, newest first.
	Live(ctx context.Context, subject string, now time.Time) ([]Record, error)
	// Revoke ends the sessions that w selects and that live. When it returns
	// nil, that is durable: it survives crash and failover. They are due after reason.Grace.
	Revoke(ctx context.Context, w Which, reason Reason, now time.Time) error
	// PendingOf returns the pending revocations of a family or, without one, of a
	// subject, whenever they were made.
	PendingOf(ctx context.Context, family FamilyID, subject string) ([]Revocation, error)
	// Pending returns at most limit pending sessions that are due within a time,
	// by the records' own clock, the first first. What was ended or changed with
	// its account, or because of a limit, is due at once.
	Pending(ctx context.Context, within time.Duration, limit int) (Pending, error)
	// Settle notes that p is pending no more, but for what has changed again since
	// AsOf. It returns the records of those that were pending and have ended: of
	// all replicas, one is told of each.
	Settle(ctx context.Context, p Pending) ([]Record, error)
	// RevokedSince calls each with all sessions that were ended after since, some
	// at a time, until it fails.
	RevokedSince(ctx context.Context, since time.Time, each func([]Revocation) error) error
	// See notes how far sessions have come; it never takes anything back.
	See(ctx context.Context, sightings []Sighting) error
	// Prune forgets sessions that ended by themselves before a time.
	Prune(ctx context.Context, before time.Time) error
}

// A Lead is a replica's part in looking after the stream.
type Lead struct {
	// Leader is one replica at a time.
	Leader bool
	// Incomplete is set if the stream may have lost entries: since this epoch of
	// its Redis began, nobody has completed it.
	Incomplete Epoch
	// Since is from when on it has to be complete.
	Since time.Time
}

// A Stream carries revocations to whoever verifies access tokens. It fails
// with ErrUnavailable only.
type Stream interface {
	// Publish appends revocations.
	Publish(ctx context.Context, all []Revocation) error
	// Lead makes replica the leader for life, or prolongs that, unless another
	// one is.
	Lead(ctx context.Context, replica string, life time.Duration) (Lead, error)
	// Complete notes that the stream lacks nothing in this epoch.
	Complete(ctx context.Context, epoch Epoch) error
}

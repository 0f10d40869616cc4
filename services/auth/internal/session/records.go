package session

import (
	"context"
	"errors"
	"time"
)

// ErrNotFound says that there is no record of a session.
var ErrNotFound = errors.New("session: not found")

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

// A Reason is why a session is over. It appears in audit events, metrics, the
// revocation feed and the answers to refresh tokens, and so in the contract.
type Reason string

// The reasons.
const (
	// A session is ended on purpose or by a rule, with a tombstone:
	ReasonLogout          Reason = "logout"           // its user signed out
	ReasonUserRequest     Reason = "user_request"     // its user ended it from another one
	ReasonPasswordChanged Reason = "password_changed" // ended with all others of the user
	ReasonUserDisabled    Reason = "user_disabled"
	ReasonAdmin           Reason = "admin"
	ReasonReuse           Reason = "reuse"   // a stale refresh token was presented
	ReasonIdle            Reason = "idle"    // nobody used it for Config.Idle
	ReasonExpired         Reason = "expired" // its absolute end

	// A refresh token is good for nothing, and no session is known to end with it:
	ReasonLost     Reason = "lost"     // nothing is known of its session, or rebuilding is off
	ReasonUnusable Reason = "unusable" // none of ours: damaged, forged, or of a key that has left the ring
)

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

// A Mark is a position in the revocation stream. Marks grow with time.
type Mark int64

// A Window is what the stream holds now. A revocation that was published and
// is not in it was lost, with everything else that its Redis lost then.
type Window struct {
	// Last is the newest mark that there ever was, 0 for none: what was
	// published behind it is lost.
	Last Mark
	// Present are the sessions that it tells of, all those behind Since.
	Present []FamilyID
	Since   Mark
}

// Records keeps sessions durably. Every method fails with ErrUnavailable,
// wrapped, and with nothing else unless it says so.
type Records interface {
	// Add keeps a new session.
	Add(ctx context.Context, r Record) error
	// Get returns a session. ErrNotFound if there is none.
	Get(ctx context.Context, family FamilyID) (Record, error)
	// Live returns the sessions of a user that have not ended, newest first.
	Live(ctx context.Context, subject string, now time.Time) ([]Record, error)
	// Revoke ends the sessions that w selects and that live. When it returns
	// nil, that is durable: it survives crash and failover. It returns all that w
	// selects and that the stream has not got yet, ended now or before.
	Revoke(ctx context.Context, w Which, reason Reason, now time.Time) ([]Revocation, error)
	// Unpropagated returns ended sessions that the stream has not got: those that
	// never got there, and those that it has lost, going by what it holds.
	Unpropagated(ctx context.Context, stream Window, now time.Time, limit int) ([]Revocation, error)
	// Propagated notes the place of an ended session in the stream, and reports
	// whether that is its first: of all replicas, one is told so.
	Propagated(ctx context.Context, family FamilyID, mark Mark) (first bool, err error)
	// See notes how far sessions have come; it never takes anything back.
	See(ctx context.Context, sightings []Sighting) error
	// Prune forgets sessions that ended by themselves before a time.
	Prune(ctx context.Context, before time.Time) error
}

// A Stream carries revocations to whoever verifies access tokens. It fails
// with ErrUnavailable only.
type Stream interface {
	// Publish appends a revocation and returns its place.
	Publish(ctx context.Context, r Revocation) (Mark, error)
	// Window returns what it holds.
	Window(ctx context.Context) (Window, error)
}

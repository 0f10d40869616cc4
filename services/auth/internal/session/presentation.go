package session

import "time"

// ChallengeLife is how long a challenge is valid. A sidecar gives up a refresh after 5 s, so a
// challenged request is judged at most 5 s + ChallengeLife after its cookie arrived. That is less
// than Policy.Overlap, so a cookie that was current on arrival has not become stale.
const ChallengeLife = 3 * time.Second

// A Policy holds the durations that decide a Presentation. See docs/sessions.md.
type Policy struct {
	// Overlap is how long after a rotation the predecessor is accepted and gets the same successor,
	// for parallel requests and retries.
	Overlap time.Duration
	// MinInterval is the minimum time between rotations: an earlier refresh returns the same
	// refresh token and a new access token. If it is shorter than Overlap, a token can be two
	// generations behind while its overlap lasts.
	MinInterval time.Duration
	// Idle is how long a family lives without use.
	Idle time.Duration
}

// An Epoch identifies the uninterrupted life of one Redis primary. It changes at every failover and
// restart, after which writes may be lost.
type Epoch string

// A Doubt identifies an Unverified answer: it contains the current epoch and Family.Verified. A
// record that is read after the answer settles the doubt, unless Store.Unverify was called in
// between.
type Doubt string

// A Family is the part of the state of a refresh-token family that redis.Decide depends on.
type Family struct {
	Generation uint64
	Rotated    time.Time
	// Confirmed is set once the token of Generation has been presented, which proves its delivery.
	Confirmed bool
	// RotatedBy is the presenter digest of the last rotation.
	RotatedBy string
	// PardonedBefore and Pardoned are set if the previous and the current generation needed a
	// pardon. Two in a row are reuse: a thief in lockstep with a victim makes every generation look
	// like a lost response.
	PardonedBefore, Pardoned bool
	Client                   string
	// KeyID is the ring key of the current generation's token.
	KeyID string
	// End is the absolute end.
	End     time.Time
	Revoked bool
	// Verified is the Epoch in which the family was last compared with its record, or a random mark
	// after Store.Unverify.
	Verified Epoch
}

// A Presentation is a verified refresh token that a client presents.
type Presentation struct {
	Generation uint64
	Client     string
	// KeyID is the ring key that the presented token was signed with.
	KeyID string
	// Presenter is the result of Ring.PresenterDigest.
	Presenter string
	// SuccessorKeyID is the ring key that signs a successor.
	SuccessorKeyID string
	// Settled is the Doubt of an Unverified answer. The caller sets it after it has read the
	// session's record and found that it permits this presentation.
	Settled Doubt
	// Roles are the roles of that record, with Settled. They replace those of the family.
	Roles []string
	// Challenge is Grant.At of a Stale answer to this request, which proves that its sender is
	// still waiting. A client that supports challenges sends an arbitrary old time in its first
	// request. The zero time means that it supports none; then its tokens are judged at once.
	Challenge time.Time
	// Now and Epoch are set by the Store, which ignores the caller's values.
	Now   time.Time
	Epoch Epoch
}

// An Outcome is the result of a presentation.
type Outcome string

// The outcomes. They are also the answers of use.lua and labels of metrics and audit events.
const (
	Rotated    Outcome = "rotated"    // the successor was issued
	Current    Outcome = "current"    // too soon after the last rotation: the same token again
	Concurrent Outcome = "concurrent" // predecessor inside the overlap: the same successor
	Retried    Outcome = "retried"    // the response was lost, and the same presenter retries
	Pardoned   Outcome = "pardoned"   // a lost response or an older cookie jar: tolerated once
	Healed     Outcome = "healed"     // the Store had lost writes; then rotated
	Rebuilt    Outcome = "rebuilt"    // the Store had lost the family; then rotated
	Reused     Outcome = "reused"     // a stale token: the family is revoked
	Revoked    Outcome = "revoked"    // the family was revoked earlier
	Ended      Outcome = "ended"      // the family is past its absolute end
	Foreign    Outcome = "foreign"    // issued to another client; the family lives
	Missing    Outcome = "missing"    // no such family

	// These two ask the caller to present the token again. They change nothing.
	Unverified Outcome = "unverified" // read the record first, then present it with Settled
	Stale      Outcome = "stale"      // looks like reuse: present it with Challenge
)

// Granted reports whether the client gets tokens.
func (o Outcome) Granted() bool {
	switch o {
	case Rotated, Current, Concurrent, Retried, Pardoned, Healed, Rebuilt:
		return true
	case Reused, Revoked, Ended, Foreign, Missing, Unverified, Stale:
	}
	return false
}

// reason returns why a token is refused, or "" if the outcome alone does not determine it.
func (o Outcome) reason() Reason {
	switch o {
	case Reused:
		return ReasonReuse
	case Ended:
		return ReasonExpired
	case Missing:
		return ReasonLost
	case Rotated, Current, Concurrent, Retried, Pardoned, Healed, Rebuilt, Revoked, Foreign, Unverified, Stale:
	}
	return ""
}

// Challenged reports whether reuse may be decided for p at now, a time of the Store: the challenge
// is fresh, or the client supports none.
func (p Presentation) Challenged(now time.Time) bool {
	age := now.Sub(p.Challenge)
	return p.Challenge.IsZero() || 0 <= age && age <= ChallengeLife
}

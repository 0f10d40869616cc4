package session

import "time"

// ChallengeLife is how long a Stale answer's challenge is good for. A sidecar
// gives a refresh up after 5 s, so a challenged request is judged at most
// 5 s + ChallengeLife after its cookie arrived: less than Policy.Overlap, so an
// honest cookie cannot have become stale on the way.
const ChallengeLife = 3 * time.Second

// Policy holds the durations of the decision. See docs/sessions.md.
type Policy struct {
	// Overlap is how long after a rotation the predecessor gets the same
	// successor without further question: parallel requests, retries.
	Overlap time.Duration
	// MinInterval is how long a generation is kept at least: a refresh sooner
	// gets the same refresh token and a new access token. If it is shorter than
	// Overlap, a token can be two generations behind while its overlap lasts.
	MinInterval time.Duration
	// Idle ends a family that nobody uses.
	Idle time.Duration
}

// An Epoch names the time in which one Redis primary has kept a family without
// interruption. It changes at every failover and restart, so that what the
// primary may have lost is known to be in doubt.
type Epoch string

// A Doubt is what an Unverified answer is about: this epoch, and what the family
// was verified in before. A record that is read after the answer settles it,
// unless the family has been unverified once more since.
type Doubt string

// A Family is the state of one refresh-token family, as far as the decision
// depends on it.
type Family struct {
	Generation uint64
	Rotated    time.Time
	// Confirmed: somebody has presented Generation, so its delivery is certain.
	Confirmed bool
	// RotatedBy is the presenter digest of the last rotation.
	RotatedBy string
	// PardonedBefore and Pardoned: the previous and the current generation
	// needed a pardon. Two in a row are reuse: a thief in lockstep with a victim
	// makes every generation look like one lost response.
	PardonedBefore, Pardoned bool
	Client                   string
	// KeyID is the ring key of the current generation's token.
	KeyID string
	// End is the absolute end.
	End     time.Time
	Revoked bool
	// Verified is the Epoch in which the family was last compared with its record,
	// or a mark of its own after Store.Unverify.
	Verified Epoch
}

// A Presentation is a verified refresh token that a client presents.
type Presentation struct {
	Generation uint64
	Client     string
	// KeyID is the ring key that the presented token was signed with.
	KeyID string
	// Presenter is the digest of who presents it: see Ring.PresenterDigest.
	Presenter string
	// SuccessorKeyID is the ring key that signs a successor, if there is to be one.
	SuccessorKeyID string
	// Settled is the Doubt of an Unverified answer, after which the caller has
	// compared the session's record with this presentation and found it good.
	Settled Doubt
	// Roles are those of that record. They replace the family's.
	Roles []string
	// Challenge is the time of a Stale answer to this same request: proof that
	// whoever sent it is still waiting. A client that answers challenges sends
	// another time before the first; the zero time is one that does not, and is
	// judged at once.
	Challenge time.Time
	// Now and Epoch are the Store's own; a Store ignores what the caller sets.
	Now   time.Time
	Epoch Epoch
}

// An Outcome is the result of a presentation.
type Outcome string

// The outcomes. They are labels of metrics and audit events, and the very
// words that the store's script answers.
const (
	Rotated    Outcome = "rotated"    // the successor was made
	Current    Outcome = "current"    // too soon after the last rotation: the same token
	Concurrent Outcome = "concurrent" // predecessor inside the overlap: the same successor
	Retried    Outcome = "retried"    // a lost response, fetched by the same presenter
	Pardoned   Outcome = "pardoned"   // a lost response or an older cookie jar, once
	Healed     Outcome = "healed"     // the store had lost writes; then rotated
	Rebuilt    Outcome = "rebuilt"    // the store had lost the family; then rotated
	Reused     Outcome = "reused"     // a stale token: the family is revoked
	Revoked    Outcome = "revoked"    // the family was revoked before
	Ended      Outcome = "ended"      // the family is past its absolute end
	Foreign    Outcome = "foreign"    // issued to another client; the family lives
	Missing    Outcome = "missing"    // no such family

	// Two outcomes ask the caller for something first. They grant and end nothing.
	Unverified Outcome = "unverified" // compare with the record, then present it again with Settled
	Stale      Outcome = "stale"      // looks like reuse: present it again with Challenge
)

// Granted reports whether the outcome yields tokens.
func (o Outcome) Granted() bool {
	switch o {
	case Rotated, Current, Concurrent, Retried, Pardoned, Healed, Rebuilt:
		return true
	case Reused, Revoked, Ended, Foreign, Missing, Unverified, Stale:
	}
	return false
}

// reason is why a token is refused, where the outcome alone tells.
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

// Challenged reports whether p may be judged at now, a time of the Store's.
func (p Presentation) Challenged(now time.Time) bool {
	age := now.Sub(p.Challenge)
	return p.Challenge.IsZero() || 0 <= age && age <= ChallengeLife
}

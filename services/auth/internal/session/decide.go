package session

import "time"

// Policy holds the durations of the decision. See sessions in docs.
type Policy struct {
	// Overlap is how long after a rotation the predecessor gets the same
	// successor without further question: parallel requests, retries.
	Overlap time.Duration
	// MinInterval is how long a generation is kept at least: a refresh sooner
	// gets the same refresh token and a new access token.
	MinInterval time.Duration
	// Idle ends a family that nobody uses.
	Idle time.Duration
}

// A Family is the state of one refresh-token family, as far as the decision
// looks at it.
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
}

// A Presentation is a verified refresh token in somebody's hand.
type Presentation struct {
	Generation uint64
	Client     string
	// KeyID is the ring key that the presented token was signed with.
	KeyID string
	// Presenter is the digest of who presents it: see Ring.Presenter.
	Presenter string
	// SuccessorKeyID is the ring key that signs a successor, if there is to be one.
	SuccessorKeyID string
	Now            time.Time
}

// An Outcome is what a presentation comes to.
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
)

// Granted reports whether the outcome yields tokens.
func (o Outcome) Granted() bool {
	switch o {
	case Rotated, Current, Concurrent, Retried, Pardoned, Healed, Rebuilt:
		return true
	case Reused, Revoked, Ended, Foreign, Missing:
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
	case Rotated, Current, Concurrent, Retried, Pardoned, Healed, Rebuilt, Revoked, Foreign:
	}
	return ""
}

// Decide returns what presenting p comes to and the family's state after it.
// It is the table of the design's sessions chapter, a case a line.
func Decide(f Family, p Presentation, policy Policy) (Outcome, Family) {
	switch {
	case f.Revoked:
		return Revoked, f
	case !p.Now.Before(f.End):
		return Ended, f
	case p.Client != f.Client:
		return Foreign, f
	case p.Generation > f.Generation:
		// Only we can have signed p: the store went back in time.
		f.Generation, f.KeyID = p.Generation, p.KeyID
		_, f = present(f, p, policy)
		return Healed, f
	case p.Generation == f.Generation:
		return present(f, p, policy)
	case p.Generation == f.Generation-1:
		return presentPredecessor(f, p, policy)
	}
	f.Revoked = true
	return Reused, f
}

// present is for the current generation.
func present(f Family, p Presentation, policy Policy) (Outcome, Family) {
	if p.Now.Sub(f.Rotated) < policy.MinInterval {
		f.Confirmed = true
		return Current, f
	}
	if !f.Pardoned {
		f.PardonedBefore = false
	}
	f.Generation++
	f.Rotated, f.RotatedBy = p.Now, p.Presenter
	f.KeyID = p.SuccessorKeyID
	f.Confirmed, f.Pardoned = false, false
	return Rotated, f
}

// presentPredecessor is for the generation before the current one.
func presentPredecessor(f Family, p Presentation, policy Policy) (Outcome, Family) {
	same := p.Presenter == f.RotatedBy
	switch {
	case p.Now.Sub(f.Rotated) <= policy.Overlap:
		return Concurrent, f
	case !f.Confirmed && same:
		return Retried, f
	case (!f.Confirmed || same) && (f.Pardoned || !f.PardonedBefore):
		f.PardonedBefore, f.Pardoned = true, true
		return Pardoned, f
	}
	f.Revoked = true
	return Reused, f
}

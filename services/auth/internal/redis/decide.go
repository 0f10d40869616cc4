package redis

import "lilypad.example/services/auth/internal/session"

// Decide returns the outcome of presenting p to the family f, and the state of the family after it.
// It is the executable specification of use.lua, which does the same atomically, and implements the
// table in docs/sessions.md. Only tests call it; the conformance suite in storetest compares the
// two.
func Decide(f session.Family, p session.Presentation, policy session.Policy) (session.Outcome, session.Family) {
	switch {
	case f.Revoked:
		return session.Revoked, f
	case !p.Now.Before(f.End):
		return session.Ended, f
	case p.Client != f.Client:
		return session.Foreign, f
	case p.Settled != doubt(f, p.Epoch) && (f.Verified != p.Epoch || p.Generation > f.Generation):
		// The store may have lost a revocation or a rotation. Change nothing until the caller has
		// read the record.
		return session.Unverified, f
	}
	f.Verified = p.Epoch
	switch p.Generation {
	case f.Generation:
		return present(f, p, policy)
	case f.Generation - 1:
		return presentPredecessor(f, p, policy)
	}
	if p.Generation < f.Generation {
		return reuse(f, p)
	}
	// p is authentic and its record permits it, so the store has lost rotations.
	f.Generation, f.KeyID = p.Generation, p.KeyID
	_, f = present(f, p, policy)
	return session.Healed, f
}

func doubt(f session.Family, here session.Epoch) session.Doubt {
	return session.Doubt(here + "." + f.Verified)
}

// present decides for the current generation.
func present(f session.Family, p session.Presentation, policy session.Policy) (session.Outcome, session.Family) {
	if p.Now.Sub(f.Rotated) < policy.MinInterval {
		f.Confirmed = true
		return session.Current, f
	}
	if !f.Pardoned {
		f.PardonedBefore = false
	}
	f.Generation++
	f.Rotated, f.RotatedBy = p.Now, p.Presenter
	f.KeyID = p.SuccessorKeyID
	f.Confirmed, f.Pardoned = false, false
	return session.Rotated, f
}

// presentPredecessor decides for the generation before the current one.
func presentPredecessor(f session.Family, p session.Presentation, policy session.Policy) (session.Outcome, session.Family) {
	same := p.Presenter == f.RotatedBy
	switch {
	case p.Now.Sub(f.Rotated) <= policy.Overlap:
		return session.Concurrent, f
	case !f.Confirmed && same:
		return session.Retried, f
	case (!f.Confirmed || same) && (f.Pardoned || !f.PardonedBefore):
		f.PardonedBefore, f.Pardoned = true, true
		return session.Pardoned, f
	}
	return reuse(f, p)
}

// reuse revokes the family if p was challenged or its client supports no challenges. Otherwise a
// request that was delayed in the network could make an honest browser look like a thief.
func reuse(f session.Family, p session.Presentation) (session.Outcome, session.Family) {
	if !p.Challenged(p.Now) {
		return session.Stale, f
	}
	f.Revoked = true
	return session.Reused, f
}

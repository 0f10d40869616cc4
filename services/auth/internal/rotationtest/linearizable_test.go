package rotationtest

import (
	"testing"

	"lilypad.example/services/auth/internal/session"
)

// TestHistoriesAreLinearizable runs random concurrent begins, refreshes by honest browsers and
// thieves, confirmations and revocations on five replicas with different ring orders and clocks.
// Their connections to one real Redis are cut before a command, after it, and after its response.
func TestHistoriesAreLinearizable(t *testing.T) {
	const histories = 25
	w := newWorld(t, policy)
	w.loadScripts(t)
	outcomes := map[session.Outcome]int{}
	operations, unknown, resent := 0, 0, 0
	for seed := range uint64(histories) {
		rec := record(t, w, seed, nil)
		if found := illegal(policy, rec.history); found != "" {
			t.Fatalf("history %d is %s", seed, found)
		}
		if wrong := rec.grantedAfterRevoke(); len(wrong) > 0 {
			t.Fatalf("history %d: refreshes granted after a successful revocation in families %s, want none", seed, wrong)
		}
		if wrong := rec.forked(); len(wrong) > 0 {
			t.Fatalf("history %d: tokens %s have two successors, want one each", seed, wrong)
		}
		for o, n := range rec.outcomes {
			outcomes[o] += n
		}
		operations, unknown, resent = operations+len(rec.history), unknown+rec.unknown, resent+rec.resent
	}
	t.Logf("%d operations, %d without a response, %d resent: %v", operations, unknown, resent, outcomes)
	for _, o := range []session.Outcome{
		session.Rotated, session.Current, session.Concurrent, session.Retried, session.Pardoned,
		session.Reused, session.Revoked, session.Foreign,
	} {
		if outcomes[o] == 0 {
			t.Errorf("no refresh was %s, want at least one: the histories cover too little", o)
		}
	}
	if unknown == 0 || resent == 0 {
		t.Errorf("%d operations without a response, %d resent, want some of each: the histories cover too little", unknown, resent)
	}
}

// TestHistoriesFindBrokenStores: each broken store must be detected, both by the linearizability
// check and by a check of its own.
func TestHistoriesFindBrokenStores(t *testing.T) {
	const histories = 60
	for name, c := range map[string]struct {
		wrap  wrapper
		found func(*recorder) bool
	}{
		"forgetfulStore every other revocation": {forgetsRevocations, func(r *recorder) bool { return len(r.grantedAfterRevoke()) > 0 }},
		"mints a second successor":              {forksSuccessors, func(r *recorder) bool { return len(r.forked()) > 0 }},
		"reads, then writes":                    {nonAtomic(), func(r *recorder) bool { return illegal(policy, r.history) != "" }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, policy)
			w.loadScripts(t)
			linearizable, undetected := true, true
			for seed := range uint64(histories) {
				rec := record(t, w, seed, c.wrap)
				linearizable = linearizable && illegal(policy, rec.history) == ""
				undetected = undetected && !c.found(rec)
				if !linearizable && !undetected {
					t.Logf("detected in history %d", seed)
					return
				}
			}
			t.Errorf("all histories linearizable: %v; undetected by the store's own check: %v; want both false", linearizable, undetected)
		})
	}
}

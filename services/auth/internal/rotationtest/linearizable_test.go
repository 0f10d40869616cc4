package rotationtest

import (
	"testing"

	"lilypad.example/services/auth/internal/session"
)

// TestHistoriesAreLinearizable: random concurrent begins, refreshes by
// honest browsers and thieves, confirmations and revocations, at five replicas
// with different ring orders and clocks, whose connections to one real Redis
// are cut before a command, after it, and after its answer.
func TestHistoriesAreLinearizable(t *testing.T) {
	const histories = 25
	w := newWorld(t, policy)
	w.loadScripts(t)
	outcomes := map[session.Outcome]int{}
	operations, unknown, again := 0, 0, 0
	for seed := range uint64(histories) {
		rec := record(t, w, seed, nil)
		if found := illegal(policy, rec.history); found != "" {
			t.Fatalf("history %d is %s", seed, found)
		}
		if wrong := rec.grantedAfterRevoke(); len(wrong) > 0 {
			t.Fatalf("history %d: granted after a revocation's success: %s", seed, wrong)
		}
		if wrong := rec.forked(); len(wrong) > 0 {
			t.Fatalf("history %d: two successors for %s", seed, wrong)
		}
		for o, n := range rec.outcomes {
			outcomes[o] += n
		}
		operations, unknown, again = operations+len(rec.history), unknown+rec.unknown, again+rec.again
	}
	t.Logf("%d operations, %d without an answer, %d sent again and answered: %v", operations, unknown, again, outcomes)
	for _, o := range []session.Outcome{
		session.Rotated, session.Current, session.Concurrent, session.Retried, session.Pardoned,
		session.Reused, session.Revoked, session.Foreign,
	} {
		if outcomes[o] == 0 {
			t.Errorf("no refresh was %s: the histories show too little", o)
		}
	}
	if unknown == 0 || again == 0 {
		t.Errorf("%d operations without an answer, %d sent again: the histories show too little", unknown, again)
	}
}

// TestHistoriesFindBrokenStores: each of these must be found, and soon.
func TestHistoriesFindBrokenStores(t *testing.T) {
	const histories = 60
	for name, c := range map[string]struct {
		spoil spoiler
		found func(*recorder) bool
	}{
		"forgets every other revocation": {forgetful, func(r *recorder) bool { return len(r.grantedAfterRevoke()) > 0 }},
		"mints a second successor":       {fork, func(r *recorder) bool { return len(r.forked()) > 0 }},
		"reads, then writes":             {torn(), func(r *recorder) bool { return illegal(policy, r.history) != "" }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, policy)
			w.loadScripts(t)
			linearizable, plain := true, true
			for seed := range uint64(histories) {
				rec := record(t, w, seed, c.spoil)
				linearizable = linearizable && illegal(policy, rec.history) == ""
				plain = plain && !c.found(rec)
				if !linearizable && !plain {
					t.Logf("found in history %d", seed)
					return
				}
			}
			t.Errorf("not found: linearizable %v, nothing seen %v", linearizable, plain)
		})
	}
}

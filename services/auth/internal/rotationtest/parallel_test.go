package rotationtest

import (
	"sync"
	"testing"
	"time"

	"lilypad.example/services/auth/internal/session"
)

// noMinInterval is a policy under which every use of the current generation rotates.
var noMinInterval = session.Policy{Overlap: 10 * time.Second, Idle: 14 * 24 * time.Hour}

// TestFiftyCallersThreeReplicasOneSuccessor uses one token 50 times in parallel on 3 replicas that
// sign with different keys, for 200 rounds.
func TestFiftyCallersThreeReplicasOneSuccessor(t *testing.T) {
	const callers, rounds = 50, 200
	w := newWorld(t, noMinInterval)
	var replicas [3]*replica
	for i := range replicas {
		replicas[i] = w.replica(i, w.redis.Client(t), nil, nil)
	}
	token := replicas[0].begin(t).RefreshToken
	for round := range rounds {
		var sessions [callers]session.Session
		var errs [callers]error
		start := make(chan struct{})
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() {
				<-start
				sessions[i], errs[i] = replicas[i%len(replicas)].Refresh(t.Context(), token, "app", home)
			})
		}
		close(start)
		wg.Wait()
		rotated := 0
		for i, s := range sessions {
			if errs[i] != nil {
				t.Fatalf("round %d, caller %d: %v, want success", round, i, errs[i])
			}
			if s.RefreshToken != sessions[0].RefreshToken || s.RefreshToken == token {
				t.Fatalf("round %d: token %s got successors %s and %s, want one new successor", round, shorten(token), shorten(sessions[0].RefreshToken), shorten(s.RefreshToken))
			}
			if s.Outcome == session.Rotated {
				rotated++
			}
		}
		if rotated != 1 {
			t.Fatalf("round %d: %d rotations, want 1", round, rotated)
		}
		token = sessions[0].RefreshToken
	}
	if last := replicas[0].refresh(t, token, home); last.Generation != rounds+2 {
		t.Errorf("generation %d after %d rounds, want %d", last.Generation, rounds, rounds+2)
	}
}

// TestChainOfAHundred rotates 100 times: each refresh token is new, and nothing else changes.
func TestChainOfAHundred(t *testing.T) {
	w := newWorld(t, noMinInterval)
	r := w.replica(0, w.redis.Client(t), nil, nil)
	first := r.begin(t)
	seen := map[string]bool{first.RefreshToken: true}
	last := first
	for range 100 {
		next := r.refresh(t, last.RefreshToken, home)
		if seen[next.RefreshToken] {
			t.Fatalf("generation %d: token was issued before, want a new one", next.Generation)
		}
		seen[next.RefreshToken] = true
		if !next.End.Equal(first.End) || !next.AuthTime.Equal(first.AuthTime) || next.Subject != first.Subject ||
			len(next.Roles) != 1 || next.Roles[0] != first.Roles[0] {
			t.Fatalf("session began as %+v and is now %+v, want the same end, time of sign-in, subject and roles", first.Grant, next.Grant)
		}
		last = next
	}
}

package rotationtest

import (
	"sync"
	"testing"
	"time"

	"lilypad.example/services/auth/internal/session"
)

// atOnce has no minimum interval, so that every presentation of the current
// generation rotates.
var atOnce = session.Policy{Overlap: 10 * time.Second, Idle: 14 * 24 * time.Hour}

// TestFiftyCallersThreeReplicasOneSuccessor: 50 parallel uses of one token
// across 3 replicas, 200 rounds, while the ring is being changed.
func TestFiftyCallersThreeReplicasOneSuccessor(t *testing.T) {
	const callers, rounds = 50, 200
	w := newWorld(t, atOnce)
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
				t.Fatalf("round %d, caller %d: %v", round, i, errs[i])
			}
			if s.RefreshToken != sessions[0].RefreshToken || s.RefreshToken == token {
				t.Fatalf("round %d: %s was succeeded by %s and by %s", round, shorten(token), shorten(sessions[0].RefreshToken), shorten(s.RefreshToken))
			}
			if s.Outcome == session.Rotated {
				rotated++
			}
		}
		if rotated != 1 {
			t.Fatalf("round %d: %d rotations", round, rotated)
		}
		token = sessions[0].RefreshToken
	}
	if last := replicas[0].refresh(t, token, home); last.Generation != rounds+2 {
		t.Errorf("generation %d after %d rounds", last.Generation, rounds)
	}
}

// TestChainOfAHundred: a new refresh token each time, nothing else changes.
func TestChainOfAHundred(t *testing.T) {
	w := newWorld(t, atOnce)
	r := w.replica(0, w.redis.Client(t), nil, nil)
	first := r.begin(t)
	seen := map[string]bool{first.RefreshToken: true}
	last := first
	for range 100 {
		next := r.refresh(t, last.RefreshToken, home)
		if seen[next.RefreshToken] {
			t.Fatalf("generation %d came twice", next.Generation)
		}
		seen[next.RefreshToken] = true
		if !next.End.Equal(first.End) || !next.AuthTime.Equal(first.AuthTime) || next.Subject != first.Subject ||
			len(next.Roles) != 1 || next.Roles[0] != first.Roles[0] {
			t.Fatalf("began as %+v, became %+v", first.Grant, next.Grant)
		}
		last = next
	}
}

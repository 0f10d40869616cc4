package rotationtest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"lilypad.example/services/auth/internal/memory"
	"lilypad.example/services/auth/internal/session"
)

// fickle is session.Records that may be away.
type fickle struct {
	*memory.Sessions

	away bool
}

func (f *fickle) Get(ctx context.Context, family session.FamilyID) (session.Record, error) {
	if f.away {
		return session.Record{}, session.ErrUnavailable
	}
	return f.Sessions.Get(ctx, family)
}

// TestNothingIsKeptOfATokenBeforeItsRecordIsRead: the user has signed out, and
// Redis has lost that and the last rotations. The token is shown while the
// records are away, when they are back, and when the record is gone.
func TestNothingIsKeptOfATokenBeforeItsRecordIsRead(t *testing.T) {
	w := newWorld(t, atOnce)
	r := w.replica(0, w.redis.Client(t), nil, nil)
	records := &fickle{Sessions: w.records}
	r.Records = records
	lost := func() session.Session {
		s := r.begin(t)
		copied, err := w.redis.Client(t).Dump(t.Context(), "rf:{"+string(s.Family)+"}").Result()
		if err != nil {
			t.Fatal(err)
		}
		ahead := r.refresh(t, r.refresh(t, s.RefreshToken, home).RefreshToken, home)
		if err := r.Revoke(t.Context(), ahead.RefreshToken, "app"); err != nil {
			t.Fatal(err)
		}
		if err := w.redis.Client(t).RestoreReplace(t.Context(), "rf:{"+string(s.Family)+"}", 0, copied).Err(); err != nil {
			t.Fatal(err)
		}
		return ahead
	}
	s := lost()
	records.away = true
	for range 3 {
		if got, err := r.Refresh(t.Context(), s.RefreshToken, "app", home); !errors.Is(err, session.ErrUnavailable) {
			t.Errorf("the records are away: %s, %v", got.Outcome, err)
		}
	}
	records.away = false
	for range 3 {
		if got, err := r.Refresh(t.Context(), s.RefreshToken, "app", home); !errors.Is(err, session.ErrInvalidGrant) || got.Reason != session.ReasonLogout {
			t.Errorf("the records are back: %s because of %q, %v", got.Outcome, got.Reason, err)
		}
	}

	s = lost()
	records.Sessions = new(memory.Sessions)
	for range 3 {
		if got, err := r.Refresh(t.Context(), s.RefreshToken, "app", home); !errors.Is(err, session.ErrInvalidGrant) || got.Reason != session.ReasonLost {
			t.Errorf("the record is gone: %s because of %q, %v", got.Outcome, got.Reason, err)
		}
	}
}

// TestARequestThatWasHeldUpEndsNoSession: a sidecar's request lies in the network
// while its session goes on. When it arrives, nobody answers the challenge.
func TestARequestThatWasHeldUpEndsNoSession(t *testing.T) {
	w := newWorld(t, policy)
	at := time.Now().Truncate(time.Millisecond)
	r := w.replica(0, w.redis.Client(t), func() time.Time { return at }, nil)
	first := r.begin(t)
	newest := first
	for range 3 {
		at = at.Add(time.Minute)
		newest = r.refresh(t, newest.RefreshToken, home)
	}
	ready := home // as a sidecar sends it
	ready.Challenge = time.UnixMilli(0)
	show := func(challenge time.Time) (session.Session, error) {
		by := ready
		by.Challenge = challenge
		return r.Refresh(t.Context(), first.RefreshToken, "app", by)
	}
	held, err := show(ready.Challenge)
	if !errors.Is(err, session.ErrChallenge) || !held.At.Equal(at) {
		t.Fatalf("%+v, %v", held.Grant, err)
	}
	at = at.Add(session.ChallengeLife + time.Millisecond) // the answer is held up too
	if _, err := show(held.At); !errors.Is(err, session.ErrChallenge) {
		t.Fatalf("an old answer to the challenge: %v", err)
	}
	newest = r.refresh(t, newest.RefreshToken, home)

	asked, err := show(ready.Challenge)
	if !errors.Is(err, session.ErrChallenge) {
		t.Fatal(err)
	}
	at = at.Add(session.ChallengeLife)
	if got, err := show(asked.At); !errors.Is(err, session.ErrInvalidGrant) || got.Reason != session.ReasonReuse {
		t.Errorf("a thief who answers: %s, %v", got.Outcome, err)
	}
	if got, err := r.Refresh(t.Context(), newest.RefreshToken, "app", home); !errors.Is(err, session.ErrInvalidGrant) {
		t.Errorf("the session lives after its reuse: %s, %v", got.Outcome, err)
	}
}

// TestTheRecordAloneEndsNoSessionOfARequestThatWasHeldUp is the same for a family that Redis has lost.
func TestTheRecordAloneEndsNoSessionOfARequestThatWasHeldUp(t *testing.T) {
	w := newWorld(t, policy)
	at := time.Now().Truncate(time.Millisecond)
	r := w.replica(0, w.redis.Client(t), func() time.Time { return at }, nil)
	first := r.begin(t)
	if err := w.records.See(t.Context(), []session.Sighting{{Family: first.Family, Generation: 3, At: at}}); err != nil {
		t.Fatal(err)
	}
	w.redis.Stop()
	w.redis.Start(t)
	by := home
	by.Challenge = time.UnixMilli(0)
	asked, err := r.Refresh(t.Context(), first.RefreshToken, "app", by)
	if !errors.Is(err, session.ErrChallenge) {
		t.Fatalf("%s, %v", asked.Outcome, err)
	}
	if got, err := w.records.Get(t.Context(), first.Family); err != nil || !got.Revoked.IsZero() {
		t.Fatalf("%+v, %v", got, err)
	}
	by.Challenge = asked.At
	if got, err := r.Refresh(t.Context(), first.RefreshToken, "app", by); !errors.Is(err, session.ErrInvalidGrant) || got.Reason != session.ReasonReuse {
		t.Errorf("%s, %v", got.Outcome, err)
	}
}

// TestAReplicaThatLacksARingKeyCannotSay: another replica signs with a key that
// this one has not read. Nothing definite is said until the ring has been read
// long enough after, and no logout is a success that did nothing.
func TestAReplicaThatLacksARingKeyCannotSay(t *testing.T) {
	w := newWorld(t, atOnce)
	ahead := w.replica(1, w.redis.Client(t), nil, nil) // signs with k2
	token := ahead.begin(t).RefreshToken
	at := time.Now()
	behind := w.replica(0, w.redis.Client(t), func() time.Time { return at }, nil)
	old, err := session.ParseRing([]byte(ringKey1))
	if err != nil {
		t.Fatal(err)
	}
	ring, asOf := old, at
	behind.Ring = func() *session.Ring { return ring }
	behind.RingAsOf = func() time.Time { return asOf }
	want := func(step string, kind error) {
		t.Helper()
		_, refresh := behind.Refresh(t.Context(), token, "app", home)
		_, owner := behind.Owner(t.Context(), token, "app")
		_, introspected := behind.Introspect(t.Context(), token, "app")
		for name, err := range map[string]error{"refresh": refresh, "owner": owner, "introspection": introspected} {
			if !errors.Is(err, kind) {
				t.Errorf("%s, %s: %v, want %v", step, name, err, kind)
			}
		}
		logout := behind.Revoke(t.Context(), token, "app")
		if unsure := errors.Is(kind, session.ErrUnavailable); unsure != errors.Is(logout, session.ErrUnavailable) {
			t.Errorf("%s, logout: %v", step, logout)
		}
	}
	want("first shown", session.ErrUnavailable)
	at = at.Add(time.Hour)
	want("the ring was not read again", session.ErrUnavailable)
	asOf = asOf.Add(time.Second)
	want("the ring was read again", session.ErrInvalidGrant)
	ring = w.rings[0]
	behind.refresh(t, token, home)
}

// TestALogoutIsTwiceInNoStream, though the clocks of two replicas are two seconds
// apart and one of them looks for what is pending all the time.
func TestALogoutIsTwiceInNoStream(t *testing.T) {
	w := newWorld(t, atOnce)
	client := w.redis.Client(t)
	ahead := w.replica(0, client, func() time.Time { return time.Now().Add(2 * time.Second) }, nil)
	behind := w.replica(1, client, func() time.Time { return time.Now().Add(-2 * time.Second) }, nil)
	if err := ahead.Reconcile(t.Context(), 0); err != nil { // the first time it completes the stream
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var reconciling sync.WaitGroup
	reconciling.Go(func() {
		for ctx.Err() == nil {
			if err := ahead.Reconcile(ctx, 0); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	})
	const logouts = 100
	for range logouts {
		if err := behind.Revoke(t.Context(), behind.begin(t).RefreshToken, "app"); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	reconciling.Wait()
	if n, err := client.XLen(t.Context(), "revocations").Result(); err != nil || n != logouts {
		t.Errorf("%d entries in the stream, %v", n, err)
	}
}

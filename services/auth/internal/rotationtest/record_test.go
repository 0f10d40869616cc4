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

// unreliableRecords are session.Records whose Get can be made to fail.
type unreliableRecords struct {
	*memory.Sessions

	down bool
}

func (f *unreliableRecords) Get(ctx context.Context, family session.FamilyID) (session.Record, error) {
	if f.down {
		return session.Record{}, session.ErrUnavailable
	}
	return f.Sessions.Get(ctx, family)
}

// TestNothingIsKeptOfATokenBeforeItsRecordIsRead: the user has signed out, and Redis has lost the
// sign-out and the last rotations. The token is used while the records are unavailable, when they
// are back, and when the record is gone.
func TestNothingIsKeptOfATokenBeforeItsRecordIsRead(t *testing.T) {
	w := newWorld(t, noMinInterval)
	r := w.replica(0, w.redis.Client(t), nil, nil)
	records := &unreliableRecords{Sessions: w.records}
	r.Records = records
	logOutAndRevert := func() session.Session {
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
	s := logOutAndRevert()
	records.down = true
	for range 3 {
		if got, err := r.Refresh(t.Context(), s.RefreshToken, "app", home); !errors.Is(err, session.ErrUnavailable) {
			t.Errorf("refresh while the records are unavailable: %s, %v; want ErrUnavailable", got.Outcome, err)
		}
	}
	records.down = false
	for range 3 {
		if got, err := r.Refresh(t.Context(), s.RefreshToken, "app", home); !errors.Is(err, session.ErrInvalidGrant) || got.Reason != session.ReasonLogout {
			t.Errorf("refresh when the records are back: %s because of %q, %v; want ErrInvalidGrant because of logout", got.Outcome, got.Reason, err)
		}
	}

	s = logOutAndRevert()
	records.Sessions = new(memory.Sessions)
	for range 3 {
		if got, err := r.Refresh(t.Context(), s.RefreshToken, "app", home); !errors.Is(err, session.ErrInvalidGrant) || got.Reason != session.ReasonLost {
			t.Errorf("refresh without a record: %s because of %q, %v; want ErrInvalidGrant because of lost", got.Outcome, got.Reason, err)
		}
	}
}

// TestARequestThatWasHeldUpEndsNoSession: a sidecar's request is delayed in the network while its
// session goes on. When it arrives, nobody answers the challenge.
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
	unchallenged := time.UnixMilli(0) // what a sidecar sends first
	show := func(challenge time.Time) (session.Session, error) {
		by := home
		by.Challenge = challenge
		return r.Refresh(t.Context(), first.RefreshToken, "app", by)
	}
	held, err := show(unchallenged)
	if !errors.Is(err, session.ErrChallenge) || !held.At.Equal(at) {
		t.Fatalf("delayed request: %+v, %v; want ErrChallenge at %s", held.Grant, err, at)
	}
	at = at.Add(session.ChallengeLife + time.Millisecond) // the response to the challenge is delayed too
	if _, err := show(held.At); !errors.Is(err, session.ErrChallenge) {
		t.Fatalf("late response to the challenge: %v, want ErrChallenge", err)
	}
	newest = r.refresh(t, newest.RefreshToken, home)

	asked, err := show(unchallenged)
	if !errors.Is(err, session.ErrChallenge) {
		t.Fatalf("delayed request: %v, want ErrChallenge", err)
	}
	at = at.Add(session.ChallengeLife)
	if got, err := show(asked.At); !errors.Is(err, session.ErrInvalidGrant) || got.Reason != session.ReasonReuse {
		t.Errorf("response to the challenge in time: %s because of %q, %v; want ErrInvalidGrant because of reuse", got.Outcome, got.Reason, err)
	}
	if got, err := r.Refresh(t.Context(), newest.RefreshToken, "app", home); !errors.Is(err, session.ErrInvalidGrant) {
		t.Errorf("refresh after reuse: %s, %v; want ErrInvalidGrant", got.Outcome, err)
	}
}

// TestDelayedRequestWithoutFamilyEndsNoSession is the same for a family that Redis has lost.
func TestDelayedRequestWithoutFamilyEndsNoSession(t *testing.T) {
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
		t.Fatalf("delayed request: %s, %v; want ErrChallenge", asked.Outcome, err)
	}
	if got, err := w.records.Get(t.Context(), first.Family); err != nil || !got.Revoked.IsZero() {
		t.Fatalf("record %+v, %v; want one that is not revoked", got, err)
	}
	by.Challenge = asked.At
	if got, err := r.Refresh(t.Context(), first.RefreshToken, "app", by); !errors.Is(err, session.ErrInvalidGrant) || got.Reason != session.ReasonReuse {
		t.Errorf("response to the challenge: %s because of %q, %v; want ErrInvalidGrant because of reuse", got.Outcome, got.Reason, err)
	}
}

// TestAReplicaThatLacksARingKeyCannotSay: another replica signs with a key that this one has not
// read. Requests fail with ErrUnavailable until the ring has been read again, and no logout reports
// success without effect.
func TestAReplicaThatLacksARingKeyCannotSay(t *testing.T) {
	w := newWorld(t, noMinInterval)
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
		unsure := errors.Is(kind, session.ErrUnavailable)
		if unsure != errors.Is(logout, session.ErrUnavailable) {
			t.Errorf("%s, logout: %v, want ErrUnavailable: %v", step, logout, unsure)
		}
	}
	want("first use", session.ErrUnavailable)
	at = at.Add(time.Hour)
	want("before the ring is read again", session.ErrUnavailable)
	asOf = asOf.Add(time.Second)
	want("after the ring was read again", session.ErrInvalidGrant)
	ring = w.rings[0]
	behind.refresh(t, token, home)
}

// TestALogoutIsTwiceInNoStream: each logout is in the stream once, although the clocks of two
// replicas differ by four seconds and one of them reconciles all the time.
func TestALogoutIsTwiceInNoStream(t *testing.T) {
	w := newWorld(t, noMinInterval)
	client := w.redis.Client(t)
	ahead := w.replica(0, client, func() time.Time { return time.Now().Add(2 * time.Second) }, nil)
	behind := w.replica(1, client, func() time.Time { return time.Now().Add(-2 * time.Second) }, nil)
	if err := ahead.Reconcile(t.Context(), 0); err != nil { // the first call completes the stream
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
		t.Errorf("%d entries in the stream, %v; want %d", n, err, logouts)
	}
}

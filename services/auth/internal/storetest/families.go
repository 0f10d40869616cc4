package storetest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"lilypad.example/services/auth/internal/session"
)

// NewFamilies makes a session.Store under policy whose time is now's.
type NewFamilies func(policy session.Policy, now func() time.Time) session.Store

var familyPolicy = session.Policy{Overlap: 10 * time.Second, MinInterval: 5 * time.Second, Idle: 24 * time.Hour}

// Families is the conformance suite of session.Store.
func Families(t *testing.T, open NewFamilies) {
	t.Helper()
	t.Run("T57 agrees with Decide on random histories", func(t *testing.T) { agreesWithDecide(t, open) })
	t.Run("T59 parallel uses get one successor", func(t *testing.T) { parallelUses(t, open) })
	t.Run("T58 reuse ends one family and no other", func(t *testing.T) { reuseEndsOne(t, open) })
	t.Run("resent commands change nothing more", func(t *testing.T) { resent(t, open) })
	t.Run("revoke", func(t *testing.T) { revoke(t, open) })
	t.Run("a missing family", func(t *testing.T) { missing(t, open) })
	t.Run("generations beyond 32 bits", func(t *testing.T) { largeGenerations(t, open) })
}

type clock struct{ at time.Time }

func newClock() *clock { return &clock{time.Now().Truncate(time.Millisecond)} }

func (c *clock) now() time.Time { return c.at }

func begin(t testing.TB, s session.Store, c *clock) session.Beginning {
	t.Helper()
	b := session.Beginning{
		Family: session.NewFamilyID(), Generation: 1, Rotated: c.now(), Subject: "u1", Roles: []string{"keeper", "admin"}, Client: "app", KeyID: "k1",
		AuthTime: c.now(), End: c.now().Add(72 * time.Hour),
	}
	if err := s.Begin(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	return b
}

func shown(generation uint64) session.Presentation {
	return session.Presentation{Generation: generation, Client: "app", KeyID: "k1", Presenter: "alice", SuccessorKeyID: "k2"}
}

// agreesWithDecide runs random histories of honest tabs, lost responses, thieves,
// other clients, confirmations, revocations and resent commands through the store
// and through Decide.
func agreesWithDecide(t *testing.T, open NewFamilies) {
	c := newClock()
	store := open(familyPolicy, c.now)
	rapid.Check(t, func(rt *rapid.T) {
		b := begin(t, store, c)
		model := session.Family{
			Generation: 1, Rotated: c.now(), Confirmed: true, Client: b.Client, KeyID: b.KeyID, End: b.End,
		}
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			c.at = c.at.Add(time.Duration(rapid.SampledFrom([]int{0, 1, 4999, 5000, 10_000, 10_001, 60_000, 3_600_000}).Draw(rt, "ms")) * time.Millisecond)
			compareGeneration(t.Context(), rt, store, b.Family, model)
			generation := uint64(max(1, int(model.Generation)+rapid.SampledFrom([]int{-2, -1, -1, -1, 0, 0, 0, 0, 0, 1, 2}).Draw(rt, "behind")))
			// A client library sends a command again when it got no answer.
			sends := rapid.SampledFrom([]int{1, 1, 2}).Draw(rt, "sends")
			switch rapid.SampledFrom([]string{"use", "use", "use", "use", "use", "use", "use", "confirm", "confirm", "revoke"}).Draw(rt, "what") {
			case "confirm":
				for range sends {
					if err := store.Confirm(t.Context(), b.Family, generation); err != nil {
						rt.Fatal(err)
					}
				}
				model.Confirmed = model.Confirmed || generation == model.Generation
				continue
			case "revoke":
				client := rapid.SampledFrom([]string{"", "app", "other", "other", "other", "other"}).Draw(rt, "client")
				for range sends {
					ended, err := store.Revoke(t.Context(), b.Family, client, session.ReasonLogout)
					if want := !model.Revoked && client != "other"; err != nil || ended != want {
						rt.Fatalf("%q revokes %+v: %v, %v, want %v", client, model, ended, err, want)
					}
					model.Revoked = model.Revoked || client != "other"
				}
				continue
			}
			p := session.Presentation{
				Generation: generation, KeyID: rapid.SampledFrom([]string{"k1", "k2"}).Draw(rt, "key"), SuccessorKeyID: "k2",
				Client:    rapid.SampledFrom([]string{"app", "app", "app", "app", "other"}).Draw(rt, "client"),
				Presenter: rapid.SampledFrom([]string{"alice", "bob"}).Draw(rt, "presenter"), Now: c.now(),
			}
			for range sends {
				want, next := session.Decide(model, p, familyPolicy)
				got, err := store.Use(t.Context(), b.Family, p)
				if err != nil {
					rt.Fatal(err)
				}
				if got.Outcome != want {
					rt.Fatalf("%+v presented to %+v: %s, want %s", p, model, got.Outcome, want)
				}
				if want.Granted() {
					compareGrant(rt, got, b, next)
				}
				model = next
			}
		}
	})
}

func compareGeneration(ctx context.Context, t *rapid.T, store session.Store, family session.FamilyID, want session.Family) {
	generation, ended, err := store.Generation(ctx, family)
	if err != nil || ended != want.Revoked || !ended && generation != want.Generation {
		t.Fatalf("generation %d, ended %v, %v: want %+v", generation, ended, err, want)
	}
}

func compareGrant(t *rapid.T, got session.Grant, b session.Beginning, want session.Family) {
	if got.Generation != want.Generation || got.KeyID != want.KeyID || got.Family != b.Family || got.Subject != b.Subject ||
		!slices.Equal(got.Roles, b.Roles) || !got.End.Equal(b.End) || !got.AuthTime.Equal(b.AuthTime) {
		t.Fatalf("granted %+v, want generation %d, key %s of %+v", got, want.Generation, want.KeyID, b)
	}
}

func parallelUses(t *testing.T, open NewFamilies) {
	c := newClock()
	store := open(familyPolicy, c.now)
	b := begin(t, store, c)
	for generation := uint64(1); generation <= 20; generation++ {
		c.at = c.at.Add(time.Minute)
		grants := make([]session.Grant, 50)
		errs := make([]error, 50)
		var wg sync.WaitGroup
		for i := range grants {
			wg.Go(func() { grants[i], errs[i] = store.Use(t.Context(), b.Family, shown(generation)) })
		}
		wg.Wait()
		rotations := 0
		for i, g := range grants {
			if errs[i] != nil || g.Generation != generation+1 {
				t.Fatalf("generation %d: %+v, %v", generation, g, errs[i])
			}
			if g.Outcome == session.Rotated {
				rotations++
			}
		}
		if rotations != 1 {
			t.Fatalf("generation %d was rotated %d times", generation, rotations)
		}
	}
}

func reuseEndsOne(t *testing.T, open NewFamilies) {
	c := newClock()
	store := open(familyPolicy, c.now)
	victim, other := begin(t, store, c), begin(t, store, c)
	for generation := uint64(1); generation <= 3; generation++ {
		c.at = c.at.Add(time.Minute)
		use(t, store, victim.Family, generation, session.Rotated)
	}
	use(t, store, victim.Family, 1, session.Reused)
	use(t, store, victim.Family, 4, session.Revoked)
	use(t, store, other.Family, 1, session.Rotated)
}

func use(t *testing.T, store session.Store, family session.FamilyID, generation uint64, want session.Outcome) session.Grant {
	t.Helper()
	got, err := store.Use(t.Context(), family, shown(generation))
	if err != nil || got.Outcome != want {
		t.Fatalf("generation %d: %s, %v, want %s", generation, got.Outcome, err, want)
	}
	return got
}

func resent(t *testing.T, open NewFamilies) {
	c := newClock()
	store := open(familyPolicy, c.now)
	b := begin(t, store, c)
	if err := store.Begin(t.Context(), b); err != nil {
		t.Errorf("begin sent twice: %v", err)
	}
	taken := b
	taken.Subject = "u2"
	if err := store.Begin(t.Context(), taken); !errors.Is(err, session.ErrExists) {
		t.Errorf("another's family: %v", err)
	}
	c.at = c.at.Add(time.Minute)
	first := use(t, store, b.Family, 1, session.Rotated)
	second := use(t, store, b.Family, 1, session.Concurrent)
	if first.Generation != second.Generation || first.KeyID != second.KeyID {
		t.Errorf("%+v, then %+v", first, second)
	}
}

func revoke(t *testing.T, open NewFamilies) {
	c := newClock()
	store := open(familyPolicy, c.now)
	b := begin(t, store, c)
	c.at = c.at.Add(time.Minute)
	for _, step := range []struct {
		client string
		ended  bool
	}{{"other", false}, {"app", true}, {"app", false}, {"", false}} {
		ended, err := store.Revoke(t.Context(), b.Family, step.client, session.ReasonLogout)
		if err != nil || ended != step.ended {
			t.Errorf("%q: %v, %v", step.client, ended, err)
		}
	}
	use(t, store, b.Family, 1, session.Revoked)
}

func missing(t *testing.T, open NewFamilies) {
	c := newClock()
	store := open(familyPolicy, c.now)
	nobody := session.NewFamilyID()
	use(t, store, nobody, 1, session.Missing)
	if err := store.Confirm(t.Context(), nobody, 1); err != nil {
		t.Errorf("confirm: %v", err)
	}
	use(t, store, nobody, 1, session.Missing) // it made none
	if generation, ended, err := store.Generation(t.Context(), nobody); generation != 0 || ended || err != nil {
		t.Errorf("generation %d, %v, %v", generation, ended, err)
	}
	// What is ended while it is not there stays ended when it comes back.
	if ended, err := store.Revoke(t.Context(), nobody, "", session.ReasonLogout); err != nil || ended {
		t.Errorf("revoke: %v, %v", ended, err)
	}
	use(t, store, nobody, 1, session.Revoked)
	back := session.Beginning{Family: nobody, Generation: 3, Subject: "u1", Client: "app", KeyID: "k1", AuthTime: c.now(), End: c.now().Add(time.Hour)}
	if err := store.Begin(t.Context(), back); !errors.Is(err, session.ErrExists) {
		t.Errorf("begun again: %v", err)
	}
	use(t, store, nobody, 3, session.Revoked)
}

func largeGenerations(t *testing.T, open NewFamilies) {
	c := newClock()
	store := open(familyPolicy, c.now)
	b := begin(t, store, c)
	c.at = c.at.Add(time.Minute)
	const high = 1<<53 - 10
	if g := use(t, store, b.Family, high, session.Healed); g.Generation != high+1 {
		t.Errorf("generation %d, want %d", g.Generation, uint64(high+1))
	}
	c.at = c.at.Add(time.Minute)
	if g := use(t, store, b.Family, high+1, session.Rotated); g.Generation != high+2 {
		t.Errorf("generation %d, want %d", g.Generation, uint64(high+2))
	}
	if generation, _, err := store.Generation(t.Context(), b.Family); generation != high+2 || err != nil {
		t.Errorf("generation %d, %v, want %d", generation, err, uint64(high+2))
	}
}

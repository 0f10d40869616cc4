package storetest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"lilypad.example/services/auth/internal/redis"
	"lilypad.example/services/auth/internal/session"
)

// NewFamilies returns a session.Store with the given policy, clock and epoch.
type NewFamilies func(policy session.Policy, now func() time.Time, epoch func() session.Epoch) session.Store

var familyPolicy = session.Policy{Overlap: 10 * time.Second, MinInterval: 5 * time.Second, Idle: 24 * time.Hour}

// Families is the conformance suite of session.Store.
func Families(t *testing.T, open NewFamilies) {
	t.Helper()
	t.Run("agrees with Decide on random histories", func(t *testing.T) { agreesWithDecide(t, open) })
	t.Run("parallel uses get one successor", func(t *testing.T) { parallelUses(t, open) })
	t.Run("reuse ends one family and no other", func(t *testing.T) { reuseEndsOne(t, open) })
	t.Run("resent commands have no further effect", func(t *testing.T) { resent(t, open) })
	t.Run("revoke", func(t *testing.T) { revoke(t, open) })
	t.Run("only the client's own token is confirmed", func(t *testing.T) { confirmsOwn(t, open) })
	t.Run("a changed record is read before the next grant", func(t *testing.T) { unverify(t, open) })
	t.Run("a missing family", func(t *testing.T) { missing(t, open) })
	t.Run("a provider is remembered, and nothing is added without one", func(t *testing.T) { rememberProvider(t, open) })
	t.Run("generations beyond 32 bits", func(t *testing.T) { largeGenerations(t, open) })
}

type clock struct {
	at      time.Time
	current session.Epoch
}

func newClock() *clock { return &clock{time.Now().Truncate(time.Millisecond), "e1"} }

func (c *clock) now() time.Time { return c.at }

func (c *clock) epoch() session.Epoch { return c.current }

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

func rememberProvider(t *testing.T, open NewFamilies) {
	c := newClock()
	s := open(familyPolicy, c.now, c.epoch)
	plain := begin(t, s, c)
	b := plain
	b.Family, b.Provider, b.ACR, b.AuthTime = session.NewFamilyID(), "keycloak", "urn:mfa", session.UnknownAuthTime
	must(t, s.Begin(t.Context(), b))
	c.at = c.at.Add(time.Minute)
	for _, want := range []session.Beginning{plain, b} {
		got, err := s.Use(t.Context(), want.Family, shown(1))
		if err != nil || got.Outcome != session.Rotated || got.Provider != want.Provider || got.ACR != want.ACR || !got.AuthTime.Equal(want.AuthTime) {
			t.Errorf("got %+v, %v; want provider %q, acr %q, authenticated at %v", got, err, want.Provider, want.ACR, want.AuthTime)
		}
	}
}

// agreesWithDecide runs random histories of honest tabs, lost responses, thieves, other clients,
// confirmations, revocations and resent commands through the store and through Decide.
func agreesWithDecide(t *testing.T, open NewFamilies) {
	c := newClock()
	store := open(familyPolicy, c.now, c.epoch)
	rapid.Check(t, func(rt *rapid.T) {
		b := begin(t, store, c)
		model := session.Family{
			Generation: 1, Rotated: c.now(), Confirmed: true, Client: b.Client, KeyID: b.KeyID, End: b.End, Verified: c.current,
		}
		roles := b.Roles
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			c.at = c.at.Add(time.Duration(rapid.SampledFrom([]int{0, 1, 4999, 5000, 10_000, 10_001, 60_000, 3_600_000}).Draw(rt, "ms")) * time.Millisecond)
			if rapid.IntRange(0, 9).Draw(rt, "failover") == 0 {
				c.current += "'"
			}
			compareGeneration(t.Context(), rt, store, b.Family, model)
			generation := uint64(max(1, int(model.Generation)+rapid.SampledFrom([]int{-2, -1, -1, -1, 0, 0, 0, 0, 0, 1, 2}).Draw(rt, "behind")))
			// A client library resends a command when it got no response.
			sends := rapid.SampledFrom([]int{1, 1, 2}).Draw(rt, "sends")
			switch rapid.SampledFrom([]string{"use", "use", "use", "use", "use", "use", "use", "confirm", "confirm", "revoke", "unverify"}).Draw(rt, "what") {
			case "confirm":
				client := rapid.SampledFrom([]string{"app", "app", "other"}).Draw(rt, "client")
				for range sends {
					if err := store.Confirm(t.Context(), b.Family, generation, client); err != nil {
						rt.Fatal(err)
					}
				}
				model.Confirmed = model.Confirmed || generation == model.Generation && client == "app"
				continue
			case "revoke":
				client := rapid.SampledFrom([]string{"", "app", "other", "other", "other", "other"}).Draw(rt, "client")
				for range sends {
					if err := store.RevokeUnrecorded(t.Context(), b.Family, client, session.ReasonLogout); err != nil {
						rt.Fatal(err)
					}
					model.Revoked = model.Revoked || client != "other"
				}
				continue
			case "unverify":
				for range sends {
					if err := store.Unverify(t.Context(), []session.FamilyID{b.Family, session.NewFamilyID()}); err != nil {
						rt.Fatal(err)
					}
				}
				if !model.Revoked && c.now().Before(model.End) { // the store chooses its own mark
					asked, err := store.Use(t.Context(), b.Family, session.Presentation{Generation: model.Generation, Client: b.Client})
					if err != nil || asked.Outcome != session.Unverified {
						rt.Fatalf("use after Unverify: %+v, %v; want unverified", asked, err)
					}
					model.Verified = session.Epoch(strings.TrimPrefix(string(asked.Doubt), string(c.current)+"."))
				}
				continue
			}
			doubt := session.Doubt(c.current + "." + model.Verified)
			p := session.Presentation{
				Generation: generation, KeyID: rapid.SampledFrom([]string{"k1", "k2"}).Draw(rt, "key"), SuccessorKeyID: "k2",
				Client:    rapid.SampledFrom([]string{"app", "app", "app", "app", "other"}).Draw(rt, "client"),
				Presenter: rapid.SampledFrom([]string{"alice", "bob"}).Draw(rt, "presenter"), Now: c.now(), Epoch: c.current,
				Settled: rapid.SampledFrom([]session.Doubt{"", "e0.e0", doubt, doubt}).Draw(rt, "settled"),
				Roles:   rapid.SampledFrom([][]string{{"keeper"}, nil, {"admin", "keeper"}}).Draw(rt, "roles"),
				Challenge: rapid.SampledFrom([]time.Time{
					{}, time.UnixMilli(0), c.now(), c.now().Add(-session.ChallengeLife), c.now().Add(-session.ChallengeLife - time.Millisecond), c.now().Add(time.Millisecond),
				}).Draw(rt, "challenge"),
			}
			if p.Settled == doubt && !model.Revoked && c.now().Before(model.End) && p.Client == model.Client {
				roles = p.Roles
			}
			for range sends {
				want, next := redis.Decide(model, p, familyPolicy)
				got, err := store.Use(t.Context(), b.Family, p)
				if err != nil {
					rt.Fatal(err)
				}
				if got.Outcome != want {
					rt.Fatalf("%+v presented to %+v: %s, want %s", p, model, got.Outcome, want)
				}
				switch {
				case want.Granted():
					compareGrant(rt, got, b, roles, next)
				case want == session.Unverified && (got.Doubt != doubt || !got.At.Equal(c.now())), want == session.Stale && !got.At.Equal(c.now()):
					rt.Fatalf("got %+v, want time %v and, if unverified, doubt %s", got, c.now(), doubt)
				}
				model = next
			}
		}
	})
}

func compareGeneration(ctx context.Context, t *rapid.T, store session.Store, family session.FamilyID, want session.Family) {
	generation, ended, err := store.Generation(ctx, family)
	if err != nil || ended != want.Revoked || !ended && generation != want.Generation {
		t.Fatalf("generation %d, ended %v, %v; want those of %+v", generation, ended, err, want)
	}
}

func compareGrant(t *rapid.T, got session.Grant, b session.Beginning, roles []string, want session.Family) {
	if got.Generation != want.Generation || got.KeyID != want.KeyID || got.Family != b.Family || got.Subject != b.Subject ||
		!slices.Equal(got.Roles, roles) || !got.End.Equal(b.End) || !got.AuthTime.Equal(b.AuthTime) {
		t.Fatalf("granted %+v, want generation %d, key %s and roles %v of %+v", got, want.Generation, want.KeyID, roles, b)
	}
}

func parallelUses(t *testing.T, open NewFamilies) {
	c := newClock()
	store := open(familyPolicy, c.now, c.epoch)
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
				t.Fatalf("use of generation %d: %+v, %v; want generation %d", generation, g, errs[i], generation+1)
			}
			if g.Outcome == session.Rotated {
				rotations++
			}
		}
		if rotations != 1 {
			t.Fatalf("generation %d was rotated %d times, want once", generation, rotations)
		}
	}
}

func reuseEndsOne(t *testing.T, open NewFamilies) {
	c := newClock()
	store := open(familyPolicy, c.now, c.epoch)
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
		t.Fatalf("use of generation %d: %s, %v; want %s", generation, got.Outcome, err, want)
	}
	return got
}

func resent(t *testing.T, open NewFamilies) {
	c := newClock()
	store := open(familyPolicy, c.now, c.epoch)
	b := begin(t, store, c)
	if err := store.Begin(t.Context(), b); err != nil {
		t.Errorf("resent begin: %v, want success", err)
	}
	taken := b
	taken.Subject = "u2"
	if err := store.Begin(t.Context(), taken); !errors.Is(err, session.ErrExists) {
		t.Errorf("begin with another user's family: %v, want ErrExists", err)
	}
	c.at = c.at.Add(time.Minute)
	first := use(t, store, b.Family, 1, session.Rotated)
	second := use(t, store, b.Family, 1, session.Concurrent)
	if first.Generation != second.Generation || first.KeyID != second.KeyID {
		t.Errorf("first use %+v, second %+v, want the same token", first, second)
	}
}

func revoke(t *testing.T, open NewFamilies) {
	c := newClock()
	store := open(familyPolicy, c.now, c.epoch)
	unrecorded, one, two := begin(t, store, c), begin(t, store, c), begin(t, store, c)
	must(t, store.RevokeUnrecorded(t.Context(), unrecorded.Family, "other", session.ReasonLogout))
	use(t, store, unrecorded.Family, 1, session.Current)
	must(t, store.RevokeUnrecorded(t.Context(), unrecorded.Family, "app", session.ReasonLogout))
	use(t, store, unrecorded.Family, 1, session.Revoked)
	must(t, store.Revoke(t.Context(), nil))
	must(t, store.Revoke(t.Context(), []session.Revocation{{Family: one.Family, Reason: session.ReasonAdmin}, {Family: two.Family, Reason: session.ReasonIdle}}))
	must(t, store.Revoke(t.Context(), []session.Revocation{{Family: one.Family, Reason: session.ReasonLogout}}))
	if got := use(t, store, one.Family, 1, session.Revoked); got.Reason != session.ReasonAdmin {
		t.Errorf("%+v, want the first reason, admin", got)
	}
	if got := use(t, store, two.Family, 1, session.Revoked); got.Reason != session.ReasonIdle {
		t.Errorf("%+v, want reason idle", got)
	}
}

func confirmsOwn(t *testing.T, open NewFamilies) {
	c := newClock()
	store := open(familyPolicy, c.now, c.epoch)
	b := begin(t, store, c)
	c.at = c.at.Add(time.Minute)
	use(t, store, b.Family, 1, session.Rotated)
	must(t, store.Confirm(t.Context(), b.Family, 2, "other"))
	c.at = c.at.Add(time.Minute)
	use(t, store, b.Family, 1, session.Retried) // its successor was never confirmed
	must(t, store.Confirm(t.Context(), b.Family, 2, "app"))
	use(t, store, b.Family, 1, session.Pardoned)
}

// unverify covers every cause for which the store asks for the record, and shows that a use has no
// effect before the record was read.
func unverify(t *testing.T, open NewFamilies) {
	c := newClock()
	store := open(familyPolicy, c.now, c.epoch)
	for name, cause := range map[string]func(session.Beginning) uint64{
		"a failover": func(session.Beginning) uint64 { c.current += "'"; return 1 },
		"a changed account": func(b session.Beginning) uint64 {
			must(t, store.Unverify(t.Context(), []session.FamilyID{b.Family}))
			return 1
		},
		"lost rotations": func(session.Beginning) uint64 { return 5 },
	} {
		b := begin(t, store, c)
		c.at = c.at.Add(time.Minute)
		presented := shown(cause(b))
		var doubt session.Doubt
		for range 3 {
			got, err := store.Use(t.Context(), b.Family, presented)
			if err != nil || got.Outcome != session.Unverified {
				t.Fatalf("%s: %+v, %v; want unverified", name, got, err)
			}
			doubt = got.Doubt
			if generation, _, err := store.Generation(t.Context(), b.Family); generation != 1 || err != nil {
				t.Errorf("%s: generation %d after an unverified use, %v; want 1", name, generation, err)
			}
		}
		// The record changes after it was read, so it must be read again.
		presented.Settled, presented.Roles = doubt, []string{"keeper"}
		must(t, store.Unverify(t.Context(), []session.FamilyID{b.Family}))
		again, err := store.Use(t.Context(), b.Family, presented)
		if err != nil || again.Outcome != session.Unverified {
			t.Fatalf("%s: %+v, %v; want unverified again", name, again, err)
		}
		presented.Settled, presented.Roles = again.Doubt, []string{"warden"}
		got, err := store.Use(t.Context(), b.Family, presented)
		if err != nil || !got.Outcome.Granted() || !slices.Equal(got.Roles, []string{"warden"}) {
			t.Errorf("%s: %+v, %v; want a grant with roles [warden]", name, got, err)
		}
		c.at = c.at.Add(time.Minute)
		if got := use(t, store, b.Family, got.Generation, session.Rotated); !slices.Equal(got.Roles, []string{"warden"}) {
			t.Errorf("%s: roles %v at the next use, want [warden]", name, got.Roles)
		}
	}
}

func missing(t *testing.T, open NewFamilies) {
	c := newClock()
	store := open(familyPolicy, c.now, c.epoch)
	unknown := session.NewFamilyID()
	use(t, store, unknown, 1, session.Missing)
	must(t, store.Confirm(t.Context(), unknown, 1, "app"))
	must(t, store.Unverify(t.Context(), []session.FamilyID{unknown}))
	use(t, store, unknown, 1, session.Missing) // none was created
	if generation, ended, err := store.Generation(t.Context(), unknown); generation != 0 || ended || err != nil {
		t.Errorf("missing family: generation %d, ended %v, %v; want 0, not ended", generation, ended, err)
	}
	back := session.Beginning{
		Family: unknown, Generation: 3, Subject: "u1", Client: "app", KeyID: "k1", AuthTime: c.now(), End: c.now().Add(time.Hour), Lost: true,
	}
	must(t, store.Begin(t.Context(), back))
	use(t, store, unknown, 3, session.Unverified) // it may have been ended in the meantime
	// A family that is revoked while it is missing stays revoked when it is rebuilt.
	gone := session.NewFamilyID()
	must(t, store.Revoke(t.Context(), []session.Revocation{{Family: gone, Reason: session.ReasonLogout}}))
	use(t, store, gone, 1, session.Revoked)
	back.Family = gone
	if err := store.Begin(t.Context(), back); !errors.Is(err, session.ErrExists) {
		t.Errorf("begin of a revoked family: %v, want ErrExists", err)
	}
	use(t, store, gone, 3, session.Revoked)
}

func largeGenerations(t *testing.T, open NewFamilies) {
	c := newClock()
	store := open(familyPolicy, c.now, c.epoch)
	b := begin(t, store, c)
	c.at = c.at.Add(time.Minute)
	const high = 1<<53 - 10
	ahead := shown(high)
	ahead.Settled = session.Doubt(c.current + "." + c.current)
	if g, err := store.Use(t.Context(), b.Family, ahead); err != nil || g.Outcome != session.Healed || g.Generation != high+1 {
		t.Errorf("%+v, %v; want healed at generation %d", g, err, uint64(high+1))
	}
	c.at = c.at.Add(time.Minute)
	if g := use(t, store, b.Family, high+1, session.Rotated); g.Generation != high+2 {
		t.Errorf("generation %d, want %d", g.Generation, uint64(high+2))
	}
	if generation, _, err := store.Generation(t.Context(), b.Family); generation != high+2 || err != nil {
		t.Errorf("generation %d, %v; want %d", generation, err, uint64(high+2))
	}
}

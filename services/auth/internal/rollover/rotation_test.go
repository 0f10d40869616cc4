package rollover_test

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lilypad.example/services/auth/internal/rollover"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/auth/internal/token"
	"lilypad.example/services/pkg/authn"
)

const life = time.Minute // of an access token

// fastest returns the shortest schedule that the settings allow for tokens of this life.
func fastest() rollover.Schedule {
	s := rollover.Schedule{Wait: 3 * time.Minute, Keep: life + authn.Leeway + rollover.Settle}
	s.Every = s.Wait + s.Keep
	return s
}

// A service consists of several replicas on one Secret and real verifiers that cache their JWKS, on
// the clock of a synctest bubble.
type service struct {
	t         *testing.T
	store     *secret
	replicas  []*replica
	issuers   []*token.Issuer
	verifiers []*authn.Verifier
	changes   changes
	stop      func()
}

func startService(t *testing.T, schedule rollover.Schedule) *service {
	t.Helper()
	s := &service{t: t, store: &secret{}}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for range 3 {
		r := newReplica(s.store, schedule, time.Now, s.changes.add)
		s.replicas = append(s.replicas, r)
		s.issuers = append(s.issuers, token.NewIssuer("http://auth", []string{"frogs"}, life, r.keys.Load, time.Now))
		running.Go(func() { r.keeper.Run(ctx, func(error) {}) })
	}
	s.stop = func() { cancel(); running.Wait() }
	synctest.Wait()
	for i := range 3 {
		time.Sleep(7 * time.Second) // so that they do not fetch at the same time
		s.verifiers = append(s.verifiers, authn.NewVerifier(ctx, authn.Config{
			JWKSURL: "http://auth/jwks", Issuer: "http://auth", Audience: "frogs",
			Client: &http.Client{Transport: &balancer{replicas: slices.Concat(s.replicas[i:], s.replicas[:i])}},
		}))
	}
	synctest.Wait()
	return s
}

func (s *service) sign(issuer *token.Issuer) string {
	s.t.Helper()
	text, _, err := issuer.Access(session.Grant{Family: session.NewFamilyID(), Subject: "u1", AuthTime: time.Now(), End: time.Now().Add(time.Hour)})
	if err != nil {
		s.t.Fatal(err)
	}
	return text
}

// load signs at every replica and verifies each token at every verifier, at once and shortly before
// it expires, for a duration d. It returns the number of refusals.
func (s *service) load(d time.Duration) (refused int) {
	s.t.Helper()
	const pause = 10 * time.Second
	var live []string
	for range d / pause {
		var fresh []string
		for _, issuer := range s.issuers {
			fresh = append(fresh, s.sign(issuer))
		}
		live = append(live, fresh...)
		ask := fresh
		if len(live) > int(life/pause-1)*len(s.issuers) {
			ask, live = append(ask, live[:len(fresh)]...), live[len(fresh):]
		}
		for _, text := range ask {
			for _, v := range s.verifiers {
				if _, err := v.Verify(s.t.Context(), text); err != nil {
					refused++
				}
			}
		}
		time.Sleep(pause)
	}
	return refused
}

func TestRotationsUnderLoadRefuseNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startService(t, fastest())
		defer s.stop()
		if n := s.load(16 * time.Minute); n > 0 {
			t.Errorf("%d tokens refused, want 0", n)
		}
		// An outage of the API server also delays what is due.
		signing := s.store.keys(t)[0].ID
		s.store.setAway(true)
		if n := s.load(10 * time.Minute); n > 0 {
			t.Errorf("%d tokens refused in an outage, want 0", n)
		}
		if s.store.keys(t)[0].ID != signing {
			t.Error("the signing key changed in an outage")
		}
		s.store.setAway(false)
		if n := s.load(12 * time.Minute); n > 0 {
			t.Errorf("%d tokens refused after an outage, want 0", n)
		}
		if n := s.changes.count(t, rollover.Signing); n < 4 {
			t.Errorf("%d keys have signed, want at least 4", n)
		}
		if n := s.changes.count(t, rollover.Retired); n < 3 {
			t.Errorf("%d keys were retired, want at least 3", n)
		}
	})
}

// TestWithoutTheWaitTokensAreRefused shows that load detects a missing wait.
func TestWithoutTheWaitTokensAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		schedule := fastest()
		schedule.Wait = 0
		s := startService(t, schedule)
		defer s.stop()
		if s.load(15*time.Minute) == 0 {
			t.Error("no token was refused, want some without the wait")
		}
	})
}

func TestAColdStartOfManyMakesOneKey(t *testing.T) {
	for range 20 {
		store, done := &secret{}, changes{}
		var all sync.WaitGroup
		replicas := make([]*replica, 8)
		for i := range replicas {
			replicas[i] = newReplica(store, fastest(), time.Now, done.add)
			all.Go(func() {
				if err := replicas[i].keeper.Turn(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := len(store.keys(t)); n != 1 || store.version != 1 {
			t.Errorf("%d keys, %d writes; want 1 and 1", n, store.version)
		}
		if n := done.count(t, rollover.Published); n != 1 {
			t.Errorf("%d keys published, want 1", n)
		}
		for _, r := range replicas {
			if string(r.keys.Load().JWKS()) != string(replicas[0].keys.Load().JWKS()) {
				t.Error("replicas publish different keys, want the same")
			}
		}
		if _, err := session.ParseRing(store.data[rollover.RingEntry]); err != nil {
			t.Error(err)
		}
	}
}

func TestARevokedKeyIsRefusedEverywhereWithinTheBound(t *testing.T) {
	// Each replica reads every 5 s, and each verifier every minute.
	const bound = 65*time.Second + time.Second
	synctest.Test(t, func(t *testing.T) {
		schedule := fastest()
		schedule.Every = 24 * time.Hour
		s := startService(t, schedule)
		defer s.stop()
		stolen := s.store.keys(t)[0].ID
		// A thief signs a token with the longest life that verifiers accept, beyond the bound.
		thief := token.NewIssuer("http://auth", []string{"frogs"}, authn.MaxLife, s.replicas[0].keys.Load, time.Now)
		forged := s.sign(thief)
		for _, v := range s.verifiers {
			if _, err := v.Verify(t.Context(), forged); err != nil {
				t.Fatal(err)
			}
		}
		_, err := rollover.EditKeys(t.Context(), s.store, func(keys []rollover.Key) ([]rollover.Key, []rollover.Change, error) {
			return rollover.Revoke(keys, stolen, time.Now(), rollover.Generate)
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(bound)
		for i, v := range s.verifiers {
			if _, err := v.Verify(t.Context(), forged); err == nil {
				t.Errorf("verifier %d still accepts tokens of the revoked key", i)
			}
		}
		if n := s.load(5 * time.Minute); n > 0 {
			t.Errorf("%d tokens refused after the revocation, want 0", n)
		}
	})
}

func TestWhatCannotBeReadOrParsedChangesNothing(t *testing.T) {
	store := &secret{}
	r := newReplica(store, fastest(), time.Now, func(context.Context, rollover.Change) {})
	store.setAway(true)
	if err := r.keeper.Turn(t.Context()); err == nil || r.keys.Load() != nil {
		t.Errorf("read during an outage: %v, want an error and no keys", err)
	}
	store.setAway(false)
	if err := r.keeper.Turn(t.Context()); err != nil {
		t.Fatal(err)
	}
	good := r.keys.Load()
	store.data[rollover.SigningEntry] = []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
	if err := r.keeper.Turn(t.Context()); err == nil || r.keys.Load() != good || store.version != 1 {
		t.Errorf("malformed keys: version %d, %v; want an error, the old keys and version 1", store.version, err)
	}
}

package storetest

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/auth/internal/signin"
	"lilypad.example/services/auth/internal/user"
)

// A Federation is what the identities of accounts and the sessions at providers are kept in.
type Federation struct {
	Users      user.Store
	Identities signin.Identities
	Records    session.Records
	Sessions   signin.ProviderSessions
}

// Identities is the conformance suite of signin.Identities and signin.ProviderSessions.
func Identities(t *testing.T, open func(t *testing.T) Federation) {
	t.Helper()
	for name, run := range map[string]func(*testing.T, Federation){
		"an identity belongs to one account":             identityBelongsToOne,
		"an account is created with its identity":        identityCreates,
		"parallel first sign-ins create one account":     identityParallel,
		"identities go with their account":               identityDeleted,
		"a provider session is found and updated":        providerRoundTrip,
		"of parallel claims one succeeds":                providerClaim,
		"sessions are found by sid and by subject":       providerFamilies,
		"tokens go with the session that they belong to": providerEnds,
	} {
		t.Run(name, func(t *testing.T) { run(t, open(t)) })
	}
}

var (
	frog = signin.Identity{Issuer: "https://id.example", Subject: "frog"}
	toad = signin.Identity{Issuer: "https://id.example", Subject: "toad"}
)

func identityBelongsToOne(t *testing.T, f Federation) {
	mina, otto := created(t, f.Users, "mina@pond.example"), created(t, f.Users, "otto@pond.example")
	if _, err := f.Identities.UserOf(t.Context(), frog); !errors.Is(err, user.ErrNotFound) {
		t.Errorf("unknown identity: %v, want ErrNotFound", err)
	}
	must(t, f.Identities.Link(t.Context(), frog, mina.ID, time.Now()))
	must(t, f.Identities.Link(t.Context(), toad, mina.ID, time.Now().Add(time.Second)))
	if err := f.Identities.Link(t.Context(), frog, otto.ID, time.Now()); !errors.Is(err, signin.ErrLinked) {
		t.Errorf("linked again: %v, want ErrLinked", err)
	}
	if err := f.Identities.Link(t.Context(), signin.Identity{Issuer: "https://id.example", Subject: "newt"}, "01890000-0000-7000-8000-000000000009", time.Now()); !errors.Is(err, user.ErrNotFound) {
		t.Errorf("linked to nobody: %v, want ErrNotFound", err)
	}
	if got, err := f.Identities.UserOf(t.Context(), frog); err != nil || got.ID != mina.ID || got.PasswordHash != mina.PasswordHash {
		t.Errorf("got %+v, %v; want %+v", got, err, mina)
	}
	if _, err := f.Identities.UserOf(t.Context(), signin.Identity{Issuer: "https://other.example", Subject: "frog"}); !errors.Is(err, user.ErrNotFound) {
		t.Errorf("the same subject of another issuer: %v, want ErrNotFound", err)
	}
	if got, err := f.Identities.IdentitiesOf(t.Context(), mina.ID); err != nil || !slices.Equal(got, []signin.Identity{frog, toad}) {
		t.Errorf("identities: %v, %v; want both", got, err)
	}
}

func withoutPassword(t *testing.T, email string) user.User {
	t.Helper()
	u, err := user.WithoutPassword(email, "Mina", time.Now())
	must(t, err)
	return u
}

func identityCreates(t *testing.T, f Federation) {
	u := withoutPassword(t, "mina@pond.example")
	must(t, f.Identities.CreateLinked(t.Context(), u, frog))
	if got, err := f.Identities.UserOf(t.Context(), frog); err != nil || got.ID != u.ID || got.PasswordHash != "" || got.Email != u.Email {
		t.Errorf("got %+v, %v; want %+v", got, err, u)
	}
	if err := f.Identities.CreateLinked(t.Context(), withoutPassword(t, "otto@pond.example"), frog); !errors.Is(err, signin.ErrLinked) {
		t.Errorf("the same identity: %v, want ErrLinked", err)
	}
	if _, err := f.Users.ByEmail(t.Context(), "otto@pond.example"); !errors.Is(err, user.ErrNotFound) {
		t.Errorf("account of the refused identity: %v, want ErrNotFound", err)
	}
	if err := f.Identities.CreateLinked(t.Context(), withoutPassword(t, "mina@pond.example"), toad); !errors.Is(err, user.ErrEmailTaken) {
		t.Errorf("the same address: %v, want ErrEmailTaken", err)
	}
	if _, err := f.Identities.UserOf(t.Context(), toad); !errors.Is(err, user.ErrNotFound) {
		t.Errorf("identity of the refused account: %v, want ErrNotFound", err)
	}
}

func identityParallel(t *testing.T, f Federation) {
	var all sync.WaitGroup
	var made atomic.Int32
	for range 8 {
		u := withoutPassword(t, "mina@pond.example")
		all.Go(func() {
			err := f.Identities.CreateLinked(t.Context(), u, frog)
			if err == nil {
				made.Add(1)
			} else if !errors.Is(err, signin.ErrLinked) && !errors.Is(err, user.ErrEmailTaken) {
				t.Errorf("create: %v, want success, ErrLinked or ErrEmailTaken", err)
			}
		})
	}
	all.Wait()
	if made.Load() != 1 {
		t.Errorf("%d accounts were created, want 1", made.Load())
	}
}

func identityDeleted(t *testing.T, f Federation) {
	mina := created(t, f.Users, "mina@pond.example")
	must(t, f.Identities.Link(t.Context(), frog, mina.ID, time.Now()))
	must(t, f.Users.Delete(t.Context(), mina.Email))
	if _, err := f.Identities.UserOf(t.Context(), frog); !errors.Is(err, user.ErrNotFound) {
		t.Errorf("identity of a deleted account: %v, want ErrNotFound", err)
	}
}

// addProvider adds a session of mina's with a provider session.
func addProvider(t *testing.T, f Federation, u user.User, change func(*signin.ProviderSession)) signin.ProviderSession {
	t.Helper()
	rec := addRecord(t, f.Records, u.ID, func(r *session.Record) { r.Provider = "keycloak" })
	p := signin.ProviderSession{
		Family: rec.Family, Provider: "keycloak", Identity: frog, SID: "s1", Sealed: []byte("sealed"), Check: recordsBegin.Add(time.Minute),
	}
	if change != nil {
		change(&p)
	}
	must(t, f.Sessions.AddProvider(t.Context(), p))
	return p
}

func providerRoundTrip(t *testing.T, f Federation) {
	want := addProvider(t, f, created(t, f.Users, "mina@pond.example"), nil)
	got, err := f.Sessions.GetProvider(t.Context(), want.Family)
	if err != nil || got.Provider != "keycloak" || got.Identity != frog || got.SID != "s1" || string(got.Sealed) != "sealed" || !got.Check.Equal(want.Check) {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	must(t, f.Sessions.UpdateProvider(t.Context(), want.Family, []byte("again"), time.Time{}))
	if got, err := f.Sessions.GetProvider(t.Context(), want.Family); err != nil || !bytes.Equal(got.Sealed, []byte("again")) || !got.Check.IsZero() {
		t.Errorf("updated: %+v, %v; want new tokens and no check", got, err)
	}
	if _, err := f.Sessions.GetProvider(t.Context(), session.NewFamilyID()); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("unknown family: %v, want ErrNotFound", err)
	}
}

func providerClaim(t *testing.T, f Federation) {
	p := addProvider(t, f, created(t, f.Users, "mina@pond.example"), nil)
	due := p.Check
	if _, err := f.Sessions.ClaimProvider(t.Context(), p.Family, due.Add(-time.Millisecond), due.Add(time.Minute)); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("claimed before it is due: %v, want ErrNotFound", err)
	}
	var all sync.WaitGroup
	var claimed atomic.Int32
	for range 8 {
		all.Go(func() {
			got, err := f.Sessions.ClaimProvider(t.Context(), p.Family, due, due.Add(time.Minute))
			switch {
			case err == nil && string(got.Sealed) == "sealed":
				claimed.Add(1)
			case !errors.Is(err, session.ErrNotFound):
				t.Errorf("claim: %+v, %v; want the session or ErrNotFound", got, err)
			}
		})
	}
	all.Wait()
	if claimed.Load() != 1 {
		t.Errorf("%d claims succeeded, want 1", claimed.Load())
	}
	if _, err := f.Sessions.ClaimProvider(t.Context(), p.Family, due.Add(time.Minute), due.Add(time.Hour)); err != nil {
		t.Errorf("claimed when the first claim is over: %v, want success", err)
	}
	never := addProvider(t, f, created(t, f.Users, "otto@pond.example"), func(p *signin.ProviderSession) { p.Check = time.Time{} })
	if _, err := f.Sessions.ClaimProvider(t.Context(), never.Family, due.Add(time.Hour), due.Add(2*time.Hour)); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("claimed a session that is never checked: %v, want ErrNotFound", err)
	}
}

func providerFamilies(t *testing.T, f Federation) {
	mina := created(t, f.Users, "mina@pond.example")
	one := addProvider(t, f, mina, nil)
	two := addProvider(t, f, mina, func(p *signin.ProviderSession) { p.SID = "s2" })
	addProvider(t, f, mina, func(p *signin.ProviderSession) { p.Issuer = "https://other.example" })
	other := addProvider(t, f, mina, func(p *signin.ProviderSession) { p.Identity, p.SID = toad, "" })
	for name, c := range map[string]struct {
		sid, subject string
		want         []session.FamilyID
	}{
		"sid":                       {"s1", "", []session.FamilyID{one.Family}},
		"subject":                   {"", "frog", []session.FamilyID{one.Family, two.Family}},
		"both":                      {"s2", "frog", []session.FamilyID{two.Family}},
		"sid of another subject":    {"s2", "toad", nil},
		"subject without a sid":     {"", "toad", []session.FamilyID{other.Family}},
		"neither":                   {"", "", nil},
		"an unknown sid":            {"s3", "", nil},
		"an unknown sid of subject": {"s3", "frog", nil},
	} {
		got, err := f.Sessions.FamiliesOf(t.Context(), "https://id.example", c.sid, c.subject)
		must(t, err)
		slices.Sort(got)
		slices.Sort(c.want)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func providerEnds(t *testing.T, f Federation) {
	mina := created(t, f.Users, "mina@pond.example")
	ends := map[string]func(signin.ProviderSession){
		"revoked": func(p signin.ProviderSession) { endRecords(t, f.Records, session.Which{Family: p.Family}) },
		"disabled": func(signin.ProviderSession) {
			must(t, f.Users.SetDisabled(t.Context(), mina.Email, true, time.Now()))
			must(t, f.Users.SetDisabled(t.Context(), mina.Email, false, time.Now()))
		},
		"deleted": func(signin.ProviderSession) { must(t, f.Users.Delete(t.Context(), mina.Email)) },
	}
	for _, name := range []string{"revoked", "disabled", "deleted"} {
		u := mustFind(t, f.Users, mina.Email)
		rec := session.Record{Family: session.NewFamilyID(), Subject: u.ID, Client: "app", Provider: "keycloak", Begun: recordsBegin, End: recordsBegin.Add(time.Hour)}
		must(t, f.Records.Add(t.Context(), rec, u.Version, 0))
		p := signin.ProviderSession{Family: rec.Family, Provider: "keycloak", Identity: frog, Sealed: []byte("sealed")}
		must(t, f.Sessions.AddProvider(t.Context(), p))
		ends[name](p)
		if _, err := f.Sessions.GetProvider(t.Context(), p.Family); !errors.Is(err, session.ErrNotFound) {
			t.Errorf("%s: %v, want ErrNotFound", name, err)
		}
		must(t, f.Sessions.AddProvider(t.Context(), p))
		if _, err := f.Sessions.GetProvider(t.Context(), p.Family); !errors.Is(err, session.ErrNotFound) {
			t.Errorf("added after its session was %s: %v, want ErrNotFound", name, err)
		}
	}
}

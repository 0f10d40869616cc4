package storetest

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/auth/internal/user"
)

// Accounts is the conformance suite of a user.Store and the session.Records next to it: sessions
// follow changes of their account.
func Accounts(t *testing.T, open func(t *testing.T) (user.Store, session.Records)) {
	t.Helper()
	for name, run := range map[string]func(*testing.T, user.Store, session.Records){
		"a session begins only for the account that was checked": sessionNeedsAccount,
		"no login in flight outlives a change of the account":    sessionInFlight,
		"a changed password ends the other sessions":             passwordEndsOthers,
		"a failed password change ends nothing":                  failedChangeEndsNothing,
		"sessions end with their account":                        sessionsEndWithAccount,
		"changed roles reach running sessions":                   rolesReachSessions,
		"a role change during settling is not lost":              rolesChangeAgain,
	} {
		t.Run(name, func(t *testing.T) {
			users, records := open(t)
			run(t, users, records)
		})
	}
}

// changes returns the account changes after which a session must not begin on the strength of an
// earlier check.
func changes(users user.Store) map[string]func(t *testing.T, u user.User) {
	return map[string]func(*testing.T, user.User){
		"password changed": func(t *testing.T, u user.User) {
			t.Helper()
			must(t, users.ChangePassword(t.Context(), u.ID, u.PasswordHash, replacementHash, time.Now(), ""))
		},
		"disabled": func(t *testing.T, u user.User) {
			t.Helper()
			must(t, users.SetDisabled(t.Context(), u.Email, true, time.Now()))
		},
		"disabled and enabled": func(t *testing.T, u user.User) {
			t.Helper()
			must(t, users.SetDisabled(t.Context(), u.Email, true, time.Now()))
			must(t, users.SetDisabled(t.Context(), u.Email, false, time.Now()))
		},
		"roles": func(t *testing.T, u user.User) {
			t.Helper()
			must(t, users.SetRoles(t.Context(), u.Email, []string{"warden"}))
		},
		"deleted": func(t *testing.T, u user.User) { t.Helper(); must(t, users.Delete(t.Context(), u.Email)) },
	}
}

func add(t *testing.T, r session.Records, u user.User) (session.FamilyID, error) {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Millisecond)
	rec := session.Record{
		Family: session.NewFamilyID(), Subject: u.ID, Roles: u.Roles, Client: "app", Begun: now, End: now.Add(time.Hour),
	}
	return rec.Family, r.Add(t.Context(), rec, u.Version, 0)
}

func mustAdd(t *testing.T, r session.Records, u user.User) session.FamilyID {
	t.Helper()
	family, err := add(t, r, u)
	must(t, err)
	return family
}

func created(t *testing.T, users user.Store, email string) user.User {
	t.Helper()
	mustCreate(t, users, NewUser(t, email))
	return mustFind(t, users, email)
}

func sessionNeedsAccount(t *testing.T, users user.Store, r session.Records) {
	for name, change := range changes(users) {
		u := created(t, users, "mina@pond.example")
		mustAdd(t, r, u)
		change(t, u)
		family, err := add(t, r, u)
		if !errors.Is(err, session.ErrAccountChanged) {
			t.Errorf("%s: adding a session: %v, want ErrAccountChanged", name, err)
		}
		if _, err := r.Get(t.Context(), family); !errors.Is(err, session.ErrNotFound) {
			t.Errorf("%s: record of the refused session: %v, want ErrNotFound", name, err)
		}
		if name != "deleted" {
			must(t, users.Delete(t.Context(), u.Email))
		}
	}
	u := created(t, users, "mina@pond.example")
	must(t, users.UpdatePasswordHash(t.Context(), u.ID, u.PasswordHash, replacementHash)) // the same password
	mustAdd(t, r, u)
}

// sessionInFlight runs logins concurrently with a change of the account. Whichever comes first, no
// session of the old account version is live afterwards, and none has roles that the account lacks.
func sessionInFlight(t *testing.T, users user.Store, r session.Records) {
	for name, change := range changes(users) {
		for range 10 {
			u := created(t, users, "mina@pond.example")
			var all sync.WaitGroup
			for range 4 {
				all.Go(func() {
					if _, err := add(t, r, u); err != nil && !errors.Is(err, session.ErrAccountChanged) {
						t.Errorf("%s: adding a session: %v, want success or ErrAccountChanged", name, err)
					}
				})
			}
			change(t, u)
			all.Wait()
			live, err := r.Live(t.Context(), u.ID, time.Now())
			must(t, err)
			if name != "roles" && len(live) > 0 {
				t.Fatalf("%s: %d live sessions, want 0", name, len(live))
			}
			for _, rec := range live {
				if !slices.Equal(rec.Roles, []string{"warden"}) {
					t.Fatalf("%s: a session has roles %v, want [warden]", name, rec.Roles)
				}
			}
			if name != "deleted" {
				must(t, users.Delete(t.Context(), u.Email))
			}
		}
	}
}

func wantReason(t *testing.T, r session.Records, family session.FamilyID, want session.Reason) {
	t.Helper()
	if got := getRecord(t, r, family); got.Reason != want || got.Revoked.IsZero() != (want == "") {
		t.Errorf("ended because of %q at %v, want %q", got.Reason, got.Revoked, want)
	}
}

func passwordEndsOthers(t *testing.T, users user.Store, r session.Records) {
	u, other := created(t, users, "mina@pond.example"), created(t, users, "fred@pond.example")
	keep, second, third, foreign := mustAdd(t, r, u), mustAdd(t, r, u), mustAdd(t, r, u), mustAdd(t, r, other)
	must(t, users.ChangePassword(t.Context(), u.ID, u.PasswordHash, replacementHash, time.Now(), string(keep)))
	for family, want := range map[session.FamilyID]session.Reason{
		keep: "", foreign: "", second: session.ReasonPasswordChanged, third: session.ReasonPasswordChanged,
	} {
		wantReason(t, r, family, want)
	}
	if pending, err := r.PendingOf(t.Context(), "", u.ID); err != nil || len(pending) != 2 {
		t.Errorf("pending %v, %v; want two families", pending, err)
	}
	if after := mustFind(t, users, u.Email); after.Version == u.Version {
		t.Error("the account's version did not change, want a new one")
	}
}

func failedChangeEndsNothing(t *testing.T, users user.Store, r session.Records) {
	u := created(t, users, "mina@pond.example")
	family := mustAdd(t, r, u)
	if err := users.ChangePassword(t.Context(), u.ID, replacementHash, u.PasswordHash, time.Now(), ""); !errors.Is(err, user.ErrHashChanged) {
		t.Errorf("password change with a wrong old hash: %v, want ErrHashChanged", err)
	}
	wantReason(t, r, family, "")
}

func sessionsEndWithAccount(t *testing.T, users user.Store, r session.Records) {
	other := created(t, users, "fred@pond.example")
	foreign := mustAdd(t, r, other)
	for reason, end := range map[session.Reason]func(u user.User){
		session.ReasonUserDisabled: func(u user.User) { must(t, users.SetDisabled(t.Context(), u.Email, true, time.Now())) },
		session.ReasonUserDeleted:  func(u user.User) { must(t, users.Delete(t.Context(), u.Email)) },
	} {
		u := created(t, users, string(reason)+"@pond.example")
		loggedOut, one, two := mustAdd(t, r, u), mustAdd(t, r, u), mustAdd(t, r, u)
		must(t, r.Revoke(t.Context(), session.Which{Family: loggedOut}, session.ReasonLogout, time.Now()))
		end(u)
		wantReason(t, r, loggedOut, session.ReasonLogout)
		wantReason(t, r, one, reason)
		wantReason(t, r, two, reason)
		if pending, err := r.PendingOf(t.Context(), "", u.ID); err != nil || len(pending) != 3 {
			t.Errorf("%s: pending %v, %v; want three families", reason, pending, err)
		}
	}
	wantReason(t, r, foreign, "")
}

func rolesReachSessions(t *testing.T, users user.Store, r session.Records) {
	u := created(t, users, "mina@pond.example")
	live, over := mustAdd(t, r, u), mustAdd(t, r, u)
	must(t, r.Revoke(t.Context(), session.Which{Family: over}, session.ReasonLogout, time.Now()))
	must(t, users.SetRoles(t.Context(), u.Email, []string{"warden"}))
	if after := mustFind(t, users, u.Email); !slices.Equal(after.Roles, []string{"warden"}) {
		t.Errorf("the account has roles %v, want [warden]", after.Roles)
	}
	if got := getRecord(t, r, live); !slices.Equal(got.Roles, []string{"warden"}) {
		t.Errorf("the session has roles %v, want [warden]", got.Roles)
	}
	p, err := r.Pending(t.Context(), time.Minute, 10)
	must(t, err)
	if len(p.Changed) != 1 || p.Changed[0] != live || len(p.Ended) != 1 {
		t.Errorf("pending %+v, want %s changed and one ended", p, live)
	}
	_, err = r.Settle(t.Context(), p)
	must(t, err)
	if p, err := r.Pending(t.Context(), time.Minute, 10); err != nil || len(p.Changed)+len(p.Ended) != 0 {
		t.Errorf("pending after settling: %+v, %v; want nothing", p, err)
	}
}

func rolesChangeAgain(t *testing.T, users user.Store, r session.Records) {
	u := created(t, users, "mina@pond.example")
	again, ended := mustAdd(t, r, u), mustAdd(t, r, u)
	must(t, users.SetRoles(t.Context(), u.Email, []string{"warden"}))
	p, err := r.Pending(t.Context(), time.Minute, 10)
	must(t, err)
	must(t, users.SetRoles(t.Context(), u.Email, nil))
	must(t, r.Revoke(t.Context(), session.Which{Family: ended}, session.ReasonLogout, time.Now()))
	_, err = r.Settle(t.Context(), p)
	must(t, err)
	p, err = r.Pending(t.Context(), time.Minute, 10)
	must(t, err)
	if !slices.Equal(p.Changed, []session.FamilyID{again}) || len(p.Ended) != 1 || p.Ended[0].Family != ended {
		t.Errorf("pending %+v, want %s changed and %s ended", p, again, ended)
	}
}

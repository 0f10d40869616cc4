package storetest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"lilypad.example/services/auth/internal/session"
)

// Records is the conformance suite of session.Records. open returns empty Records and the IDs of
// two users of version 1 that sessions may belong to.
func Records(t *testing.T, open func(t *testing.T) (session.Records, [2]string)) {
	t.Helper()
	for name, run := range map[string]func(*testing.T, session.Records, [2]string){
		"what is added is found":                          recordRoundTrip,
		"how the user was authenticated is kept":          recordLogin,
		"a revoked session stays revoked":                 recordRevoke,
		"only the selected sessions are ended":            recordWhich,
		"a revocation is pending until it is settled":     recordPending,
		"late revocations can be listed again":            recordRevokedSince,
		"of too many sessions the oldest end":             recordLimit,
		"sightings only grow, and only in live sessions":  recordSightings,
		"expired sessions are pruned":                     recordPrune,
		"a user's live sessions are listed, newest first": recordLive,
	} {
		t.Run(name, func(t *testing.T) {
			r, users := open(t)
			run(t, r, users)
		})
	}
}

var recordsBegin = time.Now().UTC().Truncate(time.Millisecond)

func addRecord(t *testing.T, r session.Records, subject string, change func(*session.Record)) session.Record {
	t.Helper()
	rec := session.Record{
		Family: session.NewFamilyID(), Subject: subject, Roles: []string{"keeper"}, Client: "app", Device: "Firefox",
		Begun: recordsBegin, End: recordsBegin.Add(time.Hour),
	}
	if change != nil {
		change(&rec)
	}
	must(t, r.Add(t.Context(), rec, 1, 0))
	return rec
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func getRecord(t *testing.T, r session.Records, family session.FamilyID) session.Record {
	t.Helper()
	rec, err := r.Get(t.Context(), family)
	must(t, err)
	return rec
}

// endRecords revokes sessions and returns those of them that are pending.
func endRecords(t *testing.T, r session.Records, w session.Which) []session.FamilyID {
	t.Helper()
	must(t, r.Revoke(t.Context(), w, session.ReasonLogout, recordsBegin.Add(time.Minute)))
	all, err := r.PendingOf(t.Context(), w.Family, w.Subject)
	must(t, err)
	return sortedFamilies(all)
}

func sortedFamilies(all []session.Revocation) []session.FamilyID {
	families := []session.FamilyID{}
	for _, v := range all {
		families = append(families, v.Family)
	}
	slices.Sort(families)
	return families
}

func recordRoundTrip(t *testing.T, r session.Records, users [2]string) {
	want := addRecord(t, r, users[0], nil)
	got := getRecord(t, r, want.Family)
	if got.Subject != want.Subject || !slices.Equal(got.Roles, want.Roles) || got.Client != "app" || got.Device != "Firefox" ||
		!got.Begun.Equal(want.Begun) || !got.Seen.Equal(want.Begun) || !got.End.Equal(want.End) || got.Floor != 1 || !got.Revoked.IsZero() {
		t.Errorf("got %+v, want %+v with floor 1, seen at its begin", got, want)
	}
	if _, err := r.Get(t.Context(), session.NewFamilyID()); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("unknown family: %v, want ErrNotFound", err)
	}
}

func recordLogin(t *testing.T, r session.Records, users [2]string) {
	password := addRecord(t, r, users[0], nil)
	if got := getRecord(t, r, password.Family); got.Provider != "" || got.ACR != "" || !got.AuthTime.Equal(password.Begun) {
		t.Errorf("password: %+v, want no provider, authenticated at its begin", got)
	}
	at := recordsBegin.Add(-time.Hour)
	provider := addRecord(t, r, users[0], func(rec *session.Record) { rec.Provider, rec.ACR, rec.AuthTime = "keycloak", "mfa", at })
	if got := getRecord(t, r, provider.Family); got.Provider != "keycloak" || got.ACR != "mfa" || !got.AuthTime.Equal(at) {
		t.Errorf("provider: %+v, want keycloak, mfa, %v", got, at)
	}
}

func recordRevoke(t *testing.T, r session.Records, users [2]string) {
	rec := addRecord(t, r, users[0], nil)
	if got := endRecords(t, r, session.Which{Family: rec.Family}); !slices.Equal(got, []session.FamilyID{rec.Family}) {
		t.Errorf("ended %v, want %v", got, rec.Family)
	}
	got := getRecord(t, r, rec.Family)
	if got.Revoked.IsZero() || got.Reason != session.ReasonLogout {
		t.Errorf("%+v, want it revoked because of logout", got)
	}
	must(t, r.Revoke(t.Context(), session.Which{Family: rec.Family}, session.ReasonReuse, recordsBegin.Add(2*time.Minute)))
	if again := getRecord(t, r, rec.Family); !again.Revoked.Equal(got.Revoked) || again.Reason != session.ReasonLogout {
		t.Errorf("revoked again: %+v, want the first time and reason of %+v", again, got)
	}
}

func recordWhich(t *testing.T, r session.Records, users [2]string) {
	one := addRecord(t, r, users[0], nil)
	two := addRecord(t, r, users[0], func(rec *session.Record) { rec.Client = "other" })
	three := addRecord(t, r, users[0], nil)
	foreign := addRecord(t, r, users[1], nil)
	for name, c := range map[string]session.Which{
		"another client":  {Family: one.Family, Client: "other"},
		"another user":    {Family: one.Family, Subject: users[1]},
		"unknown":         {Family: session.NewFamilyID()},
		"an unknown user": {Subject: "00000000-0000-7000-8000-000000000000"},
	} {
		if err := r.Revoke(t.Context(), c, session.ReasonLogout, recordsBegin); err != nil && !errors.Is(err, session.ErrNotFound) {
			t.Errorf("%s: %v, want success or ErrNotFound", name, err)
		}
	}
	for _, rec := range []session.Record{one, two, three, foreign} {
		if got := getRecord(t, r, rec.Family); !got.Revoked.IsZero() {
			t.Errorf("%+v was revoked, want it live", got)
		}
	}
	want := []session.FamilyID{one.Family, two.Family}
	slices.Sort(want)
	if got := endRecords(t, r, session.Which{Subject: users[0], Except: three.Family}); !slices.Equal(got, want) {
		t.Errorf("ended %v, want %v", got, want)
	}
	for _, live := range []session.FamilyID{three.Family, foreign.Family} {
		if got := getRecord(t, r, live); !got.Revoked.IsZero() {
			t.Errorf("%+v was revoked, want it live", got)
		}
	}
}

func recordPending(t *testing.T, r session.Records, users [2]string) {
	one, two, live := addRecord(t, r, users[0], nil), addRecord(t, r, users[0], nil), addRecord(t, r, users[0], nil)
	for _, rec := range []session.Record{one, two} {
		endRecords(t, r, session.Which{Family: rec.Family})
	}
	check := func(step string, want ...session.FamilyID) {
		t.Helper()
		p, err := r.Pending(t.Context(), time.Minute, 100)
		must(t, err)
		slices.Sort(want)
		if got := sortedFamilies(p.Ended); !slices.Equal(got, want) || len(p.Changed) != 0 {
			t.Errorf("%s: %v pending, want %v and no change", step, p, want)
		}
	}
	settle := func(family session.FamilyID, want ...session.FamilyID) {
		t.Helper()
		settled, err := r.Settle(t.Context(), session.Pending{Ended: []session.Revocation{{Family: family}}})
		must(t, err)
		got := []session.FamilyID{}
		for _, rec := range settled {
			got = append(got, rec.Family)
			if rec.Reason != session.ReasonLogout || rec.Subject != users[0] {
				t.Errorf("settled %+v, want reason logout and subject %s", rec, users[0])
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("settled %v, want %v", got, want)
		}
	}
	check("after both were ended", one.Family, two.Family)
	if p, err := r.Pending(t.Context(), 0, 100); err != nil || len(p.Ended) != 0 {
		t.Errorf("pending at once: %v, %v; want none", p, err)
	}
	if p, err := r.Pending(t.Context(), time.Minute, 1); err != nil || len(p.Ended) != 1 || p.Ended[0].Family != one.Family {
		t.Errorf("first pending: %v, %v; want %s", p, err, one.Family)
	}
	settle(one.Family, one.Family)
	check("after one was settled", two.Family)
	if got := endRecords(t, r, session.Which{Family: one.Family}); len(got) != 0 {
		t.Errorf("settled family revoked again: %v pending, want none", got)
	}
	if got := endRecords(t, r, session.Which{Family: two.Family}); len(got) != 1 {
		t.Errorf("pending family revoked again: %v pending, want one", got)
	}
	if got := endRecords(t, r, session.Which{Subject: users[0], Except: live.Family}); len(got) != 1 {
		t.Errorf("all of the user's sessions revoked while one is pending: %v pending, want one", got)
	}
	settle(two.Family, two.Family)
	settle(two.Family) // again, or by another replica
	settle(live.Family)
	settle(session.NewFamilyID())
	check("after all were settled")
	operators := addRecord(t, r, users[0], nil)
	must(t, r.Revoke(t.Context(), session.Which{Family: operators.Family}, session.ReasonAdmin, time.Now()))
	if p, err := r.Pending(t.Context(), 0, 100); err != nil || len(p.Ended) != 1 || p.Ended[0].Family != operators.Family {
		t.Errorf("pending after an operator's revocation: %v, %v; want %s at once", p, err, operators.Family)
	}
}

func recordRevokedSince(t *testing.T, r session.Records, users [2]string) {
	var want []session.FamilyID
	for i := range 5 {
		rec := addRecord(t, r, users[0], nil)
		must(t, r.Revoke(t.Context(), session.Which{Family: rec.Family}, session.ReasonLogout, recordsBegin.Add(time.Duration(i/2)*time.Minute)))
		if i >= 2 {
			want = append(want, rec.Family)
		}
	}
	addRecord(t, r, users[0], nil)
	_, err := r.Settle(t.Context(), session.Pending{Ended: []session.Revocation{{Family: want[0]}}}) // settled or not
	must(t, err)
	var all []session.Revocation
	must(t, r.RevokedSince(t.Context(), recordsBegin.Add(time.Second), func(some []session.Revocation) error {
		all = append(all, some...)
		return nil
	}))
	slices.Sort(want)
	if got := sortedFamilies(all); !slices.Equal(got, want) {
		t.Errorf("revoked since: %v, want %v", got, want)
	}
	stop := errors.New("stop")
	if err := r.RevokedSince(t.Context(), recordsBegin.Add(-time.Second), func([]session.Revocation) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("RevokedSince: %v, want the callback's error", err)
	}
}

func recordLimit(t *testing.T, r session.Records, users [2]string) {
	add := func(subject string, after time.Duration) session.FamilyID {
		t.Helper()
		rec := session.Record{
			Family: session.NewFamilyID(), Subject: subject, Client: "app", Begun: recordsBegin.Add(after), End: recordsBegin.Add(time.Hour),
		}
		must(t, r.Add(t.Context(), rec, 1, 2))
		return rec.Family
	}
	oldest, ended, foreign := add(users[0], 0), add(users[0], time.Second), add(users[1], 0)
	endRecords(t, r, session.Which{Family: ended})
	second, third := add(users[0], 2*time.Second), add(users[0], 3*time.Second)
	if got := getRecord(t, r, oldest); got.Reason != session.ReasonSessionLimit {
		t.Errorf("oldest of three sessions: %+v, want it ended because of the session limit", got)
	}
	for _, family := range []session.FamilyID{second, third, foreign} {
		if got := getRecord(t, r, family); !got.Revoked.IsZero() {
			t.Errorf("%+v was revoked, want it live", got)
		}
	}
	if got, err := r.PendingOf(t.Context(), oldest, ""); err != nil || len(got) != 1 {
		t.Errorf("pending: %v, %v; want one family", got, err)
	}
}

func recordSightings(t *testing.T, r session.Records, users [2]string) {
	one, two := addRecord(t, r, users[0], nil), addRecord(t, r, users[0], nil)
	endRecords(t, r, session.Which{Family: two.Family})
	later := recordsBegin.Add(time.Minute)
	must(t, r.See(t.Context(), []session.Sighting{{Family: one.Family, Generation: 7, At: later}, {Family: two.Family, Generation: 7, At: later}}))
	must(t, r.See(t.Context(), []session.Sighting{{Family: one.Family, Generation: 5, At: recordsBegin}, {Family: session.NewFamilyID(), Generation: 1, At: later}}))
	must(t, r.See(t.Context(), nil))
	if got := getRecord(t, r, one.Family); got.Floor != 7 || !got.Seen.Equal(later) {
		t.Errorf("%+v, want floor 7, seen at %v", got, later)
	}
	if got := getRecord(t, r, two.Family); got.Floor != 1 {
		t.Errorf("revoked session: %+v, want floor 1", got)
	}
}

func recordPrune(t *testing.T, r session.Records, users [2]string) {
	old := addRecord(t, r, users[0], func(rec *session.Record) { rec.End = recordsBegin.Add(-time.Hour) })
	kept := addRecord(t, r, users[0], nil)
	must(t, r.Prune(t.Context(), recordsBegin))
	if _, err := r.Get(t.Context(), old.Family); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("expired record: %v, want ErrNotFound", err)
	}
	getRecord(t, r, kept.Family)
}

func recordLive(t *testing.T, r session.Records, users [2]string) {
	first := addRecord(t, r, users[0], nil)
	second := addRecord(t, r, users[0], func(rec *session.Record) { rec.Begun = recordsBegin.Add(time.Second) })
	ended := addRecord(t, r, users[0], nil)
	addRecord(t, r, users[0], func(rec *session.Record) { rec.End = recordsBegin.Add(-time.Second) })
	addRecord(t, r, users[1], nil)
	endRecords(t, r, session.Which{Family: ended.Family})
	all, err := r.Live(t.Context(), users[0], recordsBegin)
	must(t, err)
	if len(all) != 2 || all[0].Family != second.Family || all[1].Family != first.Family {
		t.Errorf("%+v, want %s and %s", all, second.Family, first.Family)
	}
}

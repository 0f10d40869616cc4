package storetest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"lilypad.example/services/auth/internal/session"
)

// Records is the conformance suite of session.Records. open returns one that
// is empty and the ids of two users that sessions may belong to.
func Records(t *testing.T, open func(t *testing.T) (session.Records, [2]string)) {
	t.Helper()
	for name, run := range map[string]func(*testing.T, session.Records, [2]string){
		"what is added is found":                         recordRoundTrip,
		"R9 a revoked session is over and stays over":    recordRevoke,
		"which sessions are ended":                       recordWhich,
		"the stream gets each revocation, and again":     recordOutbox,
		"sightings only grow, and only while it lives":   recordSightings,
		"what ended by itself is forgotten in the end":   recordPrune,
		"live sessions are the user's own, newest first": recordLive,
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
	must(t, r.Add(t.Context(), rec))
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

func endRecords(t *testing.T, r session.Records, w session.Which) []session.FamilyID {
	t.Helper()
	all, err := r.Revoke(t.Context(), w, session.ReasonLogout, recordsBegin.Add(time.Minute))
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
		t.Errorf("%+v, want %+v", got, want)
	}
	if _, err := r.Get(t.Context(), session.NewFamilyID()); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("unknown: %v", err)
	}
}

func recordRevoke(t *testing.T, r session.Records, users [2]string) {
	rec := addRecord(t, r, users[0], nil)
	if got := endRecords(t, r, session.Which{Family: rec.Family}); !slices.Equal(got, []session.FamilyID{rec.Family}) {
		t.Errorf("ended %v", got)
	}
	got := getRecord(t, r, rec.Family)
	if got.Revoked.IsZero() || got.Reason != session.ReasonLogout {
		t.Errorf("%+v", got)
	}
	_, err := r.Revoke(t.Context(), session.Which{Family: rec.Family}, session.ReasonReuse, recordsBegin.Add(2*time.Minute))
	must(t, err)
	if again := getRecord(t, r, rec.Family); !again.Revoked.Equal(got.Revoked) || again.Reason != session.ReasonLogout {
		t.Errorf("the first reason is gone: %+v", again)
	}
}

func recordWhich(t *testing.T, r session.Records, users [2]string) {
	one := addRecord(t, r, users[0], nil)
	two := addRecord(t, r, users[0], func(rec *session.Record) { rec.Client = "other" })
	three := addRecord(t, r, users[0], nil)
	foreign := addRecord(t, r, users[1], nil)
	for name, c := range map[string]session.Which{
		"another client":   {Family: one.Family, Client: "other"},
		"another user":     {Family: one.Family, Subject: users[1]},
		"unknown":          {Family: session.NewFamilyID()},
		"a user of nobody": {Subject: "00000000-0000-7000-8000-000000000000"},
	} {
		if got, err := r.Revoke(t.Context(), c, session.ReasonLogout, recordsBegin); err != nil && !errors.Is(err, session.ErrNotFound) || len(got) != 0 {
			t.Errorf("%s: ended %v, %v", name, got, err)
		}
	}
	want := []session.FamilyID{one.Family, two.Family}
	slices.Sort(want)
	if got := endRecords(t, r, session.Which{Subject: users[0], Except: three.Family}); !slices.Equal(got, want) {
		t.Errorf("ended %v, want %v", got, want)
	}
	for _, alive := range []session.FamilyID{three.Family, foreign.Family} {
		if got := getRecord(t, r, alive); !got.Revoked.IsZero() {
			t.Errorf("%+v was ended", got)
		}
	}
}

func recordOutbox(t *testing.T, r session.Records, users [2]string) {
	one, two := addRecord(t, r, users[0], nil), addRecord(t, r, users[0], nil)
	lives := addRecord(t, r, users[0], nil)
	past := addRecord(t, r, users[0], func(rec *session.Record) { rec.End = recordsBegin.Add(2 * time.Minute) })
	for _, rec := range []session.Record{one, two, past} {
		endRecords(t, r, session.Which{Family: rec.Family})
	}
	now := recordsBegin.Add(10 * time.Minute)
	check := func(step string, stream session.Window, want ...session.FamilyID) {
		t.Helper()
		all, err := r.Unpropagated(t.Context(), stream, now, 100)
		must(t, err)
		slices.Sort(want)
		if got := sortedFamilies(all); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", step, got, want)
		}
	}
	check("none is in the stream", session.Window{}, one.Family, two.Family)
	propagated := func(family session.FamilyID, mark session.Mark, want bool) {
		t.Helper()
		first, err := r.Propagated(t.Context(), family, mark)
		must(t, err)
		if first != want {
			t.Errorf("told %v that it is the first to tell of %s", first, family)
		}
	}
	propagated(one.Family, 100, true)
	check("one is", session.Window{Last: 100, Present: []session.FamilyID{one.Family}}, two.Family)
	if got := endRecords(t, r, session.Which{Family: one.Family}); len(got) != 0 {
		t.Errorf("revoked again: %v", got)
	}
	if got := endRecords(t, r, session.Which{Family: two.Family}); len(got) != 1 {
		t.Errorf("revoked again, not in the stream yet: %v", got)
	}
	propagated(two.Family, 150, true)
	propagated(two.Family, 200, false) // again, or by another replica
	propagated(lives.Family, 200, false)
	propagated(session.NewFamilyID(), 200, false)
	both := session.Window{Last: 200, Present: []session.FamilyID{one.Family, two.Family}}
	check("both are", both)
	check("the stream lost its end", session.Window{Last: 150, Since: 120}, two.Family)
	check("the stream lost its end and went on", session.Window{Last: 300, Present: []session.FamilyID{one.Family, session.NewFamilyID()}, Since: 50}, two.Family)
	check("the stream was trimmed", session.Window{Last: 300, Present: []session.FamilyID{session.NewFamilyID()}, Since: 250})
	check("the stream was flushed", session.Window{}, one.Family, two.Family)
}

func recordSightings(t *testing.T, r session.Records, users [2]string) {
	one, two := addRecord(t, r, users[0], nil), addRecord(t, r, users[0], nil)
	endRecords(t, r, session.Which{Family: two.Family})
	later := recordsBegin.Add(time.Minute)
	must(t, r.See(t.Context(), []session.Sighting{{Family: one.Family, Generation: 7, At: later}, {Family: two.Family, Generation: 7, At: later}}))
	must(t, r.See(t.Context(), []session.Sighting{{Family: one.Family, Generation: 5, At: recordsBegin}, {Family: session.NewFamilyID(), Generation: 1, At: later}}))
	must(t, r.See(t.Context(), nil))
	if got := getRecord(t, r, one.Family); got.Floor != 7 || !got.Seen.Equal(later) {
		t.Errorf("%+v", got)
	}
	if got := getRecord(t, r, two.Family); got.Floor != 1 {
		t.Errorf("ended: %+v", got)
	}
}

func recordPrune(t *testing.T, r session.Records, users [2]string) {
	old := addRecord(t, r, users[0], func(rec *session.Record) { rec.End = recordsBegin.Add(-time.Hour) })
	kept := addRecord(t, r, users[0], nil)
	must(t, r.Prune(t.Context(), recordsBegin))
	if _, err := r.Get(t.Context(), old.Family); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("old: %v", err)
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
		t.Errorf("%+v", all)
	}
}

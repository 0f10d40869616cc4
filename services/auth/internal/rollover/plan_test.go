package rollover_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"lilypad.example/services/auth/internal/rollover"
)

var (
	noon     = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	schedule = rollover.Schedule{Every: time.Hour, Wait: 10 * time.Minute, Keep: 6 * time.Minute}
)

func at(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }

// file returns n keys without history.
func file(t *testing.T, n int) []rollover.Key {
	t.Helper()
	var keys []rollover.Key
	for range n {
		k, err := rollover.Generate()
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k)
	}
	return keys
}

// withHistory returns one key for each history: published, signing and superseded in minutes after
// noon, 0 for never.
func withHistory(t *testing.T, histories ...[3]int) []rollover.Key {
	t.Helper()
	keys := file(t, len(histories))
	for i, history := range histories {
		for j, recorded := range []*time.Time{&keys[i].Published, &keys[i].Signing, &keys[i].Superseded} {
			if history[j] != 0 {
				*recorded = at(history[j])
			}
		}
	}
	return keys
}

func states(keys []rollover.Key) string {
	var all []string
	for i, k := range keys {
		all = append(all, k.State(i == 0))
	}
	return strings.Join(all, " ")
}

func TestPlan(t *testing.T) {
	const published, signing, retired = rollover.Published, rollover.Signing, rollover.Retired
	for name, tt := range map[string]struct {
		keys       []rollover.Key
		now, since int
		want       string
		events     []rollover.Event
	}{
		"no keys":                                {nil, 0, 0, "signing", []rollover.Event{published, signing}},
		"one key without history":                {file(t, 1), 0, 0, "signing", []rollover.Event{published, signing}},
		"two keys without history":               {file(t, 2), 0, 0, "signing superseded", []rollover.Event{published, signing, published}},
		"not yet due":                            {withHistory(t, [3]int{1, 1, 0}), 50, 1, "signing", nil},
		"the next key is due":                    {withHistory(t, [3]int{1, 1, 0}), 51, 1, "signing next", []rollover.Event{published}},
		"not every verifier has the next key":    {withHistory(t, [3]int{1, 1, 0}, [3]int{51, 0, 0}), 60, 1, "signing next", nil},
		"every verifier has the next key":        {withHistory(t, [3]int{1, 1, 0}, [3]int{51, 0, 0}), 61, 1, "signing superseded", []rollover.Event{signing}},
		"an outage after it was published":       {withHistory(t, [3]int{1, 1, 0}, [3]int{51, 0, 0}), 61, 52, "signing next", nil},
		"long after the outage":                  {withHistory(t, [3]int{1, 1, 0}, [3]int{51, 0, 0}), 62, 52, "signing superseded", []rollover.Event{signing}},
		"tokens of the old key are valid":        {withHistory(t, [3]int{51, 61, 0}, [3]int{1, 1, 61}), 66, 1, "signing superseded", nil},
		"the tokens of the old key have expired": {withHistory(t, [3]int{51, 61, 0}, [3]int{1, 1, 61}), 67, 1, "signing", []rollover.Event{retired}},
		"they have expired, after an outage":     {withHistory(t, [3]int{51, 61, 0}, [3]int{1, 1, 61}), 67, 62, "signing superseded", nil},
		"an outage of days":                      {withHistory(t, [3]int{1, 1, 0}), 9999, 9999, "signing next", []rollover.Event{published}},
		"a key put in front manually":            {slices.Concat(file(t, 1), withHistory(t, [3]int{1, 1, 0})), 20, 1, "signing superseded", []rollover.Event{published, signing}},
		"the old key put in front again":         {withHistory(t, [3]int{1, 1, 61}, [3]int{51, 61, 0}), 70, 1, "signing superseded", []rollover.Event{signing}},
	} {
		t.Run(name, func(t *testing.T) {
			keys, changes, err := schedule.Plan(tt.keys, at(tt.now), at(tt.since), rollover.Generate)
			if err != nil {
				t.Fatal(err)
			}
			var events []rollover.Event
			for _, c := range changes {
				events = append(events, c.Event)
			}
			if got := states(keys); got != tt.want || !slices.Equal(events, tt.events) {
				t.Errorf("keys %s, events %v; want %s, %v", got, events, tt.want, tt.events)
			}
			// Encoding and parsing preserve the keys, and planning again changes nothing.
			text, err := rollover.Encode(keys)
			if err != nil {
				t.Fatal(err)
			}
			read, err := rollover.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			again, changes, err := schedule.Plan(read, at(tt.now), at(tt.since), rollover.Generate)
			if err != nil || len(changes) > 0 || states(again) != tt.want {
				t.Errorf("planned again: %s, %v, %v; want %s and no change", states(again), changes, err, tt.want)
			}
			if text2, err := rollover.Encode(again); err != nil || string(text2) != string(text) {
				t.Errorf("encoded again: the text differs or failed (%v), want the same text", err)
			}
		})
	}
}

func TestRotate(t *testing.T) {
	keys := withHistory(t, [3]int{1, 1, 0})
	keys, changes, err := rollover.Rotate(keys, at(5), rollover.Generate)
	if err != nil || states(keys) != "signing next" || !keys[1].Published.Equal(at(5)) || len(changes) != 1 {
		t.Fatalf("%s, %v, %v; want a next key published now", states(keys), changes, err)
	}
	if _, _, err := rollover.Rotate(keys, at(6), rollover.Generate); !errors.Is(err, rollover.ErrNextPublished) {
		t.Errorf("second rotation: %v, want ErrNextPublished", err)
	}
}

func TestRevoke(t *testing.T) {
	for name, tt := range map[string]struct {
		histories [][3]int
		revoke    int
		want      string
		signs     int // index of the old key that signs, -1 for a new one
	}{
		"the only one":            {[][3]int{{1, 1, 0}}, 0, "signing", -1},
		"with a next one":         {[][3]int{{1, 1, 0}, {2, 0, 0}}, 0, "signing", 1},
		"with an old one":         {[][3]int{{2, 3, 0}, {1, 1, 3}}, 0, "signing superseded", -1},
		"an old one":              {[][3]int{{2, 3, 0}, {1, 1, 3}}, 1, "signing", 0},
		"the next one":            {[][3]int{{1, 1, 0}, {2, 0, 0}}, 1, "signing", 0},
		"with next and older one": {[][3]int{{2, 3, 0}, {1, 1, 3}, {4, 0, 0}}, 0, "signing superseded", 2},
	} {
		keys := withHistory(t, tt.histories...)
		got, changes, err := rollover.Revoke(keys, keys[tt.revoke].ID, at(5), rollover.Generate)
		if err != nil || states(got) != tt.want || changes[0] != (rollover.Change{Event: rollover.Revoked, ID: keys[tt.revoke].ID}) {
			t.Errorf("%s: %s, %v, %v; want %s and the key revoked", name, states(got), changes, err, tt.want)
			continue
		}
		fresh := !slices.ContainsFunc(keys, func(k rollover.Key) bool { return k.ID == got[0].ID })
		if fresh != (tt.signs < 0) || tt.signs >= 0 && got[0].ID != keys[tt.signs].ID {
			t.Errorf("%s: %s signs, want key %d (-1: a new one)", name, got[0].ID, tt.signs)
		}
		if slices.ContainsFunc(got, func(k rollover.Key) bool { return k.ID == keys[tt.revoke].ID }) {
			t.Errorf("%s: the revoked key is still in the file", name)
		}
	}
	if _, _, err := rollover.Revoke(file(t, 1), "none", at(0), rollover.Generate); err == nil {
		t.Error("revoking an unknown key succeeded, want an error")
	}
}

func TestParseReportsAllErrors(t *testing.T) {
	text, err := rollover.Encode(withHistory(t, [3]int{1, 1, 0}))
	if err != nil {
		t.Fatal(err)
	}
	bad := strings.Replace(string(text), "Published: 2026", "Published: soon 2026", 1) + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
	_, err = rollover.Parse([]byte(bad))
	if err == nil || !strings.Contains(err.Error(), "block 1: Published is not a time") || !strings.Contains(err.Error(), "block 2") {
		t.Errorf("%v, want errors about block 1 and block 2", err)
	}
	// openssl writes an EC PARAMETERS block before a key.
	parameters := "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
	if keys, err := rollover.Parse([]byte(parameters + string(text))); err != nil || len(keys) != 1 {
		t.Errorf("%d keys, %v; want 1", len(keys), err)
	}
}

// Package storetest is the conformance suite of frog.Store. Every implementation runs all of it.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"lilypad.example/services/frogs/internal/frog"
)

// Run runs the suite. open returns a store in which no frog has been petted yet.
func Run(t *testing.T, open func(*testing.T) frog.Store) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, frog.Store){
		"a new store has the catalogue, in order, unpetted":    newStore,
		"a petting counts for everyone, its time for one user": petting,
		"an unknown frog is refused and changes nothing":       unknown,
		"the last petting never goes back in time":             clocks,
		"concurrent pettings are all counted":                  concurrent,
		"a context that has ended changes nothing":             canceled,
		"a hostile user or frog ID is only a string":           hostile,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func noon() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) }

func list(t *testing.T, s frog.Store, user string) []frog.Frog {
	t.Helper()
	all, err := s.Frogs(t.Context(), user)
	if err != nil {
		t.Fatalf("Frogs(%q): %v", user, err)
	}
	return all
}

func pet(t *testing.T, s frog.Store, user, id string, at time.Time) frog.Frog {
	t.Helper()
	f, err := s.Pet(t.Context(), user, id, at)
	if err != nil {
		t.Fatalf("Pet(%q, %q): %v", user, id, err)
	}
	return f
}

func find(t *testing.T, all []frog.Frog, id string) frog.Frog {
	t.Helper()
	for _, f := range all {
		if f.ID == id {
			return f
		}
	}
	t.Fatalf("no frog %q among %d, want one", id, len(all))
	return frog.Frog{}
}

func same(t *testing.T, got, want frog.Frog) {
	t.Helper()
	if got.Species != want.Species || got.Pets != want.Pets || !got.PettedAt.Equal(want.PettedAt) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func newStore(t *testing.T, s frog.Store) {
	all := list(t, s, "ann")
	want := frog.Catalogue()
	if len(all) != len(want) {
		t.Fatalf("%d frogs, want %d", len(all), len(want))
	}
	for i, f := range all {
		same(t, f, frog.Frog{Species: want[i]})
	}
}

func petting(t *testing.T, s frog.Store) {
	glass, mossy := frog.Catalogue()[6], frog.Catalogue()[12]
	same(t, pet(t, s, "ann", glass.ID, noon()), frog.Frog{Species: glass, Pets: 1, PettedAt: noon()})
	same(t, pet(t, s, "ann", glass.ID, noon().Add(time.Minute)), frog.Frog{Species: glass, Pets: 2, PettedAt: noon().Add(time.Minute)})
	same(t, pet(t, s, "bob", glass.ID, noon().Add(time.Hour)), frog.Frog{Species: glass, Pets: 3, PettedAt: noon().Add(time.Hour)})
	for user, last := range map[string]time.Time{"ann": noon().Add(time.Minute), "bob": noon().Add(time.Hour), "eve": {}} {
		all := list(t, s, user)
		same(t, find(t, all, glass.ID), frog.Frog{Species: glass, Pets: 3, PettedAt: last})
		same(t, find(t, all, mossy.ID), frog.Frog{Species: mossy})
	}
}

func unknown(t *testing.T, s frog.Store) {
	for _, id := range []string{"", "toad", "GLASS-FROG", "glass-frog "} {
		if f, err := s.Pet(t.Context(), "ann", id, noon()); !errors.Is(err, frog.ErrUnknown) {
			t.Errorf("Pet(%q) = %+v, %v; want ErrUnknown", id, f, err)
		}
	}
	for _, f := range list(t, s, "ann") {
		same(t, f, frog.Frog{Species: f.Species})
	}
}

func clocks(t *testing.T, s frog.Store) {
	pet(t, s, "ann", "glass-frog", noon())
	if f := pet(t, s, "ann", "glass-frog", noon().Add(-time.Hour)); f.Pets != 2 || !f.PettedAt.Equal(noon()) {
		t.Errorf("after a petting by an instance whose clock is behind: %+v, want 2 pets and the later time", f)
	}
}

func concurrent(t *testing.T, s frog.Store) {
	const users, each = 8, 20
	var group sync.WaitGroup
	for u := range users {
		user := fmt.Sprintf("user-%d", u)
		for n := range each {
			group.Go(func() {
				// Two frogs, in an order that depends on the user.
				for i := range 2 {
					id := []string{"glass-frog", "mossy-frog"}[(u+i)%2]
					if _, err := s.Pet(t.Context(), user, id, noon().Add(time.Duration(n)*time.Second)); err != nil {
						t.Errorf("Pet: %v", err)
					}
				}
			})
		}
	}
	group.Wait()
	last := noon().Add((each - 1) * time.Second)
	for u := range users {
		all := list(t, s, fmt.Sprintf("user-%d", u))
		for _, id := range []string{"glass-frog", "mossy-frog"} {
			if f := find(t, all, id); f.Pets != users*each || !f.PettedAt.Equal(last) {
				t.Errorf("%s: %d pets, last at %s; want %d at %s", id, f.Pets, f.PettedAt, users*each, last)
			}
		}
	}
}

func canceled(t *testing.T, s frog.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Frogs(ctx, "ann"); !errors.Is(err, context.Canceled) {
		t.Errorf("Frogs: %v, want context.Canceled", err)
	}
	if _, err := s.Pet(ctx, "ann", "glass-frog", noon()); !errors.Is(err, context.Canceled) {
		t.Errorf("Pet: %v, want context.Canceled", err)
	}
	if f := find(t, list(t, s, "ann"), "glass-frog"); f.Pets != 0 {
		t.Errorf("%d pets, want 0", f.Pets)
	}
}

func hostile(t *testing.T, s frog.Store) {
	const user = `'; DROP TABLE frogs; --`
	if f := pet(t, s, user, "glass-frog", noon()); f.Pets != 1 {
		t.Errorf("%+v, want 1 pet", f)
	}
	if _, err := s.Pet(t.Context(), "ann", `' OR '1'='1`, noon()); !errors.Is(err, frog.ErrUnknown) {
		t.Errorf("err = %v, want ErrUnknown", err)
	}
	if f := find(t, list(t, s, user), "glass-frog"); f.Pets != 1 || !f.PettedAt.Equal(noon()) {
		t.Errorf("%+v, want 1 pet at noon", f)
	}
}

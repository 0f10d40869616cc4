package storetest

import (
	"bytes"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"lilypad.example/services/auth/internal/form"
	"lilypad.example/services/auth/internal/session"
)

// Forms is the conformance suite of form.Store.
func Forms(t *testing.T, store form.Store) {
	t.Helper()
	t.Run("a form that was sent is removed, any other stays", func(t *testing.T) { settledForms(t, store) })
	t.Run("forms of different accounts and sessions are separate", func(t *testing.T) { formsApart(t, store) })
	t.Run("the newest form of a session replaces the older", func(t *testing.T) { newestForm(t, store) })
	t.Run("one of several parallel claims succeeds", func(t *testing.T) { parallelClaims(t, store) })
	t.Run("a discarded form is removed", func(t *testing.T) { discardedForm(t, store) })
}

func newForm() form.Key { return form.Key{Subject: "u1", Session: session.NewFamilyID()} }

func keep(t testing.TB, s form.Store, k form.Key, sealed []byte) {
	t.Helper()
	if err := s.Keep(t.Context(), k, sealed); err != nil {
		t.Fatal(err)
	}
}

// wantForm fails the test unless the form is want, or ErrNotFound if want is nil.
func wantForm(t testing.TB, step string, got []byte, err error, want []byte) {
	t.Helper()
	switch {
	case want == nil && !errors.Is(err, form.ErrNotFound):
		t.Fatalf("%s: %d bytes, %v; want ErrNotFound", step, len(got), err)
	case want != nil && (err != nil || !bytes.Equal(got, want)):
		t.Fatalf("%s: %d bytes, %v; want the %d bytes that were kept", step, len(got), err, len(want))
	}
}

func settle(t testing.TB, s form.Store, k form.Key, id string, sent bool) {
	t.Helper()
	if err := s.Settle(t.Context(), k, id, sent); err != nil {
		t.Fatal(err)
	}
}

func settledForms(t *testing.T, s form.Store) {
	k, sealed := newForm(), bytes.Repeat([]byte("\x00\xff\r\n"), form.MaxBytes/4)
	_, err := s.Claim(t.Context(), k, "first")
	wantForm(t, "claim of nothing", nil, err, nil)
	keep(t, s, k, sealed)
	for range 2 { // Get and a repeated Claim have no effect
		got, err := s.Get(t.Context(), k)
		wantForm(t, "get", got, err, sealed)
		got, err = s.Claim(t.Context(), k, "first")
		wantForm(t, "claim", got, err, sealed)
	}
	if _, err := s.Claim(t.Context(), k, "second"); !errors.Is(err, form.ErrClaimed) {
		t.Errorf("second claim: %v, want ErrClaimed", err)
	}
	settle(t, s, k, "second", true) // not the current claim
	settle(t, s, k, "first", false)
	settle(t, s, k, "first", true) // no longer claimed
	got, err := s.Claim(t.Context(), k, "second")
	wantForm(t, "claim of what was not sent", got, err, sealed)
	settle(t, s, k, "second", true)
	_, err = s.Get(t.Context(), k)
	wantForm(t, "get of what was sent", nil, err, nil)
	_, err = s.Claim(t.Context(), k, "third")
	wantForm(t, "claim of what was sent", nil, err, nil)
}

func formsApart(t *testing.T, s form.Store) {
	k := newForm()
	keep(t, s, k, []byte("mine"))
	for _, other := range []form.Key{newForm(), {Subject: "u2", Session: k.Session}, {Subject: "", Session: k.Session}} {
		_, err := s.Claim(t.Context(), other, "id")
		wantForm(t, "claim of another", nil, err, nil)
		settle(t, s, other, "id", true)
		if err := s.Discard(t.Context(), other); err != nil {
			t.Error(err)
		}
	}
	got, err := s.Claim(t.Context(), k, "id")
	wantForm(t, "claim", got, err, []byte("mine"))
}

func newestForm(t *testing.T, s form.Store) {
	k := newForm()
	keep(t, s, k, []byte("first"))
	if _, err := s.Claim(t.Context(), k, "first"); err != nil {
		t.Fatal(err)
	}
	keep(t, s, k, []byte("second"))
	settle(t, s, k, "first", true) // concerns the first form only
	got, err := s.Claim(t.Context(), k, "second")
	wantForm(t, "claim", got, err, []byte("second"))
}

func discardedForm(t *testing.T, s form.Store) {
	k := newForm()
	keep(t, s, k, []byte("claimed"))
	if _, err := s.Claim(t.Context(), k, "id"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Discard(t.Context(), k); err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.Get(t.Context(), k)
	wantForm(t, "get", nil, err, nil)
	settle(t, s, k, "id", false)
	_, err = s.Claim(t.Context(), k, "other")
	wantForm(t, "claim", nil, err, nil)
}

func parallelClaims(t *testing.T, s form.Store) {
	k := newForm()
	keep(t, s, k, []byte("once"))
	var claimed atomic.Int32
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			switch _, err := s.Claim(t.Context(), k, strconv.Itoa(i)); {
			case err == nil:
				claimed.Add(1)
			case !errors.Is(err, form.ErrClaimed):
				t.Errorf("claim %d: %v, want success or ErrClaimed", i, err)
			}
		})
	}
	all.Wait()
	if n := claimed.Load(); n != 1 {
		t.Errorf("claimed %d times, want once", n)
	}
}

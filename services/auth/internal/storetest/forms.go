package storetest

import (
	"bytes"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"lilypad.example/services/auth/internal/form"
	"lilypad.example/services/auth/internal/session"
)

// Forms is the conformance suite of form.Store.
func Forms(t *testing.T, store form.Store) {
	t.Helper()
	t.Run("W15 a form is taken once", func(t *testing.T) { takenOnce(t, store) })
	t.Run("W15 another account or session has another form", func(t *testing.T) { formsApart(t, store) })
	t.Run("W15 the newest form of a session stays", func(t *testing.T) { newestForm(t, store) })
	t.Run("W15 of parallel takes one succeeds", func(t *testing.T) { parallelTakes(t, store) })
}

func newForm() form.Key { return form.Key{Subject: "u1", Session: session.NewFamilyID()} }

func keep(t testing.TB, s form.Store, k form.Key, sealed []byte) {
	t.Helper()
	if err := s.Keep(t.Context(), k, sealed); err != nil {
		t.Fatal(err)
	}
}

func takenOnce(t *testing.T, s form.Store) {
	k, sealed := newForm(), bytes.Repeat([]byte("\x00\xff\r\n"), form.MaxBytes/4)
	keep(t, s, k, sealed)
	for range 2 { // looking at it leaves it
		if got, err := s.Get(t.Context(), k); err != nil || !bytes.Equal(got, sealed) {
			t.Fatalf("get: %d bytes, %v", len(got), err)
		}
	}
	if got, err := s.Take(t.Context(), k); err != nil || !bytes.Equal(got, sealed) {
		t.Fatalf("take: %d bytes, %v", len(got), err)
	}
	if _, err := s.Take(t.Context(), k); !errors.Is(err, form.ErrNotFound) {
		t.Errorf("taken twice: %v", err)
	}
	if _, err := s.Get(t.Context(), k); !errors.Is(err, form.ErrNotFound) {
		t.Errorf("there after it was taken: %v", err)
	}
}

func formsApart(t *testing.T, s form.Store) {
	k := newForm()
	keep(t, s, k, []byte("mine"))
	for _, other := range []form.Key{newForm(), {Subject: "u2", Session: k.Session}, {Subject: "", Session: k.Session}} {
		if _, err := s.Take(t.Context(), other); !errors.Is(err, form.ErrNotFound) {
			t.Errorf("%v: %v", other, err)
		}
	}
	if got, err := s.Take(t.Context(), k); err != nil || string(got) != "mine" {
		t.Errorf("%q, %v", got, err)
	}
}

func newestForm(t *testing.T, s form.Store) {
	k := newForm()
	keep(t, s, k, []byte("first"))
	keep(t, s, k, []byte("second"))
	if got, err := s.Take(t.Context(), k); err != nil || string(got) != "second" {
		t.Errorf("%q, %v", got, err)
	}
}

func parallelTakes(t *testing.T, s form.Store) {
	k := newForm()
	keep(t, s, k, []byte("once"))
	var taken atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			switch _, err := s.Take(t.Context(), k); {
			case err == nil:
				taken.Add(1)
			case !errors.Is(err, form.ErrNotFound):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := taken.Load(); n != 1 {
		t.Errorf("taken %d times", n)
	}
}

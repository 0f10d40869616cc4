package redis_test

import (
	"errors"
	"testing"
	"time"

	"lilypad.example/services/auth/internal/form"
	"lilypad.example/services/auth/internal/redis"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/auth/internal/storetest"
	"lilypad.example/services/pkg/redistest"
)

func TestFormsOnRedis(t *testing.T) { storetest.Forms(t, redis.NewForms(redistest.New(t))) }

func TestFormsOnMiniredis(t *testing.T) {
	_, client := redistest.Mini(t)
	storetest.Forms(t, redis.NewForms(client))
}

func TestAFormIsKeptForTenMinutes(t *testing.T) {
	server, client := redistest.Mini(t)
	store := redis.NewForms(client)
	k := form.Key{Subject: "u1", Session: session.NewFamilyID()}
	if err := store.Keep(t.Context(), k, []byte("sealed")); err != nil {
		t.Fatal(err)
	}
	server.FastForward(form.Life - time.Second)
	if _, err := store.Get(t.Context(), k); err != nil {
		t.Errorf("get a second before form.Life is over: error %v, want none", err)
	}
	server.FastForward(time.Second)
	if _, err := store.Claim(t.Context(), k, "id"); !errors.Is(err, form.ErrNotFound) {
		t.Errorf("claim after form.Life: error %v, want %v", err, form.ErrNotFound)
	}
}

func TestAClaimThatNobodySettlesEnds(t *testing.T) {
	server, client := redistest.Mini(t)
	store := redis.NewForms(client)
	k := form.Key{Subject: "u1", Session: session.NewFamilyID()}
	if err := store.Keep(t.Context(), k, []byte("sealed")); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"first", "second"} {
		if _, err := store.Claim(t.Context(), k, id); err != nil {
			t.Fatalf("%s claim: error %v, want none", id, err)
		}
		server.FastForward(form.ClaimLife - time.Second)
		if _, err := store.Claim(t.Context(), k, "too early"); !errors.Is(err, form.ErrClaimed) {
			t.Errorf("claim of a claimed form: error %v, want %v", err, form.ErrClaimed)
		}
		server.FastForward(time.Second)
	}
}

func TestAStoreThatIsAwayIsNoMissingForm(t *testing.T) {
	server, client := redistest.Mini(t)
	store := redis.NewForms(client)
	server.Close()
	k := form.Key{Subject: "u1", Session: session.NewFamilyID()}
	_, err1 := store.Get(t.Context(), k)
	_, err2 := store.Claim(t.Context(), k, "id")
	for _, err := range []error{
		store.Keep(t.Context(), k, nil), err1, err2, store.Settle(t.Context(), k, "id", true), store.Discard(t.Context(), k),
	} {
		if !errors.Is(err, form.ErrUnavailable) || errors.Is(err, form.ErrNotFound) {
			t.Errorf("without Redis: error %v, want %v", err, form.ErrUnavailable)
		}
	}
}

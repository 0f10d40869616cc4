package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"lilypad.example/services/auth/internal/user"
)

// Users is the conformance suite of user.Store. open returns an empty Store.
func Users(t *testing.T, open func(t *testing.T) user.Store) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(*testing.T, user.Store)
	}{
		{"a created user is found by address and by ID", usersRoundTrip},
		{"an address has at most one account", usersEmailTaken},
		{"an ID is never used twice", usersIDTaken},
		{"unknown users are not found", usersNotFound},
		{"a hash is replaced only by a caller who knows it", usersUpdateHash},
		{"an account is disabled and enabled again", usersDisabled},
		{"a changed password replaces the hash", usersChangePassword},
		{"exactly one of several parallel registrations succeeds", usersParallelCreate},
		{"exactly one of several parallel hash updates succeeds", usersParallelUpdate},
		{"callers share nothing with the store", usersNoSharing},
		{"a canceled caller gets the context's error", usersCanceled},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

// NewUser returns a valid user with a new ID.
func NewUser(t testing.TB, email string) user.User {
	t.Helper()
	id, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	return user.User{
		ID: id.String(), Email: email, Name: "Wilhelmina Thunderstone", Roles: []string{"admin", "keeper"},
		PasswordHash: "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$MTIzNDU2Nzg5MDEyMzQ1Ng", CreatedAt: time.Now(),
	}
}

const replacementHash user.Hash = "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$YWJjZGVmZ2hpamtsbW5vcA"

func mustCreate(t *testing.T, s user.Store, u user.User) {
	t.Helper()
	if err := s.Create(t.Context(), u); err != nil {
		t.Fatal(err)
	}
}

func mustFind(t *testing.T, s user.Store, email string) user.User {
	t.Helper()
	u, err := s.ByEmail(t.Context(), email)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func usersRoundTrip(t *testing.T, s user.Store) {
	plain := NewUser(t, "mina@pond.example")
	bare := NewUser(t, "a@b")
	bare.Name, bare.Roles = "蛙", nil
	disabled := NewUser(t, "gone@pond.example")
	disabled.Disabled = true
	hostile := NewUser(t, "o'hara+`x`{}|%s@pond.example")
	hostile.Name = `'); DROP TABLE users; -- <script>"🐸`
	all := []user.User{plain, bare, disabled, hostile}
	for _, u := range all {
		mustCreate(t, s, u)
	}
	for _, want := range all {
		byEmail := mustFind(t, s, want.Email)
		byID, err := s.ByID(t.Context(), want.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, got := range []user.User{byEmail, byID} {
			if got.ID != want.ID || got.Email != want.Email || got.Name != want.Name || got.PasswordHash != want.PasswordHash ||
				got.Disabled != want.Disabled || !slices.Equal(got.Roles, want.Roles) {
				t.Errorf("got %+v, want %+v", got, want)
			}
			if !got.CreatedAt.Equal(want.CreatedAt.Truncate(time.Microsecond)) || got.CreatedAt.Location() != time.UTC {
				t.Errorf("created at %v, want %v", got.CreatedAt, want.CreatedAt.UTC())
			}
		}
	}
}

func usersEmailTaken(t *testing.T, s user.Store) {
	first, second := NewUser(t, "mina@pond.example"), NewUser(t, "mina@pond.example")
	mustCreate(t, s, first)
	if err := s.Create(t.Context(), second); !errors.Is(err, user.ErrEmailTaken) {
		t.Fatalf("second account with the address: %v, want ErrEmailTaken", err)
	}
	if got := mustFind(t, s, "mina@pond.example"); got.ID != first.ID {
		t.Fatal("the second account replaced the first")
	}
	if _, err := s.ByID(t.Context(), second.ID); !errors.Is(err, user.ErrNotFound) {
		t.Fatalf("lookup of the refused account: %v, want ErrNotFound", err)
	}
}

func usersIDTaken(t *testing.T, s user.Store) {
	first := NewUser(t, "mina@pond.example")
	second := first
	second.Email = "other@pond.example"
	mustCreate(t, s, first)
	if err := s.Create(t.Context(), second); err == nil || errors.Is(err, user.ErrEmailTaken) || errors.Is(err, user.ErrUnavailable) {
		t.Fatalf("second account with the ID: %v, want another error than ErrEmailTaken and ErrUnavailable", err)
	}
	if _, err := s.ByEmail(t.Context(), second.Email); !errors.Is(err, user.ErrNotFound) {
		t.Fatalf("lookup of the refused account: %v, want ErrNotFound", err)
	}
}

func usersNotFound(t *testing.T, s user.Store) {
	u := NewUser(t, "mina@pond.example")
	mustCreate(t, s, u)
	// Addresses are compared byte by byte, and an ID has one form.
	for _, email := range []string{"", "mina@pond.exampl", "MINA@pond.example", " mina@pond.example", "%", "mina_pond.example"} {
		if _, err := s.ByEmail(t.Context(), email); !errors.Is(err, user.ErrNotFound) {
			t.Errorf("address %q: %v, want ErrNotFound", email, err)
		}
	}
	for _, id := range []string{"", "0", uuid.Nil.String(), "urn:uuid:" + u.ID, "{" + u.ID + "}", u.ID + " ", "' OR true --"} {
		if _, err := s.ByID(t.Context(), id); !errors.Is(err, user.ErrNotFound) {
			t.Errorf("ID %q: %v, want ErrNotFound", id, err)
		}
		if err := s.UpdatePasswordHash(t.Context(), id, u.PasswordHash, replacementHash); !errors.Is(err, user.ErrNotFound) {
			t.Errorf("ID %q: update: %v, want ErrNotFound", id, err)
		}
	}
}

func usersUpdateHash(t *testing.T, s user.Store) {
	u, other := NewUser(t, "mina@pond.example"), NewUser(t, "other@pond.example")
	mustCreate(t, s, u)
	mustCreate(t, s, other)
	if err := s.UpdatePasswordHash(t.Context(), u.ID, replacementHash, replacementHash); !errors.Is(err, user.ErrHashChanged) {
		t.Fatalf("update with a wrong old hash: %v, want ErrHashChanged", err)
	}
	if got := mustFind(t, s, u.Email); got.PasswordHash != u.PasswordHash {
		t.Fatal("the refused update changed the hash")
	}
	if err := s.UpdatePasswordHash(t.Context(), u.ID, u.PasswordHash, replacementHash); err != nil {
		t.Fatal(err)
	}
	if got := mustFind(t, s, u.Email); got.PasswordHash != replacementHash || got.Name != u.Name {
		t.Fatalf("got %+v, want the new hash and nothing else changed", got)
	}
	if got := mustFind(t, s, other.Email); got.PasswordHash != other.PasswordHash {
		t.Fatal("another user's hash changed")
	}
}

func usersDisabled(t *testing.T, s user.Store) {
	u, other := NewUser(t, "mina@pond.example"), NewUser(t, "other@pond.example")
	mustCreate(t, s, u)
	mustCreate(t, s, other)
	for _, disabled := range []bool{true, true, false} {
		if err := s.SetDisabled(t.Context(), u.Email, disabled, time.Now()); err != nil {
			t.Fatal(err)
		}
		if got := mustFind(t, s, u.Email); got.Disabled != disabled {
			t.Fatalf("got %+v, want disabled %v", got, disabled)
		}
	}
	if err := s.SetDisabled(t.Context(), "nobody@pond.example", true, time.Now()); !errors.Is(err, user.ErrNotFound) {
		t.Fatalf("unknown address: %v, want ErrNotFound", err)
	}
	if got := mustFind(t, s, other.Email); got.Disabled {
		t.Fatal("another account was disabled")
	}
}

func usersChangePassword(t *testing.T, s user.Store) {
	u := NewUser(t, "mina@pond.example")
	mustCreate(t, s, u)
	if err := s.ChangePassword(t.Context(), u.ID, replacementHash, replacementHash, time.Now(), ""); !errors.Is(err, user.ErrHashChanged) {
		t.Fatalf("update with a wrong old hash: %v, want ErrHashChanged", err)
	}
	if err := s.ChangePassword(t.Context(), u.ID, u.PasswordHash, replacementHash, time.Now(), ""); err != nil {
		t.Fatal(err)
	}
	if got := mustFind(t, s, u.Email); got.PasswordHash != replacementHash {
		t.Fatalf("got %+v, want the new hash and nothing else changed", got)
	}
}

// parallel is the number of concurrent callers, more than a pool has connections.
const parallel = 32

// race runs attempt in many goroutines at once and returns how many succeeded and the other errors.
func race(attempt func(i int) error) (won int, lost []error) {
	errs := make([]error, parallel)
	var start, done sync.WaitGroup
	start.Add(1)
	for i := range parallel {
		done.Go(func() {
			start.Wait()
			errs[i] = attempt(i)
		})
	}
	start.Done()
	done.Wait()
	for _, err := range errs {
		if err == nil {
			won++
		} else {
			lost = append(lost, err)
		}
	}
	return won, lost
}

func usersParallelCreate(t *testing.T, s user.Store) {
	users := make([]user.User, parallel)
	for i := range users {
		users[i] = NewUser(t, "mina@pond.example")
	}
	won, lost := race(func(i int) error { return s.Create(t.Context(), users[i]) })
	if won != 1 {
		t.Fatalf("%d attempts succeeded, want 1: %v", won, errors.Join(lost...))
	}
	for _, err := range lost {
		if !errors.Is(err, user.ErrEmailTaken) {
			t.Errorf("failed attempt: %v, want ErrEmailTaken", err)
		}
	}
}

func usersParallelUpdate(t *testing.T, s user.Store) {
	u := NewUser(t, "mina@pond.example")
	mustCreate(t, s, u)
	won, lost := race(func(i int) error {
		return s.UpdatePasswordHash(t.Context(), u.ID, u.PasswordHash, u.PasswordHash+user.Hash(fmt.Sprint(i)))
	})
	if won != 1 {
		t.Fatalf("%d attempts succeeded, want 1: %v", won, errors.Join(lost...))
	}
	for _, err := range lost {
		if !errors.Is(err, user.ErrHashChanged) {
			t.Errorf("failed attempt: %v, want ErrHashChanged", err)
		}
	}
}

func usersNoSharing(t *testing.T, s user.Store) {
	u := NewUser(t, "mina@pond.example")
	mustCreate(t, s, u)
	u.Roles[0] = "changed after Create"
	mustFind(t, s, u.Email).Roles[0] = "changed after ByEmail"
	if got := mustFind(t, s, u.Email); !slices.Equal(got.Roles, []string{"admin", "keeper"}) {
		t.Fatalf("roles %v, want those that were created", got.Roles)
	}
}

func usersCanceled(t *testing.T, s user.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	u := NewUser(t, "mina@pond.example")
	_, byEmail := s.ByEmail(ctx, u.Email)
	_, byID := s.ByID(ctx, u.ID)
	for name, err := range map[string]error{
		"Create": s.Create(ctx, u), "ByEmail": byEmail, "ByID": byID,
		"UpdatePasswordHash": s.UpdatePasswordHash(ctx, u.ID, u.PasswordHash, replacementHash),
	} {
		if !errors.Is(err, context.Canceled) || errors.Is(err, user.ErrUnavailable) {
			t.Errorf("%s: %v, want context.Canceled", name, err)
		}
	}
}

package user_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/argon2id"

	"lilypad.example/services/auth/internal/memory"
	"lilypad.example/services/auth/internal/password"
	"lilypad.example/services/auth/internal/storetest"
	"lilypad.example/services/auth/internal/user"
)

const goodPassword = "walnut quay zephyr"

// fakeHasher does not really hash, and records its calls.
type fakeHasher struct {
	calls    []string
	outdated bool
	err      error
}

func (h *fakeHasher) Hash(_ context.Context, secret string) (string, error) {
	h.calls = append(h.calls, "hash")
	return fmt.Sprintf("$argon2id$%d$%s", len(h.calls), secret), h.err
}

func (h *fakeHasher) Verify(_ context.Context, secret, hash string) (password.Verdict, error) {
	h.calls = append(h.calls, "verify")
	match := hash != "" && strings.HasSuffix(hash, "$"+secret)
	return password.Verdict{Match: match, Outdated: match && h.outdated}, h.err
}

// spyStore records the calls of a store and can fail.
type spyStore struct {
	user.Store
	calls []string
	err   error
}

func (s *spyStore) ByEmail(ctx context.Context, email string) (user.User, error) {
	s.calls = append(s.calls, "ByEmail")
	if s.err != nil {
		return user.User{}, s.err
	}
	return s.Store.ByEmail(ctx, email)
}

func (s *spyStore) Create(ctx context.Context, u user.User) error {
	s.calls = append(s.calls, "Create")
	if s.err != nil {
		return s.err
	}
	return s.Store.Create(ctx, u)
}

func (s *spyStore) UpdatePasswordHash(ctx context.Context, id string, old, replacement user.Hash) error {
	s.calls = append(s.calls, "UpdatePasswordHash")
	if s.err != nil {
		return s.err
	}
	return s.Store.UpdatePasswordHash(ctx, id, old, replacement)
}

type fixture struct {
	*user.Service
	store  *spyStore
	hasher *fakeHasher
}

func newFixture() fixture {
	f := fixture{store: &spyStore{Store: new(memory.Users)}, hasher: new(fakeHasher)}
	f.Service = user.NewService(f.store, f.hasher, func() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 123456789, time.Local) })
	return f
}

func (f fixture) resetCalls() { f.store.calls, f.hasher.calls = nil, nil }

func TestRegister(t *testing.T) {
	f := newFixture()
	u, err := f.Register(t.Context(), " Mina@Pond.example ", " Wilhelmina  T ", goodPassword)
	if err != nil {
		t.Fatal(err)
	}
	if u.Email != "mina@pond.example" || u.Name != "Wilhelmina T" || len(u.Roles) != 0 || u.Disabled || u.ID[14] != '7' {
		t.Fatalf("registered %+v, want normalized fields, no roles, enabled, a UUID version 7", u)
	}
	stored, err := f.ByID(t.Context(), u.ID)
	if err != nil {
		t.Fatal(err)
	}
	if stored.ID != u.ID || !stored.CreatedAt.Equal(u.CreatedAt) || stored.PasswordHash != u.PasswordHash {
		t.Fatalf("stored %+v, want %+v as returned", stored, u)
	}
	if got, err := f.Authenticate(t.Context(), "MINA@pond.example", goodPassword); err != nil || got.ID != u.ID {
		t.Fatalf("Authenticate: %+v, %v; want user %s", got, err, u.ID)
	}
}

func TestRegisterWithRoles(t *testing.T) {
	f := newFixture()
	u, err := f.Register(t.Context(), "mina@pond.example", "Mina", goodPassword, "keeper", "admin", "keeper")
	if err != nil || !slices.Equal(u.Roles, []string{"admin", "keeper"}) {
		t.Fatalf("Register: %+v, %v; want roles admin and keeper", u, err)
	}
	for _, role := range []string{"", "Admin", "a,b", "a b", "a\nb", strings.Repeat("a", 64)} {
		if _, err := f.Register(t.Context(), "other@pond.example", "Mina", goodPassword, role); err == nil {
			t.Errorf("role %q was accepted, want an error", role)
		}
	}
}

func TestRegisterReportsAllFaultsAtOnceAndHashesNothing(t *testing.T) {
	for _, tt := range []struct{ name, email, userName, password, want string }{
		{"all empty", "", "", "", "email:required name:required password:required"},
		{"all wrong", "mina", strings.Repeat("x", 101), "short", "email:invalid name:too_long password:too_short"},
		{"too long", "mina@pond.example", "Mina", strings.Repeat(goodPassword, 10), "password:too_long"},
		{"common", "mina@pond.example", "Mina", "Password12345678!", "password:common"},
		{"made of the address", "mina@pondmail.example", "Mina", "mina-pondmail-2026", "password:common"},
		{"made of the name", "a@pond.example", "Wilhelmina Thunderstone", "wilhelmina thunderstone", "password:common"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture()
			_, err := f.Register(t.Context(), tt.email, tt.userName, tt.password)
			faults, ok := errors.AsType[user.FieldErrors](err)
			if !ok || faults.Error() != "user: invalid fields: "+tt.want {
				t.Fatalf("got %v, want %s", err, tt.want)
			}
			if len(f.hasher.calls)+len(f.store.calls) != 0 {
				t.Fatalf("hasher calls %v, store calls %v; want none", f.hasher.calls, f.store.calls)
			}
		})
	}
}

func TestRegisterTakenAddressCostsWhatAFreeOneDoes(t *testing.T) {
	f := newFixture()
	if _, err := f.Register(t.Context(), "mina@pond.example", "Mina", goodPassword); err != nil {
		t.Fatal(err)
	}
	free := slices.Concat(f.hasher.calls, f.store.calls)
	f.resetCalls()
	if _, err := f.Register(t.Context(), "Mina@pond.example", "Someone", goodPassword); !errors.Is(err, user.ErrEmailTaken) {
		t.Fatalf("got %v, want %v", err, user.ErrEmailTaken)
	}
	if taken := slices.Concat(f.hasher.calls, f.store.calls); !slices.Equal(free, taken) {
		t.Fatalf("calls for a taken address %v, want %v as for a free one", taken, free)
	}
}

// TestNoEnumeration checks that an unknown user and a wrong password cause the same calls and the
// same answer. Package password tests that Verify does the same work for both.
func TestNoEnumeration(t *testing.T) {
	f := newFixture()
	known, err := f.Register(t.Context(), "mina@pond.example", "Mina", goodPassword)
	if err != nil {
		t.Fatal(err)
	}
	disabled := storetest.NewUser(t, "gone@pond.example")
	disabled.Disabled, disabled.PasswordHash = true, "$argon2id$"+goodPassword
	if err := f.store.Create(t.Context(), disabled); err != nil {
		t.Fatal(err)
	}
	f.hasher.outdated = true // a rehash would appear in the calls
	for _, tt := range []struct {
		name, email, password string
		want                  user.Refusal
	}{
		{"unknown user", "nobody@pond.example", goodPassword, user.Refusal{Cause: user.CauseUnknownUser}},
		{"no address at all", "nobody", goodPassword, user.Refusal{Cause: user.CauseUnknownUser}},
		{"empty address", "", "", user.Refusal{Cause: user.CauseUnknownUser}},
		{"wrong password", "mina@pond.example", goodPassword + "!", user.Refusal{Cause: user.CauseWrongPassword, UserID: known.ID}},
		{"empty password", "mina@pond.example", "", user.Refusal{Cause: user.CauseWrongPassword, UserID: known.ID}},
		{"disabled, right password", "gone@pond.example", goodPassword, user.Refusal{Cause: user.CauseDisabled, UserID: disabled.ID}},
		{"disabled, wrong password", "gone@pond.example", "wrong", user.Refusal{Cause: user.CauseWrongPassword, UserID: disabled.ID}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f.resetCalls()
			got, err := f.Authenticate(t.Context(), tt.email, tt.password)
			refusal, ok := errors.AsType[*user.Refusal](err)
			if !ok || !errors.Is(err, user.ErrInvalidCredentials) || err.Error() != user.ErrInvalidCredentials.Error() || got.ID != "" {
				t.Fatalf("got %+v, %v; want a Refusal and no user", got, err)
			}
			if *refusal != tt.want {
				t.Errorf("cause %+v, want %+v", *refusal, tt.want)
			}
			if !slices.Equal(f.store.calls, []string{"ByEmail"}) || !slices.Equal(f.hasher.calls, []string{"verify"}) {
				t.Errorf("store calls %v, hasher calls %v; want [ByEmail] and [verify]", f.store.calls, f.hasher.calls)
			}
		})
	}
}

func TestLoginUpgradesAnOutdatedHash(t *testing.T) {
	f := newFixture()
	before, err := f.Register(t.Context(), "mina@pond.example", "Mina", goodPassword)
	if err != nil {
		t.Fatal(err)
	}
	f.hasher.outdated = true
	after, err := f.Authenticate(t.Context(), "mina@pond.example", goodPassword)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := f.ByID(t.Context(), before.ID)
	if err != nil {
		t.Fatal(err)
	}
	if stored.PasswordHash == before.PasswordHash || stored.PasswordHash != after.PasswordHash {
		t.Fatal("the outdated hash was not replaced in the store and the returned user")
	}
}

func TestFailingToUpgradeAHashIsNoReasonToRefuse(t *testing.T) {
	f := newFixture()
	if _, err := f.Register(t.Context(), "mina@pond.example", "Mina", goodPassword); err != nil {
		t.Fatal(err)
	}
	f.hasher.outdated = true
	service := user.NewService(failingUpdates{f.store}, f.hasher, time.Now)
	if _, err := service.Authenticate(t.Context(), "mina@pond.example", goodPassword); err != nil {
		t.Fatal(err)
	}
}

type failingUpdates struct{ user.Store }

func (failingUpdates) UpdatePasswordHash(context.Context, string, user.Hash, user.Hash) error {
	return user.ErrUnavailable
}

func TestAuthenticateUpgradesARealHash(t *testing.T) {
	hasher, err := password.NewHasher(password.Config{})
	if err != nil {
		t.Fatal(err)
	}
	store := new(memory.Users)
	u := storetest.NewUser(t, "mina@pond.example")
	old, err := argon2id.CreateHash(goodPassword, &argon2id.Params{Memory: 64, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32})
	if err != nil {
		t.Fatal(err)
	}
	u.PasswordHash = user.Hash(old)
	if err := store.Create(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	service := user.NewService(store, hasher, time.Now)
	if _, err := service.Authenticate(t.Context(), u.Email, goodPassword); err != nil {
		t.Fatal(err)
	}
	got, err := store.ByID(t.Context(), u.ID)
	if err != nil || !strings.HasPrefix(string(got.PasswordHash), "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatalf("hash %s, %v; want one with the current parameters", string(got.PasswordHash), err)
	}
	if _, err := service.Authenticate(t.Context(), u.Email, goodPassword); err != nil {
		t.Fatalf("Authenticate with the new hash: error %v, want none", err)
	}
}

func TestAFailingStoreOrHasherIsNoRefusal(t *testing.T) {
	for name, tt := range map[string]struct{ store, hasher, want error }{
		"store":  {store: user.ErrUnavailable, want: user.ErrUnavailable},
		"hasher": {hasher: password.ErrBusy, want: password.ErrBusy},
	} {
		f := newFixture()
		f.store.err, f.hasher.err = tt.store, tt.hasher
		_, login := f.Authenticate(t.Context(), "mina@pond.example", goodPassword)
		_, registration := f.Register(t.Context(), "mina@pond.example", "Mina", goodPassword)
		for _, err := range []error{login, registration} {
			if !errors.Is(err, tt.want) || errors.Is(err, user.ErrInvalidCredentials) {
				t.Errorf("failing %s: error %v, want %v", name, err, tt.want)
			}
		}
	}
}

func TestAHashHidesItself(t *testing.T) {
	u := storetest.NewUser(t, "mina@pond.example")
	u.PasswordHash = "$argon2id$planted"
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "user", u, "hash", u.PasswordHash)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "user", u, "hash", u.PasswordHash)
	encoded, err := json.Marshal(u)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		log.String(), string(encoded), fmt.Sprintf("%v %+v %#v", u, u, u), fmt.Sprintf("%v %q %x %#v", u.PasswordHash, u.PasswordHash, u.PasswordHash, u.PasswordHash),
	} {
		if strings.Contains(text, "planted") || strings.Contains(text, fmt.Sprintf("%x", "planted")) {
			t.Errorf("text shows the hash: %s", text)
		}
	}
}

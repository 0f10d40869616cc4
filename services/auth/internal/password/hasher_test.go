package password

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alexedwards/argon2id"
	"golang.org/x/text/unicode/norm"
)

func newHasher(t *testing.T, cfg Config) *Hasher {
	t.Helper()
	h, err := NewHasher(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestStorage(t *testing.T) {
	h := newHasher(t, Config{})
	const password = "walnut quay zephyr"
	first, err := h.Hash(t.Context(), password)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(first, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatalf("not a PHC string of the wanted parameters: %s", first)
	}
	second, err := h.Hash(t.Context(), password)
	if err != nil {
		t.Fatal(err)
	}
	if first == second {
		t.Fatal("two users with one password share a hash: no salt of their own")
	}
	for _, hash := range []string{first, second} {
		if v, err := h.Verify(t.Context(), password, hash); err != nil || !v.Match || v.Outdated {
			t.Fatalf("got %+v, %v", v, err)
		}
		if v, err := h.Verify(t.Context(), password+" ", hash); err != nil || v.Match {
			t.Fatalf("another password: %+v, %v", v, err)
		}
	}
}

func TestHashOfOlderParametersIsOutdated(t *testing.T) {
	h := newHasher(t, Config{})
	old, err := argon2id.CreateHash("walnut quay zephyr", &argon2id.Params{Memory: 64, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32})
	if err != nil {
		t.Fatal(err)
	}
	if v, err := h.Verify(t.Context(), "walnut quay zephyr", old); err != nil || !v.Match || !v.Outdated {
		t.Fatalf("got %+v, %v", v, err)
	}
	if v, err := h.Verify(t.Context(), "another password", old); err != nil || v.Match || v.Outdated {
		t.Fatalf("got %+v, %v", v, err)
	}
}

func TestNoTruncation(t *testing.T) {
	h := newHasher(t, Config{})
	password := strings.Repeat("🐸🌿💧🌞🌙⭐🍀🪷", 16) // 128 characters, 512 bytes
	hash, err := h.Hash(t.Context(), password)
	if err != nil {
		t.Fatal(err)
	}
	other := strings.TrimSuffix(password, "🪷") + "🌷"
	if v, err := h.Verify(t.Context(), other, hash); err != nil || v.Match {
		t.Fatalf("the last character does not count: %+v, %v", v, err)
	}
}

func TestOnePasswordInTwoNormalForms(t *testing.T) {
	h := newHasher(t, Config{})
	hash, err := h.Hash(t.Context(), norm.NFD.String("wälnüt quäy zéphyr"))
	if err != nil {
		t.Fatal(err)
	}
	if v, err := h.Verify(t.Context(), norm.NFC.String("wälnüt quäy zéphyr"), hash); err != nil || !v.Match {
		t.Fatalf("got %+v, %v", v, err)
	}
}

// Whoever asks, one check is made, with the same parameters. Timing follows from that.
func TestTheSameWorkForAnUnknownUser(t *testing.T) {
	h := newHasher(t, Config{})
	hash, err := h.Hash(t.Context(), "walnut quay zephyr")
	if err != nil {
		t.Fatal(err)
	}
	var checked []argon2id.Params
	check := h.check
	h.check = func(password, hash string) (bool, *argon2id.Params, error) {
		match, params, err := check(password, hash)
		checked = append(checked, *params)
		return match, params, err
	}
	for name, try := range map[string]struct{ password, hash string }{
		"right":                             {"walnut quay zephyr", hash},
		"wrong":                             {"walnut quay zephyx", hash},
		"unknown user":                      {"walnut quay zephyr", ""},
		"unknown user, empty password":      {"", ""},
		"far too long":                      {strings.Repeat("x", 1<<20), hash},
		"far too long, and an unknown user": {strings.Repeat("x", 1<<20), ""},
	} {
		checked = nil
		v, err := h.Verify(t.Context(), try.password, try.hash)
		if err != nil || v.Match != (name == "right") {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
		if len(checked) != 1 || checked[0] != *h.params {
			t.Errorf("%s: work %+v, want one check with %+v", name, checked, *h.params)
		}
	}
}

func TestVerifyRefusesHashesThatAreNotOurs(t *testing.T) {
	h := newHasher(t, Config{})
	for name, hash := range map[string]string{
		"plain text":        "walnut quay zephyr",
		"bcrypt":            "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy",
		"argon2i":           "$argon2i$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$MTIzNDU2Nzg5MDEyMzQ1Ng",
		"another version":   "$argon2id$v=16$m=64,t=1,p=1$c2FsdHNhbHQ$MTIzNDU2Nzg5MDEyMzQ1Ng",
		"an empty key":      "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$",
		"no salt":           "$argon2id$v=19$m=64,t=1,p=1$$MTIzNDU2Nzg5MDEyMzQ1Ng",
		"no pass":           "$argon2id$v=19$m=64,t=0,p=1$c2FsdHNhbHQ$MTIzNDU2Nzg5MDEyMzQ1Ng",
		"no lane":           "$argon2id$v=19$m=64,t=1,p=0$c2FsdHNhbHQ$MTIzNDU2Nzg5MDEyMzQ1Ng",
		"4 TiB of memory":   "$argon2id$v=19$m=4294967295,t=1,p=1$c2FsdHNhbHQ$MTIzNDU2Nzg5MDEyMzQ1Ng",
		"a billion passes":  "$argon2id$v=19$m=64,t=1000000000,p=1$c2FsdHNhbHQ$MTIzNDU2Nzg5MDEyMzQ1Ng",
		"a part is missing": "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ",
	} {
		if v, err := h.Verify(t.Context(), "", hash); !errors.Is(err, ErrMalformedHash) || v.Match {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
}

// blocking is a Hasher whose hashes last until release is closed, so that a test can look at it at its busiest.
func blocking(t *testing.T, cfg Config) (h *Hasher, running, most *atomic.Int64, release chan struct{}) {
	t.Helper()
	h = newHasher(t, cfg)
	running, most, release = new(atomic.Int64), new(atomic.Int64), make(chan struct{})
	h.create = func(string, *argon2id.Params) (string, error) {
		n := running.Add(1)
		defer running.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-release
		return "hash", nil
	}
	return h, running, most, release
}

func TestHashFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const concurrent, waiting, logins = 4, 16, 300
		h, running, most, release := blocking(t, Config{Concurrent: concurrent, Waiting: waiting})
		var done, busy, other atomic.Int64
		var wg sync.WaitGroup
		for range logins {
			wg.Go(func() {
				switch _, err := h.Hash(t.Context(), "x"); {
				case err == nil:
					done.Add(1)
				case errors.Is(err, ErrBusy):
					busy.Add(1)
				default:
					other.Add(1)
				}
			})
		}
		synctest.Wait() // everything runs, waits or has been refused
		if running.Load() != concurrent || busy.Load() != logins-concurrent-waiting || done.Load() != 0 {
			t.Fatalf("at the busiest: %d run, %d refused, %d done", running.Load(), busy.Load(), done.Load())
		}
		close(release)
		wg.Wait()
		if done.Load() != concurrent+waiting || other.Load() != 0 || most.Load() > concurrent {
			t.Fatalf("%d done, %d other errors, %d at once", done.Load(), other.Load(), most.Load())
		}
		if _, err := h.Hash(t.Context(), "x"); err != nil {
			t.Fatalf("after the flood: %v", err)
		}
	})
}

// Whoever comes back when they were told finds the queue done, and not sooner.
func TestBusySaysWhenTheQueueIsDone(t *testing.T) {
	for _, cfg := range []Config{{Concurrent: 1, Waiting: 1}, {Concurrent: 4, Waiting: 16}, {Concurrent: 3, Waiting: 7}} {
		synctest.Test(t, func(t *testing.T) {
			h := newHasher(t, cfg)
			const each = 3 * time.Second // a machine with little to spare
			var done atomic.Int64
			h.create = func(string, *argon2id.Params) (string, error) {
				time.Sleep(each)
				done.Add(1)
				return "hash", nil
			}
			if _, err := h.Hash(t.Context(), "x"); err != nil {
				t.Fatal(err)
			}
			done.Store(0)
			all := cfg.Concurrent + cfg.Waiting
			var wg sync.WaitGroup
			for range all {
				wg.Go(func() { _, _ = h.Hash(t.Context(), "x") })
			}
			synctest.Wait()
			_, err := h.Hash(t.Context(), "x")
			busy, ok := errors.AsType[*BusyError](err)
			if !ok || !errors.Is(err, ErrBusy) {
				t.Fatalf("%+v: got %v, want a BusyError", cfg, err)
			}
			time.Sleep(busy.RetryAfter - time.Second)
			if done.Load() == int64(all) {
				t.Errorf("%+v: all is done a second before the %v that were said", cfg, busy.RetryAfter)
			}
			time.Sleep(time.Second)
			synctest.Wait()
			if done.Load() != int64(all) {
				t.Errorf("%+v: %d of %d are done after the %v that were said", cfg, done.Load(), all, busy.RetryAfter)
			}
			wg.Wait()
		})
	}
}

func TestWhoeverGoesAwayStopsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, running, _, release := blocking(t, Config{Concurrent: 1, Waiting: 1})
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = h.Hash(t.Context(), "x") })
		synctest.Wait()

		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() {
			_, err := h.Verify(ctx, "x", "")
			result <- err
		}()
		synctest.Wait()
		if _, err := h.Hash(t.Context(), "x"); !errors.Is(err, ErrBusy) {
			t.Fatalf("the queue is full, yet %v", err)
		}
		cancel()
		if err := <-result; !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}

		wg.Go(func() { _, _ = h.Hash(t.Context(), "x") }) // the place in the queue is free again
		synctest.Wait()
		if running.Load() != 1 {
			t.Fatalf("%d run", running.Load())
		}
		close(release)
		wg.Wait()
		if _, err := h.Hash(ctx, "x"); !errors.Is(err, context.Canceled) {
			t.Fatalf("whoever has gone away before gets no hash: %v", err)
		}
	})
}

func TestNewHasherRefusesNegativeBounds(t *testing.T) {
	for _, cfg := range []Config{{Concurrent: -1}, {Waiting: -1}} {
		if _, err := NewHasher(cfg); err == nil {
			t.Errorf("%+v: no error", cfg)
		}
	}
}

func BenchmarkHash(b *testing.B) {
	h, err := NewHasher(Config{})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := h.Hash(b.Context(), "walnut quay zephyr"); err != nil {
			b.Fatal(err)
		}
	}
}

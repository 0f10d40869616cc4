package gcra

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"lilypad.example/services/auth/internal/ratelimit"
	"lilypad.example/services/pkg/redistest"
)

func secrets(texts ...string) func() [][]byte {
	return func() (all [][]byte) {
		for _, text := range texts {
			all = append(all, []byte(text))
		}
		return all
	}
}

// onBoth runs a test on Redis and on miniredis, which differ in Lua and expiry.
func onBoth(t *testing.T, test func(t *testing.T, client *redis.Client)) {
	t.Helper()
	t.Run("redis", func(t *testing.T) { test(t, redistest.New(t)) })
	t.Run("miniredis", func(t *testing.T) {
		_, client := redistest.Mini(t)
		test(t, client)
	})
}

func newLimiter(t *testing.T, client *redis.Client, rates ratelimit.Rates) *Limiter {
	t.Helper()
	l, err := New(client, secrets("sixteen bytes or more"), rates)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// withAccount returns the given rates for LoginAccount and slow ones for all other limits.
func withAccount(rates ...ratelimit.Rate) ratelimit.Rates {
	r := ratelimit.Rates{}
	for _, limit := range ratelimit.All() {
		r[limit] = []ratelimit.Rate{{Burst: 2, Period: 24 * time.Hour}}
	}
	r[ratelimit.LoginAccount] = rates
	return r
}

// take makes n attempts and returns how many were allowed, and the last decision.
func take(t *testing.T, l *Limiter, limit ratelimit.Limit, subject string, n int) (allowed int, last ratelimit.Decision) {
	t.Helper()
	for range n {
		d, err := l.Allow(t.Context(), limit, subject)
		if err != nil {
			t.Fatal(err)
		}
		if d.Allowed {
			allowed++
		}
		last = d
	}
	return allowed, last
}

func TestAttemptsBeyondTheLimitAreRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, client *redis.Client) {
		l := newLimiter(t, client, withAccount(ratelimit.Rate{Burst: 10, Period: 10 * time.Hour}))
		allowed, last := take(t, l, ratelimit.LoginAccount, "mina@pond.example", 300)
		if allowed != 10 {
			t.Fatalf("%d attempts were allowed, want 10", allowed)
		}
		if last.RetryAfter <= 0 || last.RetryAfter > time.Hour {
			t.Fatalf("retry after %v, want at most an hour, in which one attempt refills", last.RetryAfter)
		}
	})
}

func TestSubjectsAndLimitsDoNotShare(t *testing.T) {
	onBoth(t, func(t *testing.T, client *redis.Client) {
		l := newLimiter(t, client, withAccount(ratelimit.Rate{Burst: 3, Period: 24 * time.Hour}))
		take(t, l, ratelimit.LoginAccount, "mina@pond.example", 5)
		if allowed, _ := take(t, l, ratelimit.LoginAccount, "other@pond.example", 5); allowed != 3 {
			t.Errorf("another account: %d attempts were allowed, want 3", allowed)
		}
		// The same subject has a separate counter for each limit.
		if allowed, _ := take(t, l, ratelimit.LoginAddress, "mina@pond.example", 5); allowed != 2 {
			t.Errorf("another limit: %d attempts were allowed, want 2", allowed)
		}
		if allowed, _ := take(t, l, ratelimit.RegistrationAddress, "mina@pond.example", 5); allowed != 2 {
			t.Errorf("a third limit: %d attempts were allowed, want 2", allowed)
		}
	})
}

func TestReplicasShareALimitUnderParallelGuessing(t *testing.T) {
	onBoth(t, func(t *testing.T, client *redis.Client) {
		rates := withAccount(ratelimit.Rate{Burst: 10, Period: 24 * time.Hour})
		replicas := []*Limiter{newLimiter(t, client, rates), newLimiter(t, client, rates), newLimiter(t, client, rates)}
		var allowed atomic.Int64
		var wg sync.WaitGroup
		for i := range 90 {
			wg.Go(func() {
				d, err := replicas[i%len(replicas)].Allow(t.Context(), ratelimit.LoginAccount, "mina@pond.example")
				if err != nil {
					t.Error(err)
				}
				if d.Allowed {
					allowed.Add(1)
				}
			})
		}
		wg.Wait()
		if allowed.Load() != 10 {
			t.Fatalf("%d attempts were allowed, want 10", allowed.Load())
		}
	})
}

func TestSuccessGivesEverythingBack(t *testing.T) {
	onBoth(t, func(t *testing.T, client *redis.Client) {
		l := newLimiter(t, client, withAccount(
			ratelimit.Rate{Burst: 3, Period: 24 * time.Hour}, ratelimit.Rate{Burst: 4, Period: 48 * time.Hour}))
		for range 3 { // more in total than the second rate allows
			if allowed, _ := take(t, l, ratelimit.LoginAccount, "mina@pond.example", 5); allowed != 3 {
				t.Fatalf("%d attempts were allowed, want 3", allowed)
			}
			if err := l.Reset(t.Context(), ratelimit.LoginAccount, "mina@pond.example"); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// clock controls the time of a miniredis.
type clock struct {
	m   *miniredis.Miniredis
	now time.Time
}

func newClock(m *miniredis.Miniredis) *clock {
	c := &clock{m, time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	c.advance(0)
	return c
}

func (c *clock) advance(d time.Duration) {
	c.now = c.now.Add(d)
	c.m.SetTime(c.now)
	c.m.FastForward(d)
}

// With the default rates, an attacker who guesses whenever allowed gets a hundred attempts and then
// about three per day.
func TestAHundredConsecutiveFailures(t *testing.T) {
	for _, limit := range []ratelimit.Limit{ratelimit.LoginAccount, ratelimit.LoginDevice} {
		m, client := redistest.Mini(t)
		l := newLimiter(t, client, ratelimit.DefaultRates())
		clock := newClock(m)
		guesses, _ := take(t, l, limit, "mina@pond.example", 20)
		for range 3 * 60 {
			clock.advance(time.Minute)
			allowed, _ := take(t, l, limit, "mina@pond.example", 2)
			guesses += allowed
		}
		if guesses != 100 {
			t.Fatalf("%v: %d guesses in three hours, want 100", limit, guesses)
		}
		clock.advance(time.Minute) // the shorter rate would allow one
		d, err := l.Allow(t.Context(), limit, "mina@pond.example")
		if err != nil || d.Allowed || d.RetryAfter < time.Hour || d.RetryAfter > 8*time.Hour {
			t.Fatalf("%v: %+v, %v; want a refusal with RetryAfter from 1h to 8h", limit, d, err)
		}
		clock.advance(d.RetryAfter)
		if d, err := l.Allow(t.Context(), limit, "mina@pond.example"); err != nil || !d.Allowed {
			t.Fatalf("%v: after RetryAfter: %+v, %v; want it allowed", limit, d, err)
		}
	}
}

// RetryAfter is the time until every rate allows one attempt, not only the first that refused.
func TestRetryAfterHoldsForEveryRate(t *testing.T) {
	for name, rates := range map[string][]ratelimit.Rate{
		"both are used up":            {{Burst: 2, Period: 2 * time.Minute}, {Burst: 2, Period: 2 * time.Hour}},
		"the long one only":           {{Burst: 4, Period: 4 * time.Minute}, {Burst: 2, Period: 2 * time.Hour}},
		"the short one only":          {{Burst: 2, Period: 2 * time.Minute}, {Burst: 4, Period: 2 * time.Hour}},
		"the long one is shared":      {{Burst: 2, Period: 2 * time.Minute}, {Burst: 2, Period: 2 * time.Hour, Counters: 8}},
		"the second is the short one": {{Burst: 3, Period: 3 * time.Hour}, {Burst: 2, Period: 2 * time.Minute}},
	} {
		m, client := redistest.Mini(t)
		l := newLimiter(t, client, withAccount(rates...))
		clock := newClock(m)
		_, last := take(t, l, ratelimit.LoginAccount, "mina@pond.example", 3)
		if last.Allowed || last.RetryAfter <= 0 {
			t.Fatalf("%s: third attempt: %+v, want a refusal with RetryAfter", name, last)
		}
		clock.advance(last.RetryAfter - time.Second)
		if allowed, _ := take(t, l, ratelimit.LoginAccount, "mina@pond.example", 1); allowed != 0 {
			t.Errorf("%s: allowed a second before RetryAfter (%v), want a refusal", name, last.RetryAfter)
		}
		clock.advance(time.Second)
		if allowed, again := take(t, l, ratelimit.LoginAccount, "mina@pond.example", 1); allowed != 1 {
			t.Errorf("%s: refused after RetryAfter (%v) for another %v, want it allowed", name, last.RetryAfter, again.RetryAfter)
		}
	}
}

// Counts survive a change of secrets that reaches one replica after the other.
func TestCountsSurviveAChangeOfSecrets(t *testing.T) {
	onBoth(t, func(t *testing.T, client *redis.Client) {
		replica := func(texts ...string) *Limiter {
			l, err := New(client, secrets(texts...), withAccount(ratelimit.Rate{Burst: 7, Period: 24 * time.Hour}))
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		for name, c := range map[string]struct {
			replicas []*Limiter
			want     int // allowed, of two attempts per replica
		}{
			"all replicas share a secret":  {[]*Limiter{replica("a"), replica("a", "b"), replica("a"), replica("b", "a"), replica("a", "b")}, 7},
			"each change keeps a secret":   {[]*Limiter{replica("c", "d"), replica("d", "c"), replica("d", "c"), replica("c", "d"), replica("d"), replica("d", "e")}, 7},
			"no shared secret":             {[]*Limiter{replica("f"), replica("g")}, 4},
			"no shared secret of two each": {[]*Limiter{replica("h", "i"), replica("j", "k")}, 4},
			"different orders":             {[]*Limiter{replica("l", "m"), replica("m", "l"), replica("l", "m"), replica("m", "l")}, 7},
		} {
			allowed := 0
			for _, l := range c.replicas {
				n, _ := take(t, l, ratelimit.LoginAccount, "mina@pond.example", 2)
				allowed += n
			}
			if allowed != c.want {
				t.Errorf("%s: %d attempts were allowed, want %d", name, allowed, c.want)
			}
		}
		if err := replica("b", "a").Reset(t.Context(), ratelimit.LoginAccount, "mina@pond.example"); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"a", "b"} {
			if n, _ := take(t, replica(key), ratelimit.LoginAccount, "mina@pond.example", 1); n != 1 {
				t.Errorf("under secret %s: no attempt was allowed after a success, want one", key)
			}
		}
	})
}

// Made-up subjects use bounded storage, also with several secrets.
func TestSharedCountersAreBounded(t *testing.T) {
	client := redistest.New(t)
	const counters, most = 16, 104
	rates := withAccount(ratelimit.Rate{Burst: 1000, Period: 24 * time.Hour, Counters: counters})
	l, err := New(client, secrets("one", "other"), rates)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 500 {
		take(t, l, ratelimit.LoginAccount, fmt.Sprintf("nobody%d@pond.example", i), 1)
	}
	keys, err := client.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	if len(keys) > counters {
		t.Errorf("%d keys, want at most %d", len(keys), counters)
	}
	for _, key := range keys {
		if n, err := client.MemoryUsage(t.Context(), key).Result(); err != nil || n > most {
			t.Errorf("%s takes %d bytes, %v; want at most %d", key, n, err, most)
		}
	}
}

// A login to one's own account does not clear a counter that other accounts share.
func TestASuccessGivesBackOnlyItsOwnOfASharedCounter(t *testing.T) {
	onBoth(t, func(t *testing.T, client *redis.Client) {
		l := newLimiter(t, client, withAccount(ratelimit.Rate{Burst: 10, Period: 24 * time.Hour, Counters: 1}))
		guesses := 0
		for range 10 {
			n, _ := take(t, l, ratelimit.LoginAccount, "mina@pond.example", 1)
			guesses += n
			if n, _ := take(t, l, ratelimit.LoginAccount, "mallory@pond.example", 1); n == 0 {
				break
			}
			if err := l.Reset(t.Context(), ratelimit.LoginAccount, "mallory@pond.example"); err != nil {
				t.Fatal(err)
			}
		}
		n, _ := take(t, l, ratelimit.LoginAccount, "mina@pond.example", 10)
		if guesses += n; guesses != 10 {
			t.Errorf("%d guesses were allowed, want 10", guesses)
		}
	})
}

func TestRepeatedAttemptsDoNotProlongTheWait(t *testing.T) {
	m, client := redistest.Mini(t)
	l := newLimiter(t, client, withAccount(ratelimit.Rate{Burst: 2, Period: 2 * time.Hour}))
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	m.SetTime(now)
	take(t, l, ratelimit.LoginAccount, "mina@pond.example", 2)
	_, first := take(t, l, ratelimit.LoginAccount, "mina@pond.example", 1)
	_, last := take(t, l, ratelimit.LoginAccount, "mina@pond.example", 100)
	if first != last {
		t.Fatalf("first refusal %+v, after 100 more attempts %+v, want the same", first, last)
	}
	m.SetTime(now.Add(last.RetryAfter))
	if allowed, _ := take(t, l, ratelimit.LoginAccount, "mina@pond.example", 2); allowed != 1 {
		t.Fatalf("%d attempts were allowed after RetryAfter, want 1", allowed)
	}
}

func TestAnIPv6PrefixIsOneSubject(t *testing.T) {
	_, client := redistest.Mini(t)
	l := newLimiter(t, client, withAccount(ratelimit.Rate{Burst: 1, Period: time.Hour}))
	allowed := 0
	for i := range 20 {
		n, _ := take(t, l, ratelimit.LoginAddress, fmt.Sprintf("2001:db8:1:2:%x::7", i), 1)
		allowed += n
	}
	if allowed != 2 {
		t.Fatalf("%d attempts were allowed, want 2", allowed)
	}
}

func TestKeysContainNoAddressAndExpire(t *testing.T) {
	onBoth(t, func(t *testing.T, client *redis.Client) {
		l := newLimiter(t, client, ratelimit.DefaultRates())
		take(t, l, ratelimit.LoginAccount, "mina@pond.example", 1)
		take(t, l, ratelimit.LoginAddress, "192.0.2.77", 1)
		keys, err := client.Keys(t.Context(), "*").Result()
		if err != nil {
			t.Fatal(err)
		}
		if len(keys) != 3 { // an account has two rates
			t.Fatalf("keys %q, want 3", keys)
		}
		for _, key := range keys {
			value, err := client.Get(t.Context(), key).Result()
			if err != nil {
				t.Fatal(err)
			}
			if text := key + value; strings.Contains(text, "mina") || strings.Contains(text, "192.0") {
				t.Errorf("%s contains an address, want digests only", text)
			}
			if ttl, err := client.TTL(t.Context(), key).Result(); err != nil || ttl <= 0 {
				t.Errorf("%s expires in %v, %v; want an expiry", key, ttl, err)
			}
		}
	})
}

func TestDigestsDependOnTheSecret(t *testing.T) {
	_, client := redistest.Mini(t)
	one := newLimiter(t, client, ratelimit.DefaultRates())
	other, err := New(client, secrets("another secret"), ratelimit.DefaultRates())
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range one.counters(ratelimit.LoginAccount, "mina@pond.example") {
		if c.key == other.counters(ratelimit.LoginAccount, "mina@pond.example")[i].key {
			t.Errorf("%s is the same with another secret, want it to depend on the secret", c.key)
		}
	}
}

func TestAnOutageIsARefusalAndRecovers(t *testing.T) {
	server := redistest.Start(t)
	opts, err := redis.ParseURL(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	opts.MaxRetries, opts.DialerRetries = -1, 1 // fail at once
	client := redis.NewClient(opts)
	t.Cleanup(func() { _ = client.Close() })
	l := newLimiter(t, client, ratelimit.DefaultRates())
	take(t, l, ratelimit.LoginAccount, "mina@pond.example", 1) // opens a connection that the outage breaks
	server.Stop()
	d, err := l.Allow(t.Context(), ratelimit.LoginAccount, "mina@pond.example")
	if !errors.Is(err, ratelimit.ErrUnavailable) || d.Allowed {
		t.Fatalf("Allow in an outage: %+v, %v; want ErrUnavailable", d, err)
	}
	if err := l.Reset(t.Context(), ratelimit.LoginAccount, "mina@pond.example"); !errors.Is(err, ratelimit.ErrUnavailable) {
		t.Fatalf("Reset in an outage: %v, want ErrUnavailable", err)
	}
	server.Start(t)
	for err != nil { // until the pool dials again
		d, err = l.Allow(t.Context(), ratelimit.LoginAccount, "mina@pond.example")
	}
	if !d.Allowed {
		t.Fatalf("Allow after the outage: %+v, want it allowed", d)
	}
}

func TestARedisThatCannotWriteIsUnavailable(t *testing.T) {
	client := redistest.Start(t, "--maxmemory", "1", "--maxmemory-policy", "noeviction").Client(t)
	l := newLimiter(t, client, ratelimit.DefaultRates())
	if d, err := l.Allow(t.Context(), ratelimit.LoginAccount, "mina@pond.example"); !errors.Is(err, ratelimit.ErrUnavailable) || d.Allowed {
		t.Fatalf("Allow in an outage: %+v, %v; want ErrUnavailable", d, err)
	}
}

func TestWhoeverGaveUpGetsTheContextsError(t *testing.T) {
	_, client := redistest.Mini(t)
	l := newLimiter(t, client, ratelimit.DefaultRates())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := l.Allow(ctx, ratelimit.LoginAccount, "mina@pond.example")
	for _, err := range []error{err, l.Reset(ctx, ratelimit.LoginAccount, "mina@pond.example")} {
		if !errors.Is(err, context.Canceled) || errors.Is(err, ratelimit.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	}
}

func TestNewRefusesWhatWouldNotLimit(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr()})
	t.Cleanup(func() { _ = client.Close() })
	for name, rates := range map[string]ratelimit.Rates{
		"no rates":         nil,
		"a limit has none": withAccount(),
		"no burst":         withAccount(ratelimit.Rate{Burst: 0, Period: time.Hour}),
		"no period":        withAccount(ratelimit.Rate{Burst: 1}),
		"fewer than none":  withAccount(ratelimit.Rate{Burst: 1, Period: time.Hour, Counters: -1}),
	} {
		if _, err := New(client, secrets("sixteen bytes or more"), rates); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestAnUnknownLimitAllowsNothing(t *testing.T) {
	_, client := redistest.Mini(t)
	l := newLimiter(t, client, ratelimit.DefaultRates())
	if d, err := l.Allow(t.Context(), ratelimit.Limit(200), "x"); err == nil || d.Allowed {
		t.Fatalf("got %+v, %v", d, err)
	}
	if got := fmt.Sprint(ratelimit.Limit(200)); got != "unknown" {
		t.Fatal(got)
	}
}

// Package gcra implements ratelimit.Limiter on Redis with the generic cell rate algorithm of
// redis_rate: one script, and one small, expiring key per subject. It uses the clock of Redis, so
// that the clocks of replicas do not matter.
//
// Keys contain a keyed digest of the subject, never an e-mail or network address.
package gcra

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"

	"lilypad.example/services/auth/internal/ratelimit"
)

// digestBytes is the number of digest bytes in a key.
const digestBytes = 16

// Limiter is a ratelimit.Limiter on Redis.
type Limiter struct {
	limiter *redis_rate.Limiter
	secrets func() [][]byte
	rates   ratelimit.Rates
}

// New returns a Limiter. Attempts are counted under a digest with each secret, so that counts
// survive a change of secrets, and replicas share counts as long as they have one secret in common.
// Every limit must have at least one rate.
func New(client redis.UniversalClient, secrets func() [][]byte, rates ratelimit.Rates) (*Limiter, error) {
	for _, limit := range ratelimit.All() {
		if len(rates[limit]) == 0 {
			return nil, fmt.Errorf("ratelimit: %v has no rate", limit)
		}
		for _, r := range rates[limit] {
			if r.Burst < 1 || r.Period < time.Second || r.Counters < 0 {
				return nil, fmt.Errorf("ratelimit: %v: invalid rate of %d in %v", limit, r.Burst, r.Period)
			}
		}
	}
	return &Limiter{redis_rate.NewLimiter(client), secrets, rates}, nil
}

// Allow implements ratelimit.Limiter. A resent command, after a lost response, counts twice.
func (l *Limiter) Allow(ctx context.Context, limit ratelimit.Limit, subject string) (ratelimit.Decision, error) {
	counters := l.counters(limit, subject)
	if len(counters) == 0 {
		return ratelimit.Decision{}, fmt.Errorf("ratelimit: %v is not a limit", limit)
	}
	take := 1
	var wait time.Duration
	for _, c := range counters {
		res, err := l.limiter.AllowN(ctx, c.key, c.rate, take)
		if err != nil {
			return ratelimit.Decision{}, failure(ctx, err)
		}
		if res.Allowed < take {
			take = 0 // ask the others only for the time to wait
		}
		// A counter is full when Period is used up; this is the time until one more attempt fits.
		wait = max(wait, res.ResetAfter+c.rate.Period/time.Duration(c.rate.Burst)-c.rate.Period)
	}
	if take == 1 {
		return ratelimit.Decision{Allowed: true}, nil
	}
	// Redis computes in fractions that are rounded down in transit.
	return ratelimit.Decision{RetryAfter: wait.Truncate(time.Millisecond) + time.Millisecond}, nil
}

// Reset implements ratelimit.Limiter.
func (l *Limiter) Reset(ctx context.Context, limit ratelimit.Limit, subject string) error {
	for _, c := range l.counters(limit, subject) {
		var err error
		if c.shared {
			_, err = l.limiter.AllowN(ctx, c.key, c.rate, -1)
		} else {
			err = l.limiter.Reset(ctx, c.key)
		}
		if err != nil {
			return failure(ctx, err)
		}
	}
	return nil
}

// A counter is one key in Redis (redis_rate adds the prefix "rate:").
type counter struct {
	key    string
	rate   redis_rate.Limit
	shared bool
}

// counters returns the counters of a subject: for each rate, in order, one per secret. Digests are
// hash tags of Redis Cluster.
func (l *Limiter) counters(limit ratelimit.Limit, subject string) []counter {
	digests := make([][]byte, 0, 2)
	for _, secret := range l.secrets() {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte("lilypad rate limit\x00" + limit.String() + "\x00" + limit.Subject(subject)))
		digests = append(digests, mac.Sum(nil)[:digestBytes])
	}
	all := make([]counter, 0, len(digests)*len(l.rates[limit]))
	for i, rate := range l.rates[limit] {
		for _, digest := range digests {
			tag := hex.EncodeToString(digest)
			if rate.Counters > 0 {
				tag = strconv.FormatUint(binary.BigEndian.Uint64(digest)%uint64(rate.Counters), 16)
			}
			all = append(all, counter{
				key:    limit.String() + ":" + strconv.Itoa(i) + ":{" + tag + "}",
				rate:   redis_rate.Limit{Rate: rate.Burst, Burst: rate.Burst, Period: rate.Period},
				shared: rate.Counters > 0,
			})
		}
	}
	return all
}

// failure wraps an error of Redis in ErrUnavailable, unless the caller has canceled ctx.
func failure(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("ratelimit: %w", ctx.Err())
	}
	return fmt.Errorf("%w: %w", ratelimit.ErrUnavailable, err)
}

var _ ratelimit.Limiter = (*Limiter)(nil)

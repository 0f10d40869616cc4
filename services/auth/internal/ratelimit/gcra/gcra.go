// Package gcra implements ratelimit.Limiter on Redis with the generic cell rate algorithm of redis_rate: one script and one small
// key a subject, which expires by itself, and the time of Redis, so that the clocks of replicas do not matter.
//
// Keys contain a keyed digest of the subject, never the e-mail or network address itself.
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

// digestBytes is how much of a digest goes into the name of a key.
const digestBytes = 16

// Limiter is a ratelimit.Limiter on Redis.
type Limiter struct {
	limiter *redis_rate.Limiter
	secrets func() [][]byte
	rates   ratelimit.Rates
}

// New returns a Limiter. Each secret keys digests of its own, and everything is counted under all of them: when secrets come and go,
// counts go on, and replicas with different secrets share them as long as they have one in common. Every limit must have at least one rate.
func New(client redis.UniversalClient, secrets func() [][]byte, rates ratelimit.Rates) (*Limiter, error) {
	for _, limit := range ratelimit.All() {
		if len(rates[limit]) == 0 {
			return nil, fmt.Errorf("ratelimit: %v has no rate", limit)
		}
		for _, r := range rates[limit] {
			if r.Burst < 1 || r.Period < time.Second || r.Counters < 0 {
				return nil, fmt.Errorf("ratelimit: %v: %d in %v is no rate", limit, r.Burst, r.Period)
			}
		}
	}
	return &Limiter{redis_rate.NewLimiter(client), secrets, rates}, nil
}

// Allow implements ratelimit.Limiter. An answer that was lost on the way and asked for again counts twice: the strict side.
func (l *Limiter) Allow(ctx context.Context, limit ratelimit.Limit, subject string) (ratelimit.Decision, error) {
	counters := l.counters(limit, subject)
	if len(counters) == 0 {
		return ratelimit.Decision{}, fmt.Errorf("ratelimit: %v is no limit", limit)
	}
	take := 1
	var wait time.Duration
	for _, c := range counters {
		res, err := l.limiter.AllowN(ctx, c.key, c.rate, take)
		if err != nil {
			return ratelimit.Decision{}, failure(ctx, err)
		}
		if res.Allowed < take {
			take = 0 // the others are only asked how long it will take
		}
		// A counter is full when all of Period is taken: until one more fits.
		wait = max(wait, res.ResetAfter+c.rate.Period/time.Duration(c.rate.Burst)-c.rate.Period)
	}
	if take == 1 {
		return ratelimit.Decision{Allowed: true}, nil
	}
	// Redis reckons in fractions of which some are lost on the way.
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

// A counter is one key in Redis (redis_rate puts "rate:" before it).
type counter struct {
	key    string
	rate   redis_rate.Limit
	shared bool
}

// counters returns what counts a subject: for each rate, in their order, one under each secret. Digests are hash tags of Redis Cluster.
func (l *Limiter) counters(limit ratelimit.Limit, subject string) []counter {
	digests := make([][]byte, 0, 2)
	for _, secret := range l.secrets() {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte("lilypad rate limit\x00" + limit.String() + "\x00" + limit.Subject(subject)))
		digests = append(digests, mac.Sum(nil)[:digestBytes])
	}
	var all []counter
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

// failure makes every error of Redis ErrUnavailable, except that the caller has gone away.
func failure(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("ratelimit: %w", ctx.Err())
	}
	return fmt.Errorf("%w: %w", ratelimit.ErrUnavailable, err)
}

var _ ratelimit.Limiter = (*Limiter)(nil)

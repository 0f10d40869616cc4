// Package gcra implements ratelimit.Limiter on Redis with the generic cell rate algorithm of redis_rate: one script and one small
// key a subject, which expires by itself, and the time of Redis, so that the clocks of replicas do not matter.
//
// Keys contain a keyed digest of the subject, never the e-mail or network address itself (R12).
package gcra

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
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
	secret  func() []byte
	rates   ratelimit.Rates
}

// New returns a Limiter. What secret returns keys the digests in the names of keys: all replicas must have the same, and a change of it
// forgets what was counted. Every limit must have at least one rate.
func New(client redis.UniversalClient, secret func() []byte, rates ratelimit.Rates) (*Limiter, error) {
	for _, limit := range ratelimit.All() {
		if len(rates[limit]) == 0 {
			return nil, fmt.Errorf("ratelimit: %v has no rate", limit)
		}
		for _, r := range rates[limit] {
			if r.Burst < 1 || r.Period < time.Second {
				return nil, fmt.Errorf("ratelimit: %v: %d in %v is no rate", limit, r.Burst, r.Period)
			}
		}
	}
	return &Limiter{redis_rate.NewLimiter(client), secret, rates}, nil
}

// Allow implements ratelimit.Limiter. An answer that was lost on the way and asked for again counts twice: the strict side.
func (l *Limiter) Allow(ctx context.Context, limit ratelimit.Limit, subject string) (ratelimit.Decision, error) {
	rates := l.rates[limit]
	if len(rates) == 0 {
		return ratelimit.Decision{}, fmt.Errorf("ratelimit: %v is no limit", limit)
	}
	for i, rate := range rates {
		res, err := l.limiter.Allow(ctx, l.key(limit, i, subject), redis_rate.Limit{Rate: rate.Burst, Burst: rate.Burst, Period: rate.Period})
		if err != nil {
			return ratelimit.Decision{}, failure(ctx, err)
		}
		if res.Allowed == 0 {
			return ratelimit.Decision{RetryAfter: max(res.RetryAfter, time.Millisecond)}, nil
		}
	}
	return ratelimit.Decision{Allowed: true}, nil
}

// Reset implements ratelimit.Limiter.
func (l *Limiter) Reset(ctx context.Context, limit ratelimit.Limit, subject string) error {
	for i := range l.rates[limit] {
		if err := l.limiter.Reset(ctx, l.key(limit, i, subject)); err != nil {
			return failure(ctx, err)
		}
	}
	return nil
}

// key returns the name of a rate's key (redis_rate puts "rate:" before it), with the subject as the hash tag of Redis Cluster.
func (l *Limiter) key(limit ratelimit.Limit, rate int, subject string) string {
	mac := hmac.New(sha256.New, l.secret())
	mac.Write([]byte("lilypad rate limit\x00" + limit.String() + "\x00" + limit.Subject(subject)))
	return limit.String() + ":" + strconv.Itoa(rate) + ":{" + hex.EncodeToString(mac.Sum(nil)[:digestBytes]) + "}"
}

// failure makes every error of Redis ErrUnavailable, except that the caller has gone away.
func failure(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("ratelimit: %w", ctx.Err())
	}
	return fmt.Errorf("%w: %w", ratelimit.ErrUnavailable, err)
}

var _ ratelimit.Limiter = (*Limiter)(nil)

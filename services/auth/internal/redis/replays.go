package redis

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// Replays is a clientauth.Replays with one expiring key per assertion. A failover that loses writes
// forgets the assertions in them.
type Replays struct{ client redis.UniversalClient }

// NewReplays returns Replays that are kept in client.
func NewReplays(client redis.UniversalClient) *Replays { return &Replays{client} }

// First implements clientauth.Replays.
func (r *Replays) First(ctx context.Context, client, jti string, remember time.Duration) (bool, error) {
	key, call := replayKey(client, jti), rand.Text()
	set, err := r.client.SetNX(ctx, key, call, remember).Result()
	if err != nil || set {
		return set, err
	}
	// The key exists. If the client library lost the answer and sent SETNX again, this call set it.
	by, err := r.client.Get(ctx, key).Result()
	if errors.Is(err, redis.Nil) { // expired since SETNX
		return false, nil
	}
	return by == call, err
}

// replayKey returns the key of an assertion. Its length is fixed, because clients choose the jti.
func replayKey(client, jti string) string {
	sum := sha256.Sum256([]byte(strconv.Itoa(len(client)) + ":" + client + jti))
	return "assertion:" + base64.RawURLEncoding.EncodeToString(sum[:16])
}

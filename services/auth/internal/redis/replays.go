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

// Replays is a clientauth.Replays: a key an assertion, which expires by itself.
// A failover that loses the newest writes forgets the assertions in them.
type Replays struct{ client redis.UniversalClient }

// NewReplays returns the used assertions in client.
func NewReplays(client redis.UniversalClient) *Replays { return &Replays{client} }

// First implements clientauth.Replays.
func (r *Replays) First(ctx context.Context, client, jti string, remember time.Duration) (bool, error) {
	key, call := replayKey(client, jti), rand.Text()
	set, err := r.client.SetNX(ctx, key, call, remember).Result()
	if err != nil || set {
		return set, err
	}
	// Its answer may have been lost, and the command sent again: then it is there
	// by this very call.
	by, err := r.client.Get(ctx, key).Result()
	if errors.Is(err, redis.Nil) { // it has just expired
		return false, nil
	}
	return by == call, err
}

// replayKey has the same length for every client and jti, which clients choose.
func replayKey(client, jti string) string {
	sum := sha256.Sum256([]byte(strconv.Itoa(len(client)) + ":" + client + jti))
	return "assertion:" + base64.RawURLEncoding.EncodeToString(sum[:16])
}

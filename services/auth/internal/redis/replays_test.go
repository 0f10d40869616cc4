package redis_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2/server"
	goredis "github.com/redis/go-redis/v9"

	"lilypad.example/services/auth/internal/redis"
	"lilypad.example/services/pkg/redistest"
)

func TestAnAssertionIsUsedForTheFirstTimeOnce(t *testing.T) {
	_, mini := redistest.Mini(t)
	for name, client := range map[string]*goredis.Client{"redis": redistest.New(t), "miniredis": mini} {
		t.Run(name, func(t *testing.T) {
			r := redis.NewReplays(client)
			use := func(client, jti string) bool {
				t.Helper()
				first, err := r.First(t.Context(), client, jti, time.Minute)
				if err != nil {
					t.Fatal(err)
				}
				return first
			}
			var firsts atomic.Int32
			var all sync.WaitGroup
			for range 16 {
				all.Go(func() {
					if use("app", "a") {
						firsts.Add(1)
					}
				})
			}
			all.Wait()
			if n := firsts.Load(); n != 1 {
				t.Errorf("%d of 16 concurrent uses were the first, want 1", n)
			}
			for _, other := range [][2]string{{"app", "b"}, {"other", "a"}, {"appa", ""}, {"ap", "pa"}} {
				if !use(other[0], other[1]) {
					t.Errorf("first use of %v is a replay, want it to be the first", other)
				}
			}
		})
	}
}

func TestAUsedAssertionTakesLittleRoomAndNotForLong(t *testing.T) {
	server, client := redistest.Mini(t)
	r := redis.NewReplays(client)
	for _, jti := range []string{"a", strings.Repeat("a", 8<<10)} {
		if _, err := r.First(t.Context(), strings.Repeat("client", 100), jti, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range server.Keys() {
		if len(key) > 40 || server.TTL(key) != time.Minute {
			t.Errorf("key %s expires in %s, want at most 40 bytes and 1m", key, server.TTL(key))
		}
	}
	server.FastForward(time.Minute)
	if keys := server.Keys(); len(keys) > 0 {
		t.Errorf("keys %v still exist after a minute, want none", keys)
	}
}

func TestAnAnswerThatWasLostMakesNoReplay(t *testing.T) {
	mini, client := redistest.Mini(t)
	var lost atomic.Bool
	mini.Server().SetPreHook(func(c *server.Peer, command string, args ...string) bool {
		if command != "SET" || !lost.CompareAndSwap(false, true) {
			return false
		}
		if err := mini.Set(args[0], args[1]); err != nil {
			t.Error(err)
		}
		c.Close() // no answer, so go-redis sends the command again
		return true
	})
	first, err := redis.NewReplays(client).First(t.Context(), "app", "a", time.Minute)
	if err != nil || !first || !lost.Load() {
		t.Errorf("first %t, %v, answer lost %t; want true, no error, true", first, err, lost.Load())
	}
}

func TestARedisThatIsAwayIsNoReplay(t *testing.T) {
	mini, client := redistest.Mini(t)
	mini.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if first, err := redis.NewReplays(client).First(ctx, "app", "a", time.Minute); err == nil || first {
		t.Errorf("without Redis: first %t, error %v; want false and an error", first, err)
	}
}

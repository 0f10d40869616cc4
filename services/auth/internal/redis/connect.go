package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// errEvicts is a fault of the configuration that loses sessions silently.
var errEvicts = errors.New("redis evicts keys when memory is short, which logs users out: set maxmemory-policy noeviction")

// Connect returns a client of the Redis at url (redis:// or rediss://, as
// go-redis parses it) and checks that it answers and never evicts (T68).
func Connect(ctx context.Context, url string) (redis.UniversalClient, error) {
	opts, err := redis.ParseURL(url)
	if err != nil {
		// The error of ParseURL may quote the URL, which holds a password.
		return nil, errors.New("redis URL: want redis://[user:password@]host:port[/db] or rediss://…")
	}
	opts.DialTimeout, opts.ReadTimeout, opts.WriteTimeout = 2*time.Second, time.Second, time.Second
	opts.PoolTimeout = 2 * time.Second
	opts.ContextTimeoutEnabled = true
	client := redis.NewClient(opts)
	if err := check(ctx, client); err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return client, nil
}

func check(ctx context.Context, client redis.UniversalClient) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	// INFO and not CONFIG GET: managed Redis refuses the latter.
	info, err := client.Info(ctx, "memory").Result()
	if err != nil {
		return fmt.Errorf("redis is not reachable: %w", err)
	}
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "maxmemory_policy" && value != "noeviction" {
			return errEvicts
		}
	}
	return nil
}

// Embedded starts a miniredis in this process and returns its client and what
// ends both. What it holds is gone with the process.
func Embedded() (client redis.UniversalClient, stop func(), err error) {
	server := miniredis.NewMiniRedis()
	if err := server.StartAddr("127.0.0.1:0"); err != nil {
		return nil, nil, fmt.Errorf("start embedded redis: %w", err)
	}
	server.ClockTTL(true) // keys expire by the clock, as in Redis
	c := redis.NewClient(&redis.Options{Addr: server.Addr()})
	return c, func() { _ = c.Close(); server.Close() }, nil
}

package redis

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"lilypad.example/services/auth/internal/session"
)

// errEvicts means that Redis is configured to evict keys, which loses sessions silently.
var errEvicts = errors.New("redis evicts keys when memory is short, which logs users out: set maxmemory-policy noeviction")

const (
	dialTimeout = 2 * time.Second
	ioTimeout   = time.Second
	poolTimeout = 2 * time.Second
	// slotsEvery is how often the client of a Cluster reloads the slots. A dead primary does not
	// redirect to its successor, so the client only learns of it by a reload.
	slotsEvery = time.Second
	// dialTries is 1 with several servers, because dialing a dead server again delays finding the
	// one that has taken over. Commands are retried anyway.
	dialTries = 1
)

// Open returns a client of the Redis at url: a single server, Sentinel or a Cluster (see parseURL).
// With TLS it verifies the servers with roots, or with the public authorities if roots is nil. It
// does not connect; its errors are about the URL. The client never reads from replicas, which may
// be stale.
func Open(url string, roots *x509.CertPool) (redis.UniversalClient, error) {
	place, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	if err := place.trust(roots); err != nil {
		return nil, err
	}
	if o := place.alone; o != nil {
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = dialTimeout, ioTimeout, ioTimeout, poolTimeout
		o.ContextTimeoutEnabled = true
		return redis.NewClient(o), nil
	}
	o := place.several
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = dialTimeout, ioTimeout, ioTimeout, poolTimeout
	o.ContextTimeoutEnabled = true
	o.DialerRetries = dialTries
	if o.IsClusterMode {
		cluster := o.Cluster()
		cluster.ClusterStateReloadInterval = slotsEvery
		return redis.NewClusterClient(cluster), nil
	}
	return redis.NewFailoverClient(o.Failover()), nil
}

// Check checks that Redis answers and that no primary evicts keys. It fails with
// session.ErrUnavailable if a retry may help. Any other error is about the settings of Redis or
// ours.
func Check(ctx context.Context, client redis.UniversalClient) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var err error
	if cluster, ok := client.(*redis.ClusterClient); ok {
		err = cluster.ForEachMaster(ctx, func(ctx context.Context, primary *redis.Client) error {
			return keepsAll(ctx, primary)
		})
	} else {
		err = keepsAll(ctx, client)
	}
	switch {
	case err == nil, errors.Is(err, errEvicts):
		return err
	case misconfigured(err):
		return fmt.Errorf("redis refuses us: %w", err)
	}
	return fmt.Errorf("redis is not reachable: %w: %w", session.ErrUnavailable, err)
}

// misconfigured reports whether err is permanent until somebody changes a setting: a wrong
// password, or a URL for another kind of server. Other answers, such as LOADING, are temporary.
func misconfigured(err error) bool {
	if redis.IsAuthError(err) || redis.IsPermissionError(err) {
		return true
	}
	answer, ok := errors.AsType[redis.Error](err)
	return ok && strings.HasPrefix(answer.Error(), "ERR ") && !redis.IsMaxClientsError(err)
}

// keepsAll returns errEvicts if the maxmemory-policy of the server is not noeviction.
func keepsAll(ctx context.Context, client redis.Cmdable) error {
	// INFO, because managed Redis refuses CONFIG GET.
	info, err := client.Info(ctx, "memory").Result()
	if err != nil {
		return err
	}
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "maxmemory_policy" && value != "noeviction" {
			return errEvicts
		}
	}
	return nil
}

// EmbeddedEpoch returns the epoch of an Embedded Redis, which never fails over.
func EmbeddedEpoch() session.Epoch { return "embedded" }

// Embedded starts a miniredis in this process. It returns a client, and a function that stops both.
// The data is lost when the process exits.
func Embedded() (client redis.UniversalClient, stop func(), err error) {
	server := miniredis.NewMiniRedis()
	if err := server.StartAddr("127.0.0.1:0"); err != nil {
		return nil, nil, fmt.Errorf("start embedded redis: %w", err)
	}
	server.ClockTTL(true) // expire keys by the real clock, as Redis does
	c := redis.NewClient(&redis.Options{Addr: server.Addr()})
	return c, func() { _ = c.Close(); server.Close() }, nil
}

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

// errEvicts is a fault of the configuration that loses sessions silently.
var errEvicts = errors.New("redis evicts keys when memory is short, which logs users out: set maxmemory-policy noeviction")

// Connect is Open and Check.
func Connect(ctx context.Context, url string, roots *x509.CertPool) (redis.UniversalClient, error) {
	client, err := Open(url, roots)
	if err != nil {
		return nil, err
	}
	if err := Check(ctx, client); err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return client, nil
}

const (
	dialTimeout = 2 * time.Second
	ioTimeout   = time.Second
	poolTimeout = 2 * time.Second
	// slotsEvery is how long a Cluster's client goes on asking a primary that
	// died: one that answers names its successor, a dead one does not.
	slotsEvery = time.Second
	// dialTries with several servers: to try one that does not answer again and
	// again keeps from finding the one that has taken over. Commands are
	// retried anyway.
	dialTries = 1
)

// Open returns a client of the Redis at url, alone, behind Sentinel or a
// Cluster (see parseURL). With TLS all its servers are verified by roots, or by
// the public authorities if that is nil. It does not connect; its error is about
// the URL. Replicas are never asked: what they say may be over.
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

// Check checks that Redis answers and that no primary of it ever evicts. Its
// error is session.ErrUnavailable if trying again may help; otherwise it is
// about the settings, ours or those of Redis.
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

// misconfigured reports whether err is an answer that stays the same until
// somebody changes a setting: a wrong password, or a URL for another kind of
// server. Other answers are about a state, such as LOADING.
func misconfigured(err error) bool {
	if redis.IsAuthError(err) || redis.IsPermissionError(err) {
		return true
	}
	answer, ok := errors.AsType[redis.Error](err)
	return ok && strings.HasPrefix(answer.Error(), "ERR ") && !redis.IsMaxClientsError(err)
}

// keepsAll returns errEvicts unless this server keeps all that it is given.
func keepsAll(ctx context.Context, client redis.Cmdable) error {
	// INFO and not CONFIG GET: managed Redis refuses the latter.
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

// EmbeddedEpoch is the epoch of an Embedded Redis, which never fails over.
func EmbeddedEpoch() session.Epoch { return "embedded" }

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

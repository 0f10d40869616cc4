package redistest

import (
	"context"
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"
)

func TestAReplicaFollowsAndIsPromoted(t *testing.T) {
	t.Parallel()
	primary, replica := StartTCP(t), StartTCP(t)
	replica.Follow(t, primary)
	set(t, primary.Client(t), "a")
	replica.AwaitCaughtUp(t, primary)
	replica.Promote(t)
	set(t, primary.Client(t), "b")
	primary.Stop()
	client := redis.NewClient(&redis.Options{Addr: replica.Addr()})
	defer func() { _ = client.Close() }()
	if n, err := client.Exists(t.Context(), "a", "b").Result(); err != nil || n != 1 {
		t.Errorf("%d, %v: want a and not b", n, err)
	}
	set(t, client, "c")
}

func TestSentinelsPromoteTheReplica(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			s := StartSentinels(t, n)
			s.Primary.Stop()
			s.LetThemFailOver(t)
			client := s.Replica.Client(t)
			await(t, "the replica is promoted", func(ctx context.Context) error { return client.Set(ctx, "k", "v", 0).Err() })
		})
	}
}

func TestAClusterReplacesAPrimary(t *testing.T) {
	t.Parallel()
	c := StartCluster(t)
	shard := c.Shard(t, "k")
	set(t, c.Primary(shard).Client(t), "k")
	c.Replica(shard).AwaitCaughtUp(t, c.Primary(shard))
	c.Primary(shard).Stop()
	c.LetItFailOver(t)
	client := c.Replica(shard).Client(t)
	await(t, "the replica takes over", func(ctx context.Context) error { return client.Set(ctx, "k", "v", 0).Err() })
}

func set(t *testing.T, client *redis.Client, key string) {
	t.Helper()
	if err := client.Set(t.Context(), key, "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
}

package redistest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

const (
	shards = 3
	slots  = 16384 // of every Redis Cluster
)

// Cluster is a Redis Cluster of three primaries with a replica each.
type Cluster struct {
	nodes   [2 * shards]*Server // the replica of node i is node i+shards
	clients [2 * shards]*redis.Client
}

// StartCluster starts a Cluster and waits until all nodes agree on the slots. It does not fail over
// before LetItFailOver, so that a busy machine causes no failover. Unserved slots do not affect the
// others.
func StartCluster(t testing.TB) *Cluster {
	t.Helper()
	c := new(Cluster)
	for i := range c.nodes {
		c.nodes[i] = StartTCP(t, "--cluster-enabled", "yes", "--cluster-config-file", "nodes",
			"--cluster-node-timeout", "1500", "--cluster-require-full-coverage", "no",
			// A replica may take over however old its data is.
			"--cluster-replica-validity-factor", "0", "--cluster-allow-replica-migration", "no")
		c.clients[i] = c.nodes[i].Client(t)
	}
	c.form(t)
	c.setTimeout(t, "60000")
	return c
}

// form creates the Cluster, like redis-cli --cluster create.
func (c *Cluster) form(t testing.TB) {
	t.Helper()
	var ids [len(c.nodes)]string
	for i, client := range c.clients {
		id, err := client.ClusterMyID(t.Context()).Result()
		if err != nil {
			t.Fatalf("redistest: cluster: %v", err)
		}
		ids[i] = id
		c.tell(t, i, "SET-CONFIG-EPOCH", i+1)
		if i < shards {
			c.tell(t, i, "ADDSLOTSRANGE", i*slots/shards, (i+1)*slots/shards-1)
		}
		for _, met := range c.nodes[:i] { // all pairs, because gossip takes seconds
			c.tell(t, i, "MEET", met.ip, port)
		}
	}
	for _, client := range c.clients {
		await(t, "the nodes meet", func(ctx context.Context) error {
			known, err := client.ClusterNodes(ctx).Result()
			for _, id := range ids {
				if err == nil && !strings.Contains(known, id) {
					err = errors.New(known)
				}
			}
			return err
		})
	}
	for i := range shards {
		c.tell(t, shards+i, "REPLICATE", ids[i])
	}
	for i, client := range c.clients {
		await(t, "the nodes agree", func(ctx context.Context) error { return agrees(ctx, client) })
		if i >= shards {
			c.nodes[i].AwaitCaughtUp(t, c.nodes[i-shards])
		}
	}
}

// agrees checks that a node knows a primary and a replica for every slot.
func agrees(ctx context.Context, client *redis.Client) error {
	state, err := client.ClusterInfo(ctx).Result()
	if err != nil {
		return err
	}
	// Unlike CLUSTER SHARDS, it lists only replicas with data, as clients see them.
	ranges, err := client.Do(ctx, "CLUSTER", "SLOTS").Slice()
	if err != nil {
		return err
	}
	good := strings.Contains(state, "cluster_state:ok") && len(ranges) == shards
	for _, r := range ranges {
		r, _ := r.([]any)
		good = good && len(r) == 4 // first slot, last slot, primary, replica
	}
	if !good {
		return fmt.Errorf("%v\n%s", ranges, state)
	}
	return nil
}

// URL returns the value for LILYPAD_REDIS_URL: two nodes, of which one may be down. Clients
// discover the others.
func (c *Cluster) URL() string {
	return "redis+cluster://" + c.nodes[0].Addr() + "," + c.nodes[1].Addr()
}

// Shard returns the shard of a key.
func (c *Cluster) Shard(t testing.TB, key string) int {
	t.Helper()
	slot, err := c.clients[shards].ClusterKeySlot(t.Context(), key).Result()
	if err != nil {
		t.Fatalf("redistest: cluster: %v", err)
	}
	for i := range shards {
		if int(slot) < (i+1)*slots/shards {
			return i
		}
	}
	t.Fatalf("redistest: slot %d", slot)
	return 0
}

// Primary returns the initial primary of a shard.
func (c *Cluster) Primary(shard int) *Server { return c.nodes[shard] }

// Replica returns the initial replica of a shard, which takes over when the primary ends.
func (c *Cluster) Replica(shard int) *Server { return c.nodes[shards+shard] }

// CutReplica stops the replication to the replica of a shard.
func (c *Cluster) CutReplica(t testing.TB, shard int) {
	t.Helper()
	primary := c.clients[shard]
	for _, command := range [][]any{{"ACL", "SETUSER", "default", "-psync", "-sync"}, {"CLIENT", "KILL", "TYPE", "replica"}} {
		if err := primary.Do(t.Context(), command...).Err(); err != nil {
			t.Fatalf("redistest: %v: %v", command, err)
		}
	}
	await(t, "the replica is cut off", func(ctx context.Context) error {
		link, err := info(ctx, c.clients[shards+shard], "master_link_status")
		if err == nil && link == "up" {
			err = errors.New("the link is up")
		}
		return err
	})
}

// LetItFailOver makes the Cluster replace a primary that does not answer for a second.
func (c *Cluster) LetItFailOver(t testing.TB) {
	t.Helper()
	c.setTimeout(t, "1000")
}

func (c *Cluster) setTimeout(t testing.TB, millis string) {
	t.Helper()
	for i, client := range c.clients {
		if c.nodes[i].run == nil {
			continue
		}
		if err := client.ConfigSet(t.Context(), "cluster-node-timeout", millis).Err(); err != nil {
			t.Fatalf("redistest: cluster: %v", err)
		}
	}
}

func (c *Cluster) tell(t testing.TB, node int, command ...any) {
	t.Helper()
	if err := c.clients[node].Do(t.Context(), append([]any{"CLUSTER"}, command...)...).Err(); err != nil {
		t.Fatalf("redistest: CLUSTER %v: %v", command, err)
	}
}

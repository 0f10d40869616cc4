package redistest

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"lilypad.example/services/pkg/process"
)

// primaryName is the name of the primary at the Sentinels.
const primaryName = "lilypad"

// Sentinels are a primary, its replica, and the redis-sentinel processes that monitor them.
type Sentinels struct {
	Primary, Replica *Server

	watchers []*Server
}

// StartSentinels starts a primary, a replica and n Sentinels, of which a majority must agree, and
// waits until they know each other. They do not fail over before LetThemFailOver, so that a busy
// machine causes no failover.
func StartSentinels(t testing.TB, n int) *Sentinels {
	t.Helper()
	s := &Sentinels{Primary: StartTCP(t), Replica: StartTCP(t)}
	s.Replica.Follow(t, s.Primary)
	quorum := n/2 + 1
	for range n {
		w := create(t)
		w.ip = process.LoopbackHost()
		w.conf = []string{
			"port " + strconv.Itoa(port), "bind " + w.ip, "bind-source-addr " + w.ip, "protected-mode no",
			"sentinel announce-ip " + w.ip,
			fmt.Sprintf("sentinel monitor %s %s %d %d", primaryName, s.Primary.ip, port, quorum),
			"sentinel down-after-milliseconds " + primaryName + " 3600000",
			"sentinel failover-timeout " + primaryName + " 5000",
		}
		w.Start(t)
		s.watchers = append(s.watchers, w)
		// A Sentinel promotes only replicas with a recent INFO, which it requests every 10 s by
		// default. When its timer is late, as on a busy machine, it enters TILT mode and does
		// nothing for 30 s.
		s.tell(t, w, "DEBUG", "INFO-PERIOD", "300", "PUBLISH-PERIOD", "300", "ASK-PERIOD", "300", "TILT-TRIGGER", "60000")
	}
	for _, w := range s.watchers {
		client := w.Client(t)
		await(t, "the Sentinels find each other", func(ctx context.Context) error {
			got, err := client.Do(ctx, "SENTINEL", "MASTER", primaryName).Result()
			if err != nil {
				return err
			}
			m, _ := got.(map[any]any)
			if m["num-slaves"] != "1" || m["num-other-sentinels"] != strconv.Itoa(n-1) {
				return fmt.Errorf("%v", m)
			}
			return client.Do(ctx, "SENTINEL", "CKQUORUM", primaryName).Err()
		})
	}
	return s
}

// URL returns the value for a program's LILYPAD_REDIS_URL.
func (s *Sentinels) URL() string {
	addrs := make([]string, len(s.watchers))
	for i, w := range s.watchers {
		addrs[i] = w.Addr()
	}
	return "redis+sentinel://" + strings.Join(addrs, ",") + "/" + primaryName
}

// LetThemFailOver makes the Sentinels promote the replica if the primary does not answer for a
// second.
func (s *Sentinels) LetThemFailOver(t testing.TB) {
	t.Helper()
	for _, w := range s.watchers {
		s.tell(t, w, "SET", primaryName, "down-after-milliseconds", "1000")
	}
}

func (*Sentinels) tell(t testing.TB, watcher *Server, command ...any) {
	t.Helper()
	if err := watcher.Client(t).Do(t.Context(), append([]any{"SENTINEL"}, command...)...).Err(); err != nil {
		t.Fatalf("redistest: SENTINEL %v: %v", command, err)
	}
}

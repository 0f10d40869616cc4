package redistest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"lilypad.example/services/pkg/process"
)

// port is the port of all servers with an address of their own; the cluster bus is 10 000 higher.
// Both are below the ephemeral ports of Linux.
const port = 7007

// StartTCP starts a redis-server at its own loopback address, which other servers can reach.
func StartTCP(t testing.TB, args ...string) *Server {
	t.Helper()
	s := create(t)
	s.ip = process.LoopbackHost()
	s.args = append([]string{
		"--port", strconv.Itoa(port), "--bind", s.ip, "--bind-source-addr", s.ip, "--protected-mode", "no",
		// Send the first copy at once, without waiting for more replicas.
		"--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0",
		// CLUSTER SLOTS omits replicas that have received nothing. Without writes, the first thing
		// they receive is a ping.
		"--repl-ping-replica-period", "1",
	}, args...)
	s.Start(t)
	return s
}

// Addr returns host and port of a server of StartTCP.
func (s *Server) Addr() string { return net.JoinHostPort(s.ip, strconv.Itoa(port)) }

// Follow makes the server a replica of primary and waits until it has all data. Both must be from
// StartTCP.
func (s *Server) Follow(t testing.TB, primary *Server) {
	t.Helper()
	if err := s.Client(t).ReplicaOf(t.Context(), primary.ip, strconv.Itoa(port)).Err(); err != nil {
		t.Fatalf("redistest: follow: %v", err)
	}
	s.AwaitCaughtUp(t, primary)
}

// Promote makes a replica a primary, with the data that it has.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	if err := s.Client(t).ReplicaOf(t.Context(), "NO", "ONE").Err(); err != nil {
		t.Fatalf("redistest: promote: %v", err)
	}
}

// AwaitCaughtUp waits until the replica has all current writes of primary.
func (s *Server) AwaitCaughtUp(t testing.TB, primary *Server) {
	t.Helper()
	from, to := primary.Client(t), s.Client(t)
	offset, err := info(t.Context(), from, "master_repl_offset")
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	want, err := strconv.ParseInt(offset, 10, 64)
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	await(t, "the replica catches up", func(ctx context.Context) error {
		if link, err := info(ctx, to, "master_link_status"); err != nil || link != "up" {
			return fmt.Errorf("link to the primary is %q, %w", link, err)
		}
		offset, err := info(ctx, to, "slave_repl_offset")
		if err != nil {
			return err
		}
		if got, err := strconv.ParseInt(offset, 10, 64); err != nil || got < want {
			return fmt.Errorf("at %q of %d", offset, want)
		}
		return nil
	})
}

// info returns a field of INFO replication.
func info(ctx context.Context, client *redis.Client, name string) (string, error) {
	text, err := client.Info(ctx, "replication").Result()
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+":"); ok {
			return value, nil
		}
	}
	return "", errors.New("INFO lacks " + name)
}

// await waits until ready returns nil.
func await(t testing.TB, what string, ready func(context.Context) error) {
	t.Helper()
	if err := process.Await(t.Context(), process.Patience, ready); err != nil {
		t.Fatalf("redistest: %s: %v", what, err)
	}
}

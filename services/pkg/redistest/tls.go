package redistest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"lilypad.example/services/pkg/process"
	"lilypad.example/services/pkg/tlstest"
)

// StartTLS starts a redis-server that accepts TLS only, with a certificate of ca, for its address
// or for another name.
func StartTLS(t testing.TB, ca *tlstest.CA, another ...string) *Server {
	t.Helper()
	s := create(t)
	s.ip = process.LoopbackHost()
	s.args = []string{"--port", "0", "--bind", s.ip, "--protected-mode", "no"}
	for _, setting := range s.tls(t, ca, another...) {
		name, value, _ := strings.Cut(setting, " ")
		s.args = append(s.args, "--"+name, value)
	}
	s.Start(t)
	return s
}

// StartTLSCluster starts a Cluster of one node that accepts TLS only.
func StartTLSCluster(t testing.TB, ca *tlstest.CA) *Server {
	t.Helper()
	s := StartTLS(t, ca)
	s.Stop()
	s.args = append(s.args, "--cluster-enabled", "yes", "--cluster-config-file", "nodes", "--cluster-announce-ip", s.ip)
	s.Start(t)
	client := s.Client(t)
	if err := client.ClusterAddSlotsRange(t.Context(), 0, slots-1).Err(); err != nil {
		t.Fatalf("redistest: cluster: %v", err)
	}
	await(t, "the Cluster is complete", func(ctx context.Context) error {
		state, err := client.ClusterInfo(ctx).Result()
		if err == nil && !strings.Contains(state, "cluster_state:ok") {
			err = errors.New(state)
		}
		return err
	})
	return s
}

// StartTLSSentinel starts a Sentinel that accepts TLS only, for a primary of StartTLS.
func StartTLSSentinel(t testing.TB, ca *tlstest.CA, primary *Server) *Sentinels {
	t.Helper()
	w := create(t)
	w.ip = process.LoopbackHost()
	w.conf = append(w.tls(t, ca), "port 0", "bind "+w.ip, "protected-mode no",
		fmt.Sprintf("sentinel monitor %s %s %d 1", primaryName, primary.ip, port))
	w.Start(t)
	return &Sentinels{Primary: primary, watchers: []*Server{w}}
}

// tls returns the settings for TLS with clients and other servers.
func (s *Server) tls(t testing.TB, ca *tlstest.CA, another ...string) []string {
	t.Helper()
	cert, key := ca.Issue(t, s.dir, append(another, s.ip)[0])
	return []string{
		"tls-port " + strconv.Itoa(port), "tls-cert-file " + cert, "tls-key-file " + key, "tls-ca-cert-file " + ca.File,
		"tls-auth-clients no", "tls-replication yes", "tls-cluster yes",
	}
}

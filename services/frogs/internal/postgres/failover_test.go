package postgres

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"lilypad.example/services/pkg/pgtest"
)

// Simulates a failover: open connections lead to the demoted server, which returns SQLSTATE 25006;
// new connections lead to the new primary. Read-only sessions stand in for the demoted server.
func TestReadOnlyConnectionsAreDropped(t *testing.T) {
	s, err := Open(t.Context(), pgtest.URL(t, Migrate))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, c := range acquire(t, s, 3) {
		if _, err := c.Exec(t.Context(), "SET default_transaction_read_only = on"); err != nil {
			t.Fatal(err)
		}
		c.Release()
	}
	f, err := s.Pet(t.Context(), "ann", "glass-frog", time.Now())
	if err != nil || f.Pets != 1 {
		t.Fatalf("Pet over a connection to the demoted server: %+v, %v, want 1 pet", f, err)
	}
	for _, c := range acquire(t, s, 3) {
		var state string
		if err := c.QueryRow(t.Context(), "SHOW default_transaction_read_only").Scan(&state); err != nil || state != "off" {
			t.Errorf("a connection in the pool has default_transaction_read_only %q, %v, want off", state, err)
		}
		c.Release()
	}
}

func acquire(t *testing.T, s *Store, n int) []*pgxpool.Conn {
	t.Helper()
	conns := make([]*pgxpool.Conn, 0, n)
	for range n {
		c, err := s.pool.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	return conns
}

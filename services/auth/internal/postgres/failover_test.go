package postgres

import (
	"errors"
	"fmt"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"lilypad.example/services/auth/internal/storetest"
	"lilypad.example/services/auth/internal/user"
	"lilypad.example/services/pkg/pgtest"
)

// recovery is how long writes may fail after a failover.
const recovery = 30 * time.Second

// pair returns a primary with the schema, and its standby.
func pair(t *testing.T) (primary, standby *pgtest.Server) {
	t.Helper()
	primary = pgtest.StartServer(t)
	if err := Migrate(t.Context(), primary.URL()); err != nil {
		t.Fatal(err)
	}
	standby = primary.Standby(t)
	return primary, standby
}

// TestAStandbyTakesOverBehindOneAddress redirects the one address to the promoted standby. Open
// connections still lead to the old primary, which is up and refuses writes.
func TestAStandbyTakesOverBehindOneAddress(t *testing.T) {
	primary, standby := pair(t)
	p, address := newProxy(t, primary.URL())
	s := openURL(t, address)
	fill(t, s)
	before := write(t, s, "before")
	standby.AwaitCaughtUp(t, primary)

	standby.Promote(t)
	p.redirect(standby.Addr())
	primary.Demote(t)
	awaitWrites(t, s)
	if _, err := openURL(t, standby.URL()).ByEmail(t.Context(), before.Email); err != nil {
		t.Errorf("read what was written before the failover: %v", err)
	}
}

// TestSeveralHostsInTheURL fails over from one host of the URL to another.
func TestSeveralHostsInTheURL(t *testing.T) {
	primary, standby := pair(t)
	u, err := url.Parse(primary.URL())
	if err != nil {
		t.Fatal(err)
	}
	u.Host = standby.Addr() + "," + primary.Addr() // the standby comes first and is skipped
	u.RawQuery += "&target_session_attrs=read-write"
	s := openURL(t, u.String())
	fill(t, s)
	before := write(t, s, "before")
	standby.AwaitCaughtUp(t, primary)

	primary.Stop()
	standby.Promote(t)
	awaitWrites(t, s)
	if _, err := s.ByEmail(t.Context(), before.Email); err != nil {
		t.Errorf("read what was written before the failover: %v", err)
	}
	if err := Migrate(t.Context(), u.String()); err != nil {
		t.Errorf("migrate after the failover: %v", err)
	}
}

// redirect sends new connections to another server. Open ones stay.
func (c *proxy) redirect(server string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.server = server
}

// fill opens all connections of the pool.
func fill(t *testing.T, s *Store) {
	t.Helper()
	var conns []*pgxpool.Conn
	for range maxConns {
		conn, err := s.pool.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	for _, conn := range conns {
		conn.Release()
	}
}

func write(t *testing.T, s *Store, name string) user.User {
	t.Helper()
	u := storetest.NewUser(t, name+"@pond.example")
	if err := s.Create(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	return u
}

// awaitWrites retries a write until it succeeds, and then writes on all connections at once.
func awaitWrites(t *testing.T, s *Store) {
	t.Helper()
	start := time.Now()
	for n := 0; ; n++ {
		err := s.Create(t.Context(), storetest.NewUser(t, fmt.Sprintf("try%d@pond.example", n)))
		if err == nil {
			break
		}
		if !errors.Is(err, user.ErrUnavailable) {
			t.Fatalf("error %v, want user.ErrUnavailable until writes work", err)
		}
		if time.Since(start) > recovery {
			t.Fatalf("writes still fail after %v: %v", recovery, err)
		}
	}
	t.Logf("writes work again after %v", time.Since(start))
	var all sync.WaitGroup
	for n := range 2 * maxConns {
		all.Go(func() {
			if err := s.Create(t.Context(), storetest.NewUser(t, fmt.Sprintf("all%d@pond.example", n))); err != nil {
				t.Errorf("write %d after the recovery: %v", n, err)
			}
		})
	}
	all.Wait()
}

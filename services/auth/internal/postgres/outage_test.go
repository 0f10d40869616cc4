package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"lilypad.example/services/auth/internal/storetest"
	"lilypad.example/services/auth/internal/user"
	"lilypad.example/services/pkg/pgtest"
)

// proxy is a TCP proxy between a Store and its server, which a test can stop.
type proxy struct {
	t    *testing.T
	addr string

	mu       sync.Mutex
	server   string
	listener net.Listener
	conns    map[net.Conn]struct{}
}

// newProxy starts a proxy to the server of databaseURL, and returns it with the URL of its
// listener.
func newProxy(t *testing.T, databaseURL string) (*proxy, string) {
	t.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	c := &proxy{t: t, server: u.Host, addr: "127.0.0.1:0", conns: map[net.Conn]struct{}{}}
	c.start()
	t.Cleanup(c.stop)
	u.Host = c.addr
	return c, u.String()
}

func (c *proxy) start() {
	c.t.Helper()
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", c.addr)
	if err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listener, c.addr = l, l.Addr().String()
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			go c.forward(near)
		}
	}()
}

func (c *proxy) forward(near net.Conn) {
	c.mu.Lock()
	server := c.server
	c.mu.Unlock()
	far, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", server)
	if err != nil {
		_ = near.Close()
		return
	}
	c.mu.Lock()
	c.conns[near], c.conns[far] = struct{}{}, struct{}{}
	c.mu.Unlock()
	go func() {
		_, _ = io.Copy(far, near)
		_ = far.Close()
	}()
	_, _ = io.Copy(near, far)
	_ = near.Close()
}

// stop closes all connections and refuses new ones.
func (c *proxy) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.listener.Close()
	for conn := range c.conns {
		_ = conn.Close()
	}
	clear(c.conns)
}

// await retries until try succeeds; only the test's time limit ends it otherwise.
func await(t *testing.T, try func() error) {
	t.Helper()
	for try() != nil {
		if t.Context().Err() != nil {
			t.Fatal(t.Context().Err())
		}
		runtime.Gosched()
	}
}

func TestAnOutageIsUnavailableAndThePoolHealsAlone(t *testing.T) {
	c, url := newProxy(t, pgtest.URL(t, Migrate))
	s := openURL(t, url)
	u := storetest.NewUser(t, "mina@pond.example")
	if err := s.Create(t.Context(), u); err != nil {
		t.Fatal(err)
	}

	c.stop()
	for range 3 { // the first uses a broken connection, the others must connect
		_, byEmail := s.ByEmail(t.Context(), u.Email)
		_, byID := s.ByID(t.Context(), u.ID)
		for name, err := range map[string]error{
			"Ping": s.Ping(t.Context()), "ByEmail": byEmail, "ByID": byID,
			"Create":             s.Create(t.Context(), storetest.NewUser(t, "other@pond.example")),
			"UpdatePasswordHash": s.UpdatePasswordHash(t.Context(), u.ID, u.PasswordHash, u.PasswordHash),
		} {
			if !errors.Is(err, user.ErrUnavailable) {
				t.Errorf("%s: error %v, want user.ErrUnavailable", name, err)
			}
		}
	}

	c.start()
	await(t, func() error { return s.Ping(t.Context()) })
	if got, err := s.ByEmail(t.Context(), u.Email); err != nil || got.ID != u.ID {
		t.Fatalf("ByEmail after the outage: %+v, error %v, want user %s", got, err, u.ID)
	}
}

// demote makes all connections of the pool read-only, but not new ones: after a failover, open
// connections lead to the old primary and new ones to the new primary.
func demote(t *testing.T, s *Store) {
	t.Helper()
	conns := make([]*pgxpool.Conn, 0, maxConns)
	for range maxConns {
		conn, err := s.pool.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
		if _, err := conn.Exec(t.Context(), "SET default_transaction_read_only = on"); err != nil {
			t.Fatal(err)
		}
	}
	for _, conn := range conns {
		conn.Release()
	}
}

func TestReadOnlyConnectionsAreDropped(t *testing.T) {
	for _, tt := range []struct {
		name   string
		notice func(*testing.T, *Store) error
	}{
		{"by a write", func(t *testing.T, s *Store) error {
			return s.Create(t.Context(), storetest.NewUser(t, "first@pond.example"))
		}},
		{"by a ping", func(t *testing.T, s *Store) error { return s.Ping(t.Context()) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := openURL(t, pgtest.URL(t, Migrate))
			demote(t, s)
			if err := tt.notice(t, s); !errors.Is(err, user.ErrUnavailable) {
				t.Fatalf("error %v, want user.ErrUnavailable", err)
			}
			for i := range maxConns { // one error drops all connections
				if err := s.Create(t.Context(), storetest.NewUser(t, fmt.Sprint(i)+"@pond.example")); err != nil {
					t.Fatalf("write %d after the connections were dropped: %v", i, err)
				}
			}
		})
	}
}

func TestNoConnectionToAReadOnlyServer(t *testing.T) {
	base := pgtest.URL(t, Migrate)
	s := openURL(t, base)
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	name := pgx.Identifier{strings.TrimPrefix(u.Path, "/")}.Sanitize()
	if _, err := s.pool.Exec(t.Context(), "ALTER DATABASE "+name+" SET default_transaction_read_only = on"); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), base); !errors.Is(err, user.ErrUnavailable) {
		t.Fatalf("error %v, want user.ErrUnavailable", err)
	}
}

func TestAHeldLockDelaysNobodyForLong(t *testing.T) {
	base := pgtest.URL(t, Migrate)
	s, holder := openURL(t, base), openURL(t, base)
	u := storetest.NewUser(t, "mina@pond.example")
	if err := s.Create(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	tx, err := holder.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(t.Context())
	if _, err := tx.Exec(t.Context(), "LOCK TABLE users"); err != nil {
		t.Fatal(err)
	}
	s.timeout = 50 * time.Millisecond // shorter than in production, to keep the test fast
	if _, err := s.ByEmail(t.Context(), u.Email); !errors.Is(err, user.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error %v, want user.ErrUnavailable and context.DeadlineExceeded", err)
	}
}

func TestMigrateTellsAWrongSettingFromAServerThatIsAway(t *testing.T) {
	base := pgtest.URL(t, nil)
	c, near := newProxy(t, base)
	c.stop()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	stranger, elsewhere := *u, *u
	stranger.User, elsewhere.Path = url.UserPassword("nobody", "hunter2"), "/lptest_nowhere"
	for name, tt := range map[string]struct {
		url  string
		away bool
	}{
		"nobody listens":                 {near, true},
		"a name that cannot be resolved": {"postgres://postgres.invalid/d", true},
		"a wrong user":                   {stranger.String(), false},
		"a wrong database":               {elsewhere.String(), false},
		"no URL":                         {"postgres://%zz/", false},
	} {
		if err := Migrate(t.Context(), tt.url); err == nil || errors.Is(err, user.ErrUnavailable) != tt.away {
			t.Errorf("%s: error %v, want one that is user.ErrUnavailable: %t", name, err, tt.away)
		}
	}
}

func TestOpenSaysThatTheServerIsUnreachableAndHidesThePassword(t *testing.T) {
	c, base := newProxy(t, pgtest.URL(t, Migrate))
	c.stop()
	withPassword := strings.Replace(base, "postgres@", "postgres:hunter2@", 1)
	for _, url := range []string{withPassword, withPassword + "&pool_max_conns=none", "postgres://lilypad:hunter2@%zz/"} {
		_, err := Open(t.Context(), url)
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("Open: error %v, want one without the password", err)
		}
		if err := Migrate(t.Context(), url); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("Migrate: error %v, want one without the password", err)
		}
	}
}

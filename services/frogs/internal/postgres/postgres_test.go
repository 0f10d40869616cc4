package postgres_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"lilypad.example/services/frogs/internal/frog"
	"lilypad.example/services/frogs/internal/postgres"
	"lilypad.example/services/frogs/internal/storetest"
	"lilypad.example/services/pkg/pgtest"
)

func open(t *testing.T, url string) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func exec(t *testing.T, url, sql string, into ...any) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if len(into) > 0 {
		err = conn.QueryRow(t.Context(), sql).Scan(into...)
	} else {
		_, err = conn.Exec(t.Context(), sql)
	}
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) frog.Store { return open(t, pgtest.URL(t, postgres.Migrate)) })
}

func TestTotalsAreTheSumOfAllUsers(t *testing.T) {
	at := pgtest.URL(t, postgres.Migrate)
	s := open(t, at)
	for _, user := range []string{"ann", "bob", "ann"} {
		if _, err := s.Pet(t.Context(), user, "glass-frog", time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	var off, rows int
	exec(t, at, `SELECT count(*) FROM frogs f WHERE pets <> (SELECT coalesce(sum(pets), 0) FROM pettings WHERE frog_id = f.id)`, &off)
	exec(t, at, `SELECT count(*) FROM pettings`, &rows)
	if off != 0 || rows != 2 {
		t.Errorf("%d frogs with a wrong total, %d rows of pettings; want 0 and 2", off, rows)
	}
}

func TestReplicasThatStartTogetherMigrateOnce(t *testing.T) {
	at := pgtest.URL(t, nil)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			if err := postgres.Migrate(t.Context(), at); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	var n int
	exec(t, at, `SELECT count(*) FROM frogs`, &n)
	if n != len(frog.Catalogue()) {
		t.Errorf("%d frogs, want each frog of the catalogue once", n)
	}
}

func TestMigrateKeepsPettingsAndCorrectsNames(t *testing.T) {
	at := pgtest.URL(t, postgres.Migrate)
	if _, err := open(t, at).Pet(t.Context(), "ann", "glass-frog", time.Now()); err != nil {
		t.Fatal(err)
	}
	exec(t, at, `UPDATE frogs SET name = 'Toad' WHERE id = 'glass-frog'`)
	if err := postgres.Migrate(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	var name string
	var pets int
	exec(t, at, `SELECT name, pets FROM frogs WHERE id = 'glass-frog'`, &name, &pets)
	if name != "Glass frog" || pets != 1 {
		t.Errorf("name %q, %d pets, want Glass frog and 1", name, pets)
	}
}

// After a failover, the address may lead to a read-only server.
func TestAServerThatDoesNotWriteIsNotUsed(t *testing.T) {
	at := pgtest.URL(t, postgres.Migrate)
	admin := with(t, at, "default_transaction_read_only", "off")
	exec(t, admin, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$`)
	s := open(t, at)
	if _, err := s.Pet(t.Context(), "ann", "glass-frog", time.Now()); !errors.Is(err, frog.ErrUnavailable) {
		t.Errorf("err = %v, want ErrUnavailable", err)
	}
	exec(t, admin, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET default_transaction_read_only', current_database()); END $$`)
	if _, err := s.Pet(t.Context(), "ann", "glass-frog", time.Now()); err != nil {
		t.Errorf("Pet once the server is writable again: %v", err)
	}
}

func with(t *testing.T, at, key, value string) string {
	t.Helper()
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set(key, value)
	u.RawQuery = q.Encode()
	return u.String()
}

func TestDatabaseAwayIsUnavailableAndHeals(t *testing.T) {
	at := pgtest.URL(t, postgres.Migrate)
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	gate := newGate(t, u.Host)
	u.Host = gate.address
	s := open(t, u.String())
	both := func() error {
		_, list := s.Frogs(t.Context(), "ann")
		_, pet := s.Pet(t.Context(), "ann", "glass-frog", time.Now())
		return errors.Join(list, pet)
	}
	if err := both(); err != nil {
		t.Fatal(err)
	}
	gate.shut()
	for range 3 { // first over broken connections, then without any
		_, list := s.Frogs(t.Context(), "ann")
		_, pet := s.Pet(t.Context(), "ann", "glass-frog", time.Now())
		if !errors.Is(list, frog.ErrUnavailable) || !errors.Is(pet, frog.ErrUnavailable) {
			t.Errorf("database down: %v and %v, want ErrUnavailable", list, pet)
		}
	}
	gate.open()
	if err := both(); err != nil {
		t.Errorf("database up again: %v", err)
	}
}

// A gate is a TCP proxy. Shutting it closes all connections, and new ones at once.
type gate struct {
	address, target string

	mu     sync.Mutex
	closed bool
	conns  []net.Conn
}

func newGate(t *testing.T, target string) *gate {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{address: l.Addr().String(), target: target}
	t.Cleanup(func() { l.Close(); g.shut() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go g.relay(c)
		}
	}()
	return g
}

func (g *gate) relay(c net.Conn) {
	up, err := new(net.Dialer).DialContext(context.Background(), "tcp", g.target)
	if err != nil {
		c.Close()
		return
	}
	if !g.keep(c, up) {
		return
	}
	go copyAll(up, c)
	copyAll(c, up)
}

func copyAll(to, from net.Conn) {
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if _, werr := to.Write(buffer[:n]); werr != nil {
				err = werr
			}
		}
		if err != nil {
			to.Close()
			from.Close()
			return
		}
	}
}

func (g *gate) keep(conns ...net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		for _, c := range conns {
			c.Close()
		}
		return false
	}
	g.conns = append(g.conns, conns...)
	return true
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for _, c := range g.conns {
		c.Close()
	}
	g.conns = nil
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = false
}

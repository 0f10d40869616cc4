// Package pgtest gives every test its own PostgreSQL database, and private servers for tests of
// outages and failover.
//
// The common server is named by LILYPAD_TEST_POSTGRES, the URL of a superuser, which `make test`
// sets. A test binary migrates one template for each migration function, and each test gets a copy
// of it (CREATE DATABASE … TEMPLATE), which takes milliseconds. A copy is dropped when its test
// ends. Templates remain until another test binary uses the server: it drops the databases of
// binaries that have ended, however they ended.
//
// Only _test.go files import it.
package pgtest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"net/url"
	"os"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Env names the environment variable with the URL of a superuser on the test server.
const Env = "LILYPAD_TEST_POSTGRES"

// namePrefix is the prefix of all databases of this package; sweep drops no others.
const namePrefix = "lptest_"

// Migrate migrates the database at url to the newest schema. It must close its connections, and
// must be deterministic: its first database is the template of all others.
type Migrate func(ctx context.Context, url string) error

// New returns a pool for a new database, migrated by migrate. The database is dropped when the test
// ends.
func New(t testing.TB, migrate Migrate) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(context.Background(), URL(t, migrate))
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(pool.Close) // runs before the database is dropped: cleanups are last in, first out
	return pool
}

// URL returns the URL of a new database, migrated by migrate; with nil it is empty. The database is
// dropped when the test ends, even if it has open connections.
func URL(t testing.TB, migrate Migrate) string {
	t.Helper()
	server := serverURL(t)
	ctx := context.Background()
	c, err := claimOn(ctx, server)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	template, err := c.template(ctx, migrate)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	name := c.newName()
	if err := c.create(ctx, name, template); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() {
		if err := c.drop(context.Background(), name); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	return c.urlOf(name)
}

func serverURL(t testing.TB) string {
	t.Helper()
	server := os.Getenv(Env)
	if server == "" {
		t.Fatalf("%s is not set: run `make test`, which starts a private PostgreSQL", Env)
	}
	return server
}

// claim is the state of this test binary for one server.
type claim struct {
	server *url.URL
	owner  string    // part of the name of all databases of this process
	alive  *pgx.Conn // holds an advisory lock as long as the process runs

	mu        sync.Mutex
	templates map[string]*template // by name of the migrate function
}

type template struct {
	once sync.Once
	name string
	err  error
}

// Global, because all tests of the binary share the templates.
//
//nolint:gochecknoglobals // a cache of the whole process
var (
	claimsMu sync.Mutex
	claims   = map[string]*claim{}
)

func claimOn(ctx context.Context, server string) (*claim, error) {
	claimsMu.Lock()
	defer claimsMu.Unlock()
	if c, ok := claims[server]; ok {
		return c, nil
	}
	c, err := newClaim(ctx, server)
	if err != nil {
		return nil, err
	}
	claims[server] = c
	return c, nil
}

func newClaim(ctx context.Context, server string) (*claim, error) {
	u, err := url.Parse(server)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		return nil, fmt.Errorf("%s is not a postgres:// URL", Env) // the value may hold a password
	}
	if query := u.Query(); !query.Has("sslmode") { // the default of test servers; programs use TLS by default
		query.Set("sslmode", "disable")
		u.RawQuery = query.Encode()
	}
	conn, err := pgx.Connect(ctx, u.String())
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", Env, err)
	}
	c := &claim{server: u, owner: randomHex(), alive: conn, templates: map[string]*template{}}
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", lockOf(c.owner)); err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	if err := c.sweep(ctx); err != nil {
		return nil, fmt.Errorf("sweep: %w", err)
	}
	return c, nil
}

// sweep drops the databases of processes that have ended: their advisory lock is free.
func (c *claim) sweep(ctx context.Context) error {
	rows, err := c.alive.Query(ctx, "SELECT datname FROM pg_database WHERE datname LIKE $1", namePrefix+"%")
	if err != nil {
		return err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, name := range names {
		owner, _, _ := strings.Cut(strings.TrimPrefix(name, namePrefix), "_")
		if owner == c.owner {
			continue
		}
		var ended bool
		if err := c.alive.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", lockOf(owner)).Scan(&ended); err != nil {
			return err
		}
		if !ended {
			continue
		}
		// We hold the owner's lock, so no other process sweeps its databases.
		_, dropErr := c.alive.Exec(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)")
		if _, err := c.alive.Exec(ctx, "SELECT pg_advisory_unlock($1)", lockOf(owner)); err != nil {
			return err
		}
		if dropErr != nil {
			return dropErr
		}
	}
	return nil
}

// template returns the name of the template of migrate, and creates it at the first call.
func (c *claim) template(ctx context.Context, migrate Migrate) (string, error) {
	if migrate == nil {
		return "template0", nil
	}
	key := runtime.FuncForPC(reflect.ValueOf(migrate).Pointer()).Name()
	c.mu.Lock()
	tpl, ok := c.templates[key]
	if !ok {
		tpl = &template{name: c.newName()}
		c.templates[key] = tpl
	}
	c.mu.Unlock()
	tpl.once.Do(func() {
		if tpl.err = c.create(ctx, tpl.name, "template0"); tpl.err != nil {
			return
		}
		if err := migrate(ctx, c.urlOf(tpl.name)); err != nil {
			tpl.err = fmt.Errorf("migrate the template: %w", err)
		}
	})
	return tpl.name, tpl.err
}

func (c *claim) create(ctx context.Context, name, template string) error {
	return c.exec(ctx, fmt.Sprintf("CREATE DATABASE %s TEMPLATE %s",
		pgx.Identifier{name}.Sanitize(), pgx.Identifier{template}.Sanitize()))
}

func (c *claim) drop(ctx context.Context, name string) error {
	return c.exec(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)")
}

// exec runs a statement on a new connection, so that parallel tests do not wait for each other.
func (c *claim) exec(ctx context.Context, sql string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.server.String())
	if err != nil {
		return fmt.Errorf("connect to %s: %w", Env, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	return nil
}

func (c *claim) newName() string { return namePrefix + c.owner + "_" + randomHex() }

func (c *claim) urlOf(name string) string {
	u := *c.server
	u.Path = "/" + name
	return u.String()
}

// lockOf returns the key of an owner's advisory lock.
func lockOf(owner string) int64 {
	h := fnv.New64a()
	h.Write([]byte(namePrefix + owner))
	return int64(h.Sum64()) //nolint:gosec // any 64 bits are a valid key
}

func randomHex() string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails since Go 1.24
	return hex.EncodeToString(b[:])
}

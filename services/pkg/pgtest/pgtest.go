// Package pgtest gives every test a PostgreSQL database of its own.
//
// The server is named by LILYPAD_TEST_POSTGRES, the URL of a superuser, which `make test` sets to a private server. For each
// migration set a process migrates one template, and every test gets a copy of it (CREATE DATABASE … TEMPLATE), which costs
// milliseconds however many migrations there are. Copies are dropped when their test ends. A template lives as long as its
// process; the next process that uses the server drops the databases of processes that have ended, killed ones too.
//
// It is imported from _test.go files only, and knows nothing of what is migrated.
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

// namePrefix marks the databases of this package, so that the sweep touches no other.
const namePrefix = "lptest_"

// A Migrate brings the database at url to its newest schema. It must leave no connection open, and do the same at every call:
// the first database it made is the template of all others.
type Migrate func(ctx context.Context, url string) error

// New returns a pool on a fresh database that migrate has prepared. The database is dropped when the test ends.
func New(t testing.TB, migrate Migrate) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(context.Background(), URL(t, migrate))
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(pool.Close) // runs before the database is dropped: cleanups are last in, first out
	return pool
}

// URL returns the URL of a fresh database that migrate has prepared; nil leaves it empty. The database is dropped when the
// test ends, connections that are still open included.
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

// claim is what one test binary holds on one server.
type claim struct {
	server *url.URL
	owner  string    // part of the name of every database this process makes
	alive  *pgx.Conn // its advisory lock says that the process still runs; the kernel closes it when the process ends

	mu        sync.Mutex
	templates map[string]*template // by the name of the migrate function
}

type template struct {
	once sync.Once
	name string
	err  error
}

// The one thing that must outlive a test: the template is shared by all tests of the binary.
//
//nolint:gochecknoglobals // a process-wide cache, and the testing package offers no other place for one
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
	if query := u.Query(); !query.Has("sslmode") { // a server of tests is plain unless its URL says otherwise; programs ask for TLS
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

// sweep drops the databases of processes whose advisory lock is free, that is, that have ended.
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
		// Two sweepers cannot be here for one owner, since the lock is held until the database is gone.
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

// template returns the name of the database that migrate has prepared, and makes it at the first call.
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

// exec runs one statement on a connection of its own: parallel tests must not wait for each other, and neither statement may
// run inside a transaction.
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

// lockOf maps an owner to the 64-bit key that advisory locks have.
func lockOf(owner string) int64 {
	h := fnv.New64a()
	h.Write([]byte(namePrefix + owner))
	return int64(h.Sum64()) //nolint:gosec // any 64 bits will do
}

func randomHex() string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails since Go 1.24
	return hex.EncodeToString(b[:])
}

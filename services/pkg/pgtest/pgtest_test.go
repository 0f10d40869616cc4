package pgtest

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
)

func migrateFrogs(ctx context.Context, url string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, "CREATE TABLE frogs (name text PRIMARY KEY)")
	return err
}

func TestEachTestHasItsOwnMigratedDatabase(t *testing.T) {
	t.Parallel()
	for i := range 4 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			pool := New(t, migrateFrogs)
			// In a shared database the same key would be a conflict.
			if _, err := pool.Exec(t.Context(), "INSERT INTO frogs VALUES ('Hyla')"); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestTheTemplateIsMigratedOnce(t *testing.T) {
	var runs atomic.Int32
	migrate := func(ctx context.Context, url string) error {
		runs.Add(1)
		return migrateFrogs(ctx, url)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { URL(t, migrate) })
	}
	wg.Wait()
	if got := runs.Load(); got != 1 {
		t.Fatalf("migrated %d times, want once", got)
	}
}

func TestNilLeavesTheDatabaseEmpty(t *testing.T) {
	pool := New(t, nil)
	var tables int
	if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").Scan(&tables); err != nil {
		t.Fatal(err)
	}
	if tables != 0 {
		t.Fatalf("%d tables, want 0", tables)
	}
}

func TestTheDatabaseIsDroppedWithItsTest(t *testing.T) {
	var url string
	t.Run("inner", func(t *testing.T) {
		url = URL(t, migrateFrogs)
		conn, err := pgx.Connect(t.Context(), url) // left open
		if err != nil {
			t.Fatal(err)
		}
		_ = conn
	})
	if conn, err := pgx.Connect(t.Context(), url); err == nil {
		conn.Close(t.Context())
		t.Fatal("the database exists after its test")
	}
}

func TestSweepDropsWhatEndedProcessesLeftAndNothingElse(t *testing.T) {
	ctx := t.Context()
	server := serverURL(t)
	dead, err := newClaim(ctx, server)
	if err != nil {
		t.Fatal(err)
	}
	orphan := dead.newName()
	if err := dead.create(ctx, orphan, "template0"); err != nil {
		t.Fatal(err)
	}
	kept := New(t, migrateFrogs) // of this process, which is alive
	if err := dead.alive.Close(ctx); err != nil {
		t.Fatal(err)
	}
	// The server notices the closed connection after a moment, so sweep repeatedly.
	for exists(t, orphan) && ctx.Err() == nil {
		sweeper, err := newClaim(ctx, server)
		if err != nil {
			t.Fatal(err)
		}
		if err := sweeper.alive.Close(ctx); err != nil {
			t.Fatal(err)
		}
		runtime.Gosched()
	}
	if err := kept.Ping(ctx); err != nil {
		t.Fatalf("the sweep dropped the database of a running process: %v", err)
	}
}

func exists(t *testing.T, name string) bool {
	t.Helper()
	p, err := claimOn(t.Context(), serverURL(t))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), p.server.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var found bool
	err = conn.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&found)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// recorder is a testing.TB that records its failure.
type recorder struct {
	testing.TB
	message string
}

func (r *recorder) Helper() {}

func (r *recorder) Fatalf(format string, args ...any) {
	r.message = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func TestMissingServerFailsAndNeverSkips(t *testing.T) {
	t.Setenv(Env, "")
	rec := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		URL(rec, migrateFrogs)
	}()
	<-done
	if !strings.Contains(rec.message, "make test") || strings.Contains(rec.message, "\n") {
		t.Fatalf("message %q, want one line that names make test", rec.message)
	}
}

func TestFaultyURLIsNotQuoted(t *testing.T) {
	if _, err := newClaim(t.Context(), "root:hunter2@localhost"); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Fatalf("error %v, want one without the URL", err)
	}
}

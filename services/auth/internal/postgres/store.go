// Package postgres keeps accounts (Store) and the records of sessions (Sessions) in
// PostgreSQL. It holds the schema and its migrations, the statements
// (queries/*.sql, from which sqlc generates package queries), and a pool that
// recovers without a restart.
//
// The invariant of the pool: no operation lasts longer than a few seconds, and no
// outage or failover leaves a connection in it that cannot write. Packages user
// and session state the contracts.
package postgres

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"lilypad.example/services/auth/internal/postgres/queries"
	"lilypad.example/services/auth/internal/user"
	"lilypad.example/services/pkg/storetls"
)

// Bounds of the pool. The size is a default (pool_max_conns in the URL changes it); the times are not, because they hold each
// other up: connecting ends before an operation does, and the server gives up on a statement after the client has.
const (
	maxConns         = 10
	connectTimeout   = 2 * time.Second
	operationTimeout = 3 * time.Second
	statementTimeout = 5 * time.Second
	idleTimeout      = 5 * time.Minute
	lifetime         = 30 * time.Minute
	healthCheck      = 5 * time.Second
)

// sqlstateReadOnly is read_only_sql_transaction: a write on a server that is a standby, or has become one.
const sqlstateReadOnly = "25006"

// Store is a user.Store in PostgreSQL.
type Store struct {
	pool    *pgxpool.Pool
	queries *queries.Queries
	timeout time.Duration // of one operation
}

// New returns a Store in the database at url (postgres://… with the parameters of libpq and pgxpool; see storetls.Postgres for its
// sslmode). It does not connect; its error is about the URL.
func New(ctx context.Context, url string) (*Store, error) {
	cfg, err := poolConfig(url)
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	return &Store{pool: pool, queries: queries.New(pool), timeout: operationTimeout}, nil
}

// Open is New and says so if the database cannot be reached. It does not migrate.
func Open(ctx context.Context, url string) (*Store, error) {
	s, err := New(ctx, url)
	if err != nil {
		return nil, err
	}
	if err := s.Ping(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("open postgres: %w", err)
	}
	return s, nil
}

func poolConfig(url string) (*pgxpool.Config, error) {
	cfg, err := pgxpool.ParseConfig(url) // its errors hide the password
	if err != nil {
		return nil, err
	}
	if !strings.Contains(url, "pool_max_conns") {
		cfg.MaxConns = maxConns
	}
	cfg.MaxConnIdleTime = idleTimeout
	cfg.MaxConnLifetime = lifetime
	cfg.MaxConnLifetimeJitter = lifetime / 10
	cfg.HealthCheckPeriod = healthCheck
	conn := cfg.ConnConfig
	storetls.Postgres(&conn.Config)
	conn.ConnectTimeout = connectTimeout
	maps.Copy(conn.RuntimeParams, map[string]string{
		"application_name":                    "lilypad-auth",
		"timezone":                            "UTC",
		"statement_timeout":                   milliseconds(statementTimeout),
		"idle_in_transaction_session_timeout": milliseconds(statementTimeout),
	})
	// After a failover the old node may come back, read-only, under an address we know: no connection to it is made, and one that
	// is open is dropped by the first write it refuses.
	if conn.ValidateConnect == nil {
		conn.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	keep := conn.OnPgError
	conn.OnPgError = func(c *pgconn.PgConn, e *pgconn.PgError) bool {
		return e.Code != sqlstateReadOnly && (keep == nil || keep(c, e))
	}
	return cfg, nil
}

func milliseconds(d time.Duration) string { return fmt.Sprint(d.Milliseconds()) }

// Ping says whether the database answers and takes writes. If it answers but is read-only, all connections are replaced, so that
// calling Ping now and then (as package dependency does) ends stale reads too after a failover.
// Errors: user.ErrUnavailable, the context's own.
func (s *Store) Ping(ctx context.Context) error {
	return s.do(ctx, "ping", func(ctx context.Context) error {
		var readOnly bool
		err := s.pool.QueryRow(ctx, "SELECT current_setting('transaction_read_only')::boolean").Scan(&readOnly)
		if err == nil && readOnly {
			return &pgconn.PgError{Severity: "ERROR", Code: sqlstateReadOnly, Message: "the server is read-only"}
		}
		return err
	})
}

// Close ends all connections; it waits for those that are in use.
func (s *Store) Close() { s.pool.Close() }

var _ user.Store = (*Store)(nil)

// Package postgres stores accounts (Store) and session records (Sessions) in PostgreSQL. It holds
// the schema and its migrations, the statements (queries/*.sql, from which sqlc generates package
// queries), and the connection pool.
//
// No operation takes longer than a few seconds. After an outage or failover the pool recovers
// without a restart and keeps no connection that cannot write. Packages user and session define the
// contracts.
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

// Limits of the pool. pool_max_conns in the URL replaces maxConns. The times are fixed because they
// depend on each other: connecting ends before the operation does, and the server cancels a
// statement only after the client has given up.
const (
	maxConns         = 10
	connectTimeout   = 2 * time.Second
	operationTimeout = 3 * time.Second
	statementTimeout = 5 * time.Second
	idleTimeout      = 5 * time.Minute
	lifetime         = 30 * time.Minute
	healthCheck      = 5 * time.Second
)

// sqlstateReadOnly is read_only_sql_transaction: the server is a standby and refuses a write.
const sqlstateReadOnly = "25006"

// Store is a user.Store in PostgreSQL.
type Store struct {
	pool    *pgxpool.Pool
	queries *queries.Queries
	timeout time.Duration // of one operation
}

// New returns a Store in the database at url: postgres://… with the parameters of libpq and
// pgxpool. storetls.Postgres defines what sslmode means. New does not connect; it fails only if the
// URL is invalid.
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

// Open is New, but fails if the database cannot be reached. It does not migrate.
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
	// After a failover the old primary may come back, read-only, at an address in the URL. Do not
	// connect to it, and drop an open connection at the first write that it refuses.
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

// Ping returns nil if the database answers and accepts writes. If it is read-only, Ping replaces
// all connections. Package dependency calls it regularly, which also ends stale reads after a
// failover.
// Errors: user.ErrUnavailable, or the context's own.
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

// Close closes all connections. It waits until those in use are released.
func (s *Store) Close() { s.pool.Close() }

var _ user.Store = (*Store)(nil)

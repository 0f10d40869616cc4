// Package postgres is a frog.Store in PostgreSQL, with pgx and queries that sqlc checks against the
// migrations.
//
// It owns the schema and decides which database errors mean "unavailable". Every query has a
// timeout, so that an unresponsive server causes 503 responses and requests do not pile up. The
// pool reconnects without a restart.
package postgres

//go:generate sqlc generate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"lilypad.example/services/frogs/internal/frog"
	"lilypad.example/services/frogs/internal/postgres/db"
	"lilypad.example/services/pkg/storetls"
)

const (
	dialWithin  = 3 * time.Second
	queryWithin = 3 * time.Second
	// readOnly is SQLSTATE read_only_sql_transaction: the server of an open connection was demoted.
	readOnly = "25006"
)

// Store is a frog.Store in PostgreSQL.
type Store struct {
	pool    *pgxpool.Pool
	queries *db.Queries
}

// Open returns a Store on the database at url (see storetls.Postgres for sslmode). It does not
// connect: the program starts and keeps running while the database is down.
func Open(ctx context.Context, url string) (*Store, error) {
	c, err := pgxpool.ParseConfig(url)
	if err != nil {
		// pgx redacts the password in this error, but not the rest of the URL.
		return nil, fmt.Errorf("database URL: %w", err)
	}
	storetls.Postgres(&c.ConnConfig.Config)
	c.ConnConfig.ConnectTimeout = dialWithin
	c.MaxConnLifetime = 30 * time.Minute
	c.MaxConnLifetimeJitter = 5 * time.Minute
	// Connect to a primary only, if the URL lists several hosts and after a failover.
	c.ConnConfig.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	pool, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("database pool: %w", err)
	}
	return &Store{pool, db.New(pool)}, nil
}

// Ping checks that the database responds and is a primary. Its error wraps frog.ErrUnavailable or
// ctx's error.
func (s *Store) Ping(ctx context.Context) error {
	within, cancel := context.WithTimeout(ctx, queryWithin)
	defer cancel()
	if err := s.pool.Ping(within); err != nil {
		return fault(ctx, "ping", err)
	}
	return nil
}

// Close waits for connections in use, and closes all.
func (s *Store) Close() { s.pool.Close() }

// Frogs implements frog.Store.
func (s *Store) Frogs(ctx context.Context, user string) ([]frog.Frog, error) {
	within, cancel := context.WithTimeout(ctx, queryWithin)
	defer cancel()
	rows, err := s.queries.ListFrogs(within, user)
	if err != nil {
		return nil, fault(ctx, "list frogs", err)
	}
	all := make([]frog.Frog, 0, len(rows))
	for _, r := range rows {
		f := frog.Frog{Species: frog.Species{ID: r.ID, Name: r.Name, Latin: r.Latin}, Pets: r.Pets}
		if r.PettedAt != nil {
			f.PettedAt = *r.PettedAt
		}
		all = append(all, f)
	}
	return all, nil
}

// Pet implements frog.Store.
func (s *Store) Pet(ctx context.Context, user, id string, at time.Time) (frog.Frog, error) {
	within, cancel := context.WithTimeout(ctx, queryWithin)
	defer cancel()
	p := db.PetFrogParams{FrogID: id, UserID: user, PettedAt: at}
	r, err := s.queries.PetFrog(within, p)
	if isState(err, readOnly) {
		// The server was demoted to a replica. Drop all connections of the pool, because they lead
		// to the same server, and retry on the new primary. The failed statement changed nothing,
		// so the retry cannot count twice.
		s.pool.Reset()
		r, err = s.queries.PetFrog(within, p)
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return frog.Frog{}, frog.ErrUnknown
	}
	if err != nil {
		return frog.Frog{}, fault(ctx, "pet frog", err)
	}
	return frog.Frog{Species: frog.Species{ID: r.ID, Name: r.Name, Latin: r.Latin}, Pets: r.Pets, PettedAt: r.PettedAt}, nil
}

// fault wraps err with frog.ErrUnavailable if the database is unavailable. The error of the
// caller's context takes precedence: a canceled request is not a database error.
func fault(ctx context.Context, doing string, err error) error {
	if ended := ctx.Err(); ended != nil {
		return fmt.Errorf("%s: %w", doing, ended)
	}
	if away(err) {
		return fmt.Errorf("%s: %w: %w", doing, frog.ErrUnavailable, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// away reports whether err is about the state of the server and not about the query. An error
// without a SQLSTATE means that there was no response: the connection was refused or broke, or the
// query timed out.
func away(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return true
	}
	switch pg.Code[:min(2, len(pg.Code))] {
	case "08", "53", "57", "58": // connection, resources, operator intervention, system
		return true
	}
	return pg.Code == readOnly
}

func isState(err error, code string) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Code == code
}

var _ frog.Store = (*Store)(nil)

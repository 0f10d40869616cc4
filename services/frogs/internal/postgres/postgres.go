// Package postgres keeps pettings in PostgreSQL, through pgx and queries that
// sqlc has checked against the migrations.
//
// It owns the schema and which faults of a database mean "away" rather than
// "wrong". Every call is bounded in time, so that a silent server costs a 503
// and not a pile of waiting requests. The pool heals alone: no restart.
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
	// readOnly is SQLSTATE read_only_sql_transaction: the server was demoted
	// under an open connection.
	readOnly = "25006"
)

// Store is a frog.Store in PostgreSQL.
type Store struct {
	pool    *pgxpool.Pool
	queries *db.Queries
}

// Open returns a Store on the database at url (see storetls.Postgres for its
// sslmode). It does not connect: the program starts, and stays up, while the
// database is away.
func Open(ctx context.Context, url string) (*Store, error) {
	c, err := pgxpool.ParseConfig(url)
	if err != nil {
		// pgx redacts the password in this error, but it still quotes the rest.
		return nil, fmt.Errorf("database URL: %w", err)
	}
	storetls.Postgres(&c.ConnConfig.Config)
	c.ConnConfig.ConnectTimeout = dialWithin
	c.MaxConnLifetime = 30 * time.Minute
	c.MaxConnLifetimeJitter = 5 * time.Minute
	// Of several hosts in the URL, and after a failover of one, only a primary
	// is of use: this refuses to keep a connection that cannot write.
	c.ConnConfig.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	pool, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("database pool: %w", err)
	}
	return &Store{pool, db.New(pool)}, nil
}

// Ping says whether the database answers, as a primary. Its error is frog.ErrUnavailable or ctx's.
func (s *Store) Ping(ctx context.Context) error {
	within, cancel := context.WithTimeout(ctx, queryWithin)
	defer cancel()
	if err := s.pool.Ping(within); err != nil {
		return fault(ctx, "ping", err)
	}
	return nil
}

// Close ends all connections, and waits for those in use.
func (s *Store) Close() { s.pool.Close() }

// Frogs is part of frog.Store.
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

// Pet is part of frog.Store.
func (s *Store) Pet(ctx context.Context, user, id string, at time.Time) (frog.Frog, error) {
	within, cancel := context.WithTimeout(ctx, queryWithin)
	defer cancel()
	p := db.PetFrogParams{FrogID: id, UserID: user, PettedAt: at}
	r, err := s.queries.PetFrog(within, p)
	if isState(err, readOnly) {
		// The server this pool is connected to has become a replica. All its
		// connections are of the same age: drop them all, and ask the new
		// primary. The statement was refused, so that it cannot count twice.
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

// fault says whether err means that the database is away. The caller's own
// context is asked first: who went away is no fault of the database's.
func fault(ctx context.Context, doing string, err error) error {
	if ended := ctx.Err(); ended != nil {
		return fmt.Errorf("%s: %w", doing, ended)
	}
	if away(err) {
		return fmt.Errorf("%s: %w: %w", doing, frog.ErrUnavailable, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// away reports whether err speaks of the server's state and not of the query.
// Without a code from the server there was no answer: it refused, the
// connection broke, or our own bound passed. The queries are checked against
// the schema, so that nothing else is left.
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

package postgres

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"lilypad.example/services/frogs/internal/frog"
	"lilypad.example/services/frogs/internal/postgres/db"
	"lilypad.example/services/pkg/storetls"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate migrates the database at url to the schema and the catalogue of this release. Replicas
// may call it concurrently: goose's session lock serializes them. It leaves no connection open. Its
// error wraps frog.ErrUnavailable if a retry may help.
func Migrate(ctx context.Context, url string) error {
	c, err := pgx.ParseConfig(url)
	if err != nil {
		return fmt.Errorf("database URL: %w", err)
	}
	storetls.Postgres(&c.Config)
	c.ConnectTimeout = dialWithin
	if err := up(ctx, c); err != nil {
		return fault(ctx, "migrate", err)
	}
	if err := seed(ctx, c); err != nil {
		return fault(ctx, "seed catalogue", err)
	}
	return nil
}

func up(ctx context.Context, c *pgx.ConnConfig) error {
	// Poll every second, so that a waiting replica starts soon after the first.
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300), lock.WithUnlockTimeout(1, 60))
	if err != nil {
		return err
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	sqlDB := stdlib.OpenDB(*c)
	defer sqlDB.Close()
	provider, err := goose.NewProvider(goose.DialectPostgres, sqlDB, files, goose.WithSessionLocker(locker))
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}

// seed writes the catalogue. It is not a migration because the catalogue may change without the
// schema. Rows that are up to date are not written. A single statement locks the rows in the same
// order in every replica.
func seed(ctx context.Context, c *pgx.ConnConfig) error {
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var p db.SeedFrogsParams
	for _, s := range frog.Catalogue() {
		p.Ids, p.Names, p.Latins = append(p.Ids, s.ID), append(p.Names, s.Name), append(p.Latins, s.Latin)
	}
	return db.New(conn).SeedFrogs(ctx, p)
}

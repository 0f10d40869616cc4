package postgres

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"lilypad.example/services/pkg/storetls"
)

//go:embed migrations/*.sql
var migrations embed.FS

// A replica that finds another one migrating asks every second whether it is done, for five minutes.
const (
	lockPeriodSeconds = 1
	lockAttempts      = 300
)

// Migrate brings the schema at url up to date. Any number of replicas may call it at once: one migrates, under an advisory lock that
// its connection holds, so that a killed one leaves no lock behind, and the others wait. A schema that is newer than this program is
// left alone, so that a rollback works. Its error is user.ErrUnavailable if trying again may help.
func Migrate(ctx context.Context, url string) error {
	cfg, err := pgxpool.ParseConfig(url) // not pgx's: the URL may have parameters of the pool
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	conn := cfg.ConnConfig
	storetls.Postgres(&conn.Config)
	conn.ConnectTimeout = connectTimeout
	conn.RuntimeParams["application_name"] = "lilypad-auth-migrate"
	db := stdlib.OpenDB(*conn)
	defer db.Close()
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(lockPeriodSeconds, lockAttempts))
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate: %w", translate(ctx, err))
	}
	return nil
}

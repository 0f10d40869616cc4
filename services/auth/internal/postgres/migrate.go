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

// While one replica migrates, the others check every second, for up to five minutes, whether it is
// done.
const (
	lockPeriodSeconds = 1
	lockAttempts      = 300
)

// Migrate brings the schema at url up to date. Any number of replicas may call it at once: one
// migrates, the others wait. It holds an advisory lock of its connection, so that a killed replica
// leaves no lock behind. A schema that is newer than this program is left alone, so that a rollback
// works. The error is user.ErrUnavailable if a retry may help.
func Migrate(ctx context.Context, url string) error {
	cfg, err := pgxpool.ParseConfig(url) // unlike pgx.ParseConfig it accepts the pool's parameters
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

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"lilypad.example/services/auth/internal/app"
	"lilypad.example/services/auth/internal/audit"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/pkg/config"
)

type sessionCmd struct {
	Show sessionShow `cmd:"" help:"Tell a session's story."`
}

type sessionShow struct {
	app.Stores

	SID string `arg:"" name:"sid" help:"The session's id: sid of its access tokens."`
}

// Run tells what the records say of the session.
func (s *sessionShow) Run(ctx context.Context, p config.Program) error {
	family, err := session.ParseFamilyID(s.SID)
	if err != nil {
		return fmt.Errorf("%q is no session id", s.SID)
	}
	store, err := app.OpenPostgres(ctx, s.Stores)
	if err != nil {
		return err
	}
	defer store.Close()
	r, err := store.Sessions().Get(ctx, family)
	if err != nil {
		return err
	}
	state := "lives"
	switch now := time.Now(); {
	case !r.Revoked.IsZero():
		state = fmt.Sprintf("was ended %s: %s", when(r.Revoked), r.Reason)
	case !now.Before(r.End):
		state = "reached its absolute end"
	}
	_, err = fmt.Fprintf(p.Stdout, `session   %s
user      %s
client    %s
device    %s
begun     %s
last seen %s, at generation %d or later
ends      %s at the latest
state     %s
`, r.Family, r.Subject, r.Client, r.Device, when(r.Begun), when(r.Seen), r.Floor, when(r.End), state)
	return err
}

// Check needs only the database.
func (s *sessionShow) Check() error { return needsDatabase(s.Stores) }

type userState struct {
	app.Stores

	Email string `arg:"" help:"E-mail address of the account."`
}

// Check needs only the database.
func (u *userState) Check() error { return needsDatabase(u.Stores) }

type userDisable struct{ userState }

// Run closes the account. The running service tells everybody within a second.
func (u *userDisable) Run(ctx context.Context, p config.Program) error {
	if err := app.DisableUser(ctx, u.Stores, trail(p), u.Email, true); err != nil {
		return err
	}
	_, err := fmt.Fprintln(p.Stdout, "disabled; all sessions of the account end within a second")
	return err
}

type userEnable struct{ userState }

// Run opens the account again.
func (u *userEnable) Run(ctx context.Context, p config.Program) error {
	if err := app.DisableUser(ctx, u.Stores, trail(p), u.Email, false); err != nil {
		return err
	}
	_, err := fmt.Fprintln(p.Stdout, "enabled")
	return err
}

// trail writes audit records of a command, as JSON lines, to standard error.
func trail(p config.Program) *audit.Log {
	return audit.New(slog.New(slog.NewJSONHandler(p.Stderr, nil)), time.Now)
}

func when(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func needsDatabase(s app.Stores) error {
	if s.Store == "embedded" {
		return errors.New("the embedded store lives inside `auth serve`: this command needs Postgres")
	}
	return config.CheckStore(s.Store, "LILYPAD_DATABASE_URL", s.DatabaseURL)
}

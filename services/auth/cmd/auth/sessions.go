package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"text/tabwriter"
	"time"

	"lilypad.example/services/auth/internal/app"
	"lilypad.example/services/auth/internal/audit"
	"lilypad.example/services/auth/internal/postgres"
	"lilypad.example/services/auth/internal/session"
	"lilypad.example/services/auth/internal/user"
	"lilypad.example/services/pkg/config"
)

type sessionCmd struct {
	List sessionList `cmd:"" help:"List the active sessions of an account."`
	Show sessionShow `cmd:"" help:"Show a session: its record in Postgres and its state in Redis."`
	End  sessionEnd  `cmd:"" help:"End a session. It takes effect everywhere within a second."`
}

type sessionList struct{ userState }

// Run lists the active sessions of the account, newest first.
func (l *sessionList) Run(ctx context.Context, p config.Program) error {
	store, err := app.OpenPostgres(ctx, l.Stores)
	if err != nil {
		return err
	}
	defer store.Close()
	u, err := store.ByEmail(ctx, l.Email)
	if errors.Is(err, user.ErrNotFound) {
		return fmt.Errorf("there is no account %s", l.Email)
	}
	if err != nil {
		return err
	}
	live, err := store.Sessions().Live(ctx, u.ID, time.Now())
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(p.Stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "session\tbegun\tlast seen\tclient\tdevice") // Flush returns the error
	for _, r := range live {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", r.Family, when(r.Begun), when(r.Seen), r.Client, r.Device)
	}
	return table.Flush()
}

// oneSession holds the settings of the commands for one session.
type oneSession struct {
	app.Stores

	SID string `arg:"" name:"sid" help:"Session ID (the sid claim of its access tokens)."`
}

// Check checks only the settings of the database.
func (s *oneSession) Check() error { return needsDatabase(s.Stores) }

// open opens Postgres and returns it with the session's record.
func (s *oneSession) open(ctx context.Context) (*postgres.Store, session.Record, error) {
	family, err := session.ParseFamilyID(s.SID)
	if err != nil {
		return nil, session.Record{}, fmt.Errorf("%q is no session id", s.SID)
	}
	store, err := app.OpenPostgres(ctx, s.Stores)
	if err != nil {
		return nil, session.Record{}, err
	}
	r, err := store.Sessions().Get(ctx, family)
	if err != nil {
		store.Close()
	}
	if errors.Is(err, session.ErrNotFound) {
		err = fmt.Errorf("there is no session %s; one that ended more than 30 days ago is forgotten", family)
	}
	return store, r, err
}

type sessionShow struct{ oneSession }

// Run prints the session's record in Postgres and its state in Redis. If Redis is unavailable or
// not configured, it says so and still prints the record.
func (s *sessionShow) Run(ctx context.Context, p config.Program) error {
	store, r, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	_, err = io.WriteString(p.Stdout, recorded(r, time.Now())+s.held(ctx, r))
	return err
}

type sessionEnd struct{ oneSession }

// Run writes the tombstone to Postgres. The running service picks it up, propagates it and audits
// the end.
func (s *sessionEnd) Run(ctx context.Context, p config.Program) error {
	store, r, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	if !r.Revoked.IsZero() {
		return fmt.Errorf("it was ended before, %s: %s", when(r.Revoked), r.Reason)
	}
	if err := store.Sessions().Revoke(ctx, session.Which{Family: r.Family}, session.ReasonAdmin, time.Now()); err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.Stdout, "ended; it takes effect everywhere within a second, or within five if a replica of the service has just ended")
	return err
}

// recorded describes the session's record in Postgres.
func recorded(r session.Record, now time.Time) string {
	state := "lives"
	switch {
	case !r.Revoked.IsZero():
		state = fmt.Sprintf("was ended %s: %s", when(r.Revoked), r.Reason)
	case !now.Before(r.End):
		state = "reached its absolute end"
	}
	return fmt.Sprintf(`session   %s
user      %s
client    %s
device    %s
begun     %s
last seen %s, at generation %d or later
ends      %s at the latest
state     %s
`, r.Family, r.Subject, r.Client, r.Device, when(r.Begun), when(r.Seen), r.Floor, when(r.End), state)
}

// held describes the session's state in Redis.
func (s *sessionShow) held(ctx context.Context, r session.Record) string {
	if s.RedisURL.Reveal() == "" {
		return "redis     was not asked: LILYPAD_REDIS_URL is not set\n"
	}
	h, err := app.InspectFamily(ctx, s.Stores, r.Family)
	switch {
	case errors.Is(err, session.ErrNotFound):
		return "redis     does not have it: it expired there, or was lost\n"
	case err != nil:
		return fmt.Sprintf("redis     cannot say: %v\n", err)
	case h.Generation == 0:
		return fmt.Sprintf("redis     knows only that it was ended: %s\n", h.Reason)
	}
	state := "lives"
	if h.Revoked {
		state = "was ended: " + string(h.Reason)
	}
	rotated := "long ago: it was brought back from its record"
	if !h.Rotated.IsZero() {
		rotated = when(h.Rotated)
	}
	seen := "its browser has shown it"
	if !h.Confirmed {
		seen = "its browser has not shown it yet"
	}
	return fmt.Sprintf(`redis     %s, at generation %d of key %s; %s
rotated   %s
pardons   %s
expires   %s unless it is used
`, state, h.Generation, h.KeyID, seen, rotated, pardons(h.Family), when(h.Expires))
}

// pardons describes which of the last two generations accepted a stale token. Stale tokens in two
// consecutive generations count as reuse.
func pardons(f session.Family) string {
	switch {
	case f.Pardoned:
		return "one used in this generation"
	case f.PardonedBefore:
		return "one used in the generation before"
	}
	return "none used"
}

type userState struct {
	app.Stores

	Email string `arg:"" help:"E-mail address of the account."`
}

// Check checks only the settings of the database.
func (u *userState) Check() error { return needsDatabase(u.Stores) }

type userDisable struct{ userState }

// Run disables the account and ends its sessions.
func (u *userDisable) Run(ctx context.Context, p config.Program) error {
	return u.change(ctx, p, audit.UserDisabled, "disabled; all sessions of the account end within two seconds",
		func(s *user.Service) (user.User, error) { return s.SetDisabled(ctx, u.Email, true) })
}

type userEnable struct{ userState }

// Run enables the account.
func (u *userEnable) Run(ctx context.Context, p config.Program) error {
	return u.change(ctx, p, audit.UserEnabled, "enabled", func(s *user.Service) (user.User, error) { return s.SetDisabled(ctx, u.Email, false) })
}

type userDelete struct{ userState }

// Run deletes the account and ends its sessions.
func (u *userDelete) Run(ctx context.Context, p config.Program) error {
	return u.change(ctx, p, audit.UserDeleted, "deleted; all sessions of the account end within two seconds",
		func(s *user.Service) (user.User, error) { return s.Delete(ctx, u.Email) })
}

type userRoles struct {
	userState

	Role []string `arg:"" optional:"" help:"Roles to grant. Without any, all roles are removed."`
}

// Run replaces the roles of the account.
func (u *userRoles) Run(ctx context.Context, p config.Program) error {
	return u.change(ctx, p, audit.UserRolesSet, "set; running sessions have these roles from their next refresh on",
		func(s *user.Service) (user.User, error) { return s.SetRoles(ctx, u.Email, u.Role) })
}

// change applies a change to the account, audits it as event and prints done.
func (u *userState) change(ctx context.Context, p config.Program, event audit.Event, done string, change func(*user.Service) (user.User, error)) error {
	err := app.ChangeUser(ctx, u.Stores, trail(p), event, change)
	if errors.Is(err, user.ErrNotFound) {
		return fmt.Errorf("there is no account %s", u.Email)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.Stdout, done)
	return err
}

// trail returns an audit log that writes JSON lines to standard error.
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

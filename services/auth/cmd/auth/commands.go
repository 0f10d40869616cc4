package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"lilypad.example/services/auth/internal/app"
	"lilypad.example/services/auth/internal/audit"
	"lilypad.example/services/auth/internal/password"
	"lilypad.example/services/auth/internal/user"
	"lilypad.example/services/pkg/config"
)

type serve struct{ app.Config }

// Run serves until ctx is canceled.
func (s *serve) Run(ctx context.Context, p config.Program) error {
	log, err := s.Logger(p.Stderr)
	if err != nil {
		return err
	}
	a, err := app.New(ctx, &s.Config, log)
	if err != nil {
		return err
	}
	defer a.Close()
	return a.Run(ctx)
}

type configCmds struct {
	Check configCheck `cmd:"" help:"Check the settings of serve without connecting to anything."`
}

type configCheck struct{ app.Config }

// Run confirms that the settings are valid: config.Run has checked them before.
func (c *configCheck) Run(p config.Program) error {
	_, err := fmt.Fprintln(p.Stdout, "the settings are good")
	return err
}

type migrate struct{ app.Stores }

// Run migrates the schema under a lock, so that several may run at once.
func (m *migrate) Run(ctx context.Context) error {
	if m.Store == "embedded" {
		return errors.New("the embedded store has no schema: nothing to migrate")
	}
	return m.Migrate(ctx)
}

// Check checks only the settings of the database.
func (m *migrate) Check() error {
	return config.CheckStore(m.Store, "LILYPAD_DATABASE_URL", m.DatabaseURL)
}

type userCmd struct {
	Create  userCreate  `cmd:"" help:"Create an account. Reads the password from standard input."`
	Disable userDisable `cmd:"" help:"Disable an account and end its sessions."`
	Enable  userEnable  `cmd:"" help:"Enable a disabled account."`
	Roles   userRoles   `cmd:"" help:"Replace the roles of an account."`
	Delete  userDelete  `cmd:"" help:"Delete an account and end its sessions."`
}

type userCreate struct {
	config.Common
	app.Stores

	Email string   `required:"" help:"E-mail address to sign in with."`
	Name  string   `required:"" help:"Display name."`
	Role  []string `help:"Role to grant; may be repeated."`
}

// Check checks only the settings of the database.
func (u *userCreate) Check() error {
	if u.Store == "embedded" {
		return errors.New("the embedded store lives inside `auth serve`: give that one LILYPAD_EMBEDDED_USERS_FILE")
	}
	return config.CheckStore(u.Store, "LILYPAD_DATABASE_URL", u.DatabaseURL)
}

// Run creates the account.
func (u *userCreate) Run(ctx context.Context, p config.Program) error {
	log, err := u.Logger(p.Stderr)
	if err != nil {
		return err
	}
	line, err := bufio.NewReader(p.Stdin).ReadString('\n')
	if err != nil && line == "" {
		return errors.New("give the password as one line on standard input")
	}
	store, err := app.OpenPostgres(ctx, u.Stores)
	if err != nil {
		return err
	}
	defer store.Close()
	hasher, err := password.NewHasher(password.Config{Concurrent: 1})
	if err != nil {
		return err
	}
	made, err := user.NewService(store, hasher, time.Now).Register(ctx, u.Email, u.Name, strings.TrimRight(line, "\r\n"), u.Role...)
	if err != nil {
		return err
	}
	audit.New(log, time.Now).Record(ctx, audit.UserCreated, audit.User(made.ID))
	_, err = fmt.Fprintf(p.Stdout, "created %s (%s)\n", made.Email, made.ID)
	return err
}

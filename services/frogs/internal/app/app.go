// Package app builds the frogs service from its settings. It is the only package that imports all
// others.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"lilypad.example/services/frogs/internal/frog"
	"lilypad.example/services/frogs/internal/httpapi"
	"lilypad.example/services/frogs/internal/memory"
	"lilypad.example/services/frogs/internal/postgres"
	"lilypad.example/services/pkg/authn"
	"lilypad.example/services/pkg/config"
	"lilypad.example/services/pkg/dependency"
	"lilypad.example/services/pkg/httpmw"
	"lilypad.example/services/pkg/httpserver"
	"lilypad.example/services/pkg/storetls"
)

// Config holds the settings of the service.
type Config struct {
	config.Common

	Listen         string        `default:":8080" help:"Address to listen on."`
	Store          string        `default:"external" enum:"external,embedded" help:"Where to store data: external (Postgres) or embedded (in this process, lost when it ends)."`
	DatabaseURL    config.Secret `help:"Postgres URL: postgres://user:password@host/database. Uses verified TLS unless sslmode=disable."`
	DatabaseCAFile string        `name:"database-ca-file" help:"CA certificates (PEM) to verify Postgres with. Default: the public CAs."`
	AuthURL        string        `help:"URL of the auth service. Required."`
	Issuer         string        `help:"Required issuer of access tokens. Default: the auth URL."`
	Audience       string        `default:"frogs" help:"Required audience of access tokens."`
}

// Check returns all invalid settings as one error.
func (c Config) Check() error {
	return errors.Join(
		config.CheckStore(c.Store, "LILYPAD_DATABASE_URL", c.DatabaseURL),
		config.CheckURL("LILYPAD_AUTH_URL", c.AuthURL),
		config.CheckPositive("LILYPAD_DRAIN", c.Drain),
	)
}

// An App is the service, listening but not yet serving.
type App struct {
	drain    time.Duration
	log      *slog.Logger
	needs    *dependency.Set
	close    func()
	api, ops *httpserver.Server
}

// New opens both ports. It does not wait for the database: Run does. Readiness ends with ctx.
func New(ctx context.Context, c Config, logTo io.Writer) (*App, error) {
	log, err := c.Logger(logTo)
	if err != nil {
		return nil, err
	}
	store, needed, closeStore, err := open(ctx, c)
	if err != nil {
		return nil, err
	}
	a := &App{drain: c.Drain, log: log, close: closeStore}
	if err := a.listen(ctx, c, store, needed); err != nil {
		closeStore()
		return nil, err
	}
	return a, nil
}

func (a *App) listen(ctx context.Context, c Config, store frog.Store, needed []dependency.Dependency) error {
	metrics := httpserver.NewRegistry()
	verifier, feed := authn.ForService(ctx, c.AuthURL, c.Issuer, c.Audience)
	a.needs = dependency.New(a.log, metrics, append(needed, dependency.Auth(feed))...)
	handler := httpapi.New(httpapi.Config{
		Store: store, Log: a.log, Now: time.Now, Verifier: verifier,
	})
	// Readiness does not depend on the database: see httpserver.Ops.
	ready := a.needs.Reached
	var err error
	if a.api, err = httpserver.Listen("api", c.Listen, httpmw.Gate(ready)(handler), a.log); err != nil {
		return err
	}
	a.ops, err = httpserver.Listen("ops", c.OpsListen, httpserver.Ops(ctx, ready, metrics), a.log)
	return err
}

// open returns the store, its dependencies and a function that closes it.
func open(ctx context.Context, c Config) (frog.Store, []dependency.Dependency, func(), error) {
	if c.Store == "embedded" {
		return memory.New(), nil, func() {}, nil
	}
	url, err := databaseURL(c.DatabaseURL, c.DatabaseCAFile)
	if err != nil {
		return nil, nil, nil, err
	}
	s, err := postgres.Open(ctx, url)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("LILYPAD_DATABASE_URL: %w", err)
	}
	migrated := false
	return s, []dependency.Dependency{{
		Name: "postgres", Away: frog.ErrUnavailable,
		Check: func(ctx context.Context) error {
			if !migrated {
				if err := Migrate(ctx, c.DatabaseURL, c.DatabaseCAFile); err != nil {
					return err
				}
				migrated = true
			}
			return s.Ping(ctx)
		},
	}}, s.Close, nil
}

// Migrate migrates the database to the schema of this release.
func Migrate(ctx context.Context, database config.Secret, caFile string) error {
	url, err := databaseURL(database, caFile)
	if err != nil {
		return err
	}
	if err := postgres.Migrate(ctx, url); err != nil {
		return fmt.Errorf("LILYPAD_DATABASE_URL: %w", storetls.Explain(err, "LILYPAD_DATABASE_CA_FILE"))
	}
	return nil
}

func databaseURL(database config.Secret, caFile string) (string, error) {
	url, err := storetls.PostgresURL(database.Reveal(), caFile)
	if err != nil {
		return "", fmt.Errorf("LILYPAD_DATABASE_CA_FILE: %w", err)
	}
	return url, nil
}

// Addr returns the address of the API.
func (a *App) Addr() string { return a.api.Addr().String() }

// OpsAddr returns the address of the operations port.
func (a *App) OpsAddr() string { return a.ops.Addr().String() }

// Run serves until ctx ends, waits for open requests, and closes the store. Until the database is
// reached and migrated, the service is not ready and all responses are 503. Run returns at once on
// an error that waiting cannot fix.
func (a *App) Run(ctx context.Context) error {
	defer a.close()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var background sync.WaitGroup
	var hopeless error
	background.Go(func() {
		if hopeless = a.needs.Await(ctx); hopeless != nil {
			stop()
			return
		}
		a.needs.Watch(ctx)
	})
	err := httpserver.Run(ctx, a.log, a.drain, a.api, a.ops)
	stop()
	background.Wait()
	return errors.Join(err, hopeless)
}

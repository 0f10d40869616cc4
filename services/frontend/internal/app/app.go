// Package app builds the frontend from its settings. It is the only package that imports all pages.
//
// The frontend keeps no state and no secrets. Each request carries a verified access token; the
// frontend uses no cookies.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"lilypad.example/services/frontend/internal/auth"
	"lilypad.example/services/frontend/internal/frogs"
	"lilypad.example/services/frontend/internal/user"
	"lilypad.example/services/pkg/authn"
	"lilypad.example/services/pkg/config"
	"lilypad.example/services/pkg/dependency"
	"lilypad.example/services/pkg/httpserver"
	"lilypad.example/services/pkg/log"
)

// Config holds the settings of the frontend. It does not embed config.Common, because the sidecar
// in the same pod uses the default ops port.
type Config struct {
	Listen    string        `default:"127.0.0.1:8081" help:"Address to listen on. Keep it on loopback: only the sidecar may reach it."`
	OpsListen string        `default:":9091" help:"Address for health checks and metrics: /livez, /readyz, /metrics."`
	LogLevel  string        `default:"info" enum:"debug,info,warn,error" help:"Minimum log level: ${enum}."`
	LogFormat string        `default:"json" enum:"json,text" help:"Log format: ${enum}."`
	Drain     time.Duration `default:"15s" help:"Grace period for in-flight requests after SIGTERM."`

	AuthURL  string `help:"URL of the auth service. Required."`
	Issuer   string `help:"Required issuer of access tokens. Default: the auth URL."`
	Audience string `default:"frontend" help:"Required audience of access tokens."`
	FrogsURL string `help:"URL of the frogs API. Required."`
}

// Check returns all invalid settings as one error.
func (c Config) Check() error {
	return errors.Join(
		checkLoopback("LILYPAD_LISTEN", c.Listen),
		config.CheckURL("LILYPAD_AUTH_URL", c.AuthURL),
		config.CheckURL("LILYPAD_FROGS_URL", c.FrogsURL),
		config.CheckPositive("LILYPAD_DRAIN", c.Drain),
	)
}

// checkLoopback rejects addresses that are reachable from outside the pod. This is defense in
// depth: tokens are verified anyway.
func checkLoopback(setting, address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%s: %w", setting, err)
	}
	if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.IsLoopback()) {
		return fmt.Errorf("%s: %q is not a loopback address such as 127.0.0.1:8081: the sidecar is the only door", setting, address)
	}
	return nil
}

// An App is the frontend, listening but not yet serving.
type App struct {
	drain      time.Duration
	log        *slog.Logger
	watched    *dependency.Set
	pages, ops *httpserver.Server
}

// New opens both ports. It calls no other service: the frontend starts and stays ready while they
// are down, because some pages do not need them.
func New(ctx context.Context, c Config, logTo io.Writer) (*App, error) {
	l, err := log.New(logTo, c.LogLevel, c.LogFormat)
	if err != nil {
		return nil, err
	}
	verifier, feed := authn.ForService(ctx, c.AuthURL, c.Issuer, c.Audience)
	handler, err := Handler(Dependencies{
		Verifier: verifier,
		Users:    user.NewDirectory(c.AuthURL, l),
		Auth:     auth.New(c.AuthURL),
		Frogs:    frogs.New(c.FrogsURL),
		Now:      time.Now,
		Log:      l,
	})
	if err != nil {
		return nil, err
	}
	metrics := httpserver.NewRegistry()
	a := &App{drain: c.Drain, log: l, watched: dependency.New(l, metrics, dependency.Auth(feed))}
	if a.pages, err = httpserver.Listen("pages", c.Listen, handler, l); err != nil {
		return nil, err
	}
	if a.ops, err = httpserver.Listen("ops", c.OpsListen, httpserver.Ops(ctx, nil, metrics), l); err != nil {
		return nil, err
	}
	return a, nil
}

// Addr returns the address of the pages.
func (a *App) Addr() string { return a.pages.Addr().String() }

// OpsAddr returns the address of the operations port.
func (a *App) OpsAddr() string { return a.ops.Addr().String() }

// Run serves until ctx ends, and waits for open requests.
func (a *App) Run(ctx context.Context) error {
	go a.watched.Watch(ctx)
	return httpserver.Run(ctx, a.log, a.drain, a.pages, a.ops)
}

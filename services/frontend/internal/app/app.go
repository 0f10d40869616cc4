// Package app wires the frontend: settings in, a running program out. It is
// the only place that knows all pages and both ports.
//
// The program holds no state and no secret. Who asks is a verified token,
// request by request; it has never heard of a cookie.
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

// Config is every setting of the frontend. It does not embed config.Common,
// whose ops port is the sidecar's in the pod that they share.
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

// Check returns all faults of the settings.
func (c Config) Check() error {
	return errors.Join(
		checkLoopback("LILYPAD_LISTEN", c.Listen),
		config.CheckURL("LILYPAD_AUTH_URL", c.AuthURL),
		config.CheckURL("LILYPAD_FROGS_URL", c.FrogsURL),
		config.CheckPositive("LILYPAD_DRAIN", c.Drain),
	)
}

// checkLoopback refuses addresses that others than the sidecar can reach. Tokens
// are verified all the same: this is the second line of defence.
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

// New opens both ports. It asks no other service: the frontend starts, and
// stays ready, while they are away, for it has pages that need none.
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

// Addr returns where the pages are.
func (a *App) Addr() string { return a.pages.Addr().String() }

// OpsAddr returns where the operations port is.
func (a *App) OpsAddr() string { return a.ops.Addr().String() }

// Run serves until ctx ends, and lets requests finish.
func (a *App) Run(ctx context.Context) error {
	go a.watched.Watch(ctx)
	return httpserver.Run(ctx, a.log, a.drain, a.pages, a.ops)
}

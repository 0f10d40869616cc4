package app

import (
	"context"
	"errors"
	"log/slog"

	"lilypad.example/services/auth/internal/clientauth"
	"lilypad.example/services/pkg/reload"
)

// clients authenticates the clients of the service.
type clients struct {
	auth *clientauth.Authenticator
	// run reloads the file with the clients' keys until its context is canceled.
	run func(context.Context)
}

func openClients(c *Config, replays clientauth.Replays, log *slog.Logger) (*clients, error) {
	var checkers []clientauth.Checker
	var faults []error
	run := func(context.Context) {}
	if c.ClientKeysFile != "" {
		keys, err := reload.Open(c.ClientKeysFile, clientauth.ParseKeys)
		if err == nil {
			checkers = append(checkers, clientauth.NewStaticKeys(keys.Current, c.Issuer, replays))
			run = func(ctx context.Context) { keys.Watch(ctx, reported(log, "clients")) }
		}
		faults = append(faults, err)
	}
	if len(c.ClientServiceAccounts) > 0 {
		cluster, err := c.cluster("LILYPAD_CLIENT_SERVICE_ACCOUNTS")
		if err == nil {
			var review *clientauth.TokenReview
			review, err = clientauth.NewTokenReview(cluster, c.ClientServiceAccounts, log)
			checkers = append(checkers, review)
		}
		faults = append(faults, err)
	}
	return &clients{clientauth.New(checkers...), run}, errors.Join(faults...)
}

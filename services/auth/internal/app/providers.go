package app

import (
	"context"
	"log/slog"
	"sync"

	"lilypad.example/services/auth/internal/provider"
	"lilypad.example/services/auth/internal/signin"
	"lilypad.example/services/pkg/reload"
)

// providers are the identity providers of the providers file.
type providers struct {
	current func() []*signin.Provider
	// run reloads the file and watches the providers until its context is canceled.
	run func(context.Context)
}

func openProviders(path string, log *slog.Logger) (*providers, error) {
	if path == "" {
		return &providers{func() []*signin.Provider { return nil }, func(context.Context) {}}, nil
	}
	f, err := reload.Open(path, provider.Parse)
	if err != nil {
		return nil, named("LILYPAD_PROVIDERS_FILE", err)
	}
	return &providers{f.Current, func(ctx context.Context) {
		var watching sync.WaitGroup
		defer watching.Wait()
		watching.Go(func() {
			provider.Watch(ctx, f.Current, func(p *signin.Provider, err error) {
				if err != nil {
					log.Warn("an identity provider cannot be used", "provider", p.ID, "error", err)
				} else {
					log.Info("an identity provider can be used again", "provider", p.ID)
				}
			})
		})
		f.Watch(ctx, reported(log, "providers"))
	}}, nil
}

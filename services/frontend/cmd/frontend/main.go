// Command frontend is the sample app behind the sidecar: a server-rendered gallery of frogs. See
// `frontend serve --help` for all settings.
package main

import (
	"context"
	"os"

	"lilypad.example/services/frontend/internal/app"
	"lilypad.example/services/pkg/config"
)

func main() {
	os.Exit(config.Main(new(cli), "frontend", "The frog gallery: a server-rendered app behind the sidecar."))
}

type cli struct {
	Serve serve `cmd:"" help:"Serve the pages."`
}

type serve struct{ app.Config }

func (s serve) Run(ctx context.Context, p config.Program) error {
	a, err := app.New(ctx, s.Config, p.Stderr)
	if err != nil {
		return err
	}
	return a.Run(ctx)
}

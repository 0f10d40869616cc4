// Command frogs is the resource API of the sample app: it lists frogs and counts how often they
// were petted. See `frogs serve --help` for all settings.
package main

import (
	"context"
	"os"

	"lilypad.example/services/frogs/internal/app"
	"lilypad.example/services/pkg/config"
)

func main() {
	os.Exit(config.Main(new(cli), "frogs", "The frogs API: lists frogs and counts their pettings."))
}

type cli struct {
	Serve   serve   `cmd:"" help:"Migrate the database schema and serve the API."`
	Migrate migrate `cmd:"" help:"Migrate the database schema and exit."`
}

type serve struct{ app.Config }

func (s serve) Run(ctx context.Context, p config.Program) error {
	a, err := app.New(ctx, s.Config, p.Stderr)
	if err != nil {
		return err
	}
	return a.Run(ctx)
}

type migrate struct {
	DatabaseURL    config.Secret `required:"" help:"Postgres URL: postgres://user:password@host/database. Uses verified TLS unless sslmode=disable."`
	DatabaseCAFile string        `name:"database-ca-file" help:"CA certificates (PEM) to verify Postgres with. Default: the public CAs."`
}

func (m migrate) Run(ctx context.Context) error {
	return app.Migrate(ctx, m.DatabaseURL, m.DatabaseCAFile)
}

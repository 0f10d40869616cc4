// Command auth is the auth service: accounts, sessions and access tokens.
//
// `auth --help` lists the commands and `auth serve --help` all settings. Each setting is a flag and
// an environment variable.
package main

import (
	"os"

	"lilypad.example/services/pkg/config"
)

type cli struct {
	Serve   serve      `cmd:"" help:"Run the service."`
	Migrate migrate    `cmd:"" help:"Migrate the database schema."`
	Keys    keysCmd    `cmd:"" help:"Generate, show and rotate keys."`
	User    userCmd    `cmd:"" help:"Manage accounts."`
	Session sessionCmd `cmd:"" help:"List, show and end sessions."`
	Config  configCmds `cmd:"" help:"Check the settings."`
}

func main() {
	os.Exit(config.Main(new(cli), "auth", "Lilypad's auth service: accounts, sessions and access tokens."))
}

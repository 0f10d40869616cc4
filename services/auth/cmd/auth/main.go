// Command auth is the auth service: accounts, sessions and access tokens.
//
// `auth --help` lists its commands and `auth serve --help` every setting, each
// a flag and an environment variable.
package main

import (
	"os"

	"lilypad.example/services/pkg/config"
)

type cli struct {
	Serve   serve      `cmd:"" help:"Run the service."`
	Migrate migrate    `cmd:"" help:"Bring the database's schema up to date."`
	Keys    keysCmd    `cmd:"" help:"Make, look at and change keys."`
	User    userCmd    `cmd:"" help:"Manage accounts."`
	Session sessionCmd `cmd:"" help:"Look at sessions, and end one."`
	Config  configCmds `cmd:"" help:"Look at settings."`
}

func main() {
	os.Exit(config.Main(new(cli), "auth", "Lilypad's auth service: accounts, sessions and access tokens."))
}

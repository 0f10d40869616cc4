package main

import (
	"os/exec"

	"lilypad.example/hack/internal/debian"
)

//nolint:gochecknoglobals // constants in all but the keyword
var (
	compiler = debian.Need{Packages: []string{"gcc", "libc6-dev"}, Present: debian.AnyOf("gcc", "clang", "cc")} // the race detector needs cgo
	browser  = debian.Need{Packages: []string{"chromium"}, Present: debian.AnyOf("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")}
	node     = debian.Need{Packages: []string{"nodejs", "npm"}, Present: func() bool { return debian.Find("node") != "" && debian.Find("npm") != "" }}
	nginx    = debian.Need{Packages: []string{"nginx-light"}, Present: debian.AnyOf("nginx"), Service: "nginx"}
	caddy    = debian.Need{Packages: []string{"caddy"}, Present: debian.AnyOf("caddy"), Service: "caddy"}
	emoji    = debian.Need{Packages: []string{"fonts-noto-color-emoji"}, Present: emojiFont, Optional: true} // for screenshots only
)

func emojiFont() bool {
	const frog = ":charset=1f438"
	out, err := exec.Command("fc-list", frog).Output() //nolint:noctx // answers at once
	return err == nil && len(out) > 0
}

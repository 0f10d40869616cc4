package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A need is a program that some test runs, and the Debian packages that bring it.
type need struct {
	packages []string
	present  func() bool
	optional bool   // the tests pass without it, only the pictures are poorer
	service  string // the system service that the package would start
}

//nolint:gochecknoglobals // constants in all but the keyword
var (
	compiler       = need{packages: []string{"gcc", "libc6-dev"}, present: anyOf("gcc", "clang", "cc")} // the race detector links with C
	redisServer    = need{packages: []string{"redis-server"}, present: anyOf("redis-server"), service: "redis-server"}
	postgresServer = need{packages: []string{"postgresql"}, present: func() bool { return postgresBin() != "" }, service: "postgresql"}
	browser        = need{packages: []string{"chromium"}, present: anyOf("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")}
	emoji          = need{packages: []string{"fonts-noto-color-emoji"}, present: emojiFont, optional: true}
)

func anyOf(names ...string) func() bool {
	return func() bool {
		return slices.ContainsFunc(names, func(name string) bool {
			_, err := exec.LookPath(name)
			return err == nil
		})
	}
}

// postgresBin is the folder of PostgreSQL's server programs. Debian keeps it
// out of PATH, a folder for each version.
func postgresBin() string {
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(path)
		}
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return ""
	}
	slices.SortFunc(found, func(a, b string) int { return len(a) - len(b) + strings.Compare(a, b) })
	return filepath.Dir(found[len(found)-1])
}

func emojiFont() bool {
	const frog = ":charset=1f438"
	out, err := exec.Command("fc-list", frog).Output() //nolint:noctx // answers at once
	return err == nil && len(out) > 0
}

// provide sees to it that every need is met: it installs what is missing
// where it may, and says in one sentence what to install where it may not.
func provide(ctx context.Context, log io.Writer, needs []need) error {
	var packages, services []string
	required := false
	for _, n := range needs {
		if n.present() {
			continue
		}
		required = required || !n.optional
		packages = append(packages, n.packages...)
		if n.service != "" {
			services = append(services, n.service)
		}
	}
	if len(packages) == 0 {
		return nil
	}
	_, err := exec.LookPath("apt-get")
	if err != nil || os.Geteuid() != 0 {
		if !required {
			return nil
		}
		return fmt.Errorf("the tests need programs that are missing here; on Debian: sudo apt-get install --no-install-recommends %s", strings.Join(packages, " "))
	}
	_, _ = fmt.Fprintf(log, "installing %s\n", strings.Join(packages, " "))
	return install(ctx, packages, services)
}

// install uses apt without letting Debian start, now or at the next boot, the
// services that come with the packages: the tests run their own.
func install(ctx context.Context, packages, services []string) (err error) {
	const policy = "/usr/sbin/policy-rc.d"
	f, err := os.OpenFile(policy, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755) //nolint:gosec // invoke-rc.d executes it
	switch {
	case err == nil:
		defer func() { err = errors.Join(err, os.Remove(policy)) }()
		if _, err := f.WriteString("#!/bin/sh\nexit 101\n"); err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	case !errors.Is(err, os.ErrExist): // whoever has a policy already decides
		return err
	}
	if err := aptGet(ctx, "update", "-q"); err != nil {
		return err
	}
	if err := aptGet(ctx, append([]string{"install", "-qy", "--no-install-recommends"}, packages...)...); err != nil {
		return err
	}
	if _, err := os.Stat("/run/systemd/system"); err == nil && len(services) > 0 {
		cmd := newCommand(ctx, "systemctl", append([]string{"disable", "--quiet"}, services...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("disable %v: %w\n%s", services, err, out)
		}
	}
	return nil
}

func aptGet(ctx context.Context, args ...string) error {
	cmd := newCommand(ctx, "apt-get", append([]string{"-o", "DPkg::Lock::Timeout=600"}, args...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("apt-get %s: %w\n%s", strings.Join(args, " "), err, said.String())
	}
	return nil
}

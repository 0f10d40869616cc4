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

// A need is a program that is compared with or measured by, and the Debian package that brings it.
type need struct{ program, pkg string }

func needs() []need {
	return []need{
		{"redis-server", "redis-server"}, {"nginx", "nginx-light"}, {"haproxy", "haproxy"}, {"wrk", "wrk"},
	}
}

// provide installs what is missing where it may, and says in one sentence what to install where it may not.
func provide(ctx context.Context, log io.Writer) error {
	var missing []string
	for _, n := range needs() {
		if lookPath(n.program) == "" {
			missing = append(missing, n.pkg)
		}
	}
	if postgresBin() == "" {
		missing = append(missing, "postgresql")
	}
	if len(missing) == 0 {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil || os.Geteuid() != 0 {
		return fmt.Errorf("programs are missing here; on Debian: sudo apt-get install --no-install-recommends %s", strings.Join(missing, " "))
	}
	_, _ = fmt.Fprintf(log, "installing %s\n", strings.Join(missing, " "))
	return install(ctx, missing)
}

// install keeps Debian from starting the services that come with the packages: the bench runs its own.
func install(ctx context.Context, packages []string) (err error) {
	const policy = "/usr/sbin/policy-rc.d"
	f, err := os.OpenFile(policy, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755) //nolint:gosec // invoke-rc.d executes it
	switch {
	case err == nil:
		defer func() { err = errors.Join(err, os.Remove(policy)) }()
		_, err = f.WriteString("#!/bin/sh\nexit 101\n")
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	case !errors.Is(err, os.ErrExist): // whoever has a policy already decides
		return err
	}
	if err := aptGet(ctx, "update", "-q"); err != nil {
		return err
	}
	return aptGet(ctx, append([]string{"install", "-qy", "--no-install-recommends"}, packages...)...)
}

func aptGet(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"-o", "DPkg::Lock::Timeout=600"}, args...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("apt-get %s: %w\n%s", strings.Join(args, " "), err, said.String())
	}
	return nil
}

// lookPath finds a program, also where a user's PATH does not reach; "" if there is none.
func lookPath(name string) string {
	for _, path := range []string{name, "/usr/sbin/" + name} {
		if found, err := exec.LookPath(path); err == nil {
			return found
		}
	}
	return ""
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

// build compiles the four programs as they are shipped.
func build(ctx context.Context, root string, log io.Writer) error {
	_, _ = fmt.Fprintln(log, "compiling the programs")
	cmd := exec.CommandContext(ctx, filepath.Join(root, "hack", "build"))
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("the programs do not compile: %w", err)
	}
	return nil
}

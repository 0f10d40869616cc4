// Package debian finds the programs that tests and benchmarks need, and installs missing ones as
// root on Debian.
package debian

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"

	"lilypad.example/services/pkg/process"
)

// Need is a program or file that must be present, and the Debian packages that contain it.
type Need struct {
	Packages []string
	Present  func() bool
	Optional bool   // not an error if it cannot be installed
	Service  string // the system service that the packages would start
}

// The servers that several programs need.
//
//nolint:gochecknoglobals // constants in all but the keyword
var (
	Redis    = Need{Packages: []string{"redis-server"}, Present: AnyOf("redis-server"), Service: "redis-server"}
	Postgres = Need{Packages: []string{"postgresql"}, Present: func() bool { return process.PostgresBin() != "" }, Service: "postgresql"}
)

// AnyOf returns a check that at least one of the programs is present.
func AnyOf(names ...string) func() bool {
	return func() bool {
		return slices.ContainsFunc(names, func(name string) bool { return Find(name) != "" })
	}
}

// Find returns the path of a program, which may be outside PATH in /usr/sbin, or "".
func Find(name string) string {
	for _, path := range []string{name, "/usr/sbin/" + name} {
		if found, err := exec.LookPath(path); err == nil {
			return found
		}
	}
	return ""
}

// Provide installs what is missing, or returns an error with the command that does.
func Provide(ctx context.Context, log io.Writer, needs []Need) error {
	var packages, services []string
	required := false
	for _, n := range needs {
		if n.Present() {
			continue
		}
		required = required || !n.Optional
		packages = append(packages, n.Packages...)
		if n.Service != "" {
			services = append(services, n.Service)
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
		return fmt.Errorf("programs are missing; on Debian, run: sudo apt-get install --no-install-recommends %s", strings.Join(packages, " "))
	}
	_, _ = fmt.Fprintf(log, "installing %s\n", strings.Join(packages, " "))
	return install(ctx, packages, services)
}

// install installs packages and prevents their services from starting, now and at the next boot:
// callers start servers of their own.
func install(ctx context.Context, packages, services []string) (err error) {
	const policy = "/usr/sbin/policy-rc.d"
	f, err := os.OpenFile(policy, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755) //nolint:gosec // invoke-rc.d executes it
	switch {
	case err == nil:
		defer func() { err = errors.Join(err, os.Remove(policy)) }()
		_, err = f.WriteString("#!/bin/sh\nexit 101\n")
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	case !errors.Is(err, os.ErrExist): // keep an existing policy
		return err
	}
	if err := aptGet(ctx, "update", "-q"); err != nil {
		return err
	}
	if err := aptGet(ctx, append([]string{"install", "-qy", "--no-install-recommends"}, packages...)...); err != nil {
		return err
	}
	if _, err := os.Stat("/run/systemd/system"); err == nil && len(services) > 0 {
		cmd := process.Command(ctx, "systemctl", append([]string{"disable", "--quiet"}, services...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("disable %v: %w\n%s", services, err, out)
		}
	}
	return nil
}

func aptGet(ctx context.Context, args ...string) error {
	cmd := process.Command(ctx, "apt-get", append([]string{"-o", "DPkg::Lock::Timeout=600"}, args...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("apt-get %s: %w\n%s", strings.Join(args, " "), err, said.String())
	}
	return nil
}

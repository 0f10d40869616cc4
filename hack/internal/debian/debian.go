// Package debian brings the programs that the tests and the bench run beside
// the product: it finds them, and installs what is missing where it may.
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

// A Need is something that must be there, and the Debian packages that bring it.
type Need struct {
	Packages []string
	Present  func() bool
	Optional bool   // without it things are poorer, but go on
	Service  string // the system service that the packages would start
}

// The stores, which several programs need.
//
//nolint:gochecknoglobals // constants in all but the keyword
var (
	Redis    = Need{Packages: []string{"redis-server"}, Present: AnyOf("redis-server"), Service: "redis-server"}
	Postgres = Need{Packages: []string{"postgresql"}, Present: func() bool { return process.PostgresBin() != "" }, Service: "postgresql"}
)

// AnyOf is met by any of the named programs.
func AnyOf(names ...string) func() bool {
	return func() bool {
		return slices.ContainsFunc(names, func(name string) bool { return Find(name) != "" })
	}
}

// Find returns where a program is, also where a user's PATH does not reach; "" if there is none.
func Find(name string) string {
	for _, path := range []string{name, "/usr/sbin/" + name} {
		if found, err := exec.LookPath(path); err == nil {
			return found
		}
	}
	return ""
}

// Provide sees to it that every need is met: it installs what is missing where
// it may, and says in one sentence what to install where it may not.
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
		return fmt.Errorf("programs are missing here; on Debian: sudo apt-get install --no-install-recommends %s", strings.Join(packages, " "))
	}
	_, _ = fmt.Fprintf(log, "installing %s\n", strings.Join(packages, " "))
	return install(ctx, packages, services)
}

// install uses apt without letting Debian start, now or at the next boot, the
// services that come with the packages: who needs them runs private ones.
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

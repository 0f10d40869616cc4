package main

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"

	"lilypad.example/hack/internal/debian"
)

// needs returns the programs for comparison and measurement.
func needs() []debian.Need {
	return []debian.Need{
		debian.Redis, debian.Postgres,
		{Packages: []string{"nginx-light"}, Present: debian.AnyOf("nginx"), Service: "nginx"},
		{Packages: []string{"haproxy"}, Present: debian.AnyOf("haproxy"), Service: "haproxy"},
		{Packages: []string{"wrk"}, Present: debian.AnyOf("wrk")},
	}
}

// build compiles the four programs as for a release.
func build(ctx context.Context, root string, log io.Writer) error {
	_, _ = fmt.Fprintln(log, "compiling the programs")
	cmd := exec.CommandContext(ctx, filepath.Join(root, "hack", "build"))
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("the programs do not compile: %w", err)
	}
	return nil
}

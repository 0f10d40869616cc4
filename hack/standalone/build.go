package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// build compiles the four programs and the demonstration provider, and returns their folder.
func build(ctx context.Context, o options, stderr io.Writer) (string, error) {
	_, _ = fmt.Fprintln(stderr, "compiling auth, frogs, frontend, sidecar and provider (takes minutes the first time)")
	dir, args := filepath.Join(o.root, "bin"), []string(nil)
	if o.race {
		dir, args = filepath.Join(dir, "race"), []string{"--race"}
	}
	cmd := exec.CommandContext(ctx, filepath.Join(o.root, "hack", "build"), args...)
	cmd.Stdout, cmd.Stderr = stderr, stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("the programs do not compile: %w", err)
	}
	if o.providers != "" {
		return dir, nil
	}
	// A module outside the workspace.
	cmd = exec.CommandContext(ctx, "go", "build", "-C", filepath.Join(o.root, "hack", "provider"), "-o", dir+string(filepath.Separator), ".")
	cmd.Env = append(os.Environ(), "GOWORK=off")
	cmd.Stdout, cmd.Stderr = stderr, stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("the demonstration provider does not compile: %w", err)
	}
	return dir, nil
}

// ports are the ports of the programs, and their ops ports.
type ports struct {
	sidecar, sidecarOps   int
	frontend, frontendOps int
	frogs, frogsOps       int
	auth, authOps         int
	idp                   int
}

// choosePorts takes the wanted port for the sidecar (0: a free one), and free ports for all else.
// With the user's own app, the auth service gets the port after the sidecar's, so that the app can
// be configured beforehand. All ports are held until the last one is chosen, so that none is chosen
// twice.
func choosePorts(ctx context.Context, o options) (ports, error) {
	var held []net.Listener
	defer func() {
		for _, l := range held {
			_ = l.Close()
		}
	}()
	listen := func(host string, port int) (int, error) {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(host, fmt.Sprint(port)))
		if err != nil {
			return 0, err
		}
		held = append(held, l)
		return l.Addr().(*net.TCPAddr).Port, nil //nolint:errcheck,forcetypeassert // a TCP listener's address is one
	}
	var p ports
	var err error
	auth := 0
	if !o.sample() && o.port != 0 {
		auth = o.port + 1
	}
	if p.sidecar, err = listen("127.0.0.1", o.port); err == nil {
		// Browsers may try IPv6 first: another program must not listen there.
		if _, six := listen("::1", p.sidecar); errors.Is(six, syscall.EADDRINUSE) {
			err = six
		}
	}
	if err != nil {
		return p, taken(max(p.sidecar, o.port), max(p.sidecar, o.port)+1, err)
	}
	if p.auth, err = listen("127.0.0.1", auth); err != nil {
		return p, taken(auth, o.port+2, err)
	}
	for _, port := range []*int{&p.sidecarOps, &p.frontend, &p.frontendOps, &p.frogs, &p.frogsOps, &p.authOps, &p.idp} {
		if *port, err = listen("127.0.0.1", 0); err != nil {
			return p, err
		}
	}
	return p, nil
}

// taken is the error for a port that is not available. It suggests another one.
func taken(port, another int, err error) error {
	if another >= maxPort { // the auth service needs the next one
		another = 8090
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("port %d is in use; choose another one: make run PORT=%d", port, another)
	}
	return fmt.Errorf("listen on port %d: %w", port, err)
}

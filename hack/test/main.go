// Command test is what `make test`, `make test-apps` and `make e2e` run.
//
// It installs missing programs, starts a private PostgreSQL and a private Redis, runs vet and the
// tests of all modules with the race detector, and ends what it started. Its last line is the
// count: "N passed, N failed".
//
// Neither `go test` nor gotestsum starts the two servers or ends them after an interrupt, spans
// modules outside the workspace, or counts a skipped test as failed in CI. A script would need the
// same code and could not be tested.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"lilypad.example/hack/internal/debian"
	"lilypad.example/hack/internal/stores"
	"lilypad.example/services/pkg/process"
)

const usage = `usage: test [--root DIR] [--apps | --charts | --cluster] [PACKAGES]

Vets and tests everything that needs no cluster, in every module, browser tests
included. PACKAGES, such as ./services/auth/..., limits it to packages of the
workspace.

  --apps      test the example apps of docs/guides behind the sidecar; needs the
              npm registry
  --charts    render the charts and check the result; needs bin/helm
  --cluster   run the end-to-end scenarios against the cluster at E2E_URL, which
              hack/e2e sets

Environment:
  CI=true           count a skipped test as failed
  E2E_URL           address of the product, for --cluster
  E2E_SCREENSHOTS   folder for the browser tests' screenshots

Flags:
`

func main() { os.Exit(exitCode()) }

func exitCode() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if !errors.Is(err, errTestsFailed) { // the tally has reported that
		_, _ = fmt.Fprintln(os.Stderr, "test:", err)
	}
	return 1
}

var errTestsFailed = errors.New("test: tests failed")

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("test", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		_, _ = io.WriteString(stderr, usage)
		flags.PrintDefaults()
	}
	root := flags.String("root", ".", "root folder of the project")
	cluster := flags.Bool("cluster", false, "run the end-to-end scenarios against the cluster at E2E_URL")
	apps := flags.Bool("apps", false, "test the example apps behind the sidecar")
	charts := flags.Bool("charts", false, "render the charts and check the result")
	if err := flags.Parse(args); err != nil {
		return err
	}
	top, err := filepath.Abs(*root)
	if err != nil {
		return err
	}
	r := &runner{root: top, stderr: stderr, tally: newTally(stdout, os.Getenv("CI") == "true")}
	switch {
	case *apps:
		err = r.suite(ctx, "k8s/e2e", "TestApps", 20*time.Minute, compiler, browser, emoji, node)
	case *cluster:
		// It waits for several access tokens to expire, which may take ten minutes each.
		err = r.suite(ctx, "k8s/e2e", "TestCluster", time.Hour, compiler, browser, emoji)
	case *charts:
		err = r.suite(ctx, "hack/charts", "TestCharts", 20*time.Minute, compiler)
	default:
		err = r.local(ctx, flags.Args())
	}
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	if err != nil {
		return err
	}
	return r.tally.close()
}

// runner runs the go command and counts the results of tests.
type runner struct {
	root   string
	stderr io.Writer
	tally  *tally
}

// local runs everything that needs no cluster, or only the named packages.
func (r *runner) local(ctx context.Context, packages []string) error {
	needs := []debian.Need{compiler, debian.Redis, debian.Postgres}
	if len(packages) == 0 {
		needs = append(needs, browser, emoji, nginx, caddy)
	}
	if err := debian.Provide(ctx, r.stderr, needs); err != nil {
		return err
	}
	everything := len(packages) == 0
	if everything {
		packages = []string{"work"}
	}
	r.vet(ctx, "", packages...)
	if !everything {
		return withServers(ctx, func(env []string) error { return r.test(ctx, "", env, packages...) })
	}
	modules, err := outside(r.root)
	if err != nil {
		return err
	}
	for _, module := range modules {
		r.vet(ctx, module, "./...")
	}
	return withServers(ctx, func(env []string) error {
		if err := r.test(ctx, "", env, packages...); err != nil {
			return err
		}
		for _, module := range modules {
			// Not cached: they run programs that were compiled just now. One package at a time:
			// each starts many processes.
			if err := r.test(ctx, module, env, "-count=1", "-p=1", "-skip=^Test(Apps|Charts|Cluster)$", "./..."); err != nil {
				return err
			}
		}
		return nil
	})
}

// outside returns the folders of the modules outside the workspace: hack and the end-to-end tests.
func outside(root string) ([]string, error) {
	var modules []string
	for _, pattern := range []string{"hack/go.mod", "hack/provider/go.mod", "k8s/*/go.mod"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return nil, err
		}
		for _, file := range found {
			module, err := filepath.Rel(root, filepath.Dir(file))
			if err != nil {
				return nil, err
			}
			modules = append(modules, module)
		}
	}
	return modules, nil
}

// withServers runs tests with a private PostgreSQL and Redis, whose URLs are in env.
func withServers(ctx context.Context, tests func(env []string) error) (err error) {
	home, err := process.OpenHome("lilypad-test-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, home.Close()) }()
	s, err := stores.Start(ctx, home, "fsync=off", "synchronous_commit=off", "full_page_writes=off")
	defer s.Stop()
	if err != nil {
		return err
	}
	return tests([]string{"LILYPAD_TEST_POSTGRES=" + s.PostgresURL, "LILYPAD_TEST_REDIS=" + s.RedisURL})
}

// suite runs one test, whose subtests are the suite, of a folder outside the workspace.
func (r *runner) suite(ctx context.Context, dir, name string, timeout time.Duration, needs ...debian.Need) error {
	if err := debian.Provide(ctx, r.stderr, needs); err != nil {
		return err
	}
	return r.test(ctx, dir, nil, "-count=1", "-run=^"+name+"$", "-timeout="+timeout.String(), ".")
}

// vet runs go vet. Findings count as one failed test.
func (r *runner) vet(ctx context.Context, module string, packages ...string) {
	cmd := r.goCommand(ctx, module, append([]string{"vet"}, packages...)...)
	cmd.Stdout, cmd.Stderr = r.stderr, r.stderr
	if err := cmd.Run(); err != nil && ctx.Err() == nil {
		r.tally.fail("go vet " + filepath.Join(module, packages[0]))
	}
}

// test runs `go test` in module, or in the workspace if module is empty, and adds the results to
// the tally.
func (r *runner) test(ctx context.Context, module string, env []string, args ...string) error {
	cmd := r.goCommand(ctx, module, append([]string{"test", "-race", "-json", "-timeout=20m"}, args...)...)
	cmd.Env = append(cmd.Env, env...)
	cmd.Stderr = r.stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	readErr := r.tally.read(out)
	_, _ = io.Copy(io.Discard, out) // an unread pipe would block the command
	failed := cmd.Wait()
	process.EndGroup(cmd.Process.Pid, syscall.SIGTERM)
	if readErr != nil {
		return fmt.Errorf("read the results of %v: %w", cmd.Args, readErr)
	}
	if failed != nil && ctx.Err() == nil && r.tally.failed == 0 {
		r.tally.fail(fmt.Sprintf("%v: %v", cmd.Args, failed)) // it failed and no test did
	}
	return nil
}

// goCommand returns a go command in a module outside the workspace, or in the workspace if module
// is empty.
func (r *runner) goCommand(ctx context.Context, module string, args ...string) *exec.Cmd {
	cmd := process.Command(ctx, "go", args...)
	cmd.Dir = filepath.Join(r.root, module)
	cmd.Env = slices.Clone(os.Environ())
	if module != "" {
		cmd.Env = append(cmd.Env, "GOWORK=off")
	}
	return cmd
}

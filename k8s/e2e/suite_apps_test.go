package e2e

import (
	"context"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"lilypad.example/services/pkg/process"
)

// TestApps runs the example apps of docs/guides behind the sidecar, unchanged, and apps that nobody
// here wrote behind it with the pages that come with it. Their packages are of the npm registry.
func TestApps(t *testing.T) {
	program := compileStandalone(t)
	t.Run("Express", func(t *testing.T) { expressApp(t, program) })
	t.Run("SPA", func(t *testing.T) { singlePageApp(t, program) })
	t.Run("Next", func(t *testing.T) { nextApp(t, program) })
	t.Run("NodeRED", func(t *testing.T) { nodeRED(t, program) })
	t.Run("JSONServer", func(t *testing.T) { jsonServer(t, program) })
}

// example is a copy of an app of docs/guides/examples with its packages, and a running sidecar and
// auth service.
type example struct {
	*World
	dir  string
	auth string // URL of the auth service, for the app
}

// install copies an example, installs the packages of its lock file, and starts the product with
// its policy file, in which it replaces addresses.
func install(t *testing.T, program, name string, addresses map[string]string) *example {
	t.Helper()
	e := &example{dir: filepath.Join(t.TempDir(), name)}
	source := filepath.Join(root(t), "docs", "guides", "examples", name)
	if err := os.CopyFS(e.dir, sources{os.DirFS(source)}); err != nil {
		t.Fatal(err)
	}
	routes := filepath.Join(e.dir, "routes.yaml")
	policy, err := os.ReadFile(routes)
	if err != nil {
		t.Fatal(err)
	}
	text := string(policy)
	for written, given := range addresses {
		if !strings.Contains(text, "http://"+written+"\n") {
			t.Fatalf("%s does not name http://%s", routes, written)
		}
		text = strings.Replace(text, written, given, 1)
	}
	if err := os.WriteFile(routes, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	e.run(t, "npm", "ci", "--prefer-offline", "--no-audit", "--no-fund", "--no-update-notifier")
	p := startStandalone(t, program, "--routes", routes, "--login", "/login") // pages of the app
	e.World = &World{BaseURL: p.says(t, "ready "), AccessTTL: accessTTL, Screenshots: os.Getenv("E2E_SCREENSHOTS")}
	e.auth, _, _ = strings.Cut(p.says(t, "your app verifies tokens of issuer "), " ")
	return e
}

// sources hides installed packages and build results.
type sources struct{ fs.FS }

func (s sources) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(s.FS, name)
	return slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return e.Name() == "node_modules" || e.Name() == ".next" }), err
}

// command is a command in the folder of the example, which is told where the auth service is.
func (e *example) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := process.Command(ctx, name, args...)
	cmd.Dir = e.dir
	cmd.Env = append(os.Environ(), "NEXT_TELEMETRY_DISABLED=1", "LILYPAD_AUTH_URL="+e.auth)
	return cmd
}

// run runs a command until it ends.
func (e *example) run(t *testing.T, name string, args ...string) {
	t.Helper()
	cmd := e.command(t.Context(), name, args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
}

// start runs a Node.js program until the test ends, with the port of address in its environment,
// and waits until it listens.
func (e *example) start(t *testing.T, address string, args ...string) {
	t.Helper()
	cmd := e.command(context.WithoutCancel(t.Context()), "node", args...)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(cmd.Env, "PORT="+port)
	p, err := process.Start(strings.Join(args, " "), cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Stop(syscall.SIGTERM)
		showLog(t, p.Name, &p.Output)
	})
	err = process.Await(t.Context(), 5*time.Minute, func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	}, p)
	if err != nil {
		t.Fatalf("%s does not listen: %v", p.Name, err)
	}
}

// freeAddress returns a loopback address whose port was free a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := process.FreeAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return address
}

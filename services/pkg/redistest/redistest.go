// Package redistest gives every test a Redis of its own: New and Start a real redis-server, Mini the in-process miniredis.
//
// A private server a test (found on PATH, listening on a socket file only, writing nothing to disk) starts in milliseconds and
// is the only isolation that also covers FLUSHALL, scripts, configuration and outages: a Server can be stopped and started.
// Nothing stays behind: on Linux the kernel ends the server when the test binary is killed.
//
// For what several servers do together there are StartTCP, Follow and Promote (a primary and its replica), StartSentinels and
// StartCluster. Those listen on a loopback address of their own each (127.x.y.z, as Linux has them), so that no port is ever taken.
//
// It is imported from _test.go files only.
package redistest

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"lilypad.example/services/pkg/process"
)

// program is the server's name on PATH.
const program = "redis-server"

// New returns a client of a private redis-server with Redis's default settings, and ends both with the test.
func New(t testing.TB) *redis.Client {
	t.Helper()
	return Start(t).Client(t)
}

// Mini returns an in-process miniredis, whose clock the test can turn (FastForward, SetTime), and a client of it.
func Mini(t testing.TB) (*miniredis.Miniredis, *redis.Client) {
	t.Helper()
	m := miniredis.RunT(t)
	client := redis.NewClient(&redis.Options{Addr: m.Addr()})
	t.Cleanup(func() { _ = client.Close() })
	return m, client
}

// Server is a private redis-server. Its methods are for the goroutine of the test that started it.
type Server struct {
	dir  string
	path string
	ip   string           // its own loopback address, "" for a socket file only
	args []string         // behind those that every server gets
	conf []string         // lines of a configuration file, for Sentinel, which needs one
	run  *process.Process // nil: stopped
}

// Start starts a private redis-server and stops it when the test ends. The arguments are appended to the command line, for
// example "--maxmemory", "1mb".
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	s := create(t, args...)
	s.Start(t)
	return s
}

// create makes a server and does not start it yet. It is stopped when the test ends.
func create(t testing.TB, args ...string) *Server {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%s is not on PATH: run `make test`, which installs it", program)
	}
	// Not t.TempDir: it contains the test's name, and a socket's path has room for about 100 bytes.
	dir, err := os.MkdirTemp("", "redis")
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	s := &Server{dir: dir, path: path, args: args}
	t.Cleanup(func() {
		s.Stop()
		_ = os.RemoveAll(dir)
	})
	return s
}

// URL returns the address for redis.ParseURL, and so for a program's LILYPAD_REDIS_URL.
func (s *Server) URL() string {
	if s.ip != "" {
		return "redis://" + s.Addr()
	}
	return "unix://" + s.socket()
}

// Client returns a new client, closed when the test ends.
func (s *Server) Client(t testing.TB) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{Network: "unix", Addr: s.socket()})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// Stop kills the server, as a crash does: nothing it held is kept. Clients stay valid and find it again after Start.
func (s *Server) Stop() {
	if s.run == nil {
		return
	}
	s.run.Stop(syscall.SIGKILL)
	s.run = nil
	_ = os.Remove(s.socket())
}

// Start starts a stopped server, empty, at the same URL.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	if s.run != nil {
		t.Fatal("redistest: the server is running")
	}
	run, err := process.Start(program, process.Command(context.Background(), s.path, s.commandLine(t)...))
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	s.run = run
	// A Redis without data to load answers as soon as it accepts a connection. A client would not do here: its pool pauses
	// for long after a first failure.
	err = process.Await(context.Background(), process.Patience, func(ctx context.Context) error {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", s.socket())
		if err != nil {
			return err
		}
		return conn.Close()
	}, run)
	if err != nil {
		t.Fatalf("redistest: the server does not answer: %v", err)
	}
}

// commandLine is what follows the program's name.
func (s *Server) commandLine(t testing.TB) []string {
	t.Helper()
	if s.conf != nil {
		lines := append([]string{"unixsocket " + s.socket(), "dir " + s.dir}, s.conf...)
		file := filepath.Join(s.dir, "conf")
		if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatalf("redistest: %v", err)
		}
		return []string{file, "--sentinel"}
	}
	args := []string{"--unixsocket", s.socket(), "--dir", s.dir, "--save", "", "--appendonly", "no"}
	if s.ip == "" {
		args = append(args, "--port", "0")
	}
	return append(args, s.args...)
}

func (s *Server) socket() string { return filepath.Join(s.dir, "s") }

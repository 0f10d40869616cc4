// Package redistest gives every test its own Redis: New and Start a redis-server, Mini the
// in-process miniredis.
//
// A private redis-server starts in milliseconds. It listens on a Unix socket only and writes
// nothing to disk. Tests can therefore use FLUSHALL, scripts and configuration, and stop and start
// the server. On Linux it also ends when the test binary is killed.
//
// StartTCP, Follow and Promote are for a primary and its replica; StartSentinels and StartCluster
// for Sentinel and Cluster. Their servers have a loopback address of their own each (127.x.y.z, on
// Linux), so that ports never collide.
//
// Only _test.go files import it.
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

// New returns a client of a new redis-server with default settings. Both end with the test.
func New(t testing.TB) *redis.Client {
	t.Helper()
	return Start(t).Client(t)
}

// Mini returns an in-process miniredis, whose clock the test can set (FastForward, SetTime), and a
// client of it.
func Mini(t testing.TB) (*miniredis.Miniredis, *redis.Client) {
	t.Helper()
	m := miniredis.RunT(t)
	client := redis.NewClient(&redis.Options{Addr: m.Addr()})
	t.Cleanup(func() { _ = client.Close() })
	return m, client
}

// Server is a private redis-server. Only the goroutine of the test that started it may call its
// methods.
type Server struct {
	dir  string
	path string
	ip   string           // its own loopback address, "" for a Unix socket only
	args []string         // additional arguments
	conf []string         // lines of a configuration file, which Sentinel needs
	run  *process.Process // nil: stopped
}

// Start starts a redis-server and stops it when the test ends. args are additional arguments, such
// as "--maxmemory", "1mb".
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	s := create(t, args...)
	s.Start(t)
	return s
}

// create returns a server that is not started yet. It is stopped when the test ends.
func create(t testing.TB, args ...string) *Server {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%s is not on PATH: run `make test`, which installs it", program)
	}
	// Not t.TempDir, which contains the test's name: the path of a socket has at most about 100
	// bytes.
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

// URL returns the value for redis.ParseURL and for LILYPAD_REDIS_URL.
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

// Stop kills the server, like a crash: its data is lost. Clients remain valid and reconnect after
// Start.
func (s *Server) Stop() {
	if s.run == nil {
		return
	}
	s.run.Stop(syscall.SIGKILL)
	s.run = nil
	_ = os.Remove(s.socket())
}

// Start starts a stopped server again, empty, at the same URL.
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
	// Without data to load, Redis answers as soon as it accepts connections. A client's pool would
	// wait too long after a failure.
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

// commandLine returns the arguments.
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

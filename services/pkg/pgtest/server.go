package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"lilypad.example/services/pkg/process"
	"lilypad.example/services/pkg/tlstest"
)

// serverPort is the port of all private servers, each on its own loopback address. It is below the
// ephemeral ports of Linux.
const serverPort = "7032"

// Server is a private PostgreSQL server for tests of outages and failover. Only the goroutine of
// the test that started it may call its methods.
type Server struct {
	bin  string
	home *process.Home
	data string
	host string
	args []string         // for TLS
	run  *process.Process // nil: stopped
}

// StartServer starts an empty server, which can have standbys. It ends with the test.
func StartServer(t testing.TB) *Server {
	t.Helper()
	s := newServer(t)
	s.init(t)
	return s
}

func (s *Server) init(t testing.TB) {
	t.Helper()
	s.runProgram(t, "initdb", "-D", s.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	s.Start(t)
}

// StartServerTLS starts an empty server with TLS and a certificate of ca, for its address or for
// another name.
func StartServerTLS(t testing.TB, ca *tlstest.CA, another ...string) *Server {
	t.Helper()
	s := newServer(t)
	cert, key := ca.Issue(t, s.home.Dir, append(another, s.host)[0])
	if err := errors.Join(s.home.Chown(cert), s.home.Chown(key)); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	s.args = []string{"-c", "ssl=on", "-c", "ssl_cert_file=" + cert, "-c", "ssl_key_file=" + key}
	s.init(t)
	return s
}

// Standby starts a standby of s with streaming replication.
func (s *Server) Standby(t testing.TB) *Server {
	t.Helper()
	standby := newServer(t)
	standby.runProgram(t, "pg_basebackup", "-D", standby.data, "-d", s.URL(), "--checkpoint=fast", "--write-recovery-conf", "--no-sync")
	standby.Start(t)
	return standby
}

// AwaitCaughtUp waits until the standby has replayed all current commits of primary.
func (s *Server) AwaitCaughtUp(t testing.TB, primary *Server) {
	t.Helper()
	var position string
	primary.query(t, &position, "SELECT pg_current_wal_flush_lsn()::text")
	s.await(t, "catch up", func() bool {
		var there bool
		s.query(t, &there, "SELECT coalesce(pg_last_wal_replay_lsn() >= $1::pg_lsn, false)", position)
		return there
	})
}

// Promote makes the standby a primary, and returns when it accepts writes.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	var done bool
	s.query(t, &done, "SELECT pg_promote(true, $1)", int(process.Patience.Seconds()))
	if !done {
		t.Fatal("pgtest: the standby was not promoted")
	}
}

// Demote makes the server reject writes (SQLSTATE 25006), on open connections too.
func (s *Server) Demote(t testing.TB) {
	t.Helper()
	var reloaded bool
	s.exec(t, "ALTER SYSTEM SET default_transaction_read_only = on")
	s.query(t, &reloaded, "SELECT pg_reload_conf()")
	s.await(t, "refuse writes", func() bool {
		var readOnly string
		s.query(t, &readOnly, "SHOW default_transaction_read_only")
		return readOnly == "on"
	})
}

// Stop ends the server at once, without a checkpoint: what it committed is recovered at the next
// Start.
func (s *Server) Stop() {
	if s.run != nil {
		s.run.Stop(syscall.SIGQUIT)
		s.run = nil
	}
}

// URL returns the URL for a superuser.
func (s *Server) URL() string {
	u := url.URL{Scheme: "postgres", User: url.User("postgres"), Host: s.Addr(), Path: "/postgres", RawQuery: "sslmode=disable"}
	return u.String()
}

// Addr returns host and port.
func (s *Server) Addr() string { return net.JoinHostPort(s.host, serverPort) }

func newServer(t testing.TB) *Server {
	t.Helper()
	bin := process.PostgresBin()
	if bin == "" {
		t.Fatal("pgtest: there are no PostgreSQL server programs: run `make test`, which installs them")
	}
	home, err := process.OpenHome("postgres")
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	s := &Server{bin: bin, home: home, host: process.LoopbackHost()}
	t.Cleanup(func() {
		s.Stop()
		_ = home.Close()
	})
	if s.data, err = home.Mkdir("data"); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	return s
}

// Start starts a stopped server again, with its committed data, at the same URL.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	args := append([]string{
		"-D", s.data, "-p", serverPort, "-c", "listen_addresses=" + s.host, "-c", "unix_socket_directories=",
		"-c", "fsync=off", "-c", "wal_level=replica",
	}, s.args...)
	run, err := process.Start("postgres", s.home.Command(context.Background(), filepath.Join(s.bin, "postgres"), args...))
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	s.run = run
	err = process.Await(t.Context(), process.Patience, func(ctx context.Context) error {
		conn, err := pgx.Connect(ctx, s.URL())
		if err != nil {
			return err
		}
		return conn.Close(ctx)
	}, run)
	if err != nil {
		t.Fatalf("pgtest: the server does not answer: %v", err)
	}
}

// runProgram runs one of PostgreSQL's programs to its end.
func (s *Server) runProgram(t testing.TB, program string, args ...string) {
	t.Helper()
	if out, err := s.home.Command(t.Context(), filepath.Join(s.bin, program), args...).CombinedOutput(); err != nil {
		t.Fatalf("pgtest: %s: %v\n%s", program, err, out)
	}
}

func (s *Server) query(t testing.TB, to any, sql string, args ...any) {
	t.Helper()
	s.with(t, func(conn *pgx.Conn) error { return conn.QueryRow(t.Context(), sql, args...).Scan(to) })
}

func (s *Server) exec(t testing.TB, sql string) {
	t.Helper()
	s.with(t, func(conn *pgx.Conn) error {
		_, err := conn.Exec(t.Context(), sql)
		return err
	})
}

func (s *Server) with(t testing.TB, use func(*pgx.Conn) error) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.URL())
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if err := use(conn); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
}

func (s *Server) await(t testing.TB, what string, done func() bool) {
	t.Helper()
	err := process.Await(t.Context(), process.Patience, func(context.Context) error {
		if done() {
			return nil
		}
		return fmt.Errorf("pgtest: the server does not %s", what)
	})
	if err != nil {
		t.Fatal(err)
	}
}

package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"lilypad.example/services/pkg/tlstest"
)

// serverPort is that of every private server; each listens on a loopback address of its own. It is below the range that Linux
// takes ports of outgoing connections from.
const serverPort = "7032"

// startTimeout bounds whatever a server has to do; it is generous because test machines are busy.
const startTimeout = 60 * time.Second

// watchdog runs a server ($@) as a child and ends it at once when standard input does, as it does with the test binary however
// that ends.
const watchdog = `"$@" </dev/null & server=$!; cat >/dev/null; kill -QUIT $server 2>/dev/null; wait $server`

// A Server is a private PostgreSQL server, for what one database of the common server cannot show: that it ends, and that another
// takes over. Its methods are for the goroutine of the test that started it.
type Server struct {
	bin  string
	dir  string
	data string
	host string
	who  *syscall.Credential // nil: ourselves
	args []string            // of TLS

	stdin io.Closer
	cmd   *exec.Cmd
}

// StartServer starts an empty server that is ready to have standbys, and ends it with the test.
func StartServer(t testing.TB) *Server {
	t.Helper()
	s := newServer(t)
	s.init(t)
	return s
}

func (s *Server) init(t testing.TB) {
	t.Helper()
	s.run(t, "initdb", "-D", s.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	s.Start(t)
}

// StartServerTLS starts an empty server that offers TLS, with a certificate of ca for its address, or for another one.
func StartServerTLS(t testing.TB, ca *tlstest.CA, another ...string) *Server {
	t.Helper()
	s := newServer(t)
	cert, key := ca.Issue(t, s.dir, append(another, s.host)[0])
	s.give(t, cert)
	s.give(t, key)
	s.args = []string{"-c", "ssl=on", "-c", "ssl_cert_file=" + cert, "-c", "ssl_key_file=" + key}
	s.init(t)
	return s
}

// Standby starts a server that follows s by streaming replication.
func (s *Server) Standby(t testing.TB) *Server {
	t.Helper()
	standby := newServer(t)
	standby.run(t, "pg_basebackup", "-D", standby.data, "-d", s.URL(), "--checkpoint=fast", "--write-recovery-conf", "--no-sync")
	standby.Start(t)
	return standby
}

// AwaitCaughtUp waits until the standby has all that primary has committed by now.
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

// Promote makes the standby a primary, and returns when it takes writes.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	var done bool
	s.query(t, &done, "SELECT pg_promote(true, $1)", int(startTimeout.Seconds()))
	if !done {
		t.Fatal("pgtest: the standby was not promoted")
	}
}

// Demote has the server refuse writes (SQLSTATE 25006) on all connections, open ones too.
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

// Stop ends the server as a crash does.
func (s *Server) Stop() {
	if s.cmd == nil {
		return
	}
	_ = s.stdin.Close()
	_ = s.cmd.Wait()
	s.cmd = nil
}

// URL is the server's address for a superuser.
func (s *Server) URL() string {
	u := url.URL{Scheme: "postgres", User: url.User("postgres"), Host: s.Addr(), Path: "/postgres", RawQuery: "sslmode=disable"}
	return u.String()
}

// Addr is host and port.
func (s *Server) Addr() string { return net.JoinHostPort(s.host, serverPort) }

func newServer(t testing.TB) *Server {
	t.Helper()
	bin, err1 := serverPrograms()
	who, err2 := unprivileged()
	dir, err3 := os.MkdirTemp("", "postgres")
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	s := &Server{
		bin: bin, dir: dir, data: filepath.Join(dir, "data"), who: who,
		host: fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254)), //nolint:gosec // not a secret
	}
	t.Cleanup(func() {
		s.Stop()
		_ = os.RemoveAll(dir)
	})
	s.give(t, dir)
	return s
}

// give hands a file to whom the server runs as.
func (s *Server) give(t testing.TB, path string) {
	t.Helper()
	if s.who == nil {
		return
	}
	if err := os.Chown(path, int(s.who.Uid), int(s.who.Gid)); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
}

// serverPrograms is the folder of initdb and postgres. Debian keeps it out of PATH, a folder for each version.
func serverPrograms() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(path), nil
		}
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", errors.New("there are no PostgreSQL server programs: run `make test`, which installs them")
	}
	return filepath.Dir(found[len(found)-1]), nil
}

// unprivileged is who runs the servers when we are root, which PostgreSQL refuses to be.
func unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // nobody else is the answer
	}
	who, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, err1 := strconv.ParseUint(who.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(who.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(err1, err2)
}

// Start starts a stopped server, with all that it had committed, at the same URL.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	args := append([]string{
		"-c", watchdog, "sh", filepath.Join(s.bin, "postgres"), "-D", s.data, "-p", serverPort,
		"-c", "listen_addresses=" + s.host, "-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "wal_level=replica",
	}, s.args...)
	cmd := s.command(context.Background(), "sh", args...)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	s.cmd, s.stdin = cmd, stdin
	s.await(t, "answer", func() bool {
		conn, err := pgx.Connect(t.Context(), s.URL())
		if err != nil {
			return false
		}
		return conn.Close(t.Context()) == nil
	})
}

// run runs one of PostgreSQL's programs to its end.
func (s *Server) run(t testing.TB, program string, args ...string) {
	t.Helper()
	if out, err := s.command(t.Context(), filepath.Join(s.bin, program), args...).CombinedOutput(); err != nil {
		t.Fatalf("pgtest: %s: %v\n%s", program, err, out)
	}
}

func (s *Server) command(ctx context.Context, path string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, path, args...) //nolint:gosec // a test starts programs that it found
	cmd.Dir, cmd.SysProcAttr = s.dir, &syscall.SysProcAttr{Credential: s.who}
	return cmd
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
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			t.Fatalf("pgtest: the server does not %s", what)
		case <-again.C:
		}
	}
}

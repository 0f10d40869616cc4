package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// servers are the private PostgreSQL and Redis of one run. Both listen on a
// free loopback port behind a random password and keep nothing.
type servers struct {
	dir             string
	postgres, redis *server
	postgresURL     string
	redisURL        string
}

// A server is a running process, and what it wrote.
type server struct {
	cmd   *command
	log   string
	ended chan struct{}
	cause error
}

func startServers(ctx context.Context) (_ *servers, err error) {
	dir, err := os.MkdirTemp("", "lilypad-test-")
	if err != nil {
		return nil, err
	}
	s := &servers{dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
		}
	}()
	if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // the servers run as somebody else and pass through
		return nil, err
	}
	who, err := unprivileged()
	if err != nil {
		return nil, err
	}
	if err := s.startPostgres(ctx, who); err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	if err := s.startRedis(ctx, who); err != nil {
		return nil, fmt.Errorf("start Redis: %w", err)
	}
	return s, nil
}

func (s *servers) environment() []string {
	return []string{"LILYPAD_TEST_POSTGRES=" + s.postgresURL, "LILYPAD_TEST_REDIS=" + s.redisURL}
}

// stop ends both servers and removes what they kept.
func (s *servers) stop() error {
	for _, server := range []*server{s.postgres, s.redis} {
		if server != nil {
			endGroup(server.cmd.Process.Pid, syscall.SIGINT) // to PostgreSQL, SIGTERM means: when the last client has left
			<-server.ended
		}
	}
	return os.RemoveAll(s.dir)
}

// unprivileged is whom the servers run as when we are root: PostgreSQL
// refuses to be root. Nil means ourselves.
func unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // nobody else is the answer
	}
	who, err := user.Lookup("postgres")
	if err != nil {
		who, err = user.Lookup("nobody")
	}
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(who.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(who.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, err
}

// room makes a folder that who owns.
func (s *servers) room(name string, who *syscall.Credential) (string, error) {
	dir := filepath.Join(s.dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	if who == nil {
		return dir, nil
	}
	return dir, os.Chown(dir, int(who.Uid), int(who.Gid))
}

func (s *servers) startPostgres(ctx context.Context, who *syscall.Credential) error {
	bin := postgresBin()
	dir, err := s.room("postgres", who)
	if err != nil {
		return err
	}
	password := rand.Text()
	secret := filepath.Join(dir, "password")
	if err := write(secret, password, who); err != nil {
		return err
	}
	data := filepath.Join(dir, "data")
	initdb := as(who, newCommand(ctx, filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres",
		"-A", "scram-sha-256", "--pwfile", secret, "-E", "UTF8", "--locale=C", "--no-sync"))
	initdb.Dir = dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	port, err := freePort(ctx)
	if err != nil {
		return err
	}
	s.postgres, err = start(as(who, newCommand(ctx, filepath.Join(bin, "postgres"), "-D", data, "-p", port,
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "max_connections=300",
		"-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")), filepath.Join(s.dir, "postgres.log"))
	if err != nil {
		return err
	}
	s.postgresURL = "postgres://postgres:" + password + "@127.0.0.1:" + port + "/postgres?sslmode=disable"
	return s.postgres.await(ctx, func() bool {
		return newCommand(ctx, filepath.Join(bin, "pg_isready"), "-q", "-h", "127.0.0.1", "-p", port).Run() == nil
	})
}

func (s *servers) startRedis(ctx context.Context, who *syscall.Credential) error {
	dir, err := s.room("redis", who)
	if err != nil {
		return err
	}
	port, err := freePort(ctx)
	if err != nil {
		return err
	}
	password := rand.Text()
	conf := filepath.Join(dir, "redis.conf") // a file: arguments are visible to everybody
	settings := "bind 127.0.0.1\nport " + port + "\nrequirepass " + password + "\nsave \"\"\nappendonly no\nmaxmemory-policy noeviction\ndir " + dir + "\n"
	if err := write(conf, settings, who); err != nil {
		return err
	}
	s.redis, err = start(as(who, newCommand(ctx, "redis-server", conf)), filepath.Join(s.dir, "redis.log"))
	if err != nil {
		return err
	}
	s.redisURL = "redis://:" + password + "@127.0.0.1:" + port + "/0"
	return s.redis.await(ctx, func() bool { return redisAnswers(ctx, port, password) })
}

func redisAnswers(ctx context.Context, port, password string) bool {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	_, _ = fmt.Fprintf(conn, "AUTH %s\r\nPING\r\n", password)
	in := bufio.NewReader(conn)
	_, _ = in.ReadString('\n')
	answer, _ := in.ReadString('\n')
	return strings.HasPrefix(answer, "+PONG")
}

func write(path, text string, who *syscall.Credential) error {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil || who == nil {
		return err
	}
	return os.Chown(path, int(who.Uid), int(who.Gid))
}

func as(who *syscall.Credential, cmd *command) *command {
	cmd.SysProcAttr.Credential = who
	return cmd
}

// freePort is a loopback port that was free a moment ago.
func freePort(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

func start(cmd *command, log string) (*server, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{cmd: cmd, log: log, ended: make(chan struct{})}
	go func() {
		s.cause = cmd.Wait()
		close(s.ended)
	}()
	return s, nil
}

// await returns when ready does, or with the server's own words when it ended or took too long.
func (s *server) await(ctx context.Context, ready func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for !ready() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w\n%s", ctx.Err(), s.words())
		case <-s.ended:
			return fmt.Errorf("it ended: %w\n%s", s.cause, s.words())
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

func (s *server) words() string {
	said, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	return string(said)
}

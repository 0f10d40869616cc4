// Package stores starts a private PostgreSQL and a private Redis, on free loopback ports and with
// random passwords.
package stores

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"lilypad.example/hack/internal/debian"
	"lilypad.example/services/pkg/process"
)

// Stores are the two servers.
type Stores struct {
	Postgres, Redis       *process.Process
	PostgresURL, RedisURL string
}

// Start starts both in home. postgresSettings are additional settings such as "fsync=off". Stop
// must be called, also after an error.
func Start(ctx context.Context, home *process.Home, postgresSettings ...string) (*Stores, error) {
	s := &Stores{}
	if err := s.startPostgres(ctx, home, postgresSettings); err != nil {
		return s, fmt.Errorf("start PostgreSQL: %w", err)
	}
	if err := s.startRedis(ctx, home); err != nil {
		return s, fmt.Errorf("start Redis: %w", err)
	}
	return s, nil
}

// Stop ends both servers.
func (s *Stores) Stop() {
	for _, server := range []*process.Process{s.Postgres, s.Redis} {
		if server != nil {
			server.Stop(syscall.SIGINT) // on SIGTERM, PostgreSQL waits for its clients to disconnect
		}
	}
}

func (s *Stores) startPostgres(ctx context.Context, home *process.Home, settings []string) error {
	bin := process.PostgresBin()
	dir, err := home.Mkdir("postgres")
	if err != nil {
		return err
	}
	password, secret, data := rand.Text(), filepath.Join(dir, "password"), filepath.Join(dir, "data")
	if err := home.WriteFile(secret, password); err != nil {
		return err
	}
	initdb := home.Command(ctx, filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres",
		"-A", "scram-sha-256", "--pwfile", secret, "-E", "UTF8", "--locale=C", "--no-sync")
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	at, err := process.FreeAddress(ctx)
	if err != nil {
		return err
	}
	_, port, _ := strings.Cut(at, ":")
	args := []string{"-D", data, "-p", port}
	for _, setting := range append([]string{"listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=300"}, settings...) {
		args = append(args, "-c", setting)
	}
	s.PostgresURL = "postgres://postgres:" + password + "@" + at + "/postgres?sslmode=disable"
	if s.Postgres, err = process.Start("postgres", home.Command(ctx, filepath.Join(bin, "postgres"), args...)); err != nil {
		return err
	}
	return process.Await(ctx, process.Patience, func(ctx context.Context) error {
		return process.Command(ctx, filepath.Join(bin, "pg_isready"), "-q", "-h", "127.0.0.1", "-p", port).Run()
	}, s.Postgres)
}

func (s *Stores) startRedis(ctx context.Context, home *process.Home) error {
	dir, err := home.Mkdir("redis")
	if err != nil {
		return err
	}
	at, err := process.FreeAddress(ctx)
	if err != nil {
		return err
	}
	_, port, _ := strings.Cut(at, ":")
	password, conf := rand.Text(), filepath.Join(dir, "redis.conf") // a file, because arguments are visible to all users
	settings := "bind 127.0.0.1\nport " + port + "\nrequirepass " + password +
		"\nsave \"\"\nappendonly no\nmaxmemory-policy noeviction\ndir " + dir + "\n"
	if err := home.WriteFile(conf, settings); err != nil {
		return err
	}
	s.RedisURL = "redis://:" + password + "@" + at + "/0"
	if s.Redis, err = process.Start("redis-server", home.Command(ctx, debian.Find("redis-server"), conf)); err != nil {
		return err
	}
	return process.Await(ctx, process.Patience, func(ctx context.Context) error { return ping(ctx, at, password) }, s.Redis)
}

func ping(ctx context.Context, at, password string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", at)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	_, _ = fmt.Fprintf(conn, "AUTH %s\r\nPING\r\n", password)
	in := bufio.NewReader(conn)
	_, _ = in.ReadString('\n')
	answer, err := in.ReadString('\n')
	if err == nil && !strings.HasPrefix(answer, "+PONG") {
		err = fmt.Errorf("redis answers PING with %q", answer)
	}
	return err
}

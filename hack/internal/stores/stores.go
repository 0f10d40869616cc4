// Package stores runs a private PostgreSQL and a private Redis. Both listen on
// a free loopback port behind a random password, and nothing outlives them.
package stores

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"

	"lilypad.example/hack/internal/debian"
	"lilypad.example/hack/internal/process"
)

// Stores are the two servers of one run.
type Stores struct {
	Postgres, Redis       *process.Process
	PostgresURL, RedisURL string
}

// Start starts both in home; postgresSettings are more of PostgreSQL's, such as
// "fsync=off". Stop must be called, also after an error.
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
			server.Stop()
		}
	}
}

func (s *Stores) startPostgres(ctx context.Context, home *process.Home, settings []string) error {
	bin := debian.PostgresBin()
	dir, err := home.Room("postgres")
	if err != nil {
		return err
	}
	password, secret, data := rand.Text(), filepath.Join(dir, "password"), filepath.Join(dir, "data")
	if err := home.Write(secret, password); err != nil {
		return err
	}
	initdb := home.Server(ctx, filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres",
		"-A", "scram-sha-256", "--pwfile", secret, "-E", "UTF8", "--locale=C", "--no-sync")
	initdb.Dir = dir
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
	s.Postgres, err = home.Start(ctx, "postgres-server", filepath.Join(bin, "postgres"), args, func() bool {
		return process.Command(ctx, filepath.Join(bin, "pg_isready"), "-q", "-h", "127.0.0.1", "-p", port).Run() == nil
	})
	return err
}

func (s *Stores) startRedis(ctx context.Context, home *process.Home) error {
	dir, err := home.Room("redis")
	if err != nil {
		return err
	}
	at, err := process.FreeAddress(ctx)
	if err != nil {
		return err
	}
	_, port, _ := strings.Cut(at, ":")
	password, conf := rand.Text(), filepath.Join(dir, "redis.conf") // a file: arguments are visible to everybody
	settings := "bind 127.0.0.1\nport " + port + "\nrequirepass " + password +
		"\nsave \"\"\nappendonly no\nmaxmemory-policy noeviction\ndir " + dir + "\n"
	if err := home.Write(conf, settings); err != nil {
		return err
	}
	s.RedisURL = "redis://:" + password + "@" + at + "/0"
	s.Redis, err = home.Start(ctx, "redis-server", debian.Find("redis-server"), []string{conf},
		func() bool { return redisAnswers(ctx, at, password) })
	return err
}

func redisAnswers(ctx context.Context, at, password string) bool {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", at)
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

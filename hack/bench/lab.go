package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// issuer is what the auth service calls itself, wherever it listens.
const issuer = "http://auth.bench.example"

// clientID is what we and the sidecars call ourselves before the auth service.
const clientID = "bench"

// A lab is one run: its folder, its keys and everything it has started. What
// listens does so on free loopback ports; nothing outlives it.
type lab struct {
	root, dir string
	self      string              // this program
	who       *syscall.Credential // whom other people's servers run as when we are root; PostgreSQL refuses to be root
	key       *ecdsa.PrivateKey
	log       io.Writer
	running   []*process

	redis, postgres       *process
	redisURL, postgresURL string
}

func (l *lab) say(format string, args ...any) { _, _ = fmt.Fprintf(l.log, format+"\n", args...) }

func (l *lab) file(name string) string { return filepath.Join(l.dir, name) }

func openLab(ctx context.Context, root string, log io.Writer) (_ *lab, err error) {
	l := &lab{root: root, log: log}
	if l.dir, err = os.MkdirTemp("", "lilypad-bench-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	if err := os.Chmod(l.dir, 0o711); err != nil { //nolint:gosec // the servers run as somebody else and pass through
		return nil, err
	}
	if l.self, err = os.Executable(); err != nil {
		return nil, err
	}
	if l.who, err = unprivileged(); err != nil {
		return nil, err
	}
	if l.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	return l, ctx.Err()
}

// close ends everything, the youngest first, and removes the folder.
func (l *lab) close() error {
	var faults []error
	for _, p := range slices.Backward(l.running) {
		faults = append(faults, p.stop())
	}
	return errors.Join(append(faults, os.RemoveAll(l.dir))...)
}

// unprivileged is nil when we are nobody special ourselves.
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

// room makes a folder for a server that runs as l.who.
func (l *lab) room(name string) (string, error) {
	dir := l.file(name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	return dir, l.give(dir)
}

func (l *lab) give(path string) error {
	if l.who == nil {
		return nil
	}
	return os.Chown(path, int(l.who.Uid), int(l.who.Gid))
}

func (l *lab) write(path, text string) error {
	return errors.Join(os.WriteFile(path, []byte(text), 0o600), l.give(path))
}

// address is a loopback one whose port was free a moment ago.
func address(ctx context.Context) (string, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}

func (l *lab) startStores(ctx context.Context) error {
	if err := l.startPostgres(ctx); err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	if err := l.startRedis(ctx); err != nil {
		return fmt.Errorf("start Redis: %w", err)
	}
	return l.writeKeys(ctx)
}

func (l *lab) startPostgres(ctx context.Context) error {
	bin := postgresBin()
	dir, err := l.room("postgres")
	if err != nil {
		return err
	}
	password, secret, data := rand.Text(), filepath.Join(dir, "password"), filepath.Join(dir, "data")
	if err := l.write(secret, password); err != nil {
		return err
	}
	initdb := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres",
		"-A", "scram-sha-256", "--pwfile", secret, "-E", "UTF8", "--locale=C", "--no-sync")
	initdb.Dir, initdb.SysProcAttr = dir, &syscall.SysProcAttr{Credential: l.who}
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	at, err := address(ctx)
	if err != nil {
		return err
	}
	_, port, _ := strings.Cut(at, ":")
	l.postgresURL = "postgres://postgres:" + password + "@" + at + "/postgres?sslmode=disable"
	l.postgres, err = l.start(ctx, program{
		name: "postgres-server", address: at, who: l.who, path: filepath.Join(bin, "postgres"),
		args: []string{"-D", data, "-p", port, "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "max_connections=200"},
	}, func() bool {
		return exec.CommandContext(ctx, filepath.Join(bin, "pg_isready"), "-q", "-h", "127.0.0.1", "-p", port).Run() == nil
	})
	return err
}

func (l *lab) startRedis(ctx context.Context) error {
	dir, err := l.room("redis")
	if err != nil {
		return err
	}
	at, err := address(ctx)
	if err != nil {
		return err
	}
	_, port, _ := strings.Cut(at, ":")
	password, conf := rand.Text(), filepath.Join(dir, "redis.conf") // a file: arguments are visible to everybody
	settings := "bind 127.0.0.1\nport " + port + "\nrequirepass " + password +
		"\nsave \"\"\nappendonly no\nmaxmemory-policy noeviction\ndir " + dir + "\n"
	if err := l.write(conf, settings); err != nil {
		return err
	}
	l.redisURL = "redis://:" + password + "@" + at + "/0"
	l.redis, err = l.start(ctx, program{name: "redis-server", address: at, who: l.who, path: lookPath("redis-server"), args: []string{conf}},
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

// writeKeys makes the files that the settings of auth and sidecar name.
func (l *lab) writeKeys(ctx context.Context) error {
	keys := exec.CommandContext(ctx, l.bin("auth"), "keys", "generate", "--dir", l.dir)
	keys.Env = environment(nil)
	if out, err := keys.CombinedOutput(); err != nil {
		return fmt.Errorf("auth keys generate: %w\n%s", err, out)
	}
	private, err := x509.MarshalPKCS8PrivateKey(l.key)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(&l.key.PublicKey)
	if err != nil {
		return err
	}
	clients, err := json.Marshal(map[string]string{clientID: string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))})
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(l.file("client-key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600),
		os.WriteFile(l.file("clients.json"), clients, 0o600),
	)
}

func (l *lab) bin(name string) string { return filepath.Join(l.root, "bin", name) }

// A service is one of the product's programs, with its ops port.
type service struct {
	*process
	ops string
}

func (l *lab) startAuth(ctx context.Context, name string, more map[string]string) (service, error) {
	settings := map[string]string{
		"STORE": "external", "DATABASE_URL": l.postgresURL, "REDIS_URL": l.redisURL, "ISSUER": issuer,
		"ACCESS_TTL": "5m", "OVERLAP": "10s",
		"SIGNING_KEYS_FILE": l.file("signing.pem"), "RING_KEYS_FILE": l.file("ring.keys"), "CLIENT_KEYS_FILE": l.file("clients.json"),
	}
	maps.Copy(settings, more)
	return l.startService(ctx, name, "auth", settings, false)
}

// startSidecar runs one with everything on and every request in its access log.
func (l *lab) startSidecar(ctx context.Context, name, auth, upstream string, mute bool) (service, error) {
	routes := l.file("routes.yaml")
	table := "upstreams: {app: \"http://" + upstream + "\"}\nroutes:\n  - {prefix: /, upstream: app, policy: session}\n"
	if err := os.WriteFile(routes, []byte(table), 0o600); err != nil {
		return service{}, err
	}
	return l.startService(ctx, name, "sidecar", map[string]string{
		"AUTH_URL": "http://" + auth, "ISSUER": issuer, "ROUTES_FILE": routes,
		"CLIENT_ID": clientID, "CLIENT_KEY_FILE": l.file("client-key.pem"), "ACCESS_LOG": "all",
	}, mute)
}

func (l *lab) startService(ctx context.Context, name, binary string, settings map[string]string, mute bool) (service, error) {
	at, err := address(ctx)
	if err != nil {
		return service{}, err
	}
	ops, err := address(ctx)
	if err != nil {
		return service{}, err
	}
	env := []string{"LILYPAD_LISTEN=" + at, "LILYPAD_OPS_LISTEN=" + ops, "LILYPAD_DRAIN=1s"}
	for k, v := range settings {
		env = append(env, "LILYPAD_"+k+"="+v)
	}
	p, err := l.start(ctx, program{name: name, address: at, path: l.bin(binary), args: []string{"serve"}, env: env, mute: mute},
		func() bool { return answers(ctx, "http://"+ops+"/readyz") })
	return service{process: p, ops: ops}, err
}

// answers reports whether url does, and with 200.
func answers(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

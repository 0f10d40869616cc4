package replicas

import (
	"context"
	"crypto/ecdsa"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"lilypad.example/services/pkg/process"
)

// replicas is the number of auth services, and of sidecars.
const replicas = 3

// Ports at every address, below the ephemeral ports of Linux.
const (
	servicePort = 7080
	opsPort     = 7090
)

// settings are settings of a test that differ from the defaults.
type settings struct {
	accessTTL   time.Duration
	minInterval time.Duration // between two rotations of a session, and the overlap; 0 for none
	auth        map[string]string
	sidecar     map[string]string
}

// world is the running product.
type world struct {
	t        *testing.T
	dir      string
	subnet   [2]byte // 127.x.y.0/24
	next     byte
	visitors atomic.Uint32

	redis           *program
	toRedis         *door
	toPostgres      *door
	database        string // the database's own URL, past the door
	auth            []*program
	toAuth          []*door // the sidecars' doors to the auth services, one each
	sidecars        []*program
	frogs           *program // an API that verifies tokens by the JWKS; not started
	toAuthFromFrogs *door
	upstream        *upstream
	clientKey       *ecdsa.PrivateKey
}

// newWorld starts everything but frogs and waits until all programs are ready.
func newWorld(t *testing.T, s settings) *world {
	t.Helper()
	programs, err := compile()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: t.TempDir(), subnet: [2]byte{byte(1 + rand.IntN(99)), byte(rand.IntN(256))}}
	w.upstream = newUpstream(t)
	w.startRedis()
	w.openPostgres()
	w.frogs = w.program("frogs", filepath.Join(programs, "frogs"))
	w.writeFiles(programs)

	var addresses []string
	for i := range replicas {
		w.auth = append(w.auth, w.program(fmt.Sprintf("auth-%d", i+1), filepath.Join(programs, "auth")))
		addresses = append(addresses, w.auth[i].address)
	}
	for i := range replicas {
		w.toAuth = append(w.toAuth, newDoor(t, w.address(), addresses...))
		w.sidecars = append(w.sidecars, w.program(fmt.Sprintf("sidecar-%d", i+1), filepath.Join(programs, "sidecar")))
	}
	w.toAuthFromFrogs = newDoor(t, w.address(), addresses...)
	w.configure(s)

	for _, p := range w.auth {
		p.start()
	}
	for _, p := range w.sidecars {
		p.start()
	}
	for _, p := range append(w.auth[:replicas:replicas], w.sidecars...) {
		p.awaitReady()
	}
	return w
}

// configure sets the environment of each program.
func (w *world) configure(s settings) {
	database, err := url.Parse(w.database)
	if err != nil {
		w.t.Fatal(err)
	}
	database.Host = w.toPostgres.address
	for _, p := range w.auth {
		p.env = w.environment(p, map[string]string{
			"DATABASE_URL": database.String(), "REDIS_URL": "redis://" + w.toRedis.address, "ISSUER": issuer,
			"ACCESS_TTL": s.accessTTL.String(), "MIN_ROTATION_INTERVAL": s.minInterval.String(),
			"SIGNING_KEYS_FILE": w.file("signing.pem"), "RING_KEYS_FILE": w.file("ring.keys"), "CLIENT_KEYS_FILE": w.file("clients.json"),
		}, s.auth)
		if s.minInterval > 0 { // which the overlap must not exceed
			p.env = append(p.env, "LILYPAD_OVERLAP="+s.minInterval.String())
		}
	}
	for i, p := range w.sidecars {
		p.env = w.environment(p, map[string]string{
			"AUTH_URL": "http://" + w.toAuth[i].address, "ISSUER": issuer, "ROUTES_FILE": w.file("routes.yaml"),
			"CLIENT_ID": clientID, "CLIENT_KEY_FILE": w.file("client-key.pem"), "ACCESS_LOG": "errors",
		}, s.sidecar)
	}
	w.frogs.env = w.environment(w.frogs, map[string]string{"STORE": "embedded", "AUTH_URL": "http://" + w.toAuthFromFrogs.address, "ISSUER": issuer})
}

func (w *world) environment(p *program, sets ...map[string]string) []string {
	all := map[string]string{"LISTEN": p.address, "OPS_LISTEN": p.ops, "LOG_FORMAT": "text", "DRAIN": "10s"}
	for _, set := range sets {
		maps.Copy(all, set)
	}
	return process.Environment(all)
}

// host returns an unused loopback address.
func (w *world) host() string {
	w.next++
	return net.IPv4(127, w.subnet[0], w.subnet[1], w.next).String()
}

// address returns an unused address for a door.
func (w *world) address() string { return net.JoinHostPort(w.host(), strconv.Itoa(servicePort)) }

// program returns a program that is not started yet. It ends with the test.
func (w *world) program(name, path string) *program {
	host := w.host()
	p := &program{
		t: w.t, name: name, path: path, args: []string{"serve"},
		address: net.JoinHostPort(host, strconv.Itoa(servicePort)), ops: net.JoinHostPort(host, strconv.Itoa(opsPort)),
	}
	p.ready = p.wantsTraffic
	w.endWithTest(p)
	return p
}

// endWithTest kills p when the test ends, and shows the problems in its log if the test failed.
func (w *world) endWithTest(p *program) {
	w.t.Cleanup(func() {
		if p.run.Load() == nil {
			return
		}
		p.kill()
		if w.t.Failed() {
			w.t.Logf("problems and last lines of %s:\n%s", p.name, p.log.Problems())
		}
	})
}

// startRedis starts a Redis that persists every acknowledged write, and its door.
func (w *world) startRedis() {
	w.t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		w.t.Fatal("redis-server is not on PATH: run `make test`, which installs it")
	}
	w.redis = w.redisAt(path, "redis", "--appendonly", "yes", "--appendfsync", "always")
	w.redis.start()
	w.redis.awaitReady()
	w.toRedis = newDoor(w.t, w.address(), w.redis.address)
}

// redisAt returns a Redis with its own folder.
func (w *world) redisAt(path, name string, args ...string) *program {
	w.t.Helper()
	dir := w.file(name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		w.t.Fatal(err)
	}
	host := w.host()
	p := &program{t: w.t, name: name, path: path, address: net.JoinHostPort(host, strconv.Itoa(servicePort))}
	p.args = append([]string{"--bind", host, "--port", strconv.Itoa(servicePort), "--dir", dir, "--save", "", "--protected-mode", "no", "--loglevel", "warning"}, args...)
	p.ready = redisAnswers(p.address)
	w.endWithTest(p)
	return p
}

// openPostgres creates the database, and a door to its server.
func (w *world) openPostgres() {
	w.t.Helper()
	database := newDatabase(w.t)
	w.database = database.String()
	w.toPostgres = newDoor(w.t, w.address(), database.Host)
}

// count returns the result of a query, without the door.
func (w *world) count(query string) int {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), process.Patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, w.database)
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var n int
	if err := conn.QueryRow(ctx, query).Scan(&n); err != nil {
		w.t.Fatalf("%s: %v", query, err)
	}
	return n
}

// execute runs a statement on the server at url.
func execute(t *testing.T, url, statement string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), process.Patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// metric returns the sum of a metric of several programs.
func metric(programs []*program, prefix string) float64 {
	sum := 0.0
	for _, p := range programs {
		sum += p.metric(prefix)
	}
	return sum
}

package replicas

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"lilypad.example/services/pkg/process"
)

// compile compiles the four programs with the race detector, once, and returns their folder.
var compile = sync.OnceValues(func() (string, error) {
	root, err := filepath.Abs("../../..")
	if err != nil {
		return "", err
	}
	if out, err := exec.Command(filepath.Join(root, "hack", "build"), "--race").CombinedOutput(); err != nil {
		return "", fmt.Errorf("the programs do not compile: %w\n%s", err, out)
	}
	return filepath.Join(root, "bin", "race"), nil
})

// program is a process that can be restarted with the same settings at the same address.
type program struct {
	t       *testing.T
	name    string
	path    string
	args    []string
	env     []string
	address string                      // where it serves
	ops     string                      // its operations port, or ""
	ready   func(context.Context) error // nil: wantsTraffic

	// leaving: visitors choose another one, as an ingress does for a terminating pod.
	leaving atomic.Bool
	// dying is held by the goroutine that kills the program, until it is ready again.
	dying sync.Mutex

	log process.Log                     // of all its processes
	run atomic.Pointer[process.Process] // the one that was started last; nil before
}

// start starts the process and does not wait for it.
func (p *program) start() {
	cmd := process.Command(context.Background(), p.path, p.args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = p.env, &p.log, &p.log
	run, err := process.Start(p.name, cmd)
	if err != nil {
		panic(err) // it was compiled, or found on PATH, a moment ago
	}
	p.run.Store(run)
	go func() {
		// 1 is an ordinary error, 2 a panic, 66 a data race.
		if code := run.ExitCode(); code > 1 {
			p.t.Errorf("%s ended with exit code %d:\n%s", p.name, code, p.log.Problems())
		}
	}()
}

// kill ends the process as a crash does, and returns when it is gone.
func (p *program) kill() { p.run.Load().Stop(syscall.SIGKILL) }

// stop asks the process to end, as the kubelet does, and returns when it has.
func (p *program) stop() {
	p.t.Helper()
	run := p.run.Load()
	run.Stop(syscall.SIGTERM)
	if code := run.ExitCode(); code != 0 {
		p.t.Errorf("%s ended with exit code %d after SIGTERM, want 0:\n%s", p.name, code, p.log.Problems())
	}
}

// awaitReady returns when the program is ready; it must not end before.
func (p *program) awaitReady() {
	p.t.Helper()
	if err := process.Await(p.t.Context(), process.Patience, p.ready, p.run.Load()); err != nil {
		p.t.Fatalf("%s is not ready: %v\n%s", p.name, err, p.log.Problems())
	}
}

// revive starts a program again and waits until it is ready. It must wait for its dependencies and
// not end.
func (p *program) revive() {
	p.t.Helper()
	p.start()
	if err := process.Await(p.t.Context(), process.Patience, p.ready, p.run.Load()); err != nil {
		p.t.Errorf("%s is not ready after a restart: %v\n%s", p.name, err, p.log.Problems())
	}
}

// wantsTraffic requests /readyz.
func (p *program) wantsTraffic(ctx context.Context) error {
	_, err := p.ask(ctx, "/readyz")
	return err
}

// metric returns the sum of all series that begin with prefix, such as
// refresh_total{outcome="rotated"}, or 0.
func (p *program) metric(prefix string) float64 {
	p.t.Helper()
	text, err := p.ask(p.t.Context(), "/metrics")
	if err != nil {
		p.t.Fatalf("metrics of %s: %v", p.name, err)
	}
	sum := 0.0
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || !strings.HasPrefix(name, prefix) {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			p.t.Fatalf("metrics of %s: %q", p.name, line)
		}
		sum += n
	}
	return sum
}

// ask requests a path of the ops port.
func (p *program) ask(ctx context.Context, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.ops+path, http.NoBody)
	if err != nil {
		return "", err
	}
	resp, err := direct.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(resp.Body); err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s answers %s", path, resp.Status)
	}
	return body.String(), nil
}

// direct is the HTTP client of the test. It keeps no connections, because programs are killed.
var direct = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// await waits until ready returns nil. Only the goroutine of the test may call it.
func await(t *testing.T, what string, ready func(context.Context) error) {
	t.Helper()
	if err := process.Await(t.Context(), process.Patience, ready); err != nil {
		t.Fatalf("waited %v for %s: %v", process.Patience, what, err)
	}
}

// redisAnswers returns a check that Redis answers at an address.
func redisAnswers(address string) func(context.Context) error {
	return func(ctx context.Context) error {
		answer, err := redisCommand(ctx, address, "PING")
		if err == nil && answer != "+PONG" {
			err = errors.New(answer)
		}
		return err
	}
}

// redisCommand sends one command and returns the first line of the answer.
func redisCommand(ctx context.Context, address, command string) (string, error) {
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := fmt.Fprintf(conn, "%s\r\n", command); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(line), err
}

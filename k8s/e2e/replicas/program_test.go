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

// compile builds the four programs with the race detector, once for all tests,
// and returns the folder they are in.
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

// A program is a process that can end and come back, with the same settings
// under the same address.
type program struct {
	t       *testing.T
	name    string
	path    string
	args    []string
	env     []string
	address string                      // where it serves
	ops     string                      // its operations port, or ""
	ready   func(context.Context) error // nil: wantsTraffic

	// leaving: visitors choose another one, as an ingress does with a pod that is to end.
	leaving atomic.Bool
	// dying is held by who kills it, until it is back.
	dying sync.Mutex

	log process.Log                     // of all its processes
	run atomic.Pointer[process.Process] // the one that was started last; nil before
}

// start starts the process and returns at once.
func (p *program) start() {
	cmd := process.Command(context.Background(), p.path, p.args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = p.env, &p.log, &p.log
	run, err := process.Start(p.name, cmd)
	if err != nil {
		panic(err) // it was compiled, or found on PATH, a moment ago
	}
	p.run.Store(run)
	go func() {
		// 1 is a program that says what it lacks; 2 is a panic, 66 a data race.
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

// revive starts a program that has ended, and returns when it is ready. It must wait for what it lacks, and not end.
func (p *program) revive() {
	p.t.Helper()
	p.start()
	if err := process.Await(p.t.Context(), process.Patience, p.ready, p.run.Load()); err != nil {
		p.t.Errorf("%s does not come back: %v\n%s", p.name, err, p.log.Problems())
	}
}

// wantsTraffic asks /readyz.
func (p *program) wantsTraffic(ctx context.Context) error {
	_, err := p.ask(ctx, "/readyz")
	return err
}

// metric is the sum of all series whose name and labels begin with prefix, as
// refresh_total{outcome="rotated"}; 0 when there is none.
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

// ask gets a document of the operations port.
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

// direct is the test's own client; it keeps no connection to what may be killed.
var direct = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// await returns when ready returns nil. It is for the test's own goroutine.
func await(t *testing.T, what string, ready func(context.Context) error) {
	t.Helper()
	if err := process.Await(t.Context(), process.Patience, ready); err != nil {
		t.Fatalf("waited %v for %s: %v", process.Patience, what, err)
	}
}

// redisAnswers speaks to a Redis at an address.
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

package replicas

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait for something that must come; a busy machine is slow.
const patience = 90 * time.Second

// again is the pause between two looks at a condition.
const again = 20 * time.Millisecond

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
	ready   func(context.Context) error // nil: it wants traffic

	// leaving: visitors choose another one, as an ingress does with a pod that is to end.
	leaving atomic.Bool
	// dying is held by who kills it, until it is back.
	dying sync.Mutex

	mu    sync.Mutex
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process has ended
	log   tail
}

// start starts the process and returns at once.
func (p *program) start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	cmd := exec.Command(p.path, p.args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = p.env, &p.log, &p.log
	cmd.SysProcAttr = endWithUs()
	if err := cmd.Start(); err != nil {
		panic(fmt.Sprintf("start %s: %v", p.name, err)) // it was compiled, or found on PATH, a moment ago
	}
	ended := make(chan struct{})
	p.cmd, p.ended = cmd, ended
	go func() {
		defer close(ended)
		_ = cmd.Wait()
		// 1 is a program that says what it lacks; 2 is a panic, 66 a data race.
		if code := cmd.ProcessState.ExitCode(); code > 1 {
			p.t.Errorf("%s ended with status %d:\n%s", p.name, code, p.log.complaints())
		}
	}()
}

// process is the one that was started last.
func (p *program) process() (*exec.Cmd, chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd, p.ended
}

// kill ends the process as a crash does: SIGKILL. It returns when it is gone.
func (p *program) kill() {
	cmd, ended := p.process()
	_ = cmd.Process.Kill()
	<-ended
}

// stop asks the process to end, as the kubelet does, and returns when it has.
func (p *program) stop() {
	p.t.Helper()
	cmd, ended := p.process()
	_ = cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-ended:
	case <-time.After(patience):
		_ = cmd.Process.Kill()
		<-ended
	}
	if code := cmd.ProcessState.ExitCode(); code != 0 {
		p.t.Errorf("%s was asked to end and ended with status %d:\n%s", p.name, code, p.log.complaints())
	}
}

// awaitReady returns when the program wants traffic; it must not end before.
func (p *program) awaitReady() {
	p.t.Helper()
	_, ended := p.process()
	await(p.t, p.name+" to be ready", func(ctx context.Context) error {
		select {
		case <-ended:
			p.t.Fatalf("%s ended before it was ready:\n%s", p.name, p.log.complaints())
		default:
		}
		return p.ready(ctx)
	})
}

// revive starts a program that has ended, and returns when it wants traffic.
// It must wait for what it lacks, and not end.
func (p *program) revive() {
	p.t.Helper()
	p.start()
	_, ended := p.process()
	err := eventually(p.t.Context(), p.ready)
	select {
	case <-ended:
		p.t.Errorf("%s ended and did not wait:\n%s", p.name, p.log.complaints())
	default:
		if err != nil {
			p.t.Errorf("%s does not come back: %v\n%s", p.name, err, p.log.complaints())
		}
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

// await returns when ready has no complaint any more. It is for the test's own goroutine.
func await(t *testing.T, what string, ready func(context.Context) error) {
	t.Helper()
	if err := eventually(t.Context(), ready); err != nil {
		t.Fatalf("waited in vain for %s: %v", what, err)
	}
}

// eventually returns nil when ready does, and its last complaint after patience.
func eventually(ctx context.Context, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(again):
		}
	}
}

// environment is ours without settings of the product, and with these.
func environment(settings map[string]string) []string {
	const prefix = "LILYPAD_"
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, prefix) {
			env = append(env, v)
		}
	}
	for name, value := range settings {
		env = append(env, prefix+name+"="+value)
	}
	return append(env, "GORACE=halt_on_error=1")
}

// tail keeps the last of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (l *tail) Write(p []byte) (int, error) {
	const most = 1 << 20
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	if extra := len(l.text) - most; extra > 0 {
		l.text = l.text[extra:]
	}
	return len(p), nil
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

// complaints are the lines of faults and warnings, and the last few.
func (l *tail) complaints() string {
	const most = 10
	lines := strings.SplitAfter(l.String(), "\n")
	var kept strings.Builder
	for i, line := range lines {
		if i >= len(lines)-most || !strings.Contains(line, " level=INFO ") {
			kept.WriteString(line)
		}
	}
	return kept.String()
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

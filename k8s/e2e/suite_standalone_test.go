package e2e

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// accessTTL is short, so that scenarios outlive access tokens within seconds.
const accessTTL = 4 * time.Second

// TestStandalone plays the scenarios on local processes, as `make run` starts
// them, compiled with the race detector.
func TestStandalone(t *testing.T) {
	p := startStandalone(t, compileStandalone(t))
	play(t, &World{BaseURL: p.says(t, "ready "), AccessTTL: accessTTL, Screenshots: os.Getenv("E2E_SCREENSHOTS")})
}

// compileStandalone returns the program that `make run` runs.
func compileStandalone(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "standalone")
	compile := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".")
	compile.Dir = filepath.Join(root(t), "hack", "standalone")
	compile.Env = append(os.Environ(), "GOWORK=off")
	if out, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("compile standalone: %v\n%s", err, out)
	}
	return program
}

// root is the project's top folder.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// A standalone is the product as `make run` runs it.
type standalone struct{ lines <-chan string }

// startStandalone starts it, until the test ends.
func startStandalone(t *testing.T, program string, args ...string) standalone {
	t.Helper()
	cmd := exec.Command(program, append([]string{"--root", root(t), "--port", "0", "--access-ttl", accessTTL.String(), "--race"}, args...)...)
	var log lockedBuffer
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said sync.WaitGroup
	lines := make(chan string, 16)
	said.Go(func() {
		defer close(lines)
		for scan := bufio.NewScanner(out); scan.Scan(); {
			lines <- scan.Text()
		}
	})
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		said.Wait()
		if err := cmd.Wait(); err != nil {
			t.Errorf("standalone: %v", err)
		}
		if t.Failed() {
			t.Logf("what the programs complained of, and their last lines:\n%s", digest(log.String()))
		}
	})
	return standalone{lines}
}

// says waits for a line that begins so, and returns the rest of it.
func (s standalone) says(t *testing.T, prefix string) string {
	t.Helper()
	patience := time.After(15 * time.Minute) // a cold compiler
	for {
		select {
		case line, ok := <-s.lines:
			if !ok {
				t.Fatalf("standalone ended before it said %q", prefix)
			}
			if rest, ok := strings.CutPrefix(line, prefix); ok {
				return rest
			}
		case <-patience:
			t.Fatalf("standalone has not said %q after 15 minutes", prefix)
		}
	}
}

// digest is what a log says of faults, and its end.
func digest(log string) string {
	const most = 40
	lines := strings.Split(log, "\n")
	var kept []string
	for i, line := range lines {
		if i >= len(lines)-most || !strings.Contains(line, " level=INFO ") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

// lockedBuffer keeps the last of what is written to it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	const most = 1 << 20
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.b.Len() > most {
		l.b.Reset()
	}
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

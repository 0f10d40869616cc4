package e2e

import (
	"bufio"
	"bytes"
	"io"
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
const accessTTL = "4s"

// TestStandalone plays the scenarios on local processes, as `make run` starts
// them, compiled with the race detector.
func TestStandalone(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "standalone")
	compile := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".")
	compile.Dir = filepath.Join(root, "hack", "standalone")
	compile.Env = append(os.Environ(), "GOWORK=off")
	if out, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("compile standalone: %v\n%s", err, out)
	}
	play(t, &World{BaseURL: startStandalone(t, program, root), Screenshots: os.Getenv("E2E_SCREENSHOTS")})
}

// startStandalone returns the product's address once it says that it is ready.
func startStandalone(t *testing.T, program, root string) string {
	t.Helper()
	cmd := exec.Command(program, "--root", root, "--port", "0", "--access-ttl", accessTTL, "--race")
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
	address := make(chan string, 1)
	said.Go(func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if url, ok := strings.CutPrefix(lines.Text(), "ready "); ok {
				address <- url
			}
		}
		close(address)
		_, _ = io.Copy(io.Discard, out)
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
	select {
	case url, ok := <-address:
		if !ok {
			t.Fatal("standalone ended before it was ready")
		}
		return url
	case <-time.After(15 * time.Minute): // a cold compiler
		t.Fatal("standalone is not ready after 15 minutes")
	}
	return ""
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

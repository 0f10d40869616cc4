package e2e

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"lilypad.example/services/pkg/process"
)

// accessTTL is short, so that access tokens expire during a scenario.
const accessTTL = 4 * time.Second

// TestStandalone runs the scenarios against the processes of `make run`, compiled with the race
// detector.
func TestStandalone(t *testing.T) {
	p := startStandalone(t, compileStandalone(t))
	play(t, &World{BaseURL: p.says(t, "ready "), AccessTTL: accessTTL, Screenshots: os.Getenv("E2E_SCREENSHOTS")})
}

// compileStandalone compiles the program of `make run` and returns its path.
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

// root returns the root folder of the project.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// standalone is the program of `make run`, with the lines of its standard output.
type standalone struct{ lines <-chan string }

// startStandalone runs it until the test ends.
func startStandalone(t *testing.T, program string, args ...string) standalone {
	t.Helper()
	cmd := process.Command(context.WithoutCancel(t.Context()), program,
		append([]string{"--root", root(t), "--port", "0", "--access-ttl", accessTTL.String(), "--race"}, args...)...)
	log := new(process.Log)
	cmd.Stderr = log
	out, in := io.Pipe()
	cmd.Stdout = in
	p, err := process.Start("standalone", cmd)
	if err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 16)
	go func() {
		defer close(lines)
		for scan := bufio.NewScanner(out); scan.Scan(); {
			lines <- scan.Text()
		}
	}()
	t.Cleanup(func() {
		p.Stop(syscall.SIGTERM)
		_ = in.Close()
		if code := p.ExitCode(); code != 0 {
			t.Errorf("standalone ended with exit code %d, want 0", code)
		}
		showLog(t, "standalone", log)
	})
	return standalone{lines}
}

// says waits for a line with a prefix, and returns the rest of the line.
func (s standalone) says(t *testing.T, prefix string) string {
	t.Helper()
	patience := time.After(15 * time.Minute) // a cold compiler
	for {
		select {
		case line, ok := <-s.lines:
			if !ok {
				t.Fatalf("standalone ended before it printed %q", prefix)
			}
			if rest, ok := strings.CutPrefix(line, prefix); ok {
				return rest
			}
		case <-patience:
			t.Fatalf("standalone has not printed %q after 15 minutes", prefix)
		}
	}
}

// showLog shows the problems in the log of a program if the test has failed, and writes all of it
// to a file.
func showLog(t *testing.T, program string, log *process.Log) {
	t.Helper()
	if !t.Failed() {
		return
	}
	file, err := os.CreateTemp("", "lilypad-e2e-*.log") //nolint:usetesting // it is read when the test is over
	if err != nil {
		t.Error(err)
		return
	}
	defer file.Close()
	_, _ = file.WriteString(log.String())
	t.Logf("log of %s: %s; problems and last lines:\n%s", program, file.Name(), log.Problems())
}

package redistest

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestEachTestHasItsOwnServer(t *testing.T) {
	t.Parallel()
	for i := range 3 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			client := New(t)
			if n, err := client.Incr(t.Context(), "n").Result(); err != nil || n != 1 {
				t.Fatalf("INCR returns %d, %v; want 1 on an empty server", n, err)
			}
		})
	}
}

func TestAServerIsGoneWithItsTest(t *testing.T) {
	var s *Server
	var pid int
	t.Run("inner", func(t *testing.T) {
		s = Start(t)
		pid = serverPID(t, s)
	})
	if _, err := os.Stat(s.dir); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("directory of the server after its test: %v, want it removed", err)
	}
	if running(pid) {
		t.Fatal("the server runs after its test")
	}
}

func TestStoppedServerComesBackEmptyAtTheSameURL(t *testing.T) {
	s := Start(t)
	client := s.Client(t)
	if err := client.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	if err := client.Get(t.Context(), "k").Err(); err == nil || errors.Is(err, redis.Nil) {
		t.Fatalf("error %v from a stopped server, want a connection error", err)
	}
	s.Start(t)
	if err := client.Get(t.Context(), "k").Err(); !errors.Is(err, redis.Nil) {
		t.Fatalf("got %v, want no such key", err)
	}
}

func TestArgumentsReachTheServer(t *testing.T) {
	client := Start(t, "--maxmemory", "2mb").Client(t)
	got, err := client.ConfigGet(t.Context(), "maxmemory").Result()
	if err != nil || got["maxmemory"] != "2097152" {
		t.Fatalf("maxmemory %v, %v; want 2097152", got, err)
	}
}

func TestMiniSetsItsClock(t *testing.T) {
	m, client := Mini(t)
	if err := client.Set(t.Context(), "k", "v", time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	m.FastForward(time.Minute)
	if err := client.Get(t.Context(), "k").Err(); !errors.Is(err, redis.Nil) {
		t.Fatalf("got %v, want no such key", err)
	}
}

// childEnv makes this test binary act as the child of the next test.
const childEnv = "REDISTEST_CHILD"

func TestNoServerOutlivesAKilledTestBinary(t *testing.T) {
	if os.Getenv(childEnv) != "" {
		s := Start(t)
		fmt.Printf("server %d %s\n", serverPID(t, s), s.dir)
		select {} // until killed
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestNoServerOutlivesAKilledTestBinary$")
	child.Env = append(os.Environ(), childEnv+"=1")
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	var dir string
	if _, err := fmt.Sscanf(line, "server %d %s", &pid, &dir); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // a killed test leaves an empty directory
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	for running(pid) { // or until the test times out
		runtime.Gosched()
	}
}

func serverPID(t *testing.T, s *Server) int {
	t.Helper()
	info, err := s.Client(t).Info(t.Context(), "server").Result()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "process_id:"); ok {
			var pid int
			if _, err := fmt.Sscan(v, &pid); err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	t.Fatal("no process_id")
	return 0
}

// running reports whether a process exists and is not a zombie.
func running(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

type recorder struct {
	testing.TB
	message string
}

func (r *recorder) Helper() {}

func (r *recorder) Fatalf(format string, args ...any) {
	r.message = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func TestMissingProgramFailsAndNeverSkips(t *testing.T) {
	t.Setenv("PATH", "")
	rec := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		Start(rec)
	}()
	<-done
	if !strings.Contains(rec.message, "make test") || strings.Contains(rec.message, "\n") {
		t.Fatalf("message %q, want one line that names make test", rec.message)
	}
}

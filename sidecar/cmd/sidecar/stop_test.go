package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"lilypad.example/services/pkg/config"
)

// TestMain runs the tests or, if the environment says so, a process for a test to stop.
func TestMain(m *testing.M) {
	if os.Getenv("WAIT_TO_BE_STOPPED") != "" {
		os.Exit(config.Main(new(waiting), "waiting", ""))
	}
	os.Exit(m.Run())
}

type waiting struct {
	Wait wait `cmd:"" default:"1"`
}

type wait struct{}

func (*wait) Run(ctx context.Context) error {
	_, err := os.Stdout.WriteString("ready\n")
	<-ctx.Done()
	return err
}

func TestStopEndsASidecarAndNothingElse(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		program string
		args    []string
		code    int
	}{
		"a process of this program": {self, nil, 0},
		"another one":               {"sh", []string{"-c", "echo ready; read wait"}, 1},
	} {
		cmd := exec.CommandContext(t.Context(), c.program, c.args...)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "WAIT_TO_BE_STOPPED=1"} // no LILYPAD_ variables
		in, err1 := cmd.StdinPipe()
		out, err2 := cmd.StdoutPipe()
		if err1 != nil || err2 != nil || cmd.Start() != nil {
			t.Fatal(err1, err2)
		}
		if _, err := out.Read(make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
		var stderr bytes.Buffer
		code := config.Run(t.Context(), new(cli), config.Program{
			Name: "sidecar", Args: []string{"stop", "--pid", strconv.Itoa(cmd.Process.Pid)}, Stdout: &stderr, Stderr: &stderr,
		})
		if code != c.code || code != 0 && !strings.Contains(stderr.String(), "is not a sidecar") {
			t.Errorf("%s: exit code %d, output %s; want %d", name, code, &stderr, c.code)
		}
		_ = in.Close() // ends the shell
		if err := cmd.Wait(); code == 0 && err != nil {
			t.Errorf("%s: ended with %v, want a clean exit", name, err)
		}
	}
}

package process

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

func shell(t *testing.T, script string) *Process {
	t.Helper()
	p, err := Start("program", Command(t.Context(), "/bin/sh", "-c", script))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Stop(syscall.SIGKILL) })
	return p
}

func TestStopEndsWhatTheProgramStarted(t *testing.T) {
	p := shell(t, "sleep 1000 & echo up; exec sleep 1000")
	err := Await(t.Context(), Patience, func(context.Context) error {
		if p.Output.String() != "up\n" {
			return errors.New("not up")
		}
		return nil
	}, p)
	if err != nil {
		t.Fatal(err)
	}
	p.Stop(syscall.SIGTERM)
	EndGroup(p.PID, 0)
	if err := syscall.Kill(-p.PID, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("signal to the process group after Stop: %v, want ESRCH", err)
	}
	if code := p.ExitCode(); code != -1 {
		t.Errorf("exit code %d, want -1: a signal ended it", code)
	}
}

func TestAwaitFailsWithTheOutputOfAProgramThatEnded(t *testing.T) {
	p := shell(t, "echo last words; exit 3")
	err := Await(t.Context(), Patience, func(context.Context) error { return errors.New("not yet") }, p)
	const want = "program ended (exit status 3)\nlast words\n"
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %q", err, want)
	}
}

func TestAwaitReturnsTheLastErrorWhenPatienceIsOver(t *testing.T) {
	want := errors.New("not yet")
	if err := Await(t.Context(), 10*time.Millisecond, func(context.Context) error { return want }); !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}

func TestEnvironmentHoldsNoForeignSettings(t *testing.T) {
	t.Setenv("LILYPAD_DATABASE_URL", "postgres://elsewhere")
	for _, v := range Environment(map[string]string{"STORE": "embedded"}) {
		if strings.HasPrefix(v, "LILYPAD_") && v != "LILYPAD_STORE=embedded" {
			t.Errorf("environment holds %s, want LILYPAD_STORE=embedded alone", v)
		}
	}
}

func TestProblemsAreFewAndHoldTheErrors(t *testing.T) {
	var l Log
	_, _ = fmt.Fprintln(&l, "time=0 level=ERROR msg=broken")
	for i := range 100 {
		_, _ = fmt.Fprintf(&l, "time=%d level=INFO msg=request\n", i)
	}
	got := l.Problems()
	if n := strings.Count(got, "\n") + 1; n != 11 || !strings.Contains(got, "msg=broken") || !strings.HasSuffix(got, "time=99 level=INFO msg=request") {
		t.Errorf("%d lines, want the error and the last 10 lines:\n%s", n, got)
	}
}

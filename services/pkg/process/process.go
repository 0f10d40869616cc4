// Package process starts programs and ends them: the servers of a test or a benchmark, and the
// whole product for `make run`.
//
// A program gets a process group of its own, which the terminal's Ctrl-C does not reach, so that
// whoever started it decides what ends and in which order. On Linux the kernel ends it when its
// parent is killed.
//
// The tests and the tools of hack/ import it. No program of the product does.
package process

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Patience bounds the waits for a program to start or to end. It is generous, because test machines
// are busy.
const Patience = 90 * time.Second

// interval is the pause between two looks at a condition.
const interval = 10 * time.Millisecond

// Command is exec.CommandContext in a process group of its own. The group gets SIGTERM when ctx
// ends.
func Command(ctx context.Context, path string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, path, args...) //nolint:gosec // starting programs is the purpose
	cmd.SysProcAttr = attributes()
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	return cmd
}

// EndGroup sends signal to a process group and returns when the group is empty. What has not ended
// after Patience is killed.
func EndGroup(pgid int, signal syscall.Signal) {
	deadline := time.Now().Add(Patience)
	for ; syscall.Kill(-pgid, signal) == nil; signal = 0 {
		if time.Now().After(deadline) {
			_ = syscall.Kill(-pgid, syscall.SIGKILL)
			return
		}
		<-time.After(interval)
	}
}

// Process is a program that was started. Its methods may be called from several goroutines.
type Process struct {
	Name   string
	PID    int // of the program and of its process group
	Output Log // empty if the command had an output of its own

	cmd   *exec.Cmd
	ended chan struct{}
	err   error
}

// Start starts a command made by Command. If neither Stdout nor Stderr is set, both go to the
// Output of the process.
func Start(name string, cmd *exec.Cmd) (*Process, error) {
	p := &Process{Name: name, cmd: cmd, ended: make(chan struct{})}
	if cmd.Stdout == nil && cmd.Stderr == nil {
		cmd.Stdout, cmd.Stderr = &p.Output, &p.Output
	}
	started := make(chan error)
	launcher() <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p.PID = cmd.Process.Pid
	go func() {
		if p.err = cmd.Wait(); p.err == nil {
			p.err = errors.New("exit status 0")
		}
		_ = syscall.Kill(-p.PID, syscall.SIGKILL) // what the program left behind
		close(p.ended)
	}()
	return p, nil
}

// launcher returns a channel of functions that all run on one thread: the parent-death signal is sent
// when the thread that started a child ends, not when the process does (PR_SET_PDEATHSIG(2const)).
//
//nolint:gochecknoglobals // one thread for the whole process
var launcher = sync.OnceValue(func() chan<- func() {
	calls := make(chan func())
	go func() {
		runtime.LockOSThread()
		for call := range calls {
			call()
		}
	}()
	return calls
})

// Ended is closed when the program has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Err returns how the program ended, also when it succeeded, and nil while it runs.
func (p *Process) Err() error {
	select {
	case <-p.ended:
		return p.err
	default:
		return nil
	}
}

// ExitCode waits for the end of the program and returns its exit code, or -1 if a signal ended it.
func (p *Process) ExitCode() int {
	<-p.ended
	return p.cmd.ProcessState.ExitCode()
}

// Stop sends signal to the program and to all that it started, and returns when the program has
// ended. What has not ended after Patience is killed.
func (p *Process) Stop(signal syscall.Signal) {
	if p.Err() != nil {
		return
	}
	_ = syscall.Kill(-p.PID, signal)
	select {
	case <-p.ended:
	case <-time.After(Patience):
		_ = syscall.Kill(-p.PID, syscall.SIGKILL)
		<-p.ended
	}
}

// Await calls ready until it returns nil. It fails with the last error of ready when ctx ends or
// patience is over, and at once when one of the processes ends.
func Await(ctx context.Context, patience time.Duration, ready func(context.Context) error, processes ...*Process) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		for _, p := range processes {
			if ended := p.Err(); ended != nil {
				return fmt.Errorf("%s ended (%w)\n%s", p.Name, ended, p.Output.String())
			}
		}
		select {
		case <-ctx.Done():
			for _, p := range processes {
				err = fmt.Errorf("%w\n%s", err, p.Output.Problems())
			}
			return err
		case <-ticker.C:
		}
	}
}

// Environment returns the environment without LILYPAD_ variables, which a shell may hold for
// another purpose, and with settings, whose names lack that prefix. A program compiled with the
// race detector ends at its first data race.
func Environment(settings map[string]string) []string {
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

// FreeAddress returns a loopback address on whose port nobody listened a moment ago.
func FreeAddress(ctx context.Context) (string, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}

// LoopbackHost returns a random address of 127.0.0.0/8. On Linux, all of them belong to the machine.
func LoopbackHost() string {
	return fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254)) //nolint:gosec // not a secret
}

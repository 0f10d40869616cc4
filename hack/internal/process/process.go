// Package process runs programs in process groups of their own: the terminal's
// Ctrl-C reaches only us, and we decide what ends, in which order.
package process

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// patience is how long a group may take to end when it is asked to.
const patience = 20 * time.Second

// Command is exec.CommandContext in a process group of its own, which gets
// SIGTERM when ctx ends.
func Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = patience
	return cmd
}

// EndGroup sends signal to a process group, and returns when it is empty: what
// has not ended after 20 s is killed.
func EndGroup(pgid int, signal syscall.Signal) {
	deadline := time.Now().Add(patience)
	for ; syscall.Kill(-pgid, signal) == nil; signal = 0 {
		if time.Now().After(deadline) {
			_ = syscall.Kill(-pgid, syscall.SIGKILL)
			return
		}
		<-time.After(20 * time.Millisecond)
	}
}

// A Process runs until it is stopped.
type Process struct {
	Name  string
	PID   int // of the program, and of its group
	log   string
	ended chan struct{}
	cause error
}

// Start starts cmd, made by Command, with its output in the file log, and
// returns when ready does: or with the program's own words when it has ended,
// or is not ready after a minute.
func Start(ctx context.Context, name string, cmd *exec.Cmd, log string, ready func() bool) (*Process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", out, out
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &Process{Name: name, PID: cmd.Process.Pid, log: log, ended: make(chan struct{})}
	go func() {
		p.cause = cmd.Wait()
		close(p.ended)
	}()
	if err := p.await(ctx, ready); err != nil {
		p.Stop()
		return nil, err
	}
	return p, nil
}

func (p *Process) await(ctx context.Context, ready func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for !ready() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w\n%s", p.Name, ctx.Err(), p.Words())
		case <-p.ended:
			return fmt.Errorf("%s ended: %w\n%s", p.Name, p.cause, p.Words())
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

// Words is what the program has written.
func (p *Process) Words() string {
	said, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(said)
}

// Stop ends the program and whatever it has started. To PostgreSQL, SIGINT
// means now and SIGTERM when the last client has left.
func (p *Process) Stop() {
	EndGroup(p.PID, syscall.SIGINT)
	<-p.ended
}

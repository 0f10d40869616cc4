package main

import (
	"context"
	"os/exec"
	"syscall"
	"time"
)

// patience is how long a process group may take to end after SIGTERM.
const patience = 20 * time.Second

// A command runs in a process group of its own: the terminal's Ctrl-C reaches
// only us, and we decide what ends, in which order.
type command struct{ *exec.Cmd }

func newCommand(ctx context.Context, name string, args ...string) *command {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = patience
	return &command{cmd}
}

// endGroup ends what a command left running: a test binary that was killed by
// its timeout could not end the programs it had started.
func endGroup(pgid int, signal syscall.Signal) {
	deadline := time.Now().Add(patience)
	for ; syscall.Kill(-pgid, signal) == nil; signal = 0 {
		if time.Now().After(deadline) {
			_ = syscall.Kill(-pgid, syscall.SIGKILL)
			return
		}
		<-time.After(20 * time.Millisecond)
	}
}

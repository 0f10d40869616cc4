package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

type stop struct {
	PID int `default:"1" env:"-" help:"PID of the sidecar."`
}

// Run sends SIGTERM to a process if it runs this program: in a shared process
// namespace, PID 1 is another program.
func (s *stop) Run() error {
	if s.PID < 1 {
		return errors.New("--pid: must be at least 1")
	}
	ours, err := os.Stat("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	theirs, err := os.Stat(fmt.Sprintf("/proc/%d/exe", s.PID))
	if err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	if !os.SameFile(ours, theirs) {
		return fmt.Errorf("stop: process %d is not a sidecar", s.PID)
	}
	return syscall.Kill(s.PID, syscall.SIGTERM)
}

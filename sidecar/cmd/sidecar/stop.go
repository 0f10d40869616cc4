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

// Run tells a process to end, if it is one of this program: with a shared
// process namespace, 1 is somebody else.
func (s *stop) Run() error {
	if s.PID < 1 {
		return errors.New("--pid: not the number of a process")
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

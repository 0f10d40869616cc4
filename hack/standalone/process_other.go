//go:build unix && !linux

package main

import "syscall"

// ownGroup puts a child into a process group of its own, which Ctrl-C does not reach.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

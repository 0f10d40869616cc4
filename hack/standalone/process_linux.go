package main

import "syscall"

// ownGroup puts a child into a process group of its own, which Ctrl-C does not
// reach, and has the kernel end it should we be killed.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}

package replicas

import "syscall"

// endWithUs has the kernel end a child should we be killed.
func endWithUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

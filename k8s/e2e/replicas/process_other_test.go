//go:build unix && !linux

package replicas

import "syscall"

func endWithUs() *syscall.SysProcAttr { return nil }

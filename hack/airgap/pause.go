// Pause is the process of a pod's sandbox: it holds the pod's namespaces open until it is told to
// stop. Standard library only, so that it compiles outside every module.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// POSIX: with SIGCHLD ignored the kernel reaps children itself, the orphans of a shared process
	// namespace too.
	signal.Ignore(syscall.SIGCHLD)

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	<-stop
}

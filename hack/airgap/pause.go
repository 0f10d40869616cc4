// Pause is the sandbox process of a pod: it keeps the pod's namespaces until it gets a signal. It uses
// the standard library only, so that it compiles outside every module.
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

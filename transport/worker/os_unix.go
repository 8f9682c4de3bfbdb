//go:build unix

package worker

import (
	"os"
	"syscall"
)

var stopSignals = []os.Signal{syscall.SIGTERM}

func closeOnExec(fd int) { syscall.CloseOnExec(fd) }

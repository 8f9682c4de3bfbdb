//go:build unix

package main

import (
	"os"
	"syscall"
)

var forwarded = []os.Signal{syscall.SIGUSR1, syscall.SIGUSR2}

func isForwarded(s syscall.Signal) bool { return s == syscall.SIGUSR1 || s == syscall.SIGUSR2 }

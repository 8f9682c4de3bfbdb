//go:build !unix

package main

import (
	"os"
	"syscall"
)

var forwarded []os.Signal

func isForwarded(syscall.Signal) bool { return false }

func signalNumber(string) syscall.Signal { return 0 }

//go:build !unix

package main

import (
	"os"
	"syscall"
)

var forwarded, jobControl []os.Signal

func isStop(syscall.Signal) bool     { return false }
func isContinue(syscall.Signal) bool { return false }

func isForwarded(syscall.Signal) bool { return false }

func signalNumber(string) syscall.Signal { return 0 }

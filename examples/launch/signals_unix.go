//go:build unix

package main

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// jobControl are the signals of a shell that puts us into the background and gets us back.
var jobControl = []os.Signal{syscall.SIGTSTP, syscall.SIGCONT}

func isStop(s syscall.Signal) bool     { return s == syscall.SIGTSTP }
func isContinue(s syscall.Signal) bool { return s == syscall.SIGCONT }

var forwarded = []os.Signal{syscall.SIGUSR1, syscall.SIGUSR2}

func isForwarded(s syscall.Signal) bool { return s == syscall.SIGUSR1 || s == syscall.SIGUSR2 }

// signalNumber returns the signal of a name such as SIGTERM, 0 when there is none.
func signalNumber(name string) syscall.Signal { return unix.SignalNum(name) }

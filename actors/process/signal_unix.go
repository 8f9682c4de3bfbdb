//go:build unix

package process

import "golang.org/x/sys/unix"

func signalName(s Signal) string { return unix.SignalName(s) }

func signalNamed(name string) Signal { return unix.SignalNum(name) }

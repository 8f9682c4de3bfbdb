//go:build !linux

package engine

import "syscall"

// eager has nothing to set.
func eager(string, string, syscall.RawConn) error { return nil }

//go:build !linux

package process

import "os"

func newPipe() (r, w *os.File, err error) { return os.Pipe() }

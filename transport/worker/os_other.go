//go:build !unix

package worker

import "os"

var stopSignals = []os.Signal{os.Interrupt}

func closeOnExec(int) {}

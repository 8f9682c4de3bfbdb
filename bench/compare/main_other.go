//go:build !linux

package main

import (
	"fmt"
	"os"
	"runtime"
)

func main() {
	fmt.Fprintf(os.Stderr, "compare: not on %s: what it starts is owned as only Linux can, and its peers are Linux's\n", runtime.GOOS)
	os.Exit(1)
}

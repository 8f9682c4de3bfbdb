package main

import (
	"os"
	"runtime/debug"
	"sync"

	"github.com/go-muster/muster/supervisor"
)

// startHeap is the heap up to which nothing is collected before the group runs, in percent of Go's least, which is 4 MiB. The
// engine alone weighs 2.8 MiB and lives as long as we do: a collection in the middle of the start, which everybody waits for,
// takes milliseconds of all processors and finds next to nothing.
const startHeap = 400

// putOffCollection lets the heap grow until the group runs, and returns who is to observe that. What GOGC says is the user's.
func putOffCollection() func(supervisor.Event) {
	if os.Getenv("GOGC") != "" {
		return func(supervisor.Event) {}
	}
	usual := debug.SetGCPercent(startHeap)
	var once sync.Once
	return func(e supervisor.Event) {
		if e.Kind == supervisor.EventRunning {
			once.Do(func() { debug.SetGCPercent(usual) })
		}
	}
}

package main

import (
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/go-muster/muster/supervisor"
)

// An engine is what a group runs on.
type engine struct {
	system  <-chan *actor.ActorSystem
	running func(supervisor.Event) // observes the group: see putOffCollection
}

// startEngine has the actor system made while what is asked for is looked at: its registry alone is 32,768 maps.
func startEngine() engine {
	spareProcessor()
	running, made := putOffCollection(), make(chan *actor.ActorSystem, 1)
	go func() {
		silent := func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }
		made <- actor.NewActorSystem(actor.WithLoggerFactory(silent))
	}()
	return engine{made, running}
}

// spareProcessor gives the scheduler one processor more than there are, unless GOMAXPROCS says what the user wants. A fork stops its
// thread, and with it one of the scheduler's processors, until the child has called exec: on two of them, half of all that a start
// needs besides stood still for as long, although a real processor was free.
func spareProcessor() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	}
}

// startHeap is the heap up to which nothing is collected before the group runs, in percent of Go's least, which is 4 MiB. The
// engine alone weighs 2.8 MiB and lives as long as we do: a collection in the middle of the start, which everybody waits for,
// takes milliseconds of all processors and finds next to nothing.
const startHeap = 400

// settled is how long a group has run when its start is over for the collector, too: one that ends before, ends sooner without.
const settled = time.Second

// putOffCollection lets the heap grow until the group has run for a moment, and returns who is to observe it. What GOGC says is
// the user's.
func putOffCollection() func(supervisor.Event) {
	if os.Getenv("GOGC") != "" {
		return func(supervisor.Event) {}
	}
	usual := debug.SetGCPercent(startHeap)
	var once sync.Once
	return func(e supervisor.Event) {
		if e.Kind == supervisor.EventRunning {
			once.Do(func() { time.AfterFunc(settled, func() { debug.SetGCPercent(usual) }) })
		}
	}
}

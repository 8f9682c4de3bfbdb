// Hello is a group in one binary: the parent starts four ranks by executing itself again, one of them panics in
// generation 0, and the group restarts and succeeds.
//
//	go run ./examples/hello
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport/worker"
)

func init() { worker.Register("hello", hello) }

// hello runs in each rank.
func hello(_ context.Context, me worker.Info) error {
	if me.Rank == 2 && me.Generation == 0 {
		panic("boom") // becomes an exception in the parent, and one restart of the group
	}
	fmt.Printf("hello from rank %d of %d, generation %d\n", me.Rank, me.World, me.Generation)
	return nil
}

func main() {
	worker.Main() // does not return in a rank
	err := supervisor.Run(context.Background(), supervisor.Spec{
		Name:     "hello",
		Ranks:    supervisor.Repeat(4, process.Reexec("hello")),
		Strategy: supervisor.AllForOne{Restarts: 1},
	}, supervisor.WithObserver(explain))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("the group has ended well")
}

// explain prints what the supervisor decided.
func explain(e supervisor.Event) {
	if e.Kind == supervisor.EventDecided {
		fmt.Printf("%v -> %v (%s)\n", e.Failure, e.Action, e.Reason)
	}
}

//go:build unix

package actors_test

import (
	"testing"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/go-muster/muster/actors"
	"github.com/go-muster/muster/actors/actorstest"
	"github.com/go-muster/muster/actors/process"
)

type ball struct{}

// BenchmarkHop is a message from one actor to another, and back: twice what the engine takes for each fact of a rank.
func BenchmarkHop(b *testing.B) {
	b.ReportAllocs()
	wall := system.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		if _, is := ctx.Message().(ball); is {
			ctx.Respond(ball{})
		}
	}))
	back := make(chan struct{}, 1)
	player := system.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		switch ctx.Message().(type) {
		case *actor.Started, *actor.Stopping, *actor.Stopped:
		case string:
			ctx.Request(wall, ball{})
		case ball:
			back <- struct{}{}
		}
	}))
	for b.Loop() {
		system.Root.Send(player, "play")
		<-back
	}
	for _, pid := range []*actor.PID{player, wall} {
		if err := system.Root.StopFuture(pid).Wait(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRank is a rank actor's whole life with a process that costs nothing: from its start to the exit that its parent hears.
func BenchmarkRank(b *testing.B) {
	b.ReportAllocs()
	l := actorstest.NewLauncher(b)
	l.Play(func(p *actorstest.Process) { p.Exit(process.Exit{}) })
	exited := make(chan struct{}, 1)
	parent := system.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		switch ctx.Message().(type) {
		case ball:
			ctx.SpawnPrefix(actors.Rank(actors.Config{ID: id, Command: process.Command{Args: []string{"true"}}, Launcher: l}), "rank")
		case *actors.Exited:
			exited <- struct{}{}
		}
	}))
	for b.Loop() {
		system.Root.Send(parent, ball{})
		<-exited
	}
	if err := system.Root.StopFuture(parent).Wait(); err != nil {
		b.Fatal(err)
	}
}

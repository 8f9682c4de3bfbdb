//go:build unix

package actors_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/go-muster/muster/actors"
	"github.com/go-muster/muster/actors/actorstest"
	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/transport"
)

func TestMain(m *testing.M) { processtest.Main(m) }

// system is one for all tests: an actor system keeps goroutines for as long as the program lives.
var system = actor.NewActorSystem(
	actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }),
	actor.WithDeadLetterThrottleInterval(time.Millisecond)) // a dead letter costs a goroutine for so long

var id = process.ID{Rank: 2, Generation: 1}

// A family is a parent with one rank actor: the test is the parent's mind.
type family struct {
	t      *testing.T
	ctx    context.Context
	facts  chan any
	parent *actor.PID
	rank   *actor.PID
	once   sync.Once
}

// A parent passes on what it hears.
type parent struct {
	config actors.Config
	facts  chan<- any
	rank   chan<- *actor.PID
}

func (p *parent) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		p.rank <- ctx.SpawnPrefix(actors.Rank(p.config), "rank")
	case actor.SystemMessage, actor.AutoReceiveMessage: // Terminated overtakes Exited: it is no fact of a life
	default:
		p.facts <- m
	}
}

// start spawns a parent whose rank is launched by l.
func start(t *testing.T, l process.Launcher, change func(*actors.Config)) *family {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	c := actors.Config{ID: id, Command: process.Command{Args: []string{"train"}, Speaks: true}, Launcher: l}
	if change != nil {
		change(&c)
	}
	rank := make(chan *actor.PID, 1)
	f := &family{t: t, ctx: ctx, facts: make(chan any, 100)}
	f.parent = system.Root.Spawn(actor.PropsFromProducer(func() actor.Actor { return &parent{c, f.facts, rank} }))
	f.rank = <-rank
	t.Cleanup(f.stop)
	return f
}

// stop stops the parent, and with it the rank, and waits.
func (f *family) stop() {
	f.once.Do(func() {
		if err := system.Root.StopFuture(f.parent).Wait(); err != nil {
			f.t.Errorf("stop: %v", err)
		}
	})
}

func (f *family) send(order any) { system.Root.Send(f.rank, order) }

// want checks the next facts that the parent is told.
func (f *family) want(facts ...any) {
	f.t.Helper()
	for _, want := range facts {
		if got := timeless(f.next()); !reflect.DeepEqual(got, want) {
			f.t.Fatalf("told %s, want %s", show(got), show(want))
		}
	}
}

// timeless is a fact without the time at which it was seen.
func timeless(fact any) any {
	switch m := fact.(type) {
	case *actors.Raised:
		return &actors.Raised{ID: m.ID, Exception: m.Exception}
	case *actors.Broken:
		return &actors.Broken{ID: m.ID, Err: m.Err}
	}
	return fact
}

func (f *family) next() any {
	f.t.Helper()
	select {
	case fact := <-f.facts:
		return fact
	case <-f.ctx.Done():
		f.t.Fatal("told nothing more")
	}
	return nil
}

func show(fact any) string { return strings.TrimPrefix(fmt.Sprintf("%T%+v", fact, fact), "*actors.") }

// wantEnd checks that the exit was the last fact, and that the actor has stopped itself.
func (f *family) wantEnd() {
	f.t.Helper()
	processtest.Eventually(f.t, "the actor is gone", func() bool {
		_, there := system.ProcessRegistry.Get(f.rank)
		return !there
	})
	f.stop()
	select {
	case fact := <-f.facts:
		f.t.Errorf("told %s after the exit", show(fact))
	default:
	}
}

func boom() *transport.Exception { return &transport.Exception{Type: "ValueError", Message: "boom"} }

// TestSeen: a failure is told with the time at which the process's own goroutine saw it.
func TestSeen(t *testing.T) {
	processtest.Check(t)
	l := actorstest.NewLauncher(t)
	f := start(t, l, nil)
	p := l.Next(f.ctx)
	f.want(&actors.Started{ID: id, PID: p.PID()})
	before := time.Now()
	p.Raise(boom())
	p.Break(process.ErrLink)
	after := time.Now() // what the process does has been seen when it is done
	for _, seen := range []time.Time{f.next().(*actors.Raised).Seen, f.next().(*actors.Broken).Seen} {
		if seen.Before(before) || seen.After(after) {
			t.Errorf("seen at %v, not between %v and %v", seen, before, after)
		}
	}
	p.Exit(process.Exit{Code: 1})
	f.want(&actors.Exited{ID: id, PID: p.PID(), Exit: process.Exit{Code: 1}})
	f.wantEnd()
}

// TestFacts: a life is told in the order in which it happened, each fact once, and the exit last (G-4, G-5).
func TestFacts(t *testing.T) {
	t.Run("a worker that works", func(t *testing.T) {
		processtest.Check(t)
		l := actorstest.NewLauncher(t)
		f := start(t, l, nil)
		p := l.Next(f.ctx)
		f.want(&actors.Started{ID: id, PID: p.PID()})
		p.Hello("go")
		p.Ready()
		p.Beat(1) // nobody has asked for it
		p.Dump("nor for this")
		p.Return([]byte("value"))
		p.Exit(process.Exit{})
		f.want(&actors.Hello{ID: id, SDK: "go"}, &actors.Ready{ID: id}, &actors.Returned{ID: id, Value: []byte("value")},
			&actors.Exited{ID: id, PID: p.PID()})
		f.wantEnd()
	})
	t.Run("a worker that raises", func(t *testing.T) { // G-7
		processtest.Check(t)
		l := actorstest.NewLauncher(t)
		f := start(t, l, nil)
		p, x := l.Next(f.ctx), boom()
		p.Ready()
		p.Raise(x)
		f.want(&actors.Started{ID: id, PID: p.PID()}, &actors.Ready{ID: id}, &actors.Raised{ID: id, Exception: x})
		p.Exit(process.Exit{Code: 1})
		f.want(&actors.Exited{ID: id, PID: p.PID(), Exit: process.Exit{Code: 1}})
		f.wantEnd()
	})
	t.Run("a worker that breaks the protocol", func(t *testing.T) { // G-8
		processtest.Check(t)
		l := actorstest.NewLauncher(t)
		f := start(t, l, nil)
		p := l.Next(f.ctx)
		p.Break(process.ErrLink)
		f.want(&actors.Started{ID: id, PID: p.PID()}, &actors.Broken{ID: id, Err: process.ErrLink})
		p.Exit(process.Exit{Err: process.ErrLink})
		f.want(&actors.Exited{ID: id, PID: p.PID(), Exit: process.Exit{Err: process.ErrLink}})
		f.wantEnd()
	})
	t.Run("a command that does not speak is ready when it is started", func(t *testing.T) {
		processtest.Check(t)
		l := actorstest.NewLauncher(t)
		f := start(t, l, func(c *actors.Config) { c.Command.Speaks = false })
		p := l.Next(f.ctx)
		f.want(&actors.Started{ID: id, PID: p.PID()}, &actors.Ready{ID: id})
		p.Ready() // it does, all the same
		p.Exit(process.Exit{})
		f.want(&actors.Exited{ID: id, PID: p.PID()})
		f.wantEnd()
	})
	t.Run("a worker that repeats itself", func(t *testing.T) {
		processtest.Check(t)
		l := actorstest.NewLauncher(t)
		f := start(t, l, nil)
		p, x := l.Next(f.ctx), boom()
		for range 100 {
			p.Hello("go")
			p.Ready()
			p.Return(nil)
			p.Raise(x)
			p.Break(process.ErrLink)
		}
		p.Exit(process.Exit{Code: 1})
		f.want(&actors.Started{ID: id, PID: p.PID()}, &actors.Hello{ID: id, SDK: "go"}, &actors.Ready{ID: id},
			&actors.Returned{ID: id}, &actors.Raised{ID: id, Exception: x}, &actors.Broken{ID: id, Err: process.ErrLink},
			&actors.Exited{ID: id, PID: p.PID(), Exit: process.Exit{Code: 1}})
		f.wantEnd()
	})
	t.Run("a process that is gone before the launch returns", func(t *testing.T) {
		processtest.Check(t)
		f := start(t, hasty{}, nil)
		f.want(&actors.Started{ID: id, PID: 7}, &actors.Ready{ID: id}, &actors.Exited{ID: id, PID: 7})
		f.wantEnd()
	})
}

// hasty launches processes that live and die before Launch returns.
type hasty struct{ process.Launcher }

func (hasty) Launch(_ process.ID, _ process.Command, o process.Observer) (process.Process, error) {
	o.Message(&transport.Ready{})
	o.Exited(process.Exit{})
	return dead{}, nil
}

type dead struct{}

func (dead) PID() int                    { return 7 }
func (dead) Stop(string, time.Duration)  {}
func (dead) Kill()                       {}
func (dead) Dump()                       {}
func (dead) Post(transport.Message)      {}
func (dead) Signal(process.Signal) error { return nil }

// TestRefused: a launch that fails is a life without a process.
func TestRefused(t *testing.T) {
	processtest.Check(t)
	l := actorstest.NewLauncher(t)
	refusal := errors.New("no")
	l.Refuse(id, refusal)
	f := start(t, l, nil)
	f.send(&actors.Stop{})
	f.send(&actors.Kill{})
	f.want(&actors.Exited{ID: id, Exit: process.Exit{Code: -1, Err: refusal}})
	f.wantEnd()
	if l.Launched() != 0 {
		t.Error("it was launched")
	}
}

// TestOrders: the parent's orders reach the process as they are.
func TestOrders(t *testing.T) {
	processtest.Check(t)
	l := actorstest.NewLauncher(t)
	f := start(t, l, nil)
	p := l.Next(f.ctx)
	orders := []any{
		actors.Signal{Signal: syscall.SIGHUP}, actors.Stop{Reason: "test", Grace: time.Second}, actors.Kill{},
	}
	f.send(&actors.Signal{Signal: syscall.SIGHUP})
	f.send(&actors.Stop{Reason: "test", Grace: time.Second})
	f.send(&actors.Kill{})
	for _, want := range orders {
		if got := p.Order(f.ctx); got != want {
			t.Errorf("ordered %#v, want %#v", got, want)
		}
	}
	p.Exit(process.Exit{Code: 9})
	f.want(&actors.Started{ID: id, PID: p.PID()},
		&actors.Exited{ID: id, PID: p.PID(), Exit: process.Exit{Code: 9, Stopped: true}})
	f.wantEnd()
	f.send(&actors.Kill{}) // too late: nobody hears it
}

// TestAbandon: a process that survives Kill is let go of: its rank ends, and what it still says is not heard (T13).
func TestAbandon(t *testing.T) {
	processtest.Check(t)
	l := actorstest.NewLauncher(t)
	f := start(t, l, nil)
	p := l.Next(f.ctx)
	why := errors.New("it does not die")
	f.send(&actors.Kill{})
	f.send(&actors.Abandon{Err: why})
	f.want(&actors.Started{ID: id, PID: p.PID()},
		&actors.Exited{ID: id, PID: p.PID(), Exit: process.Exit{Code: -1, Err: why, Stopped: true}})
	processtest.Eventually(t, "the actor is gone", func() bool {
		_, there := system.ProcessRegistry.Get(f.rank)
		return !there
	})
	canceled, cancel := context.WithCancel(f.ctx)
	cancel()
	if first, second := p.Order(f.ctx), p.Order(canceled); first != (actors.Kill{}) || second != nil {
		t.Errorf("ordered %#v and %#v: it was killed often enough", first, second)
	}
	for range 100 { // more than there are credits: the process must not be held for ever
		p.Say(&transport.Heartbeat{})
	}
	p.Exit(process.Exit{})
	f.wantEnd()
}

// TestTearDown: a process does not outlive its actor, whatever ends that.
func TestTearDown(t *testing.T) {
	t.Run("the parent is stopped", func(t *testing.T) {
		processtest.Check(t)
		l := actorstest.NewLauncher(t)
		f := start(t, l, nil)
		p := l.Next(f.ctx)
		ended := make(chan struct{})
		go func() { // ends with the actors
			f.stop()
			close(ended)
		}()
		if got := p.Order(f.ctx); got != (actors.Kill{}) {
			t.Errorf("ordered %#v", got)
		}
		for range 100 { // more than there are credits, and nobody gives them back any more
			p.Say(&transport.Heartbeat{})
		}
		select {
		case <-ended:
			t.Error("the actors have not waited for the process")
		default:
		}
		p.Exit(process.Exit{Code: -1, Signal: syscall.SIGKILL})
		<-ended
	})
	t.Run("the actor panics", func(t *testing.T) {
		processtest.Check(t)
		l := &fragile{Launcher: actorstest.NewLauncher(t)}
		f := start(t, l, nil)
		p := l.Next(f.ctx)
		f.want(&actors.Started{ID: id, PID: p.PID()})
		f.send(&actors.Signal{})
		if got := p.Order(f.ctx); got != (actors.Kill{}) {
			t.Errorf("ordered %#v", got)
		}
		for range 100 { // what the old process says must not reach whom the engine puts in the actor's place
			p.Say(&transport.Heartbeat{})
		}
		p.Exit(process.Exit{Code: -1, Signal: syscall.SIGKILL})
		exited := f.next().(*actors.Exited)
		if exited.ID != id || exited.Exit.Err == nil || exited.Exit.Success() {
			t.Errorf("%+v", exited)
		}
		f.wantEnd()
		if l.Launched() != 1 {
			t.Errorf("%d processes for one life", l.Launched())
		}
	})
}

// fragile makes processes whose Signal panics.
type fragile struct{ *actorstest.Launcher }

func (l *fragile) Launch(id process.ID, c process.Command, o process.Observer) (process.Process, error) {
	p, err := l.Launcher.Launch(id, c, o)
	return brittle{p}, err
}

type brittle struct{ process.Process }

func (brittle) Signal(process.Signal) error { panic("boom") }

// TestCredits: a worker that floods its actor is held back, and nothing it said is lost.
func TestCredits(t *testing.T) {
	processtest.Check(t)
	l := actorstest.NewLauncher(t)
	hold, held := make(chan struct{}), make(chan struct{})
	f := start(t, &gated{l, held, hold}, nil)
	p := l.Next(f.ctx)
	f.want(&actors.Started{ID: id, PID: p.PID()})
	f.send(&actors.Signal{}) // the actor is busy until hold is closed
	<-held
	var said atomic.Int32
	done := make(chan struct{})
	const flood = 1000
	go func() { // ends when all was taken
		defer close(done)
		for range flood {
			p.Say(&transport.Heartbeat{})
			said.Add(1)
		}
		p.Raise(boom())
	}()
	processtest.Eventually(t, "the credits are used up", func() bool { return said.Load() >= actors.Credits })
	select {
	case <-done:
		t.Error("nothing held the worker back")
	case <-time.After(50 * time.Millisecond):
	}
	if n := said.Load(); n != actors.Credits {
		t.Errorf("%d messages wait for the actor, want %d", n, actors.Credits)
	}
	close(hold)
	<-done
	x := boom()
	x.Rank, x.Generation, x.PID = id.Rank, id.Generation, p.PID()
	f.want(&actors.Raised{ID: id, Exception: x})
	p.Exit(process.Exit{Code: 1})
	f.want(&actors.Exited{ID: id, PID: p.PID(), Exit: process.Exit{Code: 1}})
	f.wantEnd()
}

// gated makes processes whose Signal takes as long as the test wants.
type gated struct {
	*actorstest.Launcher
	held, hold chan struct{}
}

func (l *gated) Launch(id process.ID, c process.Command, o process.Observer) (process.Process, error) {
	p, err := l.Launcher.Launch(id, c, o)
	return busy{p, l}, err
}

type busy struct {
	process.Process
	*gated
}

func (b busy) Signal(process.Signal) error {
	close(b.held)
	<-b.hold
	return nil
}

// TestOutput: lines go past the actor, however busy it is.
func TestOutput(t *testing.T) {
	processtest.Check(t)
	l := actorstest.NewLauncher(t)
	hold, held := make(chan struct{}), make(chan struct{})
	var got []string
	f := start(t, &gated{l, held, hold}, func(c *actors.Config) {
		c.Output = func(id process.ID, s process.Stream, lines []byte) {
			got = append(got, fmt.Sprintf("%v %v %s", id, s, lines))
		}
	})
	p := l.Next(f.ctx)
	f.send(&actors.Signal{})
	<-held
	p.Print(process.Stdout, "a\n")
	p.Print(process.Stderr, "b\n")
	if want := []string{"2@1 stdout a\n", "2@1 stderr b\n"}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	close(hold)
	p.Exit(process.Exit{})
	f.want(&actors.Started{ID: id, PID: p.PID()}, &actors.Exited{ID: id, PID: p.PID()})
	f.wantEnd()
}

// TestLocal: the same with a real process.
func TestLocal(t *testing.T) {
	t.Run("it ends", func(t *testing.T) {
		processtest.Check(t)
		var lines atomic.Int32
		f := start(t, process.Local(), func(c *actors.Config) {
			c.Command = process.Command{Args: []string{"/bin/sh", "-c", "echo a; exit 3"}}
			c.Output = func(process.ID, process.Stream, []byte) { lines.Add(1) }
		})
		started := f.next().(*actors.Started)
		f.want(&actors.Ready{ID: id})
		exited := f.next().(*actors.Exited)
		if exited.PID != started.PID || exited.Exit.Code != 3 || exited.Exit.Stopped || lines.Load() != 1 {
			t.Errorf("%+v, %+v, %d lines", started, exited, lines.Load())
		}
		f.wantEnd()
	})
	t.Run("it is torn down", func(t *testing.T) {
		processtest.Check(t)
		f := start(t, process.Local(), func(c *actors.Config) {
			c.Command = process.Command{Args: []string{"/bin/sh", "-c", "trap '' TERM; sleep 60"}}
		})
		started := f.next().(*actors.Started)
		f.want(&actors.Ready{ID: id})
		f.stop()
		left, err := os.FindProcess(started.PID)
		if err == nil {
			err = left.Signal(syscall.Signal(0))
		}
		if !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("the process outlives its actor: %v", err)
		}
	})
}

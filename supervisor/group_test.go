package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"syscall"
	"testing"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/go-muster/muster/actors/actorstest"
	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport"
)

// spec is that of a group of n ranks that are ready once they are started.
func spec(n int) supervisor.Spec {
	return supervisor.Spec{Name: "test", Ranks: supervisor.Repeat(n, process.Command{Args: []string{"train"}})}
}

// A play is a group whose processes the test plays.
type play struct {
	*testing.T
	*supervisor.Group
	system   *actor.ActorSystem
	launcher *actorstest.Launcher
	events   *events
}

// begin starts a group in an actor system of its own. In a bubble what never happens is a deadlock that is reported; in
// other tests go test has a limit.
func begin(t *testing.T, s supervisor.Spec, opts ...supervisor.Option) *play {
	t.Helper()
	return beginIn(context.Background(), t, s, opts...)
}

func beginIn(ctx context.Context, t *testing.T, s supervisor.Spec, opts ...supervisor.Option) *play {
	t.Helper()
	p := &play{T: t, system: newSystem(), launcher: actorstest.NewLauncher(t), events: newEvents()}
	opts = append([]supervisor.Option{
		supervisor.WithSystem(p.system), supervisor.WithLauncher(p.launcher), supervisor.WithObserver(p.events.observe),
	}, opts...)
	g, err := supervisor.Start(ctx, s, opts...)
	if err != nil {
		t.Fatal(err)
	}
	p.Group = g
	return p
}

func newSystem() *actor.ActorSystem {
	return actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
		return slog.New(slog.DiscardHandler)
	}))
}

// rank takes the process of rank r in generation g.
func (p *play) rank(r, g int) *actorstest.Process {
	p.Helper()
	return p.launcher.Await(context.Background(), process.ID{Rank: r, Generation: g})
}

// expect takes an order that a process was given.
func (p *play) expect(rank *actorstest.Process, want any) {
	p.Helper()
	if got := rank.Order(context.Background()); got != want {
		p.Fatalf("rank %v was ordered %+v, want %+v", rank.ID, got, want)
	}
}

// decided waits for the n-th decision.
func (p *play) decided(n int) supervisor.Event {
	p.Helper()
	p.events.await(supervisor.EventDecided, n)
	for _, e := range p.events.list() {
		if e.Kind == supervisor.EventDecided {
			if n--; n == 0 {
				return e
			}
		}
	}
	panic("await has seen it")
}

func (p *play) expectEnd(want error) {
	p.Helper()
	if err := p.Wait(); !errors.Is(err, want) {
		p.Fatalf("the group's end is %v, want %v", err, want)
	}
}

// obey is a process that ends when it is told to.
func obey(p *actorstest.Process) {
	p.Order(context.Background())
	p.Exit(terminated)
}

var (
	terminated = process.Exit{Code: -1, Signal: syscall.SIGTERM}
	killed     = process.Exit{Code: -1, Signal: syscall.SIGKILL}
)

func valueError() *transport.Exception {
	return &transport.Exception{Type: "ValueError", Message: "no"}
}

// events keeps what an observer saw.
type events struct {
	mu      sync.Mutex
	changed chan struct{}
	all     []supervisor.Event
}

func newEvents() *events { return &events{changed: make(chan struct{})} }

func (e *events) observe(ev supervisor.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, ev)
	close(e.changed)
	e.changed = make(chan struct{})
}

func (e *events) list() []supervisor.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.all[:len(e.all):len(e.all)]
}

// await waits until there were n events of a kind.
func (e *events) await(kind supervisor.EventKind, n int) {
	for {
		e.mu.Lock()
		changed, seen := e.changed, 0
		for _, ev := range e.all {
			if ev.Kind == kind {
				seen++
			}
		}
		e.mu.Unlock()
		if seen >= n {
			return
		}
		<-changed
	}
}

func (e *events) kinds() string {
	var s string
	for _, ev := range e.list() {
		s += fmt.Sprintf(" %s", ev.Kind)
	}
	return s
}

package host

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/go-muster/muster/actors/actorstest"
	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/transport"
)

const patience = 30 * time.Second

// A town is a root and its hosts in one actor system: nothing is lost between them but what the test loses.
type town struct {
	t      *testing.T
	ctx    context.Context
	system *actor.ActorSystem
	pool   *Pool
	hosts  map[string]*resident
}

type resident struct {
	agent *agent
	leave context.CancelFunc
	done  chan error
}

func newTown(t *testing.T, c Config) *town {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	system := newSystem()
	c.Listen = "in process"
	pool, err := newPool(system, c)
	if err != nil {
		t.Fatal(err)
	}
	w := &town{t: t, ctx: ctx, system: system, pool: pool, hosts: map[string]*resident{}}
	t.Cleanup(func() {
		for _, h := range w.hosts {
			h.leave()
			if err := <-h.done; err != nil {
				t.Errorf("the agent of %s: %v", h.agent.Name, err)
			}
		}
		pool.Close()
		system.Shutdown()
		cancel()
	})
	return w
}

// settle lets a host join, and waits until it has.
func (w *town) settle(name string, slots int, l process.Launcher) *resident {
	w.t.Helper()
	return w.settleWith(AgentConfig{Name: name, Slots: slots, Launcher: l})
}

func (w *town) settleWith(c AgentConfig) *resident {
	w.t.Helper()
	before := len(w.pool.Hosts())
	c.Join, c.Reach, c.Muster = w.system.Address(), c.Name+".test", "test"
	a := newAgent(w.system, c, w.system.Address())
	if err := a.open("agent-" + c.Name + "-" + a.id); err != nil {
		w.t.Fatal(err)
	}
	h := w.reside(a)
	if _, err := w.pool.Await(w.ctx, before+1, 0, 0); err != nil {
		w.t.Fatal(err)
	}
	return h
}

// reside has an agent serve until the test is over.
func (w *town) reside(a *agent) *resident {
	ctx, leave := context.WithCancel(context.Background())
	h := &resident{agent: a, leave: leave, done: make(chan error, 1)}
	go func() { h.done <- a.serve(ctx) }()
	w.hosts[a.Name] = h
	return h
}

// room waits for what a group is told next.
func (w *town) room(rooms <-chan process.Room) process.Room {
	w.t.Helper()
	select {
	case r := <-rooms:
		return r
	case <-w.ctx.Done():
		w.t.Error("the group is told nothing")
		return process.Room{}
	}
}

// A witness is an observer that writes down what it hears.
type witness struct {
	mu     sync.Mutex
	heard  []string
	out    map[process.Stream]string
	exited chan process.Exit
}

func newWitness() *witness {
	return &witness{out: map[process.Stream]string{}, exited: make(chan process.Exit, 2)}
}

func (w *witness) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.heard = append(w.heard, fmt.Sprintf(format, args...))
}

func (w *witness) Message(m transport.Message) { w.note("%v", m.Kind()) }
func (w *witness) Broken(err error)            { w.note("broken: %v", err) }
func (w *witness) Probed(err error)            { w.note("probed: %v", err) }
func (w *witness) Output(s process.Stream, b []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.out[s] += string(b)
}
func (w *witness) Exited(e process.Exit) { w.exited <- e }

func (w *witness) exit(ctx context.Context, t *testing.T) process.Exit {
	t.Helper()
	select {
	case e := <-w.exited:
		return e
	case <-ctx.Done():
		t.Fatal("it has not exited")
		return process.Exit{}
	}
}

// TestPool: a process on another host is one like any other: its words, its streams, its end, orders to it.
func TestPool(t *testing.T) {
	w := newTown(t, Config{})
	scripts := actorstest.NewLauncher(t)
	w.settle("a", 2, scripts)
	w.settle("b", 2, scripts)
	rooms := make(chan process.Room, 10)
	team := w.pool.Join(0, func(r process.Room) { rooms <- r })
	if r := w.room(rooms); r.Ranks != 4 || r.Hosts != 2 {
		t.Fatalf("room %+v", r)
	}
	plan, err := team.Place(4, nil)
	if err != nil || plan.Places[2] != (process.Place{Host: "b", Addr: "b.test", Node: 1, Locals: 2}) || plan.Port == 0 || plan.Hosts != 2 {
		t.Fatalf("plan %+v, %v", plan, err)
	}
	seen := newWitness()
	go func() {
		p := scripts.Await(w.ctx, process.ID{Rank: 2, Generation: 1})
		p.Hello("go")
		p.Print(process.Stdout, "one\ntwo\n")
		p.Raise(&transport.Exception{Type: "ValueError", Message: "bad"})
		order := p.Order(w.ctx)
		p.Print(process.Stderr, fmt.Sprintf("%T\n", order))
		p.Exit(process.Exit{Code: 3, Err: process.ErrNoResult, Stderr: []byte("tail")})
	}()
	p, err := team.Launch(process.ID{Rank: 2, Generation: 1}, process.Command{Args: []string{"x"}, Host: "b"}, seen)
	if err != nil || p.PID() == 0 {
		t.Fatal(p, err)
	}
	p.Stop("a reason", time.Second)
	exit := seen.exit(w.ctx, t)
	if exit.Code != 3 || !errors.Is(&exit, process.ErrNoResult) || string(exit.Stderr) != "tail" || !exit.Stopped {
		t.Errorf("exit %+v", exit)
	}
	if got := strings.Join(seen.heard, " ") + seen.out[process.Stdout] + seen.out[process.Stderr]; got != "Hello Exceptionone\ntwo\nactors.Stop\n" {
		t.Errorf("heard %q", got)
	}
	if p.Signal(10) == nil {
		t.Error("a process that is gone takes a signal")
	}
	plan.Release()
	team.Leave()
}

// TestHostLost: an agent that is not heard of is lost after its lease and a fence; the room is told first, then each rank, of
// one loss (G-1, G-3).
func TestHostLost(t *testing.T) {
	w := newTown(t, Config{Lease: MinLease})
	scripts := actorstest.NewLauncher(t)
	w.settle("a", 2, scripts)
	b := w.settle("b", 2, scripts)
	rooms := make(chan process.Room, 10)
	team := w.pool.Join(0, func(r process.Room) { rooms <- r })
	<-rooms
	seen := [2]*witness{newWitness(), newWitness()}
	for i := range seen {
		id := process.ID{Rank: 2 + i}
		if _, err := team.Launch(id, process.Command{Args: []string{"x"}, Host: "b"}, seen[i]); err != nil {
			t.Fatal(err)
		}
	}
	b.agent.tell(&deafen{}) // it neither hears nor is heard
	for range 2 {
		p := scripts.Next(w.ctx)
		go func() { // the agent ends it when its lease is over
			if fmt.Sprintf("%T", p.Order(w.ctx)) == "actors.Kill" {
				p.Exit(process.Exit{Code: -1, Signal: 9})
			}
		}()
	}
	if r := w.room(rooms); r.Ranks != 2 || !strings.HasPrefix(r.Why, "host b is lost: not heard of for") {
		t.Errorf("room %+v", r)
	}
	for i := range seen {
		exit := seen[i].exit(w.ctx, t)
		lost, is := errors.AsType[*process.HostLostError](exit.Err)
		if !is || lost.Host != "b" || fmt.Sprint(lost.Lives) != "[2@0 3@0]" {
			t.Errorf("exit %+v", exit)
		}
	}
	if _, err := team.Launch(process.ID{Rank: 2}, process.Command{Args: []string{"x"}, Host: "b"}, newWitness()); !errors.Is(err, process.ErrHostLost) {
		t.Errorf("a launch on a host that is lost: %v", err)
	}
	b.agent.tell(&deafen{off: true})
	if r := w.room(rooms); r.Ranks != 4 || r.Why != "host b has joined" {
		t.Errorf("it comes back, with nothing: room %+v", r)
	}
	team.Leave()
}

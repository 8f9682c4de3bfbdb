package supervisor_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/go-muster/muster/actors"
	"github.com/go-muster/muster/actors/actorstest"
	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport"
)

// A family is an actor of a user's with groups for children, and what it hears of them.
type family struct {
	*testing.T
	system   *actor.ActorSystem
	launcher *actorstest.Launcher
	parent   *actor.PID
	heard    chan any
	pids     chan *actor.PID
}

// spawnGroup is what the parent does when it gets props.
func (f *family) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Props:
		f.pids <- ctx.Spawn(m)
	case *supervisor.Ended, *actor.Terminated:
		f.heard <- m
	case func(actor.Context):
		m(ctx)
	}
}

func newFamily(t *testing.T, opts ...actor.PropsOption) *family {
	f := &family{
		T: t, system: newSystem(), launcher: actorstest.NewLauncher(t), heard: make(chan any, 10), pids: make(chan *actor.PID, 1),
	}
	f.parent = f.system.Root.Spawn(actor.PropsFromProducer(func() actor.Actor { return f }, opts...))
	t.Cleanup(func() { _ = f.system.Root.StopFuture(f.parent).Wait() })
	return f
}

func (f *family) spawn(s supervisor.Spec, opts ...supervisor.Option) *actor.PID {
	f.Helper()
	props, err := supervisor.Props(s, append(opts, supervisor.WithLauncher(f.launcher))...)
	if err != nil {
		f.Fatal(err)
	}
	f.system.Root.Send(f.parent, props)
	return <-f.pids
}

func (f *family) rank(r, g int) *actorstest.Process {
	f.Helper()
	return f.launcher.Await(f.Context(), process.ID{Rank: r, Generation: g})
}

// ended waits for the end of a group, and for the engine's word that its actor is gone, which may come first.
func (f *family) ended(group *actor.PID) (e *supervisor.Ended) {
	f.Helper()
	for range 2 {
		switch m := (<-f.heard).(type) {
		case *supervisor.Ended:
			e = m
		case *actor.Terminated:
			if !m.Who.Equal(group) {
				f.Fatalf("%v is gone", m.Who)
			}
		}
	}
	if e == nil || !e.PID.Equal(group) {
		f.Fatalf("the parent heard %+v", e)
	}
	return e
}

// O-61, O-70: a group tells its parent how it ended, and then it is gone.
func TestGroupAsChild(t *testing.T) {
	processtest.Check(t)
	f := newFamily(t)
	group := f.spawn(spec(2))
	first := f.rank(0, 0)
	first.Raise(valueError())
	obey(f.rank(1, 0))
	first.Exit(failed)
	var failure *supervisor.Failure
	if e := f.ended(group); !errors.As(e.Err, &failure) || failure.Rank != 0 || e.Report.Outcome != supervisor.Failed {
		t.Errorf("%v, %v", e.Err, e.Report.Outcome)
	}
}

// Groups of one parent know nothing of each other, and do what it asks.
func TestGroupsOfOneParent(t *testing.T) {
	processtest.Check(t)
	f := newFamily(t)
	one := f.spawn(supervisor.Spec{Name: "one", Ranks: spec(1).Ranks})
	first := f.rank(0, 0)
	two := f.spawn(supervisor.Spec{Name: "two", Ranks: spec(1).Ranks})
	second := f.rank(0, 0)
	answer, err := f.system.Root.RequestFuture(two, &supervisor.ReportRequest{}, time.Minute).Result()
	if r, is := answer.(*supervisor.Report); !is || r.Name != "two" || r.Outcome != supervisor.Running {
		t.Errorf("the report is %+v, %v", answer, err)
	}
	f.system.Root.Send(one, &supervisor.SignalGroup{Signal: 10})
	if order := first.Order(t.Context()); order != (actors.Signal{Signal: 10}) {
		t.Errorf("the first was ordered %+v", order)
	}
	f.system.Root.Send(one, &supervisor.StopGroup{Reason: "enough"})
	obey(first)
	if e := f.ended(one); !errors.Is(e.Err, supervisor.ErrStopped) || e.Err.Error() != "supervisor: stopped: enough" {
		t.Errorf("the first ended with %v", e.Err)
	}
	f.system.Root.Send(two, &supervisor.StopGroup{Kill: true})
	second.Order(t.Context())
	if order := second.Order(t.Context()); order != (actors.Kill{}) {
		t.Errorf("the second was ordered %+v", order)
	}
	second.Exit(killed)
	f.ended(two)
}

// Whoever asks for the group of an actor can do with it what can be done with any.
func TestGroupOfAnActor(t *testing.T) {
	processtest.Check(t)
	f := newFamily(t)
	pid := f.spawn(spec(2))
	first, second := f.rank(0, 0), f.rank(1, 0)
	answer, err := f.system.Root.RequestFuture(pid, &supervisor.GroupRequest{}, time.Minute).Result()
	g, is := answer.(*supervisor.Group)
	if !is {
		t.Fatalf("the answer is %v, %v", answer, err)
	}
	for e := range g.Events() {
		if e.Kind == supervisor.EventRunning {
			break
		}
	}
	if err := g.SetStrategy(supervisor.OneForOne{Restarts: 1}); err != nil {
		t.Error(err)
	}
	added, err := g.Add(spec(1).Ranks, "more to do")
	if err != nil || len(added) != 1 || added[0] != 2 {
		t.Errorf("added %v, %v", added, err)
	}
	third := f.rank(2, 1)
	if g.PID(0) == nil || !g.Root().Equal(pid) {
		t.Error("it has no address")
	}
	g.Stop("enough")
	for _, p := range []*actorstest.Process{first, second, third} {
		obey(p)
	}
	f.ended(pid)
	if err := g.Wait(); !errors.Is(err, supervisor.ErrStopped) {
		t.Errorf("it ended with %v", err)
	}
	if err := g.SetStrategy(supervisor.OneForOne{}); !errors.Is(err, supervisor.ErrStopped) {
		t.Errorf("after the end: %v", err)
	}
}

// A parent that stops a group by the engine's means kills its ranks, and hears of it when they are gone.
func TestGroupStoppedByItsParent(t *testing.T) {
	processtest.Check(t)
	f := newFamily(t)
	group := f.spawn(spec(1))
	rank := f.rank(0, 0)
	f.system.Root.Send(f.parent, func(ctx actor.Context) { ctx.Stop(group) })
	if order := rank.Order(t.Context()); order != (actors.Kill{}) {
		t.Errorf("the rank was ordered %+v", order)
	}
	select {
	case m := <-f.heard:
		t.Errorf("G-4: the parent heard %+v before the rank was gone", m)
	default:
	}
	rank.Exit(killed)
	if e := f.ended(group); !errors.Is(e.Err, supervisor.ErrStopped) {
		t.Errorf("it ended with %v", e.Err)
	}
}

// A parent's strategy may restart a group whose actor fails: the new group begins when the old one is gone (G-1).
func TestGroupRestartedByItsParent(t *testing.T) {
	processtest.Check(t)
	f := newFamily(t, actor.WithSupervisor(actor.NewOneForOneStrategy(1, 0, func(reason any) actor.Directive {
		if err, is := reason.(error); !is || !strings.Contains(err.Error(), "what a bug") {
			t.Errorf("the reason is %v", reason)
		}
		return actor.RestartDirective
	})))
	var once sync.Once
	group := f.spawn(spec(1), supervisor.WithObserver(func(e supervisor.Event) {
		if e.Kind == supervisor.EventRunning {
			once.Do(func() { panic("what a bug") })
		}
	}))
	old := f.rank(0, 0)
	if order := old.Order(t.Context()); order != (actors.Kill{}) {
		t.Errorf("the rank was ordered %+v", order)
	}
	if n := f.launcher.Launched(); n != 1 {
		t.Errorf("G-1: %d processes were launched while the old one lived", n)
	}
	old.Exit(killed)
	again := f.rank(0, 0)
	if again.PID() == old.PID() {
		t.Error("there is no new process")
	}
	again.Exit(process.Exit{})
	if e := f.ended(group); e.Err != nil {
		t.Errorf("it ended with %v", e.Err)
	}
}

// Who waits for an answer in a group that its parent's strategy restarts hears that this one has ended; the new one answers.
func TestMailOfAGroupThatItsParentRestarts(t *testing.T) {
	processtest.Check(t)
	f := newFamily(t, actor.WithSupervisor(actor.NewOneForOneStrategy(1, 0, func(any) actor.Directive { return actor.RestartDirective })))
	var once sync.Once
	pid := f.spawn(spec(1), supervisor.WithObserver(func(e supervisor.Event) {
		if e.Kind == supervisor.EventReturned {
			once.Do(func() { panic("what a bug") })
		}
	}))
	group := func() *supervisor.Group {
		g, err := f.system.Root.RequestFuture(pid, &supervisor.GroupRequest{}, time.Minute).Result()
		if err != nil {
			t.Fatal(err)
		}
		return g.(*supervisor.Group)
	}
	begin := func() (*actorstest.Process, *supervisor.Group, <-chan error) {
		rank, g, asked := f.rank(0, 0), group(), make(chan error, 1)
		rank.Hello("go")
		rank.Say(&transport.Credit{Bytes: transport.MailWindow})
		go func() { asked <- g.Request(context.Background(), 0, "ask", "you", nil) }()
		if m, is := rank.Order(t.Context()).(*transport.Mail); !is || m.ID != 1 {
			t.Fatalf("the rank is told %+v", m)
		}
		return rank, g, asked
	}
	rank, old, asked := begin()
	rank.Return(nil)
	if err := <-asked; !errors.Is(err, supervisor.ErrStopped) {
		t.Errorf("the request ends with %v", err)
	}
	rank.Say(&transport.Mail{Reply: 1, Value: []byte{0xc0}})
	rank.Exit(killed)
	rank, _, asked = begin()
	if err := old.Tell(t.Context(), 0, "", nil); !errors.Is(err, supervisor.ErrStopped) {
		t.Errorf("a message to the old group: %v", err)
	}
	rank.Say(&transport.Mail{Reply: 1, Value: []byte{0xc0}})
	if err := <-asked; err != nil {
		t.Error(err)
	}
	rank.Exit(process.Exit{})
	f.ended(pid)
}

// A parent whose strategy lets it end hears of the bug.
func TestGroupGivenUpByItsParent(t *testing.T) {
	processtest.Check(t)
	f := newFamily(t, actor.WithSupervisor(actor.NewOneForOneStrategy(0, 0, actor.DefaultDecider)))
	group := f.spawn(spec(1), supervisor.WithObserver(func(supervisor.Event) { panic("what a bug") }))
	if e := f.ended(group); !strings.Contains(e.Err.Error(), "what a bug") || e.Report.Outcome != supervisor.Failed {
		t.Errorf("it ended with %v", e.Err)
	}
}

// What was asked before the end is answered, whatever comes first (G-9).
func TestGroupAnswersToItsEnd(t *testing.T) {
	for _, plain := range []bool{false, true} { // with a mailroom and without
		processtest.Check(t)
		f, asked := newFamily(t), make(chan *actor.Future, 1)
		pids := make(chan *actor.PID, 1)
		s := spec(1)
		s.Ranks[0].Plain = plain
		group := f.spawn(s, supervisor.WithObserver(func(e supervisor.Event) {
			if e.Kind == supervisor.EventDone {
				asked <- f.system.Root.RequestFuture(<-pids, &supervisor.ReportRequest{}, time.Minute)
			}
		}))
		pids <- group
		f.rank(0, 0).Exit(process.Exit{})
		answer, err := (<-asked).Result()
		if r, is := answer.(*supervisor.Report); !is || r.Outcome != supervisor.Succeeded {
			t.Errorf("plain %v: the report is %+v, %v", plain, answer, err)
		}
		f.ended(group)
	}
}

func TestBadProps(t *testing.T) {
	if _, err := supervisor.Props(supervisor.Spec{}); !errors.Is(err, supervisor.ErrSpec) {
		t.Error(err)
	}
}

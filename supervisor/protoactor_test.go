package supervisor_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/go-muster/muster/actors/actorstest"
	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/supervisor/rules"
)

// theirs is a strategy of the engine's from a function.
type theirs func(s actor.Supervisor, child *actor.PID, rs *actor.RestartStatistics, reason any)

func (f theirs) HandleFailure(_ *actor.ActorSystem, s actor.Supervisor, child *actor.PID, rs *actor.RestartStatistics,
	reason, _ any,
) {
	f(s, child, rs, reason)
}

func restartAlways(any) actor.Directive { return actor.RestartDirective }

func engineSpec(n int, s actor.SupervisorStrategy) supervisor.Spec {
	group := spec(n)
	group.Strategy = supervisor.FromProtoactor(s)
	return group
}

var failed = process.Exit{Code: 1}

// beginEngine waits for all ranks: a failure during the start would take the others along.
func beginEngine(t *testing.T, s supervisor.Spec) *play {
	t.Helper()
	p := begin(t, s)
	p.events.await(supervisor.EventRunning, 1)
	return p
}

// The engine's one-for-one restarts the rank that failed, and gives it up alone; each has its own count.
func TestEngineOneForOne(t *testing.T) {
	processtest.Check(t)
	p := beginEngine(t, engineSpec(2, actor.NewOneForOneStrategy(1, 0, restartAlways)))
	p.rank(0, 0).Exit(failed)
	p.rank(0, 1).Exit(failed) // its second failure
	p.decided(2)
	p.rank(1, 0).Exit(failed)
	p.rank(1, 2).Exit(process.Exit{}) // the other still had its first
	var f *supervisor.Failure
	if err := p.Wait(); !errors.As(err, &f) {
		t.Fatalf("the end is %v", err)
	}
	if f.Rank != 0 || f.Directive.Action != supervisor.Drop {
		t.Errorf("the end is %v (%v)", f, f.Directive)
	}
}

// The engine's all-for-one, with our barrier: two ranks that fail together cause one restart of all (protoactor.md §1.5).
func TestEngineAllForOne(t *testing.T) {
	processtest.Check(t)
	p := beginEngine(t, engineSpec(3, actor.NewAllForOneStrategy(5, 0, restartAlways)))
	p.rank(0, 0).Exit(failed)
	p.rank(1, 0).Exit(failed)
	obey(p.rank(2, 0))
	for rank := range 3 {
		p.rank(rank, 1).Exit(process.Exit{})
	}
	p.expectEnd(nil)
	if r := p.Report(); r.Restarts != 1 {
		t.Errorf("%d restarts, failures %v", r.Restarts, r.Failures)
	}
}

// The engine's exponential back-off acts from a timer.
func TestEngineBackoff(t *testing.T) {
	processtest.Check(t)
	p := beginEngine(t, engineSpec(1, actor.NewExponentialBackoffStrategy(time.Hour, time.Millisecond)))
	for generation := range 5 {
		p.rank(0, generation).Exit(failed)
	}
	p.rank(0, 5).Exit(process.Exit{})
	p.expectEnd(nil)
}

// A strategy may be asked before Start has returned: nothing between them is shared.
func TestEngineAtOnce(t *testing.T) {
	processtest.Check(t)
	launcher := actorstest.NewLauncher(t)
	launcher.Play(func(p *actorstest.Process) {
		p.Ready()
		p.Exit(process.Exit{Code: max(0, 3-p.ID.Generation)})
	})
	err := supervisor.Run(t.Context(), engineSpec(1, actor.NewOneForOneStrategy(5, 0, restartAlways)),
		supervisor.WithSystem(newSystem()), supervisor.WithLauncher(launcher))
	if err != nil {
		t.Error(err)
	}
}

// Each thing that a strategy can ask for, and what becomes of two ranks, the first of which fails.
func TestEngineActions(t *testing.T) {
	for _, c := range []struct {
		name   string
		act    func(s actor.Supervisor, child *actor.PID)
		action supervisor.Action
	}{
		{"resume", func(s actor.Supervisor, child *actor.PID) { s.ResumeChildren(child) }, supervisor.Ignore},
		{"stop one", func(s actor.Supervisor, child *actor.PID) { s.StopChildren(child) }, supervisor.Drop},
		{"stop all", func(s actor.Supervisor, _ *actor.PID) { s.StopChildren(s.Children()...) }, supervisor.Terminate},
		{"escalate", func(s actor.Supervisor, _ *actor.PID) { s.EscalateFailure("why", nil) }, supervisor.Terminate},
		{"stop one by one", func(s actor.Supervisor, _ *actor.PID) {
			for _, pid := range s.Children() {
				s.StopChildren(pid)
			}
		}, supervisor.Terminate},
		{"from a goroutine, after nothing", func(s actor.Supervisor, child *actor.PID) {
			s.RestartChildren()
			go s.StopChildren(child)
		}, supervisor.Drop},
	} {
		t.Run(c.name, func(t *testing.T) {
			processtest.Check(t)
			p := beginEngine(t, engineSpec(2, theirs(func(s actor.Supervisor, child *actor.PID, _ *actor.RestartStatistics, _ any) {
				c.act(s, child)
			})))
			p.rank(0, 0).Exit(failed)
			e := p.decided(1)
			if e.Action != c.action {
				t.Errorf("%v", e.Action)
			}
			if other := p.rank(1, 0); c.action == supervisor.Terminate {
				obey(other)
			} else {
				other.Exit(process.Exit{})
			}
			if err := p.Wait(); (err == nil) != (c.action == supervisor.Ignore) {
				t.Errorf("the end is %v", err)
			}
		})
	}
}

// Whatever a strategy does wrong ends the group with an error that says so.
func TestEngineFaults(t *testing.T) {
	twice := make(chan struct{})
	for _, c := range []struct {
		name, want string
		act        func(s actor.Supervisor, child *actor.PID)
	}{
		{"it panics", "panicked: oh no", func(actor.Supervisor, *actor.PID) { panic("oh no") }},
		{"it contradicts itself", "asks for restart and drop at once", func(s actor.Supervisor, child *actor.PID) {
			s.RestartChildren(child)
			s.StopChildren(child)
		}},
		{"it means a stranger", "which is no rank", func(s actor.Supervisor, _ *actor.PID) {
			s.RestartChildren(actor.NewPID("here", "somebody"))
		}},
		{"it answers twice", "answered twice, and then said drop", func(s actor.Supervisor, child *actor.PID) {
			s.ResumeChildren(child)
			go func() {
				<-twice
				s.StopChildren(child)
			}()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			processtest.Check(t)
			p := beginEngine(t, engineSpec(2, theirs(func(s actor.Supervisor, child *actor.PID, _ *actor.RestartStatistics, _ any) {
				c.act(s, child)
			})))
			p.rank(0, 0).Exit(failed)
			p.decided(1)
			if strings.Contains(c.name, "twice") {
				close(twice)
			}
			obey(p.rank(1, 0))
			if err := p.Wait(); !errors.Is(err, supervisor.ErrStrategy) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the end is %v", err)
			}
		})
	}
}

// A strategy meets the same children, in order, for as long as they belong to the group, and their own statistics.
func TestEngineChildren(t *testing.T) {
	processtest.Check(t)
	var met [][]*actor.PID
	var counts []int
	var reasons []any
	p := beginEngine(t, engineSpec(3, theirs(func(s actor.Supervisor, child *actor.PID, rs *actor.RestartStatistics, reason any) {
		rs.Fail()
		met, counts, reasons = append(met, s.Children()), append(counts, rs.FailureCount()), append(reasons, reason)
		if len(met) == 3 {
			s.StopChildren(child)
			return
		}
		s.RestartChildren(child)
	})))
	p.rank(1, 0).Exit(failed)
	p.rank(1, 1).Exit(failed)
	last := p.rank(1, 2) // nothing joins a restart that is over
	p.rank(2, 0).Exit(failed)
	p.decided(3)
	p.rank(0, 0).Exit(failed)
	p.rank(0, 3).Exit(process.Exit{})
	last.Exit(process.Exit{})
	_ = p.Wait()
	if !slices.Equal(counts, []int{1, 2, 1, 1}) {
		t.Errorf("the counts are %v", counts)
	}
	same := func(a, b *actor.PID) bool { return a.Equal(b) }
	if !slices.EqualFunc(met[0], met[1], same) || len(met[0]) != 3 || !slices.EqualFunc(met[3], met[0][:2], same) {
		t.Errorf("the children are %v", met)
	}
	if f, is := reasons[0].(*supervisor.Failure); !is || f.Rank != 1 {
		t.Errorf("the reason is %v", reasons[0])
	}
}

// A strategy that does nothing leaves the group as it is, until its time is up.
func TestEngineNeverAnswers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := beginEngine(t, engineSpec(2, theirs(func(actor.Supervisor, *actor.PID, *actor.RestartStatistics, any) {})))
		p.rank(0, 0).Exit(failed)
		obey(p.rank(1, 0))
		p.expectEnd(supervisor.ErrStrategy)
		if took := p.Report().Seconds; took != 60 {
			t.Errorf("it took %v s", took)
		}
	})
}

// Behind rules a strategy of the engine's has its time, too, and decides only what no rule does.
func TestEngineBehindRules(t *testing.T) {
	processtest.Check(t)
	asked := 0
	late := theirs(func(s actor.Supervisor, child *actor.PID, _ *actor.RestartStatistics, _ any) {
		asked++
		time.AfterFunc(time.Millisecond, func() { s.RestartChildren(child) })
	})
	group := spec(1)
	group.Strategy = &rules.List{
		Rules:  []rules.Rule{{When: rules.When{Exit: rules.Numbers{Ranges: []rules.Range{{First: 3, Last: 3}}}}, Do: rules.RestartGroup}},
		Budget: &rules.Budget{Restarts: 1},
		Else:   supervisor.FromProtoactor(late),
	}
	p := beginEngine(t, group)
	p.rank(0, 0).Exit(failed)
	p.rank(0, 1).Exit(process.Exit{Code: 3})
	// The engine's restart, which uses budget, comes first: then the rule has none left.
	var f *supervisor.Failure
	if err := p.Wait(); asked != 1 || !errors.As(err, &f) || f.Generation != 1 || f.Directive.Reason != "rule 1: 1 of 1 restarts used" {
		t.Errorf("asked %d times, the end is %v", asked, err)
	}
}

// In a group that was resized, nobody has failed before.
func TestEngineAfterResize(t *testing.T) {
	processtest.Check(t)
	p := beginEngine(t, engineSpec(1, actor.NewOneForOneStrategy(1, 0, restartAlways)))
	p.rank(0, 0).Exit(failed)
	p.events.await(supervisor.EventRunning, 2)
	if err := p.Resize(spec(2).Ranks, "more to do"); err != nil {
		t.Fatal(err)
	}
	obey(p.rank(0, 1))
	p.events.await(supervisor.EventRunning, 3)
	p.rank(0, 2).Exit(failed) // the second failure of rank 0, and the first of this one
	p.rank(0, 3).Exit(process.Exit{})
	p.rank(1, 2).Exit(process.Exit{})
	p.expectEnd(nil)
}

// Behind one of ours that calls its Decide, a strategy of the engine's has to act at once.
func TestEngineDecide(t *testing.T) {
	s := supervisor.FromProtoactor(actor.NewAllForOneStrategy(1, 0, restartAlways))
	state, f := supervisor.State{Size: 2}, &supervisor.Failure{Rank: 1}
	for i, want := range []supervisor.Action{supervisor.Restart, supervisor.Terminate, supervisor.Restart} {
		if d := s.Decide(state, f); d.Action != want {
			t.Errorf("answer %d is %v", i, d)
		}
	}
	late := supervisor.FromProtoactor(actor.NewExponentialBackoffStrategy(time.Hour, time.Hour))
	if d := late.Decide(state, f); d.Action != supervisor.Terminate || !strings.Contains(d.Reason, "did not act at once") {
		t.Errorf("%v", d)
	}
}

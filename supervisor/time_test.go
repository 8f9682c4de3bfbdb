package supervisor_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-muster/muster/actors"
	"github.com/go-muster/muster/actors/actorstest"
	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/supervisor"
)

// The tests of this file run in bubbles, where time passes when nobody has anything to do. The whole group is in the
// bubble: its engine, its actors and its timers.

// bubble runs a test in a bubble. In the end the engine has a moment for what it does with letters to the dead.
func bubble(t *testing.T, test func(*testing.T)) {
	synctest.Test(t, func(t *testing.T) {
		test(t)
		pass(time.Minute)
	})
}

// pass lets time pass and waits until nothing of what is due is left to be done.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestBackoff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := spec(2)
		s.Strategy = supervisor.AllForOne{Restarts: 3, Backoff: supervisor.Backoff{Min: time.Hour, Max: 24 * time.Hour}}
		p := begin(t, s)
		born := time.Now()
		for generation := range 3 {
			first, second := p.rank(0, generation), p.rank(1, generation)
			if late := time.Since(born); late != 0 {
				t.Errorf("generation %d began %v after its time", generation, late)
			}
			first.Exit(process.Exit{Code: 1})
			p.expect(second, actors.Stop{Reason: "rank " + first.ID.String() + " failed", Grace: 30 * time.Second})
			second.Exit(terminated)
			born = born.Add(p.waitThrough(time.Hour << generation))
		}
		p.Stop("that will do")
		obey(p.rank(0, 3))
		obey(p.rank(1, 3))
		p.expectEnd(supervisor.ErrStopped)
	})
}

// waitThrough lets the group wait for its next generation, and returns for how long it did: between half of what is
// expected and all of it.
func (p *play) waitThrough(most time.Duration) time.Duration {
	p.Helper()
	synctest.Wait()
	list := p.events.list()
	last := list[len(list)-1]
	if last.Kind != supervisor.EventWaiting || last.After < most/2 || last.After > most {
		p.Fatalf("the group does this: %v %v", last.Kind, last.After)
	}
	if r := p.Report(); r.Outcome != supervisor.Running || r.Ranks[0].Outcome != supervisor.Failed {
		p.Errorf("in the back-off the report says %+v", r)
	}
	pass(last.After)
	return last.After
}

func TestStopInBackoff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := spec(1)
		s.Strategy = supervisor.AllForOne{Restarts: -1, Backoff: supervisor.Backoff{Min: time.Hour}}
		p := begin(t, s)
		p.rank(0, 0).Exit(process.Exit{Code: 1})
		p.events.await(supervisor.EventWaiting, 1)
		begun := time.Now()
		p.Stop("")
		p.expectEnd(supervisor.ErrStopped)
		if took := time.Since(begun); took != 0 {
			t.Errorf("the stop took %v", took)
		}
		if n := p.launcher.Launched(); n != 1 {
			t.Errorf("%d processes were launched", n)
		}
	})
}

func TestLadder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := spec(2)
		s.Grace = 7 * time.Second
		p := begin(t, s)
		deaf, undying := p.rank(0, 0), p.rank(1, 0)
		p.events.await(supervisor.EventRunning, 1)
		begun := time.Now()
		p.Stop("evening")
		p.expect(deaf, actors.Stop{Reason: "supervisor: stopped: evening", Grace: s.Grace})
		p.expect(undying, actors.Stop{Reason: "supervisor: stopped: evening", Grace: s.Grace})
		p.expect(deaf, actors.Kill{})
		p.expect(undying, actors.Kill{})
		if after := time.Since(begun); after != s.Grace {
			t.Errorf("the kill came after %v", after)
		}
		deaf.Exit(killed)
		p.expectEnd(supervisor.ErrStopped)
		if after := time.Since(begun); after != s.Grace+10*time.Second {
			t.Errorf("the process was abandoned after %v", after)
		}
		ranks := p.Report().Ranks
		if ranks[0].Outcome != supervisor.Stopped || ranks[1].Outcome != supervisor.Abandoned {
			t.Errorf("the ranks are %+v", ranks)
		}
		undying.Exit(killed) // so late that nobody hears it
	})
}

func TestAbandonedIsNoRestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := spec(1)
		s.Strategy = supervisor.AllForOne{Restarts: -1}
		p := begin(t, s)
		undying := p.rank(0, 0)
		undying.Raise(valueError())
		p.expect(undying, actors.Stop{Reason: "rank 0@0 failed", Grace: 30 * time.Second})
		p.expect(undying, actors.Kill{})
		p.expectEnd(supervisor.ErrAbandoned)
		var failure *supervisor.Failure
		if !errors.As(p.Wait(), &failure) || failure.Exception == nil {
			t.Errorf("the end has lost its cause: %v", p.Wait())
		}
		if n := p.launcher.Launched(); n != 1 {
			t.Errorf("%d processes were launched", n)
		}
		undying.Exit(killed)
	})
}

func TestStartTimeout(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := spec(3)
		s.Ranks[1].Speaks = true
		p := begin(t, s)
		begun := time.Now()
		mute := p.rank(1, 0)
		go obey(p.rank(0, 0)) // ends when it is told to
		go obey(p.rank(2, 0))
		obey(mute)
		p.expectEnd(supervisor.ErrStartTimeout)
		if after := time.Since(begun); after != time.Minute {
			t.Errorf("the start took %v", after)
		}
		if err := p.Wait().Error(); !strings.Contains(err, "rank 1 has a process") || strings.Contains(err, "rank 2") {
			t.Errorf("the error names the wrong ranks: %v", err)
		}
	})
}

func TestDeadline(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := spec(1)
		s.Timeout = 3 * time.Hour
		p := begin(t, s)
		obey(p.rank(0, 0))
		p.expectEnd(supervisor.ErrTimeout)
		if r := p.Report(); r.Outcome != supervisor.TimedOut || r.Seconds != 3*60*60 {
			t.Errorf("the report says %v after %v s", r.Outcome, r.Seconds)
		}
	})
}

// TestAnswers: in every phase the group says how it is, and stops when it is told to (G-9).
func TestAnswers(t *testing.T) {
	for _, phase := range []struct {
		name  string
		last  supervisor.EventKind
		reach func(a, b *actorstest.Process)
		alive int
	}{
		{"starting", "", func(_, _ *actorstest.Process) {}, 2},
		{"running", supervisor.EventRunning, func(_, b *actorstest.Process) { b.Ready() }, 2},
		{"stopping", supervisor.EventStop, func(a, b *actorstest.Process) {
			b.Ready()
			synctest.Wait() // two ranks' words go different ways
			a.Raise(valueError())
		}, 2},
		{"waiting", supervisor.EventWaiting, func(a, b *actorstest.Process) {
			b.Ready()
			synctest.Wait()
			a.Exit(process.Exit{Code: 1})
		}, 1},
	} {
		t.Run(phase.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) { answers(t, phase.last, phase.alive, phase.reach) })
		})
	}
}

func answers(t *testing.T, last supervisor.EventKind, alive int, reach func(a, b *actorstest.Process)) {
	s := spec(2)
	s.Ranks[1].Speaks = true
	s.Strategy = supervisor.OneForOne{Restarts: -1, Backoff: supervisor.Backoff{Min: time.Hour}}
	p := begin(t, s)
	a, b := p.rank(0, 0), p.rank(1, 0)
	reach(a, b)
	pass(time.Second) // a rank that raised is asked only then
	list := p.events.list()
	running := strings.Contains(p.events.kinds(), string(supervisor.EventRunning))
	if running == (last == "") || running && list[len(list)-1].Kind != last {
		t.Fatalf("the phase was not reached:%s", p.events.kinds())
	}
	begun := time.Now()
	if r := p.Report(); r.Outcome != supervisor.Running || len(r.Ranks) != 2 {
		t.Errorf("the report says %+v", r)
	}
	p.Stop("")
	obey(b)
	if alive == 2 {
		obey(a)
	}
	p.expectEnd(supervisor.ErrStopped)
	if r := p.Report(); r.Outcome != supervisor.Interrupted {
		t.Errorf("in the end the report says %v", r.Outcome)
	}
	if took := time.Since(begun); took != 0 {
		t.Errorf("the stop took %v", took)
	}
}

// Each part of a recovery takes its time, and together they are all of it.
func TestPhasesOfARecovery(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := spec(2)
		for rank := range s.Ranks {
			s.Ranks[rank].Speaks = true
		}
		s.Strategy = supervisor.StrategyFunc(func(supervisor.State, *supervisor.Failure) supervisor.Directive {
			return supervisor.Directive{Action: supervisor.Restart, Linger: 3 * time.Second, After: 5 * time.Second}
		})
		p := begin(t, s)
		first, second := p.rank(0, 0), p.rank(1, 0)
		pass(time.Second)
		first.Ready()
		second.Ready()
		pass(2 * time.Second)
		ended := time.Now()
		pass(6 * time.Second) // what it left behind ends
		first.Exit(process.Exit{Code: 1, Ended: ended})
		second.Order(t.Context())
		pass(4 * time.Second)
		ended = time.Now()
		pass(7 * time.Second)
		second.Exit(process.Exit{Code: -1, Signal: syscall.SIGTERM, Ended: ended})
		p.rank(0, 1).Exit(process.Exit{})
		p.rank(1, 1).Exit(process.Exit{})
		p.expectEnd(nil)
		r := p.Report()
		got := r.Generations[0].Phases(r.Generations[1].Started)
		want := supervisor.Phases{
			Ready: time.Second, Run: 2 * time.Second, Detect: 6 * time.Second, Linger: 3 * time.Second, Stop: 4 * time.Second,
			Reap: 7 * time.Second, Backoff: 5 * time.Second,
		}
		if got != want || r.Seconds != 28 {
			t.Errorf("%+v in %v s, want %+v", got, r.Seconds, want)
		}
	})
}

package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport"
	"github.com/go-muster/muster/transport/worker"
)

func TestS01Success(t *testing.T) {
	inEach(t, func(t *testing.T, m mode) {
		x := begin(t, supervisor.Spec{Ranks: m.ranks(t, nil, nil)})
		if err := x.end(); err != nil {
			t.Error(err)
		}
		if r := x.group.Report(); r.Outcome != supervisor.Succeeded || r.Restarts != 0 || len(r.Failures) != 0 {
			t.Errorf("outcome %q, %d restarts, %d failures", r.Outcome, r.Restarts, len(r.Failures))
		}
	})
	t.Run("shell", func(t *testing.T) {
		if err := begin(t, supervisor.Spec{Ranks: supervisor.Repeat(2, sh("exit 0"))}).end(); err != nil {
			t.Error(err)
		}
	})
}

func TestS02NonBlockingWait(t *testing.T) {
	inEach(t, func(t *testing.T, m mode) {
		processtest.Check(t)
		g := newGate(t)
		x := beginWith(t, context.Background(), supervisor.Spec{
			Ranks: m.ranks(t, []string{"wait " + g.path}, []string{"wait " + g.path}),
		})
		x.lineOfAll(0, "here")
		select {
		case <-x.group.Done():
			t.Fatal("the group is done while its ranks wait")
		default:
		}
		if r := x.group.Report(); r.Outcome != supervisor.Running || r.Ranks[1].Outcome != supervisor.Running {
			t.Errorf("outcome %q, of rank 1 %q", r.Outcome, r.Ranks[1].Outcome)
		}
		answers := make([]error, 8)
		var waits sync.WaitGroup
		for i := range answers {
			waits.Go(func() { answers[i] = x.group.Wait() })
		}
		g.open()
		waits.Wait()
		if err := errors.Join(append(answers, x.group.Wait())...); err != nil {
			t.Error(err)
		}
	})
}

var whoAmI = worker.Func("whoAmI", func(_ context.Context, me worker.Info, _ string) (worker.Info, error) {
	return me, nil
})

func TestS03RankKnowsItsPlace(t *testing.T) {
	t.Run("function", func(t *testing.T) {
		processtest.Check(t)
		places, err := supervisor.Map(context.Background(), supervisor.Spec{RunID: "run"}, whoAmI, []string{"", ""})
		if err != nil {
			t.Fatal(err)
		}
		for rank, place := range places {
			want := worker.Info{Rank: rank, World: 2, LocalRank: rank, LocalWorld: 2, RunID: "run"}
			if place != want {
				t.Errorf("rank %d is %+v", rank, place)
			}
		}
	})
	const environment = "$RANK of $WORLD_SIZE, local $LOCAL_RANK of $LOCAL_WORLD_SIZE"
	for name, c := range map[string]process.Command{
		"command": sh(`echo "` + environment + `"`),
		"python":  pythonCode(`import os; print(os.path.expandvars("` + environment + `"))`),
	} {
		t.Run(name, func(t *testing.T) {
			x := begin(t, supervisor.Spec{Ranks: supervisor.Repeat(2, c)})
			if err := x.end(); err != nil {
				t.Fatal(err)
			}
			for rank := range 2 {
				x.line(process.ID{Rank: rank}, fmt.Sprintf("%d of 2, local %d of 2", rank, rank))
			}
		})
	}
}

func TestS04OneRaises(t *testing.T) {
	inEach(t, func(t *testing.T, m mode) {
		for rank := range 2 {
			t.Run(fmt.Sprint("rank ", rank), func(t *testing.T) {
				text := fmt.Sprint("legitimate exception from process ", rank)
				verbs := [][]string{{"hang"}, {"hang"}}
				verbs[rank] = []string{"raise " + text}
				x := begin(t, supervisor.Spec{Ranks: m.ranks(t, verbs...)})
				f := x.failure()
				if f.Rank != rank || f.PID == 0 || f.PID != x.event(supervisor.EventStarted, rank).PID {
					t.Errorf("rank %d, pid %d: %v", f.Rank, f.PID, f)
				}
				m.checkRaised(t, f, text)
				other := x.rank(1 - rank)
				if other.Outcome != supervisor.Stopped || !slices.Equal(f.Stopped, []int{1 - rank}) {
					t.Errorf("the other is %q; stopped because of it: %v", other.Outcome, f.Stopped)
				}
			})
		}
	})
}

// checkRaised checks what has become of a verb "raise".
func (m mode) checkRaised(t *testing.T, f *supervisor.Failure, text string) {
	t.Helper()
	if exit := as[*process.Exit](t, f); exit.Code != 1 || exit.Stopped {
		t.Errorf("exit %v, stopped %v", exit, exit.Stopped)
	}
	if !m.speaks {
		if f.Exception != nil || f.StderrTail() != text+"\n" {
			t.Errorf("exception %v, standard error %q", f.Exception, f.StderrTail())
		}
		return
	}
	e := as[*transport.Exception](t, f)
	if e.Type != m.kind || e.Message != text || e.Rank != f.Rank || e.PID != f.PID || e.Truncated {
		t.Errorf("exception %+v", e)
	}
	if !strings.HasSuffix(f.Error(), text) {
		t.Errorf("error %q", f.Error())
	}
	if m.kind == "ValueError" {
		if !strings.HasPrefix(e.Traceback, "Traceback (most recent call last):\n") ||
			!strings.HasSuffix(e.Traceback, "\nValueError: "+text+"\n") || e.Frames[len(e.Frames)-1].Function != "do" {
			t.Errorf("traceback %s of %v", e.Traceback, e.Frames)
		}
	}
}

var _ = worker.Func("panics", func(context.Context, worker.Info, []string) (string, error) {
	panic("legitimate panic")
})

func TestS04Panic(t *testing.T) {
	c := process.Reexec("panics")
	c.Argument, _ = transport.Marshal([]string{})
	x := begin(t, supervisor.Spec{Ranks: append(function.ranks(t, []string{"hang"}), c)})
	e := as[*transport.Exception](t, x.failure())
	if e.Error() != "panic: legitimate panic" || !strings.Contains(e.Traceback, "spawn_linux_test.go:") {
		t.Errorf("%v\n%s", e, e.Traceback)
	}
	if exit := as[*process.Exit](t, x.end()); exit.Code != 2 {
		t.Errorf("exit %v", exit)
	}
}

// Nobody can be stopped before it has raised: SIGTERM is ignored. The exit code of the second command proves nothing, as
// it was asked to end (G-6); a second exception does.
func TestS05AllRaise(t *testing.T) {
	inEach(t, func(t *testing.T, m mode) {
		processtest.Check(t)
		g := newGate(t)
		verbs := []string{"ignore", "wait " + g.path, "raise all at once"}
		x := beginWith(t, context.Background(), supervisor.Spec{Ranks: m.ranks(t, verbs, verbs)})
		x.lineOfAll(0, "here")
		g.open()
		f := x.failure()
		m.checkRaised(t, f, "all at once")
		if !m.speaks && len(f.Collateral) == 0 && slices.Equal(f.Stopped, []int{1 - f.Rank}) {
			return
		}
		if len(f.Collateral) != 1 || f.Collateral[0].Kind != supervisor.Collateral || f.Collateral[0].Rank != 1-f.Rank {
			t.Errorf("collateral of %v: %v", f, f.Collateral)
		}
		failures := x.group.Report().Failures
		if len(failures) != 2 || failures[0].Rank != f.Rank || failures[0].Seq != 1 || failures[1].Seq != 2 ||
			failures[1].At.Before(failures[0].At) {
			t.Errorf("failures %v", failures)
		}
	})
}

func TestS06RankKillsItself(t *testing.T) {
	inEach(t, func(t *testing.T, m mode) {
		signal := unix.SIGABRT
		if m.name == function.name || m.name == command.name {
			signal = unix.SIGKILL // a Go program answers SIGABRT with a dump and exit code 2
		}
		x := begin(t, supervisor.Spec{Ranks: m.ranks(t, []string{fmt.Sprint("signal ", int(signal))}, []string{"hang"})})
		f := x.failure()
		exit := as[*process.Exit](t, f)
		if f.Rank != 0 || exit.Signal != signal || exit.Code != -1 || exit.Stopped {
			t.Errorf("%v: exit %+v", f, exit)
		}
		if e := (*transport.Exception)(nil); errors.As(error(f), &e) {
			t.Errorf("a signal is no exception: %v", e)
		}
	})
	t.Run("shell", func(t *testing.T) {
		x := begin(t, supervisor.Spec{Ranks: []process.Command{sh("ulimit -c 0; kill -ABRT $$"), sh("exec sleep 1000")}})
		if f := x.failure(); f.Error() != "rank 0@0: signal: aborted (SIGABRT)" {
			t.Error(f)
		}
	})
}

// A Go program dumps its stacks on SIGABRT and exits with code 2, or dies of it with GOTRACEBACK=crash. Both arrive.
func TestS06GoAborts(t *testing.T) {
	for level, want := range map[string]process.Exit{"single": {Code: 2}, "crash": {Code: -1, Signal: unix.SIGABRT}} {
		t.Run(level, func(t *testing.T) {
			c := function.command(t, fmt.Sprint("signal ", int(unix.SIGABRT)))
			c.Env = append(c.Env, "GOTRACEBACK="+level)
			x := begin(t, supervisor.Spec{Ranks: []process.Command{c}})
			f := x.failure()
			exit, e := as[*process.Exit](t, f), as[*transport.Exception](t, f)
			if exit.Code != want.Code || exit.Signal != want.Signal || e.Type != "signal" || e.Message != "SIGABRT: abort" {
				t.Errorf("exit %v, exception %v", exit, e)
			}
		})
	}
}

func TestS07OthersAreStopped(t *testing.T) {
	inEach(t, func(t *testing.T, m mode) {
		processtest.Check(t)
		g := newGate(t)
		x := beginWith(t, context.Background(), supervisor.Spec{
			Ranks: m.ranks(t, []string{"wait " + g.path, "exit 123"}, []string{"say here", "hang"}),
		})
		x.lineOfAll(0, "here")
		g.open()
		f := x.failure()
		if exit := as[*process.Exit](t, f); exit.Code != 123 || f.Rank != 0 || f.Exception != nil {
			t.Errorf("%v, exit %v", f, exit)
		}
		stop, other := x.event(supervisor.EventStop, 1), x.rank(1)
		if stop.PID != other.PID || stop.PID == 0 || stop.Reason != "rank 0@0 failed" {
			t.Errorf("stop %+v of pid %d", stop, other.PID)
		}
		if other.Outcome != supervisor.Stopped || other.Exit.Signal != unix.SIGTERM || !other.Exit.Stopped {
			t.Errorf("the other: %q, exit %v", other.Outcome, other.Exit)
		}
		if failures := x.group.Report().Failures; len(failures) != 1 || len(f.Collateral) != 0 {
			t.Errorf("failures %v", failures)
		}
	})
}

func TestS07OthersLinger(t *testing.T) {
	inEach(t, func(t *testing.T, m mode) {
		processtest.Check(t)
		first, second := newGate(t), newGate(t)
		x := beginWith(t, context.Background(), supervisor.Spec{
			Strategy: supervisor.FailFast{Linger: 20 * time.Second},
			Ranks: m.ranks(t, []string{"wait " + first.path, "exit 123"},
				[]string{"count", "wait " + second.path, "say by itself"}),
		})
		x.lineOfAll(0, "here")
		first.open()
		exited := x.event(supervisor.EventExited, 0)
		second.open()
		if exit := as[*process.Exit](t, x.failure()); exit.Code != 123 {
			t.Errorf("exit %v", exit)
		}
		if took := x.event(supervisor.EventDone, -1).At.Sub(exited.At); took > 10*time.Second {
			t.Errorf("the group was done %v after its last rank was let go", took)
		}
		if x.rank(1).Outcome != supervisor.Succeeded || len(x.all(supervisor.EventStop)) != 0 {
			t.Errorf("rank 1 %v, stopped %v", x.rank(1), x.all(supervisor.EventStop))
		}
		if lines := x.lines[process.ID{Rank: 1}]; !slices.Equal(lines, []string{"here", "by itself"}) {
			t.Errorf("rank 1 said %q", lines) // "term" when it was signalled
		}
		if m.name == function.name {
			checkResult(t, x, 1)
		}
	})
}

// checkResult checks that a function's result was kept.
func checkResult(t *testing.T, x *trial, rank int) {
	t.Helper()
	var said string
	if err := transport.Unmarshal(x.group.Results()[rank], &said); err != nil || !strings.HasSuffix(said, "has ended well") {
		t.Errorf("the result of rank %d: %q, %v", rank, said, err)
	}
}

func TestS08SuccessFirst(t *testing.T) {
	inEach(t, func(t *testing.T, m mode) {
		processtest.Check(t)
		g := newGate(t)
		x := beginWith(t, context.Background(), supervisor.Spec{
			Ranks: m.ranks(t, nil, []string{"wait " + g.path, "raise later"}),
		})
		x.line(process.ID{Rank: 1}, "here")
		x.event(supervisor.EventExited, 0)
		if r := x.group.Report(); r.Outcome != supervisor.Running || r.Ranks[0].Outcome != supervisor.Succeeded {
			t.Errorf("outcome %q, of rank 0 %q", r.Outcome, r.Ranks[0].Outcome)
		}
		g.open()
		f := x.failure()
		m.checkRaised(t, f, "later")
		if f.Rank != 1 || len(f.Stopped) != 0 || x.rank(0).Outcome != supervisor.Succeeded {
			t.Errorf("%v, stopped %v, rank 0 %v", f, f.Stopped, x.rank(0))
		}
		if m.name == function.name {
			checkResult(t, x, 0)
		}
	})
}

func TestS10RaisedType(t *testing.T) {
	inEach(t, func(t *testing.T, m mode) {
		x := begin(t, supervisor.Spec{Ranks: m.ranks(t, []string{"raise alone"})})
		m.checkRaised(t, x.failure(), "alone")
	})
}

func TestS11StrangersSignal(t *testing.T) {
	inEach(t, func(t *testing.T, m mode) {
		verbs := []string{"say here", "hang"}
		x := begin(t, supervisor.Spec{Ranks: m.ranks(t, verbs, verbs)})
		x.lineOfAll(0, "here")
		both := [2]handle{hold(t, x.event(supervisor.EventStarted, 0).PID), hold(t, x.event(supervisor.EventStarted, 1).PID)}
		both[0].signal(t, unix.SIGTERM)
		_ = unix.PidfdSendSignal(int(both[1]), unix.SIGTERM, nil, 0) // it may have been stopped already
		f := x.failure()
		if exit := as[*process.Exit](t, f); exit.Signal != unix.SIGTERM || exit.Stopped || f.Exception != nil {
			t.Errorf("%v: exit %+v", f, exit)
		}
	})
}

func TestS12ExitCode(t *testing.T) {
	inEach(t, func(t *testing.T, m mode) {
		x := begin(t, supervisor.Spec{Ranks: m.ranks(t, []string{"exit 12"})})
		f := x.failure()
		if exit := as[*process.Exit](t, f); exit.Code != 12 || f.Exception != nil || f.Error() != "rank 0@0: "+m.exit(12).Error() {
			t.Errorf("%v: exit %v", f, exit)
		}
	})
}

func TestS16InterruptOfOneRank(t *testing.T) {
	inEach(t, func(t *testing.T, m mode) {
		x := begin(t, supervisor.Spec{Ranks: m.ranks(t, []string{"say here", "hang"}, []string{"say here", "hang"})})
		x.lineOfAll(0, "here")
		if err := unix.Kill(x.event(supervisor.EventStarted, 1).PID, unix.SIGINT); err != nil {
			t.Fatal(err)
		}
		f := x.failure()
		if exit := as[*process.Exit](t, f); exit.Signal != unix.SIGINT || f.Rank != 1 {
			t.Errorf("%v: exit %v", f, exit)
		}
		if m.kind == "ValueError" && (f.Exception == nil || f.Exception.Type != "KeyboardInterrupt") {
			t.Errorf("exception %v", f.Exception)
		}
		if outcomes := outcomes(x); !maps.Equal(outcomes, map[supervisor.Outcome]int{supervisor.Failed: 1, supervisor.Stopped: 1}) {
			t.Errorf("outcomes %v", outcomes)
		}
	})
}

// outcomes counts the ranks by outcome.
func outcomes(x *trial) map[supervisor.Outcome]int {
	count := map[supervisor.Outcome]int{}
	for _, r := range x.group.Report().Ranks {
		count[r.Outcome]++
	}
	return count
}

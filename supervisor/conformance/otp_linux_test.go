package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
)

// The tests of this file are rows of OTP's supervisor_SUITE that the system's own behaviour is part of; the others are
// transcripts of the machine. docs/conformance.md has them all.

// A process of each restart type that ends in its own way when it is asked to has not failed: O-16, O-21.
func TestO21AnswersAreNoFailures(t *testing.T) {
	processtest.Check(t)
	fifo := t.TempDir() + "/fifo"
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	var ranks []process.Command
	var types []supervisor.RestartType
	for _, kind := range everyType {
		for _, end := range []string{"exit 0", "exit 3", "kill -KILL $$", "trap - TERM; kill -TERM $$"} {
			// It waits without a child: one that the shell is just forking may miss the signal, and live through the whole grace.
			ranks = append(ranks, sh(fmt.Sprintf(`trap "%s" TERM; exec 4<>"$1"; echo here; read -r x <&4`, end), fifo))
			types = append(types, kind)
		}
	}
	x := beginWith(t, context.Background(), supervisor.Spec{Ranks: ranks, RestartTypes: types, Grace: time.Hour})
	x.lineOfAll(0, "here")
	x.group.Stop("enough")
	if err := x.end(); !errors.Is(err, supervisor.ErrStopped) {
		t.Error(err)
	}
	r := x.group.Report()
	if len(r.Failures) > 0 || outcomes(x)[supervisor.Stopped] != len(ranks) || len(x.all(supervisor.EventKill)) > 0 {
		t.Errorf("failures %v, ranks %v", r.Failures, outcomes(x))
	}
}

var everyType = []supervisor.RestartType{supervisor.Permanent, supervisor.Transient, supervisor.Temporary}

// O-21, O-22: ranks that end by themselves at the moment of the stop. Whoever comes first: the group ends once, a rank that
// answered did not fail, and one that failed did not answer.
func TestO21StopRace(t *testing.T) {
	for round := range times(200, 10, 3) {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			processtest.Check(t)
			g := newGate(t)
			var ranks []process.Command
			var types []supervisor.RestartType
			for _, kind := range everyType {
				for _, end := range []string{"exit 0", "exit 3", "signal 9"} {
					ranks = append(ranks, command.command(t, "wait "+g.path, end))
					types = append(types, kind)
				}
			}
			x := beginWith(t, context.Background(), supervisor.Spec{Ranks: ranks, RestartTypes: types})
			x.lineOfAll(0, "here")
			if round%2 == 0 {
				g.open()
			}
			x.group.Stop("enough")
			g.open()
			x.checkStopRace(x.end())
		})
	}
}

func (x *trial) checkStopRace(err error) {
	x.Helper()
	r := x.group.Report()
	var failure *supervisor.Failure
	switch {
	case errors.Is(err, supervisor.ErrStopped) && r.Outcome == supervisor.Interrupted:
	case errors.As(err, &failure) && r.Outcome == supervisor.Failed && failure.Kind == supervisor.Origin:
	default:
		x.Errorf("%q: %v", r.Outcome, err)
	}
	for _, rank := range r.Ranks {
		if answered := rank.Outcome == supervisor.Stopped; answered && !rank.Exit.Stopped {
			x.Errorf("rank %d: %q, but its exit is its own: %v", rank.Rank, rank.Outcome, rank.Exit)
		}
	}
	for _, f := range r.Failures {
		if f.Exit.Stopped || f.Exit.Code == 0 && !errors.Is(f, supervisor.ErrEnded) {
			x.Errorf("%v failed (%s) with %+v", f.ID(), f.Kind, f.Exit)
		}
	}
}

// O-41, O-43, O-52: each strategy starts those again whom it means, in order, and all others keep their processes.
func TestO41SiblingsKeepTheirProcesses(t *testing.T) {
	for name, c := range map[string]struct {
		strategy supervisor.Strategy
		again    []int
	}{
		"one for one":  {supervisor.OneForOne{Restarts: 1}, []int{1}},
		"all for one":  {supervisor.AllForOne{Restarts: 1}, []int{0, 1, 2}},
		"rest for one": {supervisor.RestForOne{Restarts: 1}, []int{1, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			processtest.Check(t)
			g := newGate(t)
			x := beginWith(t, context.Background(), supervisor.Spec{Strategy: c.strategy, Ranks: command.ranks(t,
				[]string{"say here", "hang"}, []string{"first wait " + g.path, "first exit 3", "hang"}, []string{"say here", "hang"})})
			x.lineOfAll(0, "here")
			before := x.group.Report().Ranks
			g.open()
			var spawned []int
			x.await("second generation", func() bool { return count(x.events, supervisor.EventRunning) == 2 })
			for _, e := range x.all(supervisor.EventSpawn) {
				if e.Generation == 1 {
					spawned = append(spawned, e.Rank)
				}
			}
			if !slices.Equal(spawned, c.again) {
				t.Errorf("ranks %v were started again", spawned)
			}
			for rank, now := range x.group.Report().Ranks {
				if again := slices.Contains(c.again, rank); (now.PID != before[rank].PID) != again || now.Outcome != supervisor.Running {
					t.Errorf("rank %d: %+v before, %+v now", rank, before[rank], now)
				}
			}
		})
	}
}

// O-47: ranks are stopped together: each is asked while all the others live, though none of them ends.
func TestO47StoppedTogether(t *testing.T) {
	x := begin(t, supervisor.Spec{Grace: time.Hour, Ranks: supervisor.Repeat(10, command.command(t, "count", "say here", "hang"))})
	x.lineOfAll(0, "here")
	x.group.Stop("all of you")
	x.lineOfAll(0, "term")
	if n := len(x.all(supervisor.EventExited)); n > 0 {
		t.Errorf("%d have ended", n)
	}
	x.group.Kill("and now") // O-20
	if err := x.end(); !errors.Is(err, supervisor.ErrStopped) || outcomes(x)[supervisor.Stopped] != 10 {
		t.Errorf("%v, %v", err, outcomes(x))
	}
}

// runaway is a rank that goes over to the process group of a child of its own, and does not listen.
var runaway = processtest.Helper("runaway", func() {
	signal.Ignore(syscall.SIGTERM)
	runtime.LockOSThread() // the child is to die with this process, and so with this thread
	child := exec.Command("sleep", "1000")
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	check(child.Start())
	check(syscall.Setpgid(0, child.Process.Pid))
	fmt.Println("here")
	hang()
})

// O-69: a rank that has left the group by which it is signalled cannot hold up a stop.
func TestO69LeavesItsGroup(t *testing.T) {
	for _, layers := range []string{"all", "no cgroup", "neither"} {
		t.Run(layers, func(t *testing.T) {
			x := begin(t, supervisor.Spec{
				Grace: 100 * time.Millisecond, Ranks: supervisor.Repeat(2, processtest.Command(t, runaway)),
			}, supervisor.WithLauncher(process.LocalWith(layersCalled(layers))))
			x.lineOfAll(0, "here")
			x.group.Stop("come back")
			if err := x.end(); !errors.Is(err, supervisor.ErrStopped) || outcomes(x)[supervisor.Stopped] != 2 {
				t.Errorf("%v, %v", err, outcomes(x))
			}
			if exit := x.rank(1).Exit; exit.Signal != unix.SIGKILL {
				t.Errorf("rank 1: %v", exit)
			}
		})
	}
}

// O-80, O-81: a rank that can never be started again, without a limit and without a wait: the group says how it is, leaves
// the others alone, and ends when it is told to.
func TestO80EndlessRestarts(t *testing.T) {
	for name, strategy := range map[string]supervisor.Strategy{
		"one for one": supervisor.OneForOne{Restarts: -1}, "rest for one": supervisor.RestForOne{Restarts: -1},
	} {
		t.Run(name, func(t *testing.T) {
			ranks := supervisor.Repeat(3, sh("echo here; exec sleep 1000"))
			ranks[1].Dir = filepath.Join(t.TempDir(), "gone")
			check(os.Mkdir(ranks[1].Dir, 0o700))
			x := begin(t, supervisor.Spec{Strategy: strategy, Ranks: ranks})
			x.lineOfAll(0, "here")
			first := x.event(supervisor.EventStarted, 0).PID
			check(os.Remove(ranks[1].Dir))
			check(unix.Kill(x.event(supervisor.EventStarted, 1).PID, unix.SIGKILL))
			x.await("decisions", func() bool { return count(x.events, supervisor.EventDecided) >= 20 })
			r := x.group.Report()
			if r.Outcome != supervisor.Running || r.Restarts < 19 || r.Ranks[0].PID != first || r.Ranks[0].Outcome != supervisor.Running {
				t.Errorf("%q after %d restarts, rank 0 is %+v", r.Outcome, r.Restarts, r.Ranks[0])
			}
			if f := r.Failures[10]; f.Rank != 1 || !strings.Contains(f.Error(), "gone") {
				t.Errorf("failure 11: %v", f)
			}
			x.group.Stop("hopeless")
			if err := x.end(); !errors.Is(err, supervisor.ErrStopped) {
				t.Error(err)
			}
		})
	}
}

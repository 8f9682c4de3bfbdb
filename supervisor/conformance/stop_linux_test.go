package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
)

// A rank that ignores SIGTERM, or whose handler never returns, is killed after the grace, not before. It did not fail.
func TestKillAfterGrace(t *testing.T) {
	const grace = 200 * time.Millisecond
	inEach(t, func(t *testing.T, m mode) {
		for _, verb := range []string{"ignore", "stuck"} {
			t.Run(verb, func(t *testing.T) {
				x := begin(t, supervisor.Spec{
					Grace: grace,
					Ranks: m.ranks(t, []string{verb, "say here", "hang"}, []string{"say here", "hang"}),
				})
				x.lineOfAll(0, "here")
				x.group.Stop("that will do")
				if err := x.end(); !errors.Is(err, supervisor.ErrStopped) || !strings.HasSuffix(err.Error(), "that will do") {
					t.Error(err)
				}
				stop, kill := x.event(supervisor.EventStop, 0), x.event(supervisor.EventKill, 0)
				if waited := kill.At.Sub(stop.At); waited < grace || kill.PID != stop.PID {
					t.Errorf("killed after %v", waited)
				}
				rude, polite := x.rank(0), x.rank(1)
				if rude.Outcome != supervisor.Stopped || rude.Exit.Signal != unix.SIGKILL || !rude.Exit.Stopped {
					t.Errorf("rank 0: %q, %v", rude.Outcome, rude.Exit)
				}
				if polite.Outcome != supervisor.Stopped || polite.Exit.Signal != unix.SIGTERM {
					t.Errorf("rank 1: %q, %v", polite.Outcome, polite.Exit)
				}
				if r := x.group.Report(); r.Outcome != supervisor.Interrupted || len(r.Failures) != 0 {
					t.Errorf("%q, failures %v", r.Outcome, r.Failures)
				}
			})
		}
	})
}

// The same when a rank fails: its peer that does not listen is killed, and the failure stays what it was.
func TestKillAfterGraceOfAFailure(t *testing.T) {
	inEach(t, func(t *testing.T, m mode) {
		processtest.Check(t)
		g := newGate(t)
		x := beginWith(t, context.Background(), supervisor.Spec{
			Grace: 100 * time.Millisecond,
			Ranks: m.ranks(t, []string{"stuck", "say here", "hang"}, []string{"wait " + g.path, "raise too bad"}),
		})
		x.lineOfAll(0, "here")
		g.open()
		f := x.failure()
		m.checkRaised(t, f, "too bad")
		if peer := x.rank(0); peer.Outcome != supervisor.Stopped || peer.Exit.Signal != unix.SIGKILL || len(f.Collateral) != 0 {
			t.Errorf("the peer: %q, %v; collateral %v", peer.Outcome, peer.Exit, f.Collateral)
		}
	})
}

// Kill does not wait for the grace, nor does it when a Stop came first.
func TestKillAtOnce(t *testing.T) {
	inEach(t, func(t *testing.T, m mode) {
		verbs := []string{"stuck", "say here", "hang"}
		x := begin(t, supervisor.Spec{Grace: time.Hour, Ranks: m.ranks(t, verbs, verbs)})
		x.lineOfAll(0, "here")
		x.group.Stop("please")
		x.event(supervisor.EventStop, 1)
		x.group.Kill("now")
		if err := x.end(); !errors.Is(err, supervisor.ErrStopped) {
			t.Error(err)
		}
		if rank := x.rank(1); rank.Exit.Signal != unix.SIGKILL || rank.Outcome != supervisor.Stopped {
			t.Errorf("rank 1: %q, %v", rank.Outcome, rank.Exit)
		}
	})
}

func TestContextEnds(t *testing.T) {
	inEach(t, func(t *testing.T, m mode) {
		processtest.Check(t)
		cause := errors.New("the user went home")
		ctx, cancel := context.WithCancelCause(context.Background())
		x := beginWith(t, ctx, supervisor.Spec{Ranks: m.ranks(t, []string{"say here", "hang"}, []string{"say here", "hang"})})
		x.lineOfAll(0, "here")
		cancel(cause)
		if err := x.end(); !errors.Is(err, cause) || errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if err := x.group.Wait(); !errors.Is(err, cause) {
			t.Errorf("at the second time: %v", err)
		}
		if r := x.group.Report(); r.Outcome != supervisor.Interrupted || r.Ranks[0].Exit.Signal != unix.SIGTERM {
			t.Errorf("%q, exit %v", r.Outcome, r.Ranks[0].Exit)
		}
	})
	t.Run("before the start", func(t *testing.T) {
		processtest.Check(t)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		x := beginWith(t, ctx, supervisor.Spec{Ranks: supervisor.Repeat(4, sh("exec sleep 1000"))})
		if err := x.end(); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// mute are ranks that are expected to say Ready and never do, in each launch mode; killing one is a kill before the
// handshake.
func mute(t *testing.T) map[string]process.Command {
	t.Helper()
	entry := process.Reexec("act")
	entry.Env = processtest.Command(t, actor).Env // which comes before the entry point's turn
	entry.Args = append(entry.Args, "say here", "hang")
	shell := sh("echo here; exec sleep 1000")
	shell.Speaks = true
	return map[string]process.Command{"function": entry, "command": shell}
}

func TestKilledBeforeHandshake(t *testing.T) {
	for name, c := range mute(t) {
		t.Run(name, func(t *testing.T) {
			x := begin(t, supervisor.Spec{Ranks: supervisor.Repeat(3, c)})
			x.lineOfAll(0, "here")
			if err := unix.Kill(x.event(supervisor.EventStarted, 1).PID, unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
			f := x.failure()
			if exit := as[*process.Exit](t, f); f.Rank != 1 || exit.Signal != unix.SIGKILL || exit.Stopped {
				t.Errorf("%v, exit %+v", f, exit)
			}
			if r := x.group.Report(); !r.Generations[0].Ready.IsZero() || len(r.Failures) != 1 {
				t.Errorf("ready at %v, failures %v", r.Generations[0].Ready, r.Failures)
			}
		})
	}
}

// A stop finds a group in every stage of its start, and the start is rolled back.
func TestStopWhileStarting(t *testing.T) {
	const size = 8
	for name, c := range mute(t) {
		for _, after := range []int{0, 1, size / 2, size} {
			t.Run(fmt.Sprintf("%s, %d started", name, after), func(t *testing.T) {
				x := begin(t, supervisor.Spec{Ranks: supervisor.Repeat(size, c)})
				x.await("starts", func() bool { return count(x.events, supervisor.EventStarted) >= after })
				x.group.Stop("changed my mind")
				if err := x.end(); !errors.Is(err, supervisor.ErrStopped) {
					t.Error(err)
				}
				if r := x.group.Report(); r.Outcome != supervisor.Interrupted || len(r.Failures) != 0 ||
					outcomes(x)[supervisor.Stopped] != size {
					t.Errorf("%q, failures %v, ranks %v", r.Outcome, r.Failures, outcomes(x))
				}
			})
		}
	}
}

func count(events []supervisor.Event, kind supervisor.EventKind) (n int) {
	for _, e := range events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

func TestStartThatTakesTooLong(t *testing.T) {
	for name, c := range mute(t) {
		t.Run(name, func(t *testing.T) {
			x := begin(t, supervisor.Spec{StartTimeout: 300 * time.Millisecond, Ranks: []process.Command{sh("exec sleep 1000"), c}})
			f := x.failure()
			if !errors.Is(f, supervisor.ErrStartTimeout) || f.Rank != 1 || !strings.Contains(f.Error(), "rank 1 has a process") {
				t.Error(f)
			}
		})
	}
}

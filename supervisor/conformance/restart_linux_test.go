package conformance_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport"
	"github.com/go-muster/muster/transport/worker"
)

// Eight ranks that raise at once are one failure with seven others that join it, and one restart. None of them can be
// stopped before it has raised: SIGTERM is ignored.
func TestManyFailuresOneRestart(t *testing.T) {
	const size = 8
	inEach(t, func(t *testing.T, m mode) {
		processtest.Check(t)
		g := newGate(t)
		c := m.command(t, "first ignore", "first wait "+g.path, "first raise all at once", "say again")
		x := beginWith(t, context.Background(), supervisor.Spec{
			Strategy: supervisor.AllForOne{Restarts: 5},
			Ranks:    supervisor.Repeat(size, c),
		})
		x.lineOfAll(0, "here")
		g.open()
		if err := x.end(); err != nil {
			t.Fatal(err)
		}
		x.lineOfAll(1, "again")
		r := x.group.Report()
		if r.Restarts != 1 || r.Generation != 1 || len(x.all(supervisor.EventDecided)) != 1 ||
			len(x.all(supervisor.EventSpawn)) != 2*size {
			t.Errorf("%d restarts, %d decisions, %d ranks spawned", r.Restarts, len(x.all(supervisor.EventDecided)),
				len(x.all(supervisor.EventSpawn)))
		}
		if m.speaks && len(r.Failures) != size {
			t.Errorf("%d failures", len(r.Failures))
		}
		for i, f := range r.Failures {
			if (f.Kind == supervisor.Origin) != (i == 0) || f.Seq != i+1 || f.Generation != 0 {
				t.Errorf("failure %d: %s, number %d, of %v", i, f.Kind, f.Seq, f.ID())
			}
		}
	})
}

// Two ranks killed in the same moment, eight times over: one decision for each pair.
func TestTwoDieAtOnce(t *testing.T) {
	const rounds = 8
	inEach(t, func(t *testing.T, m mode) {
		if m.name == script.name {
			t.Skip("as commands") // a Python process takes a while to start
		}
		x := begin(t, supervisor.Spec{
			Strategy: supervisor.AllForOne{Restarts: rounds},
			Ranks:    supervisor.Repeat(2, m.command(t, "say here", "hang")),
		})
		for round := range rounds {
			x.lineOfAll(round, "here")
			var both [2]handle
			for rank := range both {
				both[rank] = hold(t, x.eventOf(supervisor.EventStarted, process.ID{Rank: rank, Generation: round}).PID)
			}
			for _, rank := range both {
				_ = unix.PidfdSendSignal(int(rank), unix.SIGKILL, nil, 0) // the second may have been stopped already
			}
		}
		x.lineOfAll(rounds, "here")
		x.group.Stop("enough")
		_ = x.end()
		if r := x.group.Report(); r.Restarts != rounds || len(x.all(supervisor.EventDecided)) != rounds {
			t.Errorf("%d restarts, %d decisions", r.Restarts, len(x.all(supervisor.EventDecided)))
		}
	})
}

// A place is what a life of the barrier test locks for as long as it has a process, children included. The life of the
// next generation looks whether anybody of the one before is still there.
type place struct {
	Dir, Gate string
	Size      int
}

func (p place) file(generation, rank int) string {
	return filepath.Join(p.Dir, fmt.Sprintf("%d.%d", generation, rank))
}

// take locks the place of a life, and returns an error that names a life of an older generation that has not ended.
func (p place) take(me worker.Info) error {
	own, err := lock(p.file(me.Generation, me.Rank), syscall.LOCK_EX)
	if err != nil {
		return fmt.Errorf("overlap: a second %d@%d: %w", me.Rank, me.Generation, err)
	}
	held = append(held, own)
	for generation := range me.Generation {
		for rank := range p.Size {
			f, err := lock(p.file(generation, rank), syscall.LOCK_SH)
			if err != nil {
				return fmt.Errorf("overlap: %d@%d lives while %d@%d starts: %w", rank, generation, me.Rank, me.Generation, err)
			}
			f.Close()
		}
	}
	return nil
}

// held keeps locked files from being collected, and so closed.
var held []*os.File

func lock(path string, how int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	return f, syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
}

// live is the whole life of a rank of the barrier test: it takes its place, and takes 300 ms to die when asked.
func live(me worker.Info, p place) error {
	if err := p.take(me); err != nil {
		return err
	}
	if me.Generation == barrierRounds {
		return nil
	}
	if err := do("slow", "300ms"); err != nil {
		return err
	}
	if err := pass(fmt.Sprint(p.Gate, me.Generation)); err != nil {
		return err
	}
	if me.Rank%5 == me.Generation { // some fail, and together
		return fmt.Errorf("the failure of %d@%d", me.Rank, me.Generation)
	}
	hang()
	return nil
}

const barrierRounds = 3

var (
	_ = worker.Func("live", func(_ context.Context, me worker.Info, p place) (string, error) { return "", live(me, p) })

	liver = processtest.Helper("live", func() {
		p := place{Dir: os.Args[1], Gate: os.Args[2], Size: number(os.Args[3])}
		if err := live(worker.Environment(), p); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	})
)

// G-1: no process of a generation starts while one of an older generation lives. The kernel's locks say so, which last as
// long as the processes; the events say so too, in every test.
func TestBarrier(t *testing.T) {
	const size = 16
	inBoth(t, func(t *testing.T, m mode) {
		processtest.Check(t)
		p := place{Dir: t.TempDir(), Size: size}
		gates, prefix := gatesOf(t, barrierRounds)
		p.Gate = prefix
		c := processtest.Command(t, liver, p.Dir, p.Gate, fmt.Sprint(size))
		if m.name == function.name {
			c = process.Reexec("live")
			c.Argument, _ = transport.Marshal(p)
		}
		x := beginWith(t, context.Background(), supervisor.Spec{
			Strategy: supervisor.AllForOne{Restarts: barrierRounds}, Ranks: supervisor.Repeat(size, c),
		})
		for round := range barrierRounds {
			x.lineOfAll(round, "here")
			gates[round].open()
		}
		if err := x.end(); err != nil {
			t.Error(err)
		}
		r := x.group.Report()
		if r.Restarts != barrierRounds || len(x.all(supervisor.EventSpawn)) != size*(barrierRounds+1) {
			t.Errorf("%d restarts, %d ranks spawned", r.Restarts, len(x.all(supervisor.EventSpawn)))
		}
		for _, f := range r.Failures {
			if text := f.Error() + f.StderrTail(); strings.Contains(text, "overlap") || !strings.Contains(text, "the failure of") {
				t.Errorf("%v: %s", f, f.StderrTail())
			}
		}
	})
}

// gatesOf makes numbered gates; their paths have a prefix in common.
func gatesOf(t *testing.T, n int) (gates []*gate, prefix string) {
	t.Helper()
	prefix = filepath.Join(t.TempDir(), "gate")
	for i := range n {
		gates = append(gates, makeGate(t, fmt.Sprint(prefix, i)))
	}
	return gates, prefix
}

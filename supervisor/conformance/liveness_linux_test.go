package conformance_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport"
	"github.com/go-muster/muster/transport/worker"
)

var _ = worker.Func("steps", func(ctx context.Context, me worker.Info, _ []string) (string, error) {
	for step := uint64(1); me.Rank == 0 || step < 3; step++ {
		worker.Progress(step, "")
		select {
		case <-ctx.Done():
			return "", nil
		case <-time.After(10 * time.Millisecond):
		}
	}
	waitForNothing(ctx)
	return "", nil
})

func steps() process.Command {
	c := process.Reexec("steps")
	var err error
	c.Argument, err = transport.Marshal([]string{})
	check(err)
	return c
}

// waitForNothing is what has to stand in the stacks.
func waitForNothing(ctx context.Context) { <-ctx.Done() }

// A rank that makes no progress is hung, though it lives: its stacks say where, and those of one that is well, too.
func TestNoProgress(t *testing.T) {
	x := begin(t, supervisor.Spec{
		Liveness: supervisor.Liveness{Heartbeat: 50 * time.Millisecond, Silence: patience, Stall: time.Second},
		Ranks:    supervisor.Repeat(2, steps()),
	})
	f := x.failure()
	if f.Rank != 1 || !errors.Is(f, supervisor.ErrHung) || !strings.Contains(f.Error(), "no progress for 1s") {
		t.Errorf("the failure is %v", f)
	}
	if !strings.Contains(f.Stacks, "waitForNothing") {
		t.Errorf("the stacks are %q", f.Stacks)
	}
	if f.Healthy != 0 || strings.Contains(f.HealthyStacks, "waitForNothing") || !strings.Contains(f.HealthyStacks, "goroutine") {
		t.Errorf("the stacks of rank %d are %q", f.Healthy, f.HealthyStacks)
	}
}

// A stopped process gives no sign of life; one that is busy does.
func TestNoSignOfLife(t *testing.T) {
	x := begin(t, supervisor.Spec{
		Liveness: supervisor.Liveness{Heartbeat: 50 * time.Millisecond, Silence: 2 * time.Second},
		Grace:    time.Millisecond,
		Ranks:    []process.Command{pythonLoop(), pythonLoop()},
	})
	x.lineOfAll(0, "here")
	hold(t, x.event(supervisor.EventStarted, 1).PID).signal(t, unix.SIGSTOP)
	f := x.failure()
	if f.Rank != 1 || !errors.Is(f, supervisor.ErrHung) || !strings.Contains(f.Error(), "no sign of life for 2s") {
		t.Errorf("the failure is %v", f)
	}
	if f.Stacks != "" || !strings.Contains(f.HealthyStacks, "line ") {
		t.Errorf("stacks %q, of rank %d %q", f.Stacks, f.Healthy, f.HealthyStacks)
	}
}

// pythonLoop is a script that never rests.
func pythonLoop() process.Command {
	return pythonCode("print('here', flush=True)\nwhile True:\n    pass\n")
}

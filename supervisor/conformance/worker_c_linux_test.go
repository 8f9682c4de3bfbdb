package conformance_test

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport"
)

// workerInC compiles examples/worker-c and returns what makes a rank of it, and of what it is to do.
func workerInC(t *testing.T) func(args ...string) process.Command {
	t.Helper()
	path := filepath.Join(t.TempDir(), "worker")
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("there is no C compiler (install gcc and libc6-dev):", err)
	}
	source := filepath.Join(top, "examples", "worker-c", "worker.c")
	build := exec.Command(cc, "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread", "-o", path, source)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", build, err, out)
	}
	return func(args ...string) process.Command {
		return process.Command{Args: append([]string{path}, args...), Speaks: true}
	}
}

// A worker that was written from docs/protocol.md, in a language that has no SDK.
func TestWorkerInC(t *testing.T) {
	c := workerInC(t)
	t.Run("result", func(t *testing.T) {
		x := begin(t, supervisor.Spec{Ranks: []process.Command{c("sum", "1", "2", "-70000"), c("zeros", "3000000"), c("wait")},
			Success: supervisor.Success{Need: 2}})
		if err := x.end(); err != nil {
			t.Fatal(err)
		}
		var sum int
		var zeros []byte
		results := x.group.Results()
		if err := errors.Join(transport.Unmarshal(results[0], &sum), transport.Unmarshal(results[1], &zeros)); err != nil {
			t.Fatal(err)
		}
		if sum != 3-70000 || len(zeros) != 3000000 || results[2] != nil {
			t.Errorf("results %d, %d bytes, %v", sum, len(zeros), results[2])
		}
		if exit := x.rank(2).Exit; exit.Code != 0 || !exit.Stopped {
			t.Errorf("asked to stop, it ends with %v", exit)
		}
	})
	t.Run("exception", func(t *testing.T) {
		f := alone(t, c("sum", "1", "two"))
		e := as[*transport.Exception](t, f)
		var path []string
		for _, frame := range e.Frames {
			if path = append(path, frame.Function); !strings.HasSuffix(frame.File, "worker.c") || frame.Line == 0 {
				t.Errorf("frame %+v", frame)
			}
		}
		if e.Error() != `NumberError: "two" is no whole number` || strings.Join(path, " ") != "main work sum number" ||
			e.PID != f.PID || time.Since(time.Unix(0, e.Time)) > patience || f.Exit.Code != 1 {
			t.Errorf("%+v, exit %v", e, f.Exit)
		}
	})
	t.Run("stop, as a message alone", func(t *testing.T) {
		waits := c("wait")
		waits.StopSignal = unix.SIGURG // which does nothing
		x := begin(t, supervisor.Spec{Ranks: []process.Command{waits}, Grace: patience})
		x.event(supervisor.EventReady, 0)
		x.group.Stop("enough")
		if _ = x.end(); x.rank(0).Outcome != supervisor.Stopped || x.rank(0).Exit.Code != 0 {
			t.Errorf("%+v, exit %v", x.rank(0), x.rank(0).Exit)
		}
	})
	t.Run("heartbeats", func(t *testing.T) {
		x := begin(t, supervisor.Spec{Ranks: []process.Command{c("wait"), c("hang")}, Grace: time.Millisecond,
			Liveness: supervisor.Liveness{Heartbeat: 50 * time.Millisecond, Silence: 3 * time.Second}})
		if f := x.failure(); !errors.Is(f, supervisor.ErrHung) || f.Rank != 1 || len(f.Collateral) > 0 {
			t.Errorf("%v, collateral %v", f, f.Collateral)
		}
	})
}

package conformance_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport"
	"github.com/go-muster/muster/transport/worker"
)

// deadline bounds how long ranks may outlive a supervisor that was killed. It takes them milliseconds; the test logs it.
const deadline = 10 * time.Second

// A crew is what a supervisor process of these tests runs: ranks that do not end when they are asked.
func crew() ([]process.Command, error) {
	argument, err := transport.Marshal([]string{"stuck", "say here", "hang"})
	entry := process.Reexec("act")
	entry.Argument = argument
	return []process.Command{
		entry,
		sh(`trap "" TERM; echo here; exec sleep 1000`),
		pythonCode(`import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print("here", flush=True); signal.pause()`),
	}, err
}

// supervise runs a crew and prints the pid of each of its ranks that has come up, after a word.
func supervise(word string) error {
	ranks, err := crew()
	if err != nil {
		return err
	}
	pids := make(chan int, len(ranks))
	return supervisor.Run(context.Background(), supervisor.Spec{Ranks: ranks},
		supervisor.WithObserver(func(e supervisor.Event) {
			if e.Kind == supervisor.EventStarted {
				pids <- e.PID
			}
		}),
		supervisor.WithOutput(func(_ process.ID, s process.Stream, lines []byte) {
			if s == process.Stdout && strings.HasPrefix(string(lines), "here") {
				fmt.Println(word, <-pids)
			} else {
				os.Stderr.Write(lines)
			}
		}))
}

var lonely = processtest.Helper("supervise", func() { fmt.Fprintln(os.Stderr, supervise("rank")) })

var _ = worker.Func("supervise", func(context.Context, worker.Info, []string) (string, error) {
	return "", supervise("rank")
})

// lonelySupervisor starts a supervisor process and waits for its ranks to come up.
func lonelySupervisor(t *testing.T, helper string) (self handle, ranks []handle) {
	t.Helper()
	c := processtest.Command(t, helper)
	cmd := exec.Command(c.Args[0], c.Args[1:]...)
	cmd.Env = append(os.Environ(), c.Env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	self = hold(t, cmd.Process.Pid)
	lines := bufio.NewScanner(stdout)
	for len(ranks) < 3 && lines.Scan() {
		ranks = append(ranks, hold(t, number(strings.TrimPrefix(lines.Text(), "rank "))))
	}
	if len(ranks) < 3 {
		self.signal(t, unix.SIGKILL)
		_ = cmd.Wait()
		t.Fatalf("%d ranks came up:\n%s", len(ranks), &stderr)
	}
	return self, ranks
}

// checkGone checks that processes end soon, from a moment on.
func checkGone(t *testing.T, since time.Time, ranks []handle) {
	t.Helper()
	for i, rank := range ranks {
		if !rank.gone(deadline) {
			t.Errorf("process %d of %d has outlived its supervisor by %v", i, len(ranks), time.Since(since))
		}
	}
	t.Logf("all %d gone after %v", len(ranks), time.Since(since))
}

// The ranks ignore every polite request, so nothing but their supervisor's death ends them.
func TestS09SupervisorDies(t *testing.T) {
	for _, s := range []process.Signal{unix.SIGKILL, unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGSEGV} {
		t.Run(process.SignalName(s), func(t *testing.T) {
			processtest.Check(t)
			self, ranks := lonelySupervisor(t, lonely)
			start := time.Now()
			self.signal(t, s)
			checkGone(t, start, ranks)
		})
	}
}

// What the ranks started themselves ends too, where the containment says so.
func TestS09DescendantsOfRanks(t *testing.T) {
	processtest.Check(t)
	self, all := lonelySupervisor(t, families)
	if level := process.Local().Containment(); !strings.Contains(level, "watchdog") {
		t.Cleanup(func() {
			for _, p := range all {
				_ = unix.PidfdSendSignal(int(p), unix.SIGKILL, nil, 0)
			}
		})
		t.Skipf("containment %s does not reach the descendants of ranks", level)
	}
	start := time.Now()
	self.signal(t, unix.SIGKILL)
	checkGone(t, start, all)
}

// families is a supervisor whose rank has a child, and one that has left its group and session. It prints three pids.
var families = processtest.Helper("families", func() {
	fmt.Fprintln(os.Stderr, supervisor.Run(context.Background(), supervisor.Spec{Ranks: []process.Command{sh(
		`trap "" TERM; sleep 1000 & echo rank $!; setsid sleep 1000 & echo rank $!; echo rank $$; exec sleep 1000`,
	)}}))
})

// A middle supervisor that dies takes its own ranks along; the outer one sees a rank that died.
func TestS09Nested(t *testing.T) {
	middle := map[string]process.Command{"function": process.Reexec("supervise"), "command": processtest.Command(t, lonely)}
	for name, c := range middle {
		if name == "function" {
			c.Argument, _ = transport.Marshal([]string{})
		}
		for _, s := range []process.Signal{unix.SIGTERM, unix.SIGKILL} {
			t.Run(name+"/"+process.SignalName(s), func(t *testing.T) {
				x := begin(t, supervisor.Spec{Ranks: []process.Command{c}})
				ranks := nestedRanks(x)
				self := hold(t, x.event(supervisor.EventStarted, 0).PID)
				start := time.Now()
				self.signal(t, s)
				checkGone(t, start, ranks)
				if exit := as[*process.Exit](t, x.failure()); exit.Signal != s || exit.Stopped {
					t.Errorf("exit %+v", exit)
				}
			})
		}
		t.Run(name+"/stopped", func(t *testing.T) {
			x := begin(t, supervisor.Spec{Ranks: []process.Command{c}})
			ranks := nestedRanks(x)
			start := time.Now()
			x.group.Stop("the outer group is to end")
			checkGone(t, start, ranks)
		})
	}
}

// nestedRanks waits until the three ranks of a nested group have come up.
func nestedRanks(x *trial) (ranks []handle) {
	x.Helper()
	id := process.ID{}
	x.await("nested ranks", func() bool { return len(x.lines[id]) == 3 })
	for _, line := range x.lines[id] {
		ranks = append(ranks, hold(x.T, number(strings.TrimPrefix(line, "rank "))))
	}
	return ranks
}

package main

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process/processtest"
)

const (
	polite = `echo ready $$; exec sleep 1000`
	rude   = `trap "" TERM; echo ready $$; exec sleep 1000`
	ready  = `ready (\d+)\n`
)

// The first signal asks the ranks to stop, and kills those that do not after their grace (T29, as the next ones).
func TestFirstSignal(t *testing.T) {
	for signal, code := range map[syscall.Signal]int{unix.SIGINT: 130, unix.SIGTERM: 143, unix.SIGHUP: 129} {
		t.Run(unix.SignalName(signal), func(t *testing.T) {
			report := tmp(t, "report.json")
			c := start(t, "-n", "2", "--grace", "1h", "--report", report, "sh", "-c", polite)
			ranks := hold(t, c.stdout.await(t, 2, ready))
			c.signal(signal)
			c.wants(code)
			ranks.gone(t)
			r := readReport(t, report)
			if r.Outcome != "interrupted" || r.ExitCode != code || len(r.Failures) != 0 || r.Ranks[1].Exit.Signal != "SIGTERM" {
				t.Errorf("report %+v", r)
			}
			if want := "launch: " + signal.String() + ": stopping the ranks (again to kill them)\n"; !strings.Contains(
				c.stderr.String(), want) {
				t.Errorf("no %q", want)
			}
		})
	}
}

func TestFirstSignalThenGrace(t *testing.T) {
	report := tmp(t, "report.json")
	c := start(t, "-n", "2", "--grace", "100ms", "--report", report, "sh", "-c", rude)
	ranks := hold(t, c.stdout.await(t, 2, ready))
	c.signal(unix.SIGINT)
	c.wants(130)
	ranks.gone(t)
	if r := readReport(t, report); r.Outcome != "interrupted" || r.Ranks[0].Exit.Signal != "SIGKILL" {
		t.Errorf("report %+v", r)
	}
	c.stderr.await(t, 2, `launch: rank \d \(pid \d+\) has not stopped in its grace \(100ms\): killed\n`)
}

// The second signal kills them at once (T29).
func TestSecondSignal(t *testing.T) {
	for _, signal := range []syscall.Signal{unix.SIGINT, unix.SIGTERM} {
		t.Run(unix.SignalName(signal), func(t *testing.T) {
			report := tmp(t, "report.json")
			c := start(t, "-n", "2", "--grace", "1h", "--report", report, "sh", "-c", rude)
			ranks := hold(t, c.stdout.await(t, 2, ready))
			c.signal(signal)
			c.stderr.await(t, 1, `stopping the ranks`)
			c.signal(signal)
			c.wants(128 + int(signal))
			ranks.gone(t)
			c.stderr.await(t, 1, `killing the ranks \(again to leave at once\)\n`)
			c.stderr.await(t, 2, `launch: rank \d \(pid \d+\) was not given more time: killed\n`)
			if r := readReport(t, report); r.Outcome != "interrupted" || r.Ranks[0].Exit.Signal != "SIGKILL" {
				t.Errorf("report %+v", r)
			}
		})
	}
}

// The third leaves at once, whatever holds launch up: here nobody reads what it has to write (T29).
func TestThirdSignal(t *testing.T) {
	processtest.Check(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c := prepare(t, nil, "--grace", "1h", "--output", "raw", "--", "sh", "-c",
		`trap "" TERM; trap "exec yes" USR1; echo ready $$ >&2; while :; do sleep 1000 & wait $!; done`)
	c.cmd.Stdout = w
	c.begin()
	w.Close()
	ranks := hold(t, c.stderr.await(t, 1, ready))
	c.signal(unix.SIGUSR1)
	processtest.Eventually(t, "the pipe is full", func() bool { return buffered(r) >= 64<<10 })
	c.signal(unix.SIGINT)
	c.stderr.await(t, 1, `stopping the ranks`)
	c.signal(unix.SIGINT)
	c.stderr.await(t, 1, `killing the ranks`)
	c.signal(unix.SIGINT)
	c.wants(130)
	processtest.Eventually(t, "the rank has died with its parent", func() bool {
		return unix.PidfdSendSignal(ranks[0], 0, nil, 0) == unix.ESRCH
	})
}

// buffered returns how many bytes are in a pipe.
func buffered(r *os.File) int {
	n, err := unix.IoctlGetInt(int(r.Fd()), unix.TIOCINQ)
	if err != nil {
		return 0
	}
	return n
}

// A terminal's Ctrl-C goes to the whole foreground group, in which the ranks are not: the end is one, and clean (S16).
func TestInterruptOfTheForegroundGroup(t *testing.T) {
	report := tmp(t, "report.json")
	c := start(t, "-n", "2", "--report", report, "python3", "-c", `import os, signal; print("ready", os.getpid(), flush=True); signal.pause()`)
	ranks := hold(t, c.stdout.await(t, 2, ready))
	if err := unix.Kill(-c.cmd.Process.Pid, unix.SIGINT); err != nil {
		t.Fatal(err)
	}
	c.wants(130)
	ranks.gone(t)
	if r := readReport(t, report); r.Outcome != "interrupted" || len(r.Failures) != 0 {
		t.Errorf("report %+v", r)
	}
	if strings.Contains(c.stderr.String(), "KeyboardInterrupt") {
		t.Error("a rank has seen the interrupt")
	}
}

// SIGUSR1 and SIGUSR2 are the ranks', and stop nothing.
func TestForwardedSignals(t *testing.T) {
	c := start(t, "-n", "2", "--", "sh", "-c",
		`trap "echo first $RANK" USR1; trap "echo second $RANK; exit 0" USR2; echo ready $$; while :; do sleep 1000 & wait $!; done`)
	c.stdout.await(t, 2, ready)
	c.signal(unix.SIGUSR1)
	c.stdout.await(t, 2, `first \d\n`)
	c.signal(unix.SIGUSR2)
	c.stdout.await(t, 2, `second \d\n`)
	c.wants(0)
}

// Under nohup a SIGHUP is nothing to launch, and nothing to its ranks.
func TestIgnoredHangup(t *testing.T) {
	processtest.Check(t)
	c := startUnder(t, []string{"sh", "-c", `trap "" HUP; exec "$@"`, "sh"}, "-n", "2", "--", "sh", "-c",
		`trap "echo alive; exit 0" USR1; echo ready $$; while :; do sleep 1000 & wait $!; done`)
	ranks := hold(t, c.stdout.await(t, 2, ready))
	c.signal(unix.SIGHUP)
	for _, rank := range ranks {
		if err := unix.PidfdSendSignal(rank, unix.SIGHUP, nil, 0); err != nil {
			t.Error(err)
		}
	}
	c.signal(unix.SIGUSR1)
	c.stdout.await(t, 2, `alive\n`)
	c.wants(0)
}

// A signal that comes at once is not lost.
func TestSignalAtTheStart(t *testing.T) {
	c := start(t, "-n", "8", "--events", "/dev/stderr", "sleep", "1000")
	c.stderr.await(t, 1, `"event":"spawn"`)
	c.signal(unix.SIGTERM)
	c.wants(143)
}

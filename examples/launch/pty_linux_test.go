package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process/processtest"
)

// A pty is the other end of a terminal that launch runs on.
type pty struct {
	*os.File
	screen text
}

// onTerminal starts launch from a shell with job control, in a session and on a terminal of its own. After a stop the shell
// says so, waits for a line, and gets launch back.
func onTerminal(t *testing.T, args ...string) (*cli, *pty) {
	t.Helper()
	processtest.Check(t)
	ours, theirs := openTerminal(t)
	c := prepare(t, []string{"bash", "-c", `set -m; "$@"; code=$?
		while [ $code -ge 147 ] && jobs %1 >/dev/null 2>&1; do echo "shell: stopped"; read; fg >/dev/null; code=$?; done
		echo "shell: ended"; exit $code`, "bash"}, args...)
	c.cmd.SysProcAttr.Setpgid = false
	c.cmd.SysProcAttr.Setsid, c.cmd.SysProcAttr.Setctty = true, true
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = theirs, theirs, theirs
	c.begin()
	theirs.Close()
	x := &pty{File: ours}
	read := make(chan struct{})
	go func() { // ends when nobody has the terminal any more
		defer close(read)
		_, _ = io.Copy(&x.screen, ours)
	}()
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		<-read
		ours.Close()
		if t.Failed() {
			t.Logf("the screen:\n%s", x.screen.String())
		}
	})
	return c, x
}

func openTerminal(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminal can be made here: %v", err)
	}
	if err := unix.IoctlSetPointerInt(int(ours.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(ours.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return ours, theirs
}

func (x *pty) press(t *testing.T, keys string) {
	t.Helper()
	if _, err := x.WriteString(keys); err != nil {
		t.Fatal(err)
	}
}

var stateLine = regexp.MustCompile(`State:\t(\S)`)

// stateOf is R, S, T and so on, of the process with a number.
func stateOf(t *testing.T, pid string) string {
	t.Helper()
	return stateLine.FindStringSubmatch(readText(t, "/proc/"+pid+"/status"))[1]
}

// Ctrl-Z stops all ranks before the shell has its prompt back, and fg lets them go on. For a group that is suspended no time
// passes: neither has a rank with heartbeats been silent, nor is the run's time over.
func TestSuspend(t *testing.T) {
	journal := tmp(t, "run.jsonl")
	c, x := onTerminal(t, "-n", "2", "--heartbeat", "50ms", "--silence", "300ms", "--stall", "400ms", "--journal", journal,
		"--max-restarts", "0", "--", "python3", "-c", `
import muster, os, time
n = 0
print("ready", os.getpid(), flush=True)
while True:
    n += 1
    muster.progress(n)
    time.sleep(0.02)
    if n % 10 == 0: print("step", n, flush=True)
`)
	pids := x.screen.await(t, 2, `ready (\d+)\r`)
	x.screen.await(t, 4, `step (\d+)\r`)
	for round := 1; round <= 2; round++ {
		x.press(t, "\x1a")
		x.screen.await(t, round, `shell: stopped`)
		for _, pid := range pids {
			processtest.Eventually(t, "the rank stands still", func() bool { return stateOf(t, pid) == "T" })
		}
		suspended(t)
		steps := strings.Count(x.screen.String(), "step ")
		x.press(t, "\n")
		x.screen.await(t, steps+4, `step (\d+)\r`)
	}
	x.press(t, "\x03")
	x.screen.await(t, 1, `shell: ended`)
	c.wants(130)
	events := readText(t, journal)
	if strings.Count(events, "the group was suspended for ") != 2 || strings.Contains(events, `"hung"`) || strings.Contains(events, `"failed"`) {
		t.Errorf("%s", events)
	}
}

// suspended lets more time pass than a rank may be silent.
func suspended(t *testing.T) {
	t.Helper()
	var begun, now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &begun); err != nil {
		t.Fatal(err)
	}
	processtest.Eventually(t, "a second is over", func() bool {
		_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
		return now.Nano()-begun.Nano() > 1e9
	})
}

// A Ctrl-C at the terminal is launch's alone, three times (T29); and what is typed is nobody's else: no rank has the terminal.
func TestInterruptAtATerminal(t *testing.T) {
	c, x := onTerminal(t, "-n", "2", "--grace", "1h", "--", "sh", "-c", `trap "" TERM; [ -t 0 ] && echo has it; readlink /proc/$$/fd/0; `+
		`trap "echo interrupted" INT; echo ready $$; while :; do sleep 1000 & wait $!; done`)
	pids := x.screen.await(t, 2, `ready (\d+)\r`)
	ranks := hold(t, pids)
	x.press(t, "typed\n\x03")
	x.screen.await(t, 1, `interrupt: stopping the ranks`)
	x.press(t, "\x03")
	x.screen.await(t, 1, `interrupt: killing the ranks`)
	c.wants(130)
	ranks.gone(t)
	screen := x.screen.String()
	if strings.Contains(screen, "has it") || strings.Contains(screen, "interrupted\r") || strings.Count(screen, "/dev/null") != 2 {
		t.Errorf("%s", screen)
	}
}

// A SIGTSTP of a launch that no shell could get back changes nothing, as the kernel has it for such a process group.
func TestSuspendOfAnOrphan(t *testing.T) {
	c := prepare(t, nil, "-n", "1", "--", "sh", "-c", `trap "echo alive; exit 0" USR1; echo ready $$; while :; do sleep 1000 & wait $!; done`)
	processtest.Check(t)
	c.cmd.SysProcAttr.Setpgid, c.cmd.SysProcAttr.Setsid = false, true
	c.begin()
	c.stdout.await(t, 1, ready)
	c.signal(unix.SIGTSTP)
	c.signal(unix.SIGUSR1)
	c.stdout.await(t, 1, `alive\n`)
	c.wants(0)
}

// A rank that somebody has stopped goes on when launch is told to (SIGCONT), as after a SIGSTOP of all.
func TestContinue(t *testing.T) {
	c := start(t, "--", "sh", "-c", `trap "echo alive; exit 0" USR1; echo ready $$; while :; do sleep 1000 & wait $!; done`)
	pid := c.stdout.await(t, 1, ready)[0]
	if err := unix.Kill(-atoi(t, pid), unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	processtest.Eventually(t, "the rank stands still", func() bool { return stateOf(t, pid) == "T" })
	c.signal(unix.SIGUSR1)
	c.signal(unix.SIGCONT)
	c.stdout.await(t, 1, `alive\n`)
	c.wants(0)
}

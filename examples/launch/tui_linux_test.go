package main

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process/processtest"
)

// worksOnce is a rank 1 that fails in the first generation, when a file is there, and ranks that work on.
const worksOnce = `
import os, sys, time
from muster import progress
rank, again = os.environ["RANK"], os.environ["TORCHELASTIC_RESTART_COUNT"] != "0"
print("ready", os.getpid(), flush=True)
progress(7, "steps")
while not os.path.exists(os.environ["GO"]) or again or rank != "1":
    time.sleep(.02)
raise ValueError("no learning rate")
`

// --tui shows the ranks, a failure, and a restart; keys work; the terminal is as it was before, whatever becomes of the ranks.
func TestTUI(t *testing.T) {
	m := newMux(t, 120, 24)
	script, goes := file(t, "train.py", worksOnce, 0o644), tmp(t, "go")
	m.keys("stty -a > "+goes+".before", "Enter")
	m.launch("-n", "3", "--tui", "--heartbeat", "1s", "--max-restarts", "2", "--env", "GO="+goes, "--", "python3", script)
	m.await(`(?m)^launch: 3 running \| generation 0 \| 2 restarts left \| \d+s\nRANK .*\n0 +0 +\d+ +running +\S+ +7 steps +ready \d+\n1 .*\n2 `)
	m.keys("j")
	m.await(`output of rank 1 .*\nready \d+`)
	m.keys("Tab")
	if err := os.WriteFile(goes, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	m.await(`failed: rank 1@0: ValueError: no learning rate\n(.*\n)*.*restart 1 of 2\n(.*\n)*.*generation 1 runs`)
	m.await(`3 running \| generation 1 \| 1 restart left`)
	m.keys("d")
	m.await(`MainThread(.*\n)*.*train.py", line \d+`)
	m.keys("/")
	m.keys("7 steps")
	m.await(`(?m)^/7 steps_$`)
	m.keys("Escape")
	m.await(`(?m)^j k rank`)

	// Restarts that are asked for, of the group and of a rank: they use no budget.
	if err := os.Remove(goes); err != nil {
		t.Fatal(err)
	}
	m.keys("r")
	m.await(`restart rank 1\? y, or g for the group`)
	m.keys("g")
	m.await(`3 running \| generation 2 \| 1 restart left`)
	m.keys("r")
	m.await(`restart rank 1\?`)
	m.keys("y")
	m.await(`3 running \| generation 3 \| 1 restart left`)
	m.await(`(?m)^0 +2 .*\n1 +3 .*\n2 +2 `)

	// A rank that is killed takes nothing of the terminal with it.
	pid := m.field(`(?m)^2 +2 +(\d+) `)
	if err := unix.Kill(atoi(t, pid), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	m.await(`3 running \| generation 4 \| 0 restarts left`)
	pid = m.field(`(?m)^2 +4 +(\d+) `)
	if err := unix.Kill(atoi(t, pid), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	m.await(`rank 2 failed first(.*\n)*status 137`)
	m.restored(goes + ".before")
}

// q asks, and stops gracefully; a second Ctrl-C kills who does not go.
func TestLeavingTheTUI(t *testing.T) {
	m := newMux(t, 120, 24)
	before := tmp(t, "before")
	m.keys("stty -a > "+before, "Enter")
	m.launch("-n", "2", "--tui", "--", "sh", "-c", polite)
	m.await(`2 running`)
	m.keys("q")
	m.await(`stop the group\? y to stop it`)
	m.keys("n")
	m.await(`(?m)^j k rank`)
	m.keys("q")
	m.await(`stop the group\?`)
	m.keys("y")
	m.await(`launch: stopped: interrupt\n(.*\n)*status 130`)
	m.restored(before)

	m.launch("-n", "2", "--tui", "--grace", "1h", "--", "sh", "-c", rude)
	m.await(`2 running`)
	m.await(`ready \d+`)
	m.keys("Tab")
	m.keys("C-c")
	m.await(`stopping the ranks`)
	m.await(`2 stopping`)
	m.keys("C-c")
	m.await(`stopped by our SIGKILL; exit status 130\n(.*\n)*status 130`)
	m.restored(before)
}

// The third Ctrl-C leaves at once, whatever holds launch up: here nobody reads what it has to write. The terminal is given back.
func TestLeavingTheTUIAtOnce(t *testing.T) {
	m := newMux(t, 120, 24)
	before, unread := tmp(t, "before"), makeGate(t)
	m.keys("stty -a > "+before, "Enter")
	m.launchTo(unread.Name(), "--tui", "--grace", "1h", "--", "sh", "-c", `trap "" TERM; echo ready $$ >&2; exec yes`)
	ranks := hold(t, []string{m.field(`(?m)^0 +0 +(\d+) +running`)})
	processtest.Eventually(t, "the pipe is full", func() bool { return buffered(unread) >= 64<<10 })
	m.keys("Tab")
	m.keys("C-c")
	m.await(`stopping the ranks`)
	m.keys("C-c")
	m.await(`killing the ranks`)
	m.keys("C-c")
	m.await(`status 130`)
	m.restored(before)
	processtest.Eventually(t, "the rank has died with its parent", func() bool {
		return unix.PidfdSendSignal(ranks[0], 0, nil, 0) == unix.ESRCH
	})
}

// It is drawn for the size that the terminal has now, and is itself again after Ctrl-Z and fg.
func TestTUIIsResizedAndSuspended(t *testing.T) {
	m := newMux(t, 120, 24)
	m.launch("-n", "2", "--tui", "--", "sh", "-c", polite)
	m.await(`\^C\^C kill\n$`)
	if out, err := m.tmux("resize-window", "-x", "50", "-y", "12"); err != nil {
		t.Fatal(err, out)
	}
	m.await(`(?m)^launch: 2 running .*\n(.*\n){10}j k rank .*…\n$`)
	m.keys("C-z")
	m.await(`Stopped`)
	m.keys("fg", "Enter")
	m.await(`(?m)^launch: 2 running .*\n(.*\n){10}j k rank .*…\n$`)
	m.keys("C-c")
	m.await(`status 130`)
}

// The terminal is taken when the group begins: what it waits for is seen before.
func TestTUIOfManyHosts(t *testing.T) {
	m := newMux(t, 120, 24)
	m.launch("--hosts", "1", "--listen", "127.0.0.1:0", "--tui", "--", "sh", "-c", polite)
	m.await(`launch: waiting for 1 host: launch agent --join 127`)
	a := startAgent(t, m.field(`--join (\S+)`), "a")
	m.await(`(?m)^launch: 1 running .*\nRANK +HOST .*\n0 +a `)
	m.keys("Tab")
	m.await(`host a has joined`)
	m.keys("C-c")
	m.await(`status 130`)
	a.wants(0)
}

// What is not written to the terminal is written as always.
func TestTUIWithOutputElsewhere(t *testing.T) {
	m := newMux(t, 120, 24)
	out := tmp(t, "out")
	m.launchTo(out, "-n", "2", "--tui", "--ready", "line:up", "--", "sh", "-c", "echo up; sleep .3")
	m.await(`status 0`)
	if text := readText(t, out); strings.Count(text, "] up\n") != 2 || strings.Contains(text, "\x1b") {
		t.Errorf("%q", text)
	}
}

// Without a terminal --tui is an error, before anything starts.
func TestTUIWantsATerminal(t *testing.T) {
	if code, stdout, stderr := here(t, "--tui", "true"); code != 2 || stdout != "" ||
		!strings.HasPrefix(stderr, "launch: --tui: it wants a terminal as standard input and standard error") {
		t.Errorf("%d, %q, %q", code, stdout, stderr)
	}
}

package process_test

import (
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
)

// TestExit: exit code, signal and core are kept apart, and only the code 0 is a success (T16, G-8).
func TestExit(t *testing.T) {
	for _, test := range []struct {
		name, script string
		code         int
		signal       process.Signal
		text         string
	}{
		{"code 0 is a success", "exit 0", 0, 0, "exit status 0"},
		{"code 1", "exit 1", 1, 0, "exit status 1"},
		{"code 3", "exit 3", 3, 0, "exit status 3"},
		{"code 255", "exit 255", 255, 0, "exit status 255"},
		{"code 137 is not SIGKILL", "exit 137", 137, 0, "exit status 137"},
		{"SIGKILL by a stranger", "kill -KILL $$", -1, syscall.SIGKILL, "signal: killed (SIGKILL)"},
		{"SIGABRT", "ulimit -c 0; kill -ABRT $$", -1, syscall.SIGABRT, "signal: aborted (SIGABRT)"},
		{"SIGSEGV", "ulimit -c 0; kill -SEGV $$", -1, syscall.SIGSEGV, "signal: segmentation fault (SIGSEGV)"},
		{"SIGTERM by a stranger", "kill -TERM $$", -1, syscall.SIGTERM, "signal: terminated (SIGTERM)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			processtest.Check(t)
			l, exit := run(t, shell(test.script))
			if exit.Code != test.code || exit.Signal != test.signal || exit.Core || exit.Stopped || exit.Err != nil {
				t.Errorf("exit %+v", exit)
			}
			if exit.Success() != (test.code == 0) || exit.Error() != test.text {
				t.Errorf("success %v, text %q", exit.Success(), exit.Error())
			}
			if len(l.messages) > 0 || len(l.broken) > 0 || len(exit.Left) > 0 {
				t.Errorf("a process that said nothing: messages %v, broken %v, left %v", l.messages, l.broken, exit.Left)
			}
		})
	}
}

// ignoreTerm ignores SIGTERM until it is killed.
var ignoreTerm = processtest.Helper("ignore SIGTERM", func() {
	signal.Ignore(syscall.SIGTERM)
	fmt.Println("ready")
	select {}
})

// slowDeath takes 300 ms to end when it is asked to.
var slowDeath = processtest.Helper("die slowly", func() {
	terms := make(chan os.Signal, 1)
	signal.Notify(terms, syscall.SIGTERM)
	fmt.Println("ready")
	<-terms
	<-time.After(300 * time.Millisecond)
	fmt.Println("saved")
	os.Exit(7)
})

// TestStop: an exit after Stop or Kill is an answer, whatever it looks like (G-6).
func TestStop(t *testing.T) {
	t.Run("a process without a handler dies of SIGTERM", func(t *testing.T) {
		processtest.Check(t)
		l := launch(t, shell("echo ready; exec sleep 60"))
		l.awaitOutput(process.Stdout, "ready")
		l.Stop("test", time.Second)
		if exit := l.awaitExit(); exit.Signal != syscall.SIGTERM || !exit.Stopped {
			t.Errorf("exit %+v", exit)
		}
	})
	t.Run("a slow one is waited for", func(t *testing.T) {
		processtest.Check(t)
		l := launch(t, processtest.Command(t, slowDeath))
		l.awaitOutput(process.Stdout, "ready")
		l.Stop("test", time.Second)
		l.Stop("again", time.Second)
		if exit := l.awaitExit(); exit.Code != 7 || !exit.Stopped || l.stdout() != "ready\nsaved\n" {
			t.Errorf("exit %+v after %q", exit, l.stdout())
		}
	})
	t.Run("one that ignores SIGTERM is killed", func(t *testing.T) {
		processtest.Check(t)
		l := launch(t, processtest.Command(t, ignoreTerm))
		l.awaitOutput(process.Stdout, "ready")
		l.Stop("test", time.Millisecond)
		if err := l.Signal(0); err != nil {
			t.Errorf("it died of SIGTERM: %v", err)
		}
		l.Kill()
		if exit := l.awaitExit(); exit.Signal != syscall.SIGKILL || !exit.Stopped {
			t.Errorf("exit %+v", exit)
		}
	})
	t.Run("a stopped process hears SIGTERM", func(t *testing.T) {
		processtest.Check(t)
		l := launch(t, shell("trap 'echo bye; exit 4' TERM; echo ready; kill -STOP $$; sleep 60 & wait"))
		l.awaitOutput(process.Stdout, "ready")
		processtest.Eventually(t, "the process is stopped", func() bool { return state(l.PID()) == "T" })
		l.Stop("test", time.Second)
		if exit := l.awaitExit(); exit.Code != 4 || l.stdout() != "ready\nbye\n" {
			t.Errorf("exit %+v after %q", exit, l.stdout())
		}
	})
	t.Run("all of it may come after the end", func(t *testing.T) {
		processtest.Check(t)
		l, exit := run(t, shell("exit 3"))
		l.Stop("late", time.Second)
		l.Kill()
		wantErrorIs(t, l.Signal(syscall.SIGUSR1), os.ErrProcessDone)
		if exit.Stopped || l.exit.Stopped {
			t.Errorf("exit %+v", exit)
		}
	})
	t.Run("all of it may come from everywhere at once", func(t *testing.T) {
		processtest.Check(t)
		l := launch(t, shell("sleep 60 & sleep 60"))
		for range 8 {
			go l.Stop("test", time.Second) // ends at once
			go l.Kill()                    // likewise
			go l.Signal(syscall.SIGUSR1)   // likewise
		}
		if exit := l.awaitExit(); exit.Code != -1 || exit.Signal == 0 {
			t.Errorf("exit %+v", exit)
		}
	})
}

// state returns the letter of a process in /proc, "" when it is gone.
func state(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return rest[:1]
}

// wanderer leaves its process group for that of its parent.
var wanderer = processtest.Helper("change the group", func() {
	group, err := syscall.Getpgid(os.Getppid())
	if err == nil {
		err = syscall.Setpgid(0, group)
	}
	fmt.Println("moved:", err)
	select {}
})

// TestStray: the leader of a group may leave it, and must be reached all the same.
func TestStray(t *testing.T) {
	t.Run("stop", func(t *testing.T) {
		processtest.Check(t)
		l := launch(t, processtest.Command(t, wanderer))
		l.awaitOutput(process.Stdout, "moved: <nil>")
		l.Stop("test", time.Second)
		if exit := l.awaitExit(); exit.Signal != syscall.SIGTERM || !exit.Stopped {
			t.Errorf("exit %+v", exit)
		}
	})
	t.Run("kill", func(t *testing.T) {
		processtest.Check(t)
		l := launch(t, processtest.Command(t, wanderer))
		l.awaitOutput(process.Stdout, "moved: <nil>")
		l.Kill()
		if exit := l.awaitExit(); exit.Signal != syscall.SIGKILL || !exit.Stopped {
			t.Errorf("exit %+v", exit)
		}
	})
}

// TestSignal: a signal reaches the whole group.
func TestSignal(t *testing.T) {
	processtest.Check(t)
	l := launch(t, shell(`
		trap 'echo outer' USR1
		sh -c 'trap "echo inner; exit" USR1; echo ready; while :; do sleep 0.05; done' &
		wait; wait; exit 5`))
	l.awaitOutput(process.Stdout, "ready")
	if err := l.Signal(syscall.SIGUSR1); err != nil {
		t.Error(err)
	}
	exit := l.awaitExit()
	if out := l.stdout(); !strings.Contains(out, "inner\n") || !strings.Contains(out, "outer\n") || exit.Code != 5 {
		t.Errorf("exit %+v after %q", exit, out)
	}
	if exit.Stopped {
		t.Error("a signal counts as a stop")
	}
}

// TestGuard: no signal to everybody, whatever a bug hands down (design.md §8).
func TestGuard(t *testing.T) {
	for _, target := range []int{-1, 0, 1} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("a signal to %d is let through", target)
				}
			}()
			_ = process.SendTo(target, 0)
		}()
	}
}

// TestSignalGroup: the kernel's answer must not depend on whether this process leads a group. Under go test it does not.
func TestSignalGroup(t *testing.T) {
	var name syscall.Utsname
	if err := syscall.Uname(&name); err != nil {
		t.Fatal(err)
	}
	var release []byte
	for _, c := range name.Release {
		release = append(release, byte(c))
	}
	var major, minor int
	if _, err := fmt.Sscanf(string(release), "%d.%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	if known := major > 6 || major == 6 && minor >= 9; process.HasSignalGroup() != known {
		t.Errorf("Linux %d.%d: PIDFD_SIGNAL_PROCESS_GROUP is taken for known: %v", major, minor, !known)
	}
}

// TestCPU: the processor time is that of the process and of the children it waited for.
func TestCPU(t *testing.T) {
	processtest.Check(t)
	_, exit := run(t, shell("sh -c 'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done'"))
	if exit.CPU <= 0 || exit.CPU > patience {
		t.Errorf("CPU time %v", exit.CPU)
	}
}

// TestOOMOfSomebodyElse: the kernel's log names processes by number, and has names from before (T17).
func TestOOMOfSomebodyElse(t *testing.T) {
	const day = 24 * time.Hour
	text := ";Memory cgroup out of memory: Killed process 4711 (tail) total-vm:36156kB, anon-rss:31744kB"
	for _, test := range []struct {
		record string
		born   time.Duration
		want   bool
	}{
		{"3,1234,86400000000,-" + text, day - time.Second, true},
		{"3,1234,86400000000,-" + text, day + time.Second, true}, // the clocks are not the same
		{"3,1234,86400000000,-" + text, day + time.Hour, false},  // another process, an hour ago
		{"3,1234,86400000000,-" + strings.Replace(text, "4711", "47110", 1), day, false},
		{"3,1234" + text, day, false},
		{"", day, false},
	} {
		if got := process.TellsOfOOM(test.record, 4711, test.born); got != test.want {
			t.Errorf("%q of a process born at %v: %v", test.record, test.born, got)
		}
	}
}

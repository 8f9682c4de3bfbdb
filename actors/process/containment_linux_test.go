package process_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
)

// daemon is a shell script that leaves its rank's process group behind a double fork, in a session of its own, ignores
// what can be ignored, and prints its pid.
const daemon = `(setsid sh -c 'trap "" TERM HUP INT; echo $$; while :; do sleep 1; done' &)
	sleep 60`

// TestLevel: what is left out is left out, and the level says so.
func TestLevel(t *testing.T) {
	strongest := process.LocalWith(process.Layers{}).Containment()
	cgroup := strings.HasPrefix(strongest, "cgroup")
	if !cgroup {
		t.Logf("no cgroup can be made here: %s", strongest)
	}
	want := func(with, without string) string {
		if cgroup {
			return with
		}
		return without
	}
	for _, test := range []struct {
		layers process.Layers
		want   string
	}{
		{process.Layers{}, want("cgroup+watchdog", "group+watchdog")},
		{process.Layers{NoCgroup: true}, "group+watchdog"},
		{process.Layers{NoWatchdog: true}, want("cgroup+deathsig", "group+deathsig")},
		{process.Layers{NoCgroup: true, NoWatchdog: true}, "group+deathsig"},
		{process.Layers{NoCgroup: true, NoWatchdog: true, NoDeathsig: true}, "group"},
	} {
		processtest.Check(t)
		l := process.LocalWith(test.layers)
		if got := l.Containment(); got != test.want {
			t.Errorf("%+v before use: %s, want %s", test.layers, got, test.want)
		}
		release := l.Guard(nil)
		if got := l.Containment(); got != test.want {
			t.Errorf("%+v in use: %s, want %s", test.layers, got, test.want)
		}
		release()
	}
}

// needCgroup skips a test where no cgroup can be made.
func needCgroup(t *testing.T) {
	if level := launcher.Containment(); !strings.HasPrefix(level, "cgroup") {
		t.Skipf("needs a writable cgroup v2 hierarchy; the level here is %s", level)
	}
}

// TestDaemon: with a cgroup nobody escapes a rank (T5): not by a double fork, a session, or deaf ears.
func TestDaemon(t *testing.T) {
	needCgroup(t)
	t.Run("after the rank has ended it is asked, then killed", func(t *testing.T) {
		processtest.Check(t)
		start := time.Now()
		l, exit := run(t, shell(`(setsid sh -c 'trap "" TERM HUP INT; echo $$ > $0; while :; do sleep 1; done' $1 &)
			read -r x < $1; echo $x; exit 3`, fifo(t)))
		gone(t, l.stdout())
		if took := l.exitedAt.Sub(start); took < process.DrainTime || took > quick {
			t.Errorf("the exit took %v", took)
		}
		if exit.Code != 3 || len(exit.Left) == 0 || exit.Left[0].Name != "sh" {
			t.Errorf("exit %+v", exit)
		}
	})
	t.Run("a stop leaves it its grace, a kill ends it", func(t *testing.T) {
		processtest.Check(t)
		l := launch(t, shell(daemon))
		l.awaitOutput(process.Stdout, "\n")
		pid := strings.TrimSpace(l.stdout())
		l.Stop("test", time.Minute)
		processtest.Eventually(t, "the leader is dead", func() bool { s := state(l.PID()); return s == "" || s == "Z" })
		if n, _ := strconv.Atoi(pid); state(n) == "" {
			t.Error("the daemon was killed within its grace")
		}
		l.Kill()
		exit := l.awaitExit()
		gone(t, pid)
		if exit.Signal != syscall.SIGTERM || !exit.Stopped {
			t.Errorf("exit %+v", exit)
		}
	})
}

func fifo(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// gone fails the test when a pid, as text, names a living process.
func gone(t *testing.T, pid string) {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(pid))
	if err != nil {
		t.Fatalf("no pid: %q", pid)
	}
	if s := state(n); s != "" && s != "Z" {
		t.Errorf("process %d lives (%s)", n, s)
	}
}

// TestNoTreeIsLeft: leaf by leaf and then the tree, nothing stays in the hierarchy.
func TestNoTreeIsLeft(t *testing.T) {
	needCgroup(t)
	own := process.OwnCgroup(t)
	trees := func() []string {
		found, _ := filepath.Glob(filepath.Join(own, "muster-"+strconv.Itoa(os.Getpid())+"-*"))
		return found
	}
	l := process.LocalWith(process.Layers{})
	release := l.Guard(nil)
	withLayers(t, l)
	run(t, shell(`exit 0`))
	if left, _ := filepath.Glob(filepath.Join(own, "muster-"+strconv.Itoa(os.Getpid())+"-*/*/cgroup.procs")); len(left) > 0 {
		t.Errorf("leaves are left: %v", left)
	}
	if len(trees()) != 1 {
		t.Errorf("trees in use: %v", trees())
	}
	release()
	if len(trees()) > 0 {
		t.Errorf("trees are left: %v", trees())
	}
}

// TestBusyTree: a tree that cannot be removed at once is removed later, by whoever is there to do it.
func TestBusyTree(t *testing.T) {
	needCgroup(t)
	for _, dog := range []string{"lives", "is killed", "cannot be had"} {
		t.Run("the watchdog "+dog, func(t *testing.T) {
			processtest.Check(t)
			l := process.LocalWith(process.Layers{NoWatchdog: dog == "cannot be had"})
			release := l.Guard(nil)
			withLayers(t, l)
			run(t, shell("exit 0"))
			pid := process.WatchdogPID(l)
			end := process.WithFaults(func(seam string) error {
				if seam != "tree rmdir" {
					return nil
				}
				if dog == "is killed" {
					_ = syscall.Kill(pid, syscall.SIGKILL) // it is our child: not yet reaped
				}
				return syscall.EBUSY
			})
			defer end()
			release()
			processtest.Eventually(t, "the tree is gone", func() bool {
				left, _ := filepath.Glob(filepath.Join(process.OwnCgroup(t), fmt.Sprintf("muster-%d-*", os.Getpid())))
				return len(left) == 0
			})
		})
	}
}

// TestDeadTree: what a program left that was killed together with its watchdog is ended by the next one, unless it is in
// another pid namespace, where nobody here can tell who lives.
func TestDeadTree(t *testing.T) {
	needCgroup(t)
	own := process.OwnCgroup(t)
	dead := filepath.Join(own, fmt.Sprintf("muster-1-4711-1-%d", process.Namespace())) // pid 1 lives, but not since then
	foreign := filepath.Join(own, "muster-1-4711-1-7")
	defer os.Remove(foreign)
	for _, dir := range []string{filepath.Join(dead, "7"), foreign} {
		err := os.MkdirAll(dir, 0o755)
		for errors.Is(err, fs.ErrNotExist) { // another program has just swept: one of the tests of other packages
			err = os.MkdirAll(dir, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	process.LocalWith(process.Layers{}).Guard(nil)()
	if _, err := os.Stat(dead); !os.IsNotExist(err) {
		t.Errorf("the tree of a dead program stands: %v", err)
	}
	if _, err := os.Stat(foreign); err != nil {
		t.Errorf("the tree of a program that may live: %v", err)
	}
}

// TestDeadTreeOfZombie: a supervisor that its parent has not reaped is dead, one that has lost its first thread alone is not.
func TestDeadTreeOfZombie(t *testing.T) {
	needCgroup(t)
	processtest.Check(t)
	plant := func(pid int) string {
		start, err := process.StartTime(pid)
		if err != nil || start == 0 {
			t.Fatalf("process %d does not live: %v", pid, err)
		}
		dir := filepath.Join(process.OwnCgroup(t), fmt.Sprintf("muster-%d-%d-1-%d", pid, start, process.Namespace()))
		if err := os.MkdirAll(filepath.Join(dir, "7"), 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _ = os.Remove(filepath.Join(dir, "7")), os.Remove(dir) })
		return dir
	}
	zombie := exec.Command("sleep", "1000")
	if err := zombie.Start(); err != nil {
		t.Fatal(err)
	}
	dead := plant(zombie.Process.Pid)
	_ = zombie.Process.Kill()
	processtest.Eventually(t, "it is a zombie", func() bool { return state(zombie.Process.Pid) == "Z" })
	defer zombie.Wait()

	ready := filepath.Join(t.TempDir(), "ready")
	l := launch(t, processtest.Command(t, headless, ready))
	processtest.Eventually(t, "it has lost its first thread", func() bool { return state(l.PID()) == "Z" })
	living := plant(l.PID())
	process.LocalWith(process.Layers{}).Guard(nil)()
	if _, err := os.Stat(dead); !os.IsNotExist(err) {
		t.Errorf("the tree of a zombie stands: %v", err)
	}
	if _, err := os.Stat(living); err != nil {
		t.Errorf("the tree of a living program: %v", err)
	}
	l.Kill()
	l.awaitExit()
}

// TestWatchdogIsReplaced (T7): the loss is told, and there is a new one.
func TestWatchdogIsReplaced(t *testing.T) {
	processtest.Check(t)
	told := make(chan string, 1)
	l := process.LocalWith(process.Layers{})
	release := l.Guard(func(text string) { told <- text })
	defer release()
	first := process.WatchdogPID(l)
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case text := <-told:
		if !strings.Contains(text, strconv.Itoa(first)) || !strings.Contains(text, "replaced") {
			t.Errorf("told %q", text)
		}
	case <-time.After(patience):
		t.Fatal("nobody was told")
	}
	if second := process.WatchdogPID(l); second == 0 || second == first {
		t.Errorf("the watchdog is %d, and was %d", second, first)
	}
}

// TestEscapeEndsWithTheGuard: where there is no cgroup, who has left its rank's group lives until the last user of the guard
// is gone, and no longer (T5).
func TestEscapeEndsWithTheGuard(t *testing.T) {
	processtest.Check(t)
	l := process.LocalWith(process.Layers{NoCgroup: true})
	release := l.Guard(nil)
	defer release()
	withLayers(t, l)
	out, _ := run(t, shell(`(setsid sh -c 'trap "" TERM HUP INT; echo $$ > $0; while :; do sleep 1; done' $1 >/dev/null 2>&1 3>&- &)
		read -r x < $1; echo $x`, fifo(t)))
	pid, err := strconv.Atoi(strings.TrimSpace(out.stdout()))
	if err != nil {
		t.Fatalf("no pid: %q", out.stdout())
	}
	if s := state(pid); s == "" || s == "Z" {
		t.Fatal("it died with its rank: this proves nothing")
	}
	release()
	processtest.Eventually(t, "the daemon is gone", func() bool { s := state(pid); return s == "" || s == "Z" })
}

// TestStoppedWatchdog: a watchdog that somebody has stopped holds up nobody's end for long, and is gone with it.
func TestStoppedWatchdog(t *testing.T) {
	processtest.Check(t)
	l := process.LocalWith(process.Layers{NoCgroup: true})
	release := l.Guard(nil)
	dog := process.WatchdogPID(l)
	if err := syscall.Kill(dog, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	release()
	if took := time.Since(start); took > patience {
		t.Errorf("the end took %v", took)
	}
	processtest.Eventually(t, "the watchdog is gone", func() bool { return state(dog) == "" })
}

// TestMarkIsNew: a watchdog that still ends what the last group left cannot take the next group's ranks for that.
func TestMarkIsNew(t *testing.T) {
	processtest.Check(t)
	withLayers(t, process.LocalWith(process.Layers{}))
	first, _ := run(t, shell(`echo $MUSTER_TREE`))
	second, _ := run(t, shell(`echo $MUSTER_TREE`))
	if first.stdout() == second.stdout() || first.stdout() == "\n" {
		t.Errorf("marks %q and %q", first.stdout(), second.stdout())
	}
}

// TestWitherWhilePreflight is for the race detector: one group looks at the limits while another learns that the kernel
// starts nothing in a cgroup.
func TestWitherWhilePreflight(t *testing.T) {
	l := process.LocalWith(process.Layers{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		process.Wither(l)
	}()
	_ = l.(process.Preflighter).Preflight([]process.Command{{Args: []string{"true"}, Memory: 1 << 20}})
	<-done
}

// TestImpostor: neither the name nor the environment alone makes a program a watchdog, or puts it on the stage.
func TestImpostor(t *testing.T) {
	for _, name := range []string{"muster-watchdog", "muster-stage"} {
		processtest.Check(t)
		c := processtest.Command(t, impostor)
		c.Args = append([]string{"/bin/sh", "-c", `exec -a "$0" "$@"`, name}, c.Args...)
		c.Args[0] = "/bin/bash"
		if _, err := os.Stat(c.Args[0]); err != nil {
			t.Skip("needs bash for exec -a")
		}
		if l, exit := run(t, c); exit.Code != 5 {
			t.Errorf("%s: exit %+v, stderr %q", name, exit, l.stderr())
		}
	}
}

var impostor = processtest.Helper("be called something else", func() { os.Exit(5) })

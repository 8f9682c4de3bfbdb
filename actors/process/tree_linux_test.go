package process_test

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
)

// quick is far below the minute for which the leftovers of these tests sleep, and far above what any machine needs.
const quick = 5 * time.Second

// kernels runs a test as this kernel is, and as lesser ones are, down to one without cgroups and pidfds (T2, T31).
func kernels(t *testing.T, test func(*testing.T)) {
	t.Run("this kernel", test)
	t.Run("without cgroups", func(t *testing.T) {
		withLayers(t, bare)
		test(t)
	})
	t.Run("without signals to a group by pidfd", func(t *testing.T) {
		withLayers(t, bare)
		process.WithoutSignalGroup(t)
		test(t)
	})
	t.Run("without pidfds", func(t *testing.T) {
		withLayers(t, bare)
		process.WithoutPidfds(t)
		test(t)
	})
}

// TestLeftover: what a process leaves in its group is named and ended before the exit is told (T10, G-1), and does not
// hold up the exit because it holds a stream (G-5).
func TestLeftover(t *testing.T) {
	kernels(t, func(t *testing.T) {
		t.Run("a background process", func(t *testing.T) {
			processtest.Check(t)
			start := time.Now()
			l, exit := run(t, shell("sleep 60 & echo $!; exit 0"))
			if took := l.exitedAt.Sub(start); took > quick {
				t.Errorf("the exit took %v", took)
			}
			if exit.Ended.Before(start) || exit.Ended.After(l.exitedAt) {
				t.Errorf("it ended %v after the start", exit.Ended.Sub(start))
			}
			if !exit.Success() || exit.Stopped {
				t.Errorf("exit %+v", exit)
			}
			wantLeft(t, exit, l.stdout(), "sleep")
		})
		t.Run("one that ignores SIGTERM", func(t *testing.T) {
			processtest.Check(t)
			start := time.Now()
			l, exit := run(t, shell("trap '' TERM; sleep 60 & echo $!; exit 3"))
			if took := l.exitedAt.Sub(start); took > quick || took < process.DrainTime {
				t.Errorf("the exit took %v", took)
			}
			if exit.Code != 3 || exit.Stopped {
				t.Errorf("exit %+v", exit)
			}
			wantLeft(t, exit, l.stdout(), "sleep")
		})
		t.Run("one that has closed all streams", func(t *testing.T) { // T11
			processtest.Check(t)
			l, exit := run(t, shell("sleep 60 </dev/null >/dev/null 2>&1 3>&- & echo $!"))
			wantLeft(t, exit, l.stdout(), "sleep")
		})
		t.Run("many", func(t *testing.T) {
			processtest.Check(t)
			_, exit := run(t, shell("for i in 1 2 3 4 5 6 7 8 9 10; do sleep 60 & done"))
			if len(exit.Left) != 10 {
				t.Errorf("left %v", exit.Left)
			}
		})
	})
}

// wantLeft checks that the background process of a shell was named, and that it is gone. In the moment after its birth it
// still has the name of the shell.
func wantLeft(t *testing.T, exit process.Exit, pid, name string) {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(pid))
	if err != nil {
		t.Fatal(err)
	}
	if len(exit.Left) != 1 || exit.Left[0].PID != n || exit.Left[0].Name != name && exit.Left[0].Name != "sh" {
		t.Errorf("left %v, want %d, %s", exit.Left, n, name)
	}
	if s := state(n); s != "" && s != "Z" {
		t.Errorf("the leftover lives on: state %s", s)
	}
}

// saver is the child of a shell that dies of SIGTERM at once, and needs 300 ms for its last checkpoint.
var saver = processtest.Helper("checkpoint", func() {
	terms := make(chan os.Signal, 1)
	signal.Notify(terms, syscall.SIGTERM)
	fmt.Println("ready")
	<-terms
	switch os.Args[1] {
	case "leave":
		<-time.After(100 * time.Millisecond) // until it is being waited for
		syscall.Setsid()
		fallthrough
	case "slow":
		fmt.Println("saving")
		<-time.After(time.Minute)
	}
	<-time.After(300 * time.Millisecond)
	fmt.Println("saved")
})

// TestGraceOfChildren: the group keeps its grace when its leader has none, until Kill ends it.
func TestGraceOfChildren(t *testing.T) {
	kernels(t, func(t *testing.T) {
		t.Run("the child has the time that Stop promised", func(t *testing.T) {
			processtest.Check(t)
			l := launch(t, underShell(t, "quick"))
			l.awaitOutput(process.Stdout, "ready")
			l.Stop("test", time.Minute)
			exit := l.awaitExit()
			if exit.Signal != syscall.SIGTERM || !exit.Stopped || l.stdout() != "ready\nsaved\n" {
				t.Errorf("exit %+v after %q", exit, l.stdout())
			}
			if len(exit.Left) != 1 {
				t.Errorf("left %v", exit.Left)
			}
		})
		t.Run("kill cuts it", func(t *testing.T) {
			processtest.Check(t)
			l := launch(t, underShell(t, "slow"))
			l.awaitOutput(process.Stdout, "ready")
			l.Stop("test", time.Minute)
			l.awaitOutput(process.Stdout, "saving")
			processtest.Eventually(t, "the shell is dead", func() bool { s := state(l.PID()); return s == "" || s == "Z" })
			l.Kill()
			if exit := l.awaitExit(); exit.Signal != syscall.SIGTERM || !exit.Stopped || len(exit.Left) > 1 {
				t.Errorf("exit %+v", exit)
			}
		})
		t.Run("one that leaves the group instead of ending does not hold up the exit", func(t *testing.T) {
			processtest.Check(t)
			l := launch(t, underShell(t, "leave"))
			l.awaitOutput(process.Stdout, "ready")
			l.Stop("test", time.Minute)
			l.awaitOutput(process.Stdout, "saving")
			processtest.Eventually(t, "the shell is dead", func() bool { s := state(l.PID()); return s == "" || s == "Z" })
			l.Kill()
			if exit := l.awaitExit(); exit.Signal != syscall.SIGTERM || len(exit.Left) == 0 {
				t.Errorf("exit %+v", exit)
			} else {
				_ = process.SendTo(exit.Left[0].PID, syscall.SIGKILL)
			}
		})
		t.Run("without a stop it is asked, too", func(t *testing.T) {
			processtest.Check(t)
			l, exit := run(t, shell(`mkfifo $1
				sh -c 'trap "echo saved; exit" TERM; echo > $1; sleep 60 & wait' sh $1 &
				read -r x < $1; exit 6`, t.TempDir()+"/fifo"))
			if exit.Code != 6 || exit.Stopped || len(exit.Left) == 0 || l.stdout() != "saved\n" {
				t.Errorf("exit %+v after %q", exit, l.stdout())
			}
		})
	})
}

// underShell is the saver as the child of a shell.
func underShell(t *testing.T, mode string) process.Command {
	c := processtest.Command(t, saver, mode)
	c.Args = append([]string{"/bin/sh", "-c", `"$@" & wait`, "sh"}, c.Args...)
	return c
}

// TestEscape: a process that left the group and holds every stream costs the drain, no more. It is named: its end is
// beyond this level of containment (T5, G-5).
func TestEscape(t *testing.T) {
	withLayers(t, bare)
	for _, test := range []struct{ name, script string }{
		{"it sleeps", `exec sleep 60`},
		{"it writes without end to standard output", `while :; do echo x; done`},
		{"it writes without end to the socket", `yes aaabcax | tr ab "\000\002" >&3`}, // frames of an unknown kind, c
	} {
		t.Run(test.name, func(t *testing.T) {
			processtest.Check(t)
			start := time.Now()
			l, exit := run(t, shell(`mkfifo $1
				setsid sh -c 'echo $$; echo > $1; `+test.script+`' sh $1 &
				read -r x < $1`, t.TempDir()+"/fifo"))
			if took := l.exitedAt.Sub(start); took > quick || took < process.DrainTime {
				t.Errorf("the exit took %v", took)
			}
			first, _, _ := strings.Cut(l.stdout(), "\n")
			pid, err := strconv.Atoi(first)
			if err != nil {
				t.Fatalf("exit %+v after %q", exit, l.stdout())
			}
			if exit.Code != 0 || !slices.ContainsFunc(exit.Left, func(o process.Leftover) bool { return o.PID == pid }) {
				t.Errorf("exit %+v, want %d to be left", exit, pid)
			}
			_ = process.SendTo(-pid, syscall.SIGKILL)
		})
	}
}

// headless ends its first thread, ignores SIGTERM and lives on.
var headless = processtest.Helper("end the first thread", func() {
	signal.Ignore(syscall.SIGTERM)
	ended := make(chan struct{})
	for range 1000 { // one of them gets the first thread
		go func() {
			runtime.LockOSThread()
			if syscall.Gettid() == syscall.Getpid() {
				close(ended)
				syscall.Syscall(syscall.SYS_EXIT, 0, 0, 0)
			}
			select {}
		}()
		select {
		case <-ended:
			for state(os.Getpid()) != "Z" {
				runtime.Gosched()
			}
			if err := os.WriteFile(os.Args[1], nil, 0o600); err != nil {
				panic(err)
			}
			<-time.After(time.Minute)
			return
		case <-time.After(time.Millisecond):
		}
	}
	panic("no goroutine got the first thread")
})

// TestFirstThread: a process whose first thread has ended looks like a zombie in /proc and is none.
func TestFirstThread(t *testing.T) {
	kernels(t, func(t *testing.T) {
		processtest.Check(t)
		ready := t.TempDir() + "/ready"
		c := processtest.Command(t, headless, ready)
		c.Args = slices.Concat([]string{"/bin/sh", "-c", `"$@" & while ! [ -e $0 ]; do sleep 0.01; done`, ready}, c.Args)
		if _, exit := run(t, c); exit.Code != 0 || len(exit.Left) != 1 {
			t.Errorf("exit %+v", exit)
		}
	})
}

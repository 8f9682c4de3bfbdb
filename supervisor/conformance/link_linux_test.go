package conformance_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport"
	"github.com/go-muster/muster/transport/worker"
)

// rude are things to do with the socket on descriptor 3 that its owner would not.
var rude = map[string]func(){
	"close":  func() { syscall.Close(3) },
	"garble": func() { write(bytes.Repeat([]byte{0xff}, 64)) },
	"garble, hang": func() {
		write(bytes.Repeat([]byte{0xff}, 64))
		hang()
	},
	"drop": func() { write(transport.AppendFrame(nil, transport.KindException, 0, []byte("no map"))) },
	"cut in a frame": func() {
		whole := exceptionBody("half of a message " + strings.Repeat("x", 10000))
		frame := transport.AppendFrame(nil, transport.KindException, 0, whole)
		write(frame[:len(frame)/2])
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	},
	"cut in chunks": func() {
		whole := exceptionBody("half of a message " + strings.Repeat("x", 3<<20))
		write(transport.AppendFrame(nil, transport.KindException, 1, whole[:1<<20]))
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	},
	"17 MiB": func() {
		whole := exceptionBody("first words " + strings.Repeat("x", 17<<20) + " last words")
		for len(whole) > 1<<20 {
			write(transport.AppendFrame(nil, transport.KindException, 1, whole[:1<<20]))
			whole = whole[1<<20:]
		}
		write(transport.AppendFrame(nil, transport.KindException, 0, whole))
		os.Exit(1)
	},
	"without end": func() {
		for chunk := make([]byte, 1<<20); ; {
			write(transport.AppendFrame(nil, transport.KindException, 1, chunk))
		}
	},
}

func write(b []byte) {
	for len(b) > 0 {
		n, err := syscall.Write(3, b)
		if err == syscall.EAGAIN {
			_, _ = unix.Poll([]unix.PollFd{{Fd: 3, Events: unix.POLLOUT}}, -1)
		} else if err != nil && err != syscall.EINTR {
			hang() // the other side has had enough, and will end us
		}
		b = b[max(0, n):]
	}
}

func exceptionBody(message string) []byte {
	body, err := transport.Marshal(&transport.Exception{Type: "Verbose", Message: message})
	if err != nil {
		panic(err)
	}
	return body
}

var (
	_ = worker.Func("rude", func(_ context.Context, _ worker.Info, how string) (string, error) {
		rude[how]()
		return "", nil
	})
	rudeCommand = processtest.Helper("rude", func() { rude[os.Args[1]]() })
)

// rudeRank is a rank that is rude in a launch mode.
func rudeRank(t *testing.T, m mode, how string) process.Command {
	t.Helper()
	if rude[how] == nil {
		t.Fatalf("nobody knows how to %q", how)
	}
	if m.name == command.name {
		return processtest.Command(t, rudeCommand, how)
	}
	c := process.Reexec("rude")
	var err error
	if c.Argument, err = transport.Marshal(how); err != nil {
		t.Fatal(err)
	}
	return c
}

func inBoth(t *testing.T, test func(t *testing.T, m mode)) {
	t.Helper()
	for _, m := range []mode{function, command} {
		t.Run(m.name, func(t *testing.T) { test(t, m) })
	}
}

func TestKilledWhileItReports(t *testing.T) {
	inBoth(t, func(t *testing.T, m mode) {
		for _, how := range []string{"cut in a frame", "cut in chunks"} {
			t.Run(how, func(t *testing.T) {
				f := alone(t, rudeRank(t, m, how))
				e, exit := as[*transport.Exception](t, f), as[*process.Exit](t, f)
				if !e.Truncated || e.Type != "Verbose" || !strings.HasPrefix(e.Message, "half of a message x") ||
					exit.Signal != unix.SIGKILL || exit.Stopped {
					t.Errorf("%.100v, truncated %v, exit %v", e, e.Truncated, exit)
				}
			})
		}
	})
}

// A message of 17 MiB that is within no limit is cut down on our side too.
func TestWorkerThatKeepsNoLimits(t *testing.T) {
	inBoth(t, func(t *testing.T, m mode) {
		e := as[*transport.Exception](t, alone(t, rudeRank(t, m, "17 MiB")))
		if !e.Truncated || len(e.Message) > 64<<10 || !strings.HasSuffix(e.Message, " last words") {
			t.Errorf("truncated %v, %d bytes", e.Truncated, len(e.Message))
		}
	})
}

// greedy is a supervisor of a worker that sends without end. It prints its error and how much memory it ever had.
var greedy = processtest.Helper("greedy", func() {
	c := process.Reexec("rude")
	c.Argument, _ = transport.Marshal("without end")
	err := supervisor.Run(context.Background(), supervisor.Spec{Ranks: []process.Command{c}})
	status, _ := os.ReadFile("/proc/self/status")
	_, peak, _ := strings.Cut(string(status), "VmHWM:")
	fmt.Println(errors.Is(err, process.ErrLink), errors.Is(err, transport.ErrTooLarge), strings.Fields(peak)[0])
})

func TestMemoryIsBounded(t *testing.T) {
	x := begin(t, supervisor.Spec{Ranks: []process.Command{processtest.Command(t, greedy)}})
	if err := x.end(); err != nil {
		t.Fatal(err)
	}
	var link, large bool
	var peak int
	line := x.line(process.ID{}, "")
	if _, err := fmt.Sscan(line, &link, &large, &peak); err != nil || !link || !large || peak > 1<<20 {
		t.Errorf("%q: a broken link %v, a message too large %v, %d KiB of memory", line, link, large, peak)
	}
	t.Logf("the supervisor had at most %d MiB", peak>>10)
}

func TestBrokenLink(t *testing.T) {
	inBoth(t, func(t *testing.T, m mode) {
		for _, how := range []string{"garble", "garble, hang"} {
			t.Run(how, func(t *testing.T) {
				f := alone(t, rudeRank(t, m, how))
				if !errors.Is(f, process.ErrLink) || !errors.Is(f, transport.ErrTooLarge) || f.Exception != nil {
					t.Errorf("%v, exception %v", f, f.Exception)
				}
			})
		}
	})
	t.Run("shell", func(t *testing.T) {
		if f := alone(t, sh(`printf "\377\377\377\377\377\377" >&3; exit 0`)); !errors.Is(f, process.ErrLink) {
			t.Error(f)
		}
	})
}

// A message that makes no sense is dropped; the link stays, and the rank may end well.
func TestMessageThatIsDropped(t *testing.T) {
	inBoth(t, func(t *testing.T, m mode) {
		if err := begin(t, supervisor.Spec{Ranks: []process.Command{rudeRank(t, m, "drop")}}).end(); err != nil {
			t.Error(err)
		}
	})
}

// Without its socket a function cannot prove that it ended well (G-8); a command need not.
func TestClosedLink(t *testing.T) {
	t.Run("function", func(t *testing.T) {
		if f := alone(t, rudeRank(t, function, "close")); f.Exit.Code != 1 || f.Exception != nil {
			t.Errorf("%v, exit %v", f, f.Exit)
		}
	})
	for name, c := range map[string]process.Command{
		"command": rudeRank(t, command, "close"),
		"shell":   sh("exec 3>&-; exit 0"),
		"python":  pythonCode("import os; os.close(3)"),
	} {
		t.Run(name, func(t *testing.T) {
			if err := begin(t, supervisor.Spec{Ranks: []process.Command{c}}).end(); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("python that raises", func(t *testing.T) {
		f := alone(t, pythonCode("import os; os.close(3); raise ValueError('unheard')"))
		if f.Exit.Code != 1 || f.Exception != nil || !strings.HasSuffix(f.StderrTail(), "ValueError: unheard\n") {
			t.Errorf("%v, standard error %q", f, f.StderrTail())
		}
	})
}

// A grandchild that holds streams and socket holds up nobody: not in the rank's group, not outside of it.
func TestGrandchildHoldsStreams(t *testing.T) {
	const popen = `
import subprocess, sys
child = subprocess.Popen(["sleep", "1000"], pass_fds=[3], start_new_session=%s)
print("child", child.pid, flush=True)
sys.exit(%d)`
	holding := func(how string) process.Command {
		c := process.Reexec("holder")
		c.Argument, _ = transport.Marshal(how)
		return c
	}
	for name, c := range map[string]process.Command{
		"function, in the group":     holding("in"),
		"function, out of the group": holding("out"),
		"shell, in the group":        sh("sleep 1000 & echo child $!; exit 0"),
		"shell, out of the group":    sh("setsid sleep 1000 & echo child $!; exit 0"),
		"python, in the group":       pythonCode(fmt.Sprintf(popen, "False", 0)),
		"python, out of the group":   pythonCode(fmt.Sprintf(popen, "True", 0)),
		"shell that fails":           sh("setsid sleep 1000 & echo child $!; exit 3"),
		"python that fails":          pythonCode(fmt.Sprintf(popen, "True", 3)),
	} {
		t.Run(name, func(t *testing.T) {
			x := begin(t, supervisor.Spec{Ranks: []process.Command{c}})
			start := time.Now()
			err := x.end()
			child := number(x.line(process.ID{}, "child "))
			t.Cleanup(func() { endStray(t, child, strings.Contains(name, "in the group")) })
			if took := time.Since(start); took > patience/2 {
				t.Errorf("it took %v", took)
			}
			exit := x.rank(0).Exit
			if (err != nil) != strings.Contains(name, "fails") || (err != nil) != (exit.Code == 3) {
				t.Errorf("%v, exit %v", err, exit)
			}
			if len(exit.Left) != 1 {
				t.Errorf("left behind: %v", exit.Left)
			}
		})
	}
}

var _ = worker.Func("holder", func(_ context.Context, _ worker.Info, how string) (string, error) {
	link, err := syscall.Dup(3)
	if err != nil {
		return "", err
	}
	child := exec.Command("sleep", "1000")
	child.Stdout, child.Stderr, child.ExtraFiles = os.Stdout, os.Stderr, []*os.File{os.NewFile(uintptr(link), "link")}
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: how == "out"}
	if err := child.Start(); err != nil {
		return "", err
	}
	fmt.Println("child", child.Process.Pid)
	return "", nil
})

// endStray ends a process that was left behind, where nobody else does so. The number may be a stranger's by now: ours is
// known by what processtest.Check put into its environment.
func endStray(t *testing.T, pid int, gone bool) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	const mark = "MUSTER_TEST_MARK"
	environ, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if !bytes.Contains(environ, []byte(mark+"="+os.Getenv(mark)+"\x00")) || handle(fd).gone(0) {
		return
	}
	if gone {
		t.Errorf("pid %d is there after the end of its group", pid)
	}
	_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
}

package process_test

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/transport/worker"
	"github.com/go-muster/muster/transport/worker/python"
)

func init() {
	worker.Register("deaf elsewhere", func(context.Context, worker.Info) error {
		null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
		if err == nil {
			err = syscall.Dup2(int(null.Fd()), 2)
		}
		fmt.Println("ready", err)
		select {}
	})
}

// chatterbox says a lot before it is asked for its stacks, and far more than an exit keeps after.
var chatterbox = processtest.Helper("answer a dump at length", func() {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGQUIT)
	fmt.Fprintln(os.Stderr, strings.Repeat("before ", 1000))
	fmt.Println("ready")
	<-asked
	fmt.Fprintln(os.Stderr, "first")
	for range 10_000 {
		fmt.Fprintln(os.Stderr, strings.Repeat("x", 99))
	}
	fmt.Fprintln(os.Stderr, "last")
})

// busy and asleep are where a Python program may be stuck: in Python, in C, and with a thread in either.
const (
	busy   = "def stuck():\n  print('ready', flush=True)\n  while True: pass\nstuck()"
	asleep = "import time\ndef stuck():\n  print('ready', flush=True)\n  time.sleep(60)\nstuck()"
	thread = "import threading, time\ndef stuck():\n  print('ready', flush=True)\n  while True: pass\n" +
		"threading.Thread(target=stuck).start()\ntime.sleep(60)"
	own = "import faulthandler, signal, sys, time\nfaulthandler.register(signal.SIGQUIT, file=sys.stdout)\n" + asleep
)

// TestDump: before it is killed a deaf rank writes its stacks, a stopped one as well, and the exit holds them (T25).
func TestDump(t *testing.T) {
	injected := func(source string, env ...string) process.Command {
		argv, ok := python.Inject([]string{python3(t), "-c", source})
		return process.Command{Args: argv, Speaks: ok, Env: env}
	}
	for _, test := range []struct {
		name    string
		command process.Command
		want    string // in the dump; "" means that there is none
		signal  syscall.Signal
		stopped bool
	}{
		{name: "a Go function", command: process.Reexec("wait"), want: "SIGQUIT: quit"},
		{name: "a stopped one", command: process.Reexec("wait"), want: "SIGQUIT: quit", stopped: true},
		{name: "one whose standard error leads elsewhere", command: process.Reexec("deaf elsewhere"), want: "SIGQUIT: quit"},
		{name: "a Go program", command: processtest.Command(t, ignoreTerm), want: "SIGQUIT: quit"},
		{name: "Python in a loop", command: injected(busy), want: "in stuck", signal: syscall.SIGKILL},
		{name: "Python in C", command: injected(asleep), want: "in stuck", signal: syscall.SIGKILL},
		{name: "Python's second thread", command: injected(thread), want: "in stuck", signal: syscall.SIGKILL},
		{name: "Python that is left alone", command: injected(asleep, "PYTHONFAULTHANDLER=0"), signal: syscall.SIGQUIT},
		{name: "Python that does it itself", command: injected(own), signal: syscall.SIGKILL},
		{name: "a shell", command: shell("echo ready; exec sleep 60"), signal: syscall.SIGQUIT},
		{name: "one that does not hear", command: shell("trap '' QUIT; echo ready; exec sleep 60"), signal: syscall.SIGKILL},
	} {
		t.Run(test.name, func(t *testing.T) {
			processtest.Check(t)
			test.command.DumpSignal = syscall.SIGQUIT
			l := launch(t, test.command)
			l.await("its start", func() bool { return strings.ContainsAny(l.output[process.Stdout].String(), "rw") })
			if test.stopped {
				_ = l.Signal(syscall.SIGSTOP)
			}
			l.Kill()
			l.Kill()
			exit := l.awaitExit()
			if exit.Signal != test.signal || !exit.Stopped || len(l.exceptions()) > 0 {
				t.Errorf("exit %+v, exceptions %v\n%s", exit, l.exceptions(), l.dump())
			}
			if dump := string(exit.Dump); !strings.Contains(dump, test.want) || test.want == "" && dump != "" {
				t.Errorf("the dump is %q", dump)
			}
		})
	}
	t.Run("one that goes on and on", func(t *testing.T) {
		processtest.Check(t)
		c := processtest.Command(t, chatterbox)
		c.DumpSignal = syscall.SIGQUIT
		l := launch(t, c)
		l.awaitOutput(process.Stdout, "ready")
		l.await("what it says first", func() bool { return strings.Contains(l.output[process.Stderr].String(), "before \n") })
		l.Kill()
		dump := string(l.awaitExit().Dump)
		if !strings.HasPrefix(dump, "first\n") || !strings.HasSuffix(dump, "x\nlast\n") || strings.Count(dump, "… left out …\n") != 1 {
			t.Errorf("a dump of %d bytes, %.20q", len(dump), dump)
		}
		if len(dump) < 250<<10 || len(dump) > 257<<10 {
			t.Errorf("a dump of %d bytes", len(dump))
		}
	})
}

// TestNoDump: who was not asked has no dump, whatever it says in the end.
func TestNoDump(t *testing.T) {
	processtest.Check(t)
	c := shell("echo dying >&2; exit 3")
	c.DumpSignal = syscall.SIGQUIT
	if _, exit := run(t, c); exit.Dump != nil {
		t.Errorf("the dump is %q", exit.Dump)
	}
}

// TestPythonCrash: an injected Python program that crashes says where (T27).
func TestPythonCrash(t *testing.T) {
	for name, source := range map[string]string{
		"as it is":         "import ctypes\nctypes.string_at(0)",
		"with its own":     "import ctypes, faulthandler, sys\nfaulthandler.enable(file=sys.stdout)\nctypes.string_at(0)",
		"without stderr":   "import ctypes, os\nos.close(2)\nctypes.string_at(0)",
		"after a takeover": "import ctypes, signal\nsignal.signal(signal.SIGQUIT, print)\nctypes.string_at(0)",
	} {
		t.Run(name, func(t *testing.T) {
			processtest.Check(t)
			argv, _ := python.Inject([]string{python3(t), "-c", source})
			l, exit := run(t, process.Command{Args: argv, Speaks: true})
			if exit.Signal != syscall.SIGSEGV || exit.KilledBy() != process.ByNobody {
				t.Errorf("exit %+v\n%s", exit, l.dump())
			}
			said := map[string]string{"with its own": l.stdout(), "without stderr": "string_at"}[name]
			if said == "" {
				said = string(exit.Stderr)
			}
			if fault := string(exit.Dump); strings.HasPrefix(name, "a") && (!strings.HasPrefix(fault, "Fatal Python error: Segmentation fault\n") ||
				!strings.Contains(fault, "string_at")) || strings.HasPrefix(name, "w") && fault != "" {
				t.Errorf("dump %q", fault)
			}
			if !strings.Contains(said, "string_at") || name == "with its own" && len(exit.Stderr) > 0 {
				t.Errorf("no traceback\n%s", l.dump())
			}
		})
	}
}

// TestPythonCrashOfMany: what the threads of a program do when it crashes is more than the tail of standard error holds, and
// is all there; a crash of somebody else on the same stream, or one that a program only prints, is none (T27).
func TestPythonCrashOfMany(t *testing.T) {
	const threads = "import threading\ndef crowd(n):\n  crowd(n - 1) if n else threading.Event().wait()\n" +
		"for _ in range(20): threading.Thread(target=crowd, args=(30,), daemon=True).start()\n"
	const printed = "import os, sys\nsys.stderr.write('Fatal Python error: so they say\\n')\nsys.stderr.flush()\n"
	for _, test := range []struct {
		name, source string
		signal       process.Signal
		dump         bool
	}{
		{"an abort", threads + "import os\ndef give_up(): os.abort()\ngive_up()", syscall.SIGABRT, true},
		{"an abort after another's", printed + threads + "def give_up(): os.abort()\ngive_up()", syscall.SIGABRT, true},
		{"killed after another's", printed + "os.kill(os.getpid(), 9)", syscall.SIGKILL, false},
		{"an exit after another's", printed + "sys.exit(3)", 0, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			processtest.Check(t)
			argv, _ := python.Inject([]string{python3(t), "-c", test.source})
			l, exit := run(t, process.Command{Args: argv, Speaks: true})
			dump := string(exit.Dump)
			if exit.Signal != test.signal || test.dump != (dump != "") {
				t.Fatalf("exit %+v\n%s", exit, l.dump())
			}
			if test.dump && (!strings.HasPrefix(dump, "Fatal Python error: Aborted\n") || !strings.Contains(dump, "in give_up\n") ||
				strings.Count(dump, "in crowd\n") < 20*30 || strings.Contains(dump, "so they say")) {
				t.Errorf("dump:\n%s", dump)
			}
		})
	}
}

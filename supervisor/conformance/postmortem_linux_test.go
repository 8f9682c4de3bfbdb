package conformance_test

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/supervisor"
)

// A death is a way for a rank to fail, in each kind of rank.
type death struct {
	name   string
	ranks  map[string]func(t *testing.T) process.Command
	by     func(x *trial)                                        // what is done to it from outside
	around func(t *testing.T, c process.Command) process.Command // where it is done
}

// The kinds of rank, as docs/operations.md names them.
const (
	inGo     = "Go function"
	inPython = "Python script"
	inC      = "worker in C"
	inShell  = "command"
)

func init() {
	deaf := func() { signal.Ignore(syscall.SIGTERM) }
	maps.Copy(odd, map[string]func() error{
		"raise": func() error { return fmt.Errorf("boom") },
		"segv": func() error {
			var nowhere *int
			go func() { *nowhere = 1 }() // in a goroutine of its own nobody can recover it
			hang()
			return nil
		},
		"wait": func() error { fmt.Println("here"); hang(); return nil },
		"eat": func() error {
			for all := [][]byte{}; ; all = append(all, make([]byte, 1<<20)) {
				for i := range all {
					all[i][0]++
					for at := 0; at < 1<<20; at += 4096 {
						all[i][at]++
					}
				}
			}
		},
		"freeze": func() error {
			for deaf(); ; {
				_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP) // no goroutine runs
			}
		},
		"close":  func() error { syscall.Close(3); return fmt.Errorf("boom") },
		"garble": func() error { deaf(); rude["garble, hang"](); return nil },
	})
}

// goFunction, pythonScript and shellScript make ranks of a table's entries.
func goFunction(name string) func(t *testing.T) process.Command {
	return func(t *testing.T) process.Command { t.Helper(); return oddFunction(t, name) }
}

func pythonScript(source string) func(t *testing.T) process.Command {
	return func(*testing.T) process.Command { return pythonCode(source) }
}

func shellScript(source string) func(t *testing.T) process.Command {
	return func(*testing.T) process.Command { return sh(source) }
}

// deaths lists them in the order of the table. What hangs ignores SIGTERM, so that it always ends in the same way.
func deaths(c func(args ...string) process.Command) []death {
	inThatC := func(args ...string) func(t *testing.T) process.Command {
		return func(*testing.T) process.Command { return c(args...) }
	}
	const deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
	return []death{
		{name: "raises", ranks: map[string]func(*testing.T) process.Command{
			inGo: goFunction("raise"), inPython: pythonScript("raise ValueError('boom')"), inC: inThatC("sum", "boom"),
			inShell: shellScript("echo boom >&2; exit 1"),
		}},
		{name: "exits with 3", ranks: map[string]func(*testing.T) process.Command{
			inGo: goFunction("exit 3"), inPython: pythonScript("raise SystemExit(3)"), inC: inThatC("exit", "3"),
			inShell: shellScript("exit 3"),
		}},
		{name: "SIGSEGV", ranks: map[string]func(*testing.T) process.Command{
			inGo: goFunction("segv"), inPython: pythonScript("import os; os.kill(os.getpid(), 11)"), inC: inThatC("signal", "11"),
			inShell: shellScript("ulimit -c 0; kill -SEGV $$"),
		}},
		{name: "SIGKILL by a stranger", ranks: map[string]func(*testing.T) process.Command{
			inGo: goFunction("wait"), inPython: pythonScript("import time; time.sleep(1000)"), inC: inThatC("wait"),
			inShell: shellScript("exec sleep 1000"),
		}, by: func(x *trial) {
			x.event(supervisor.EventReady, 0)
			hold(x.T, x.event(supervisor.EventStarted, 0).PID).signal(x.T, unix.SIGKILL)
		}},
		{name: "out of memory", around: inSmallMemory, ranks: map[string]func(*testing.T) process.Command{
			inGo: goFunction("eat"), inPython: pythonScript("x = []\nwhile True: x.append(b'x' * 1000000)"),
			inC: inThatC("zeros", "1000000000"), inShell: shellScript("exec tail /dev/zero"),
		}},
		{name: "hangs", ranks: map[string]func(*testing.T) process.Command{
			inGo: goFunction("freeze"), inPython: pythonScript(deaf + "import ctypes; ctypes.PyDLL(None).sleep(1000)"),
			inC: inThatC("hang"), inShell: shellScript(`trap "" TERM; sleep 1000`),
		}},
		{name: "closes fd 3, raises", ranks: map[string]func(*testing.T) process.Command{
			inGo: goFunction("close"), inPython: pythonScript("import os; os.close(3); raise ValueError('boom')"), inC: inThatC("close"),
			inShell: shellScript("exec 3>&-; echo boom >&2; exit 1"),
		}},
		{name: "garbage on fd 3", ranks: map[string]func(*testing.T) process.Command{
			inGo: goFunction("garble"), inPython: pythonScript(deaf + "import os, time; os.write(3, b'\\xff' * 64); time.sleep(1000)"),
			inC: inThatC("garbage"), inShell: shellScript(`trap "" TERM; printf "\377\377\377\377\377\377" >&3; sleep 1000`),
		}},
	}
}

// inSmallMemory lets a rank begin where there are 32 MiB.
func inSmallMemory(t *testing.T, c process.Command) process.Command {
	t.Helper()
	return within(t, 32<<20, c)
}

// within lets a rank begin where there is that much memory, in bytes; exit code 9 says that this cannot be.
func within(t *testing.T, bytes int, c process.Command) process.Command {
	t.Helper()
	join := smallMemory(t, bytes)
	c.Args = append([]string{"/bin/sh", "-c", "ulimit -c 0; " + join + ` || exit 9; exec "$@"`, "sh"}, c.Args...)
	return c
}

// TestPostMortem: what a failure says of each kind of death, in each kind of rank, is what the table in docs/operations.md
// says (T17, T25, T27, G-7, G-8).
func TestPostMortem(t *testing.T) {
	documented := postMortems(t)
	for _, d := range deaths(workerInC(t)) {
		for _, kind := range []string{inGo, inPython, inC, inShell} {
			t.Run(d.name+"/"+kind, func(t *testing.T) {
				c := d.ranks[kind](t)
				if d.around != nil {
					c = d.around(t, c)
				}
				got := fmt.Sprintf("| %s | %s | %s |", d.name, kind, strings.Join(postMortem(t, d, kind, c), " | "))
				if !slices.Contains(documented, got) {
					t.Errorf("docs/operations.md does not have\n%s", got)
				}
			})
		}
	}
	if n := 8 * 4; len(documented) != n {
		t.Errorf("the table has %d rows, want %d", len(documented), n)
	}
}

// postMortem runs a rank to its death and returns the cells of its row.
func postMortem(t *testing.T, d death, kind string, c process.Command) []string {
	t.Helper()
	s := supervisor.Spec{Ranks: []process.Command{c}, Grace: time.Millisecond}
	switch {
	case d.name == "hangs" && kind == inShell:
		s.Lifetime = time.Second // nobody can tell that it hangs
	case d.name == "hangs":
		s.Liveness = supervisor.Liveness{Heartbeat: 50 * time.Millisecond, Silence: 2 * time.Second}
	}
	x := begin(t, s)
	if d.by != nil {
		d.by(x)
	}
	f := x.failure()
	if f.Exit == nil {
		t.Fatalf("%v has no exit", f)
	}
	if d.around != nil && f.Exit.Code == 9 {
		t.Skipf("no process can be limited here: %s", f.Exit.Stderr)
	}
	raised := ""
	if e := f.Exception; e != nil {
		raised = cmp.Or(e.Type, "a text")
		if len(e.Frames) > 0 {
			raised += ", frames"
		}
		if e.Traceback != "" {
			raised += ", traceback"
		}
	}
	tail, _, _ := strings.Cut(f.StderrTail(), "\n")
	return []string{f.Error(), f.Exit.Error(), raised, string(f.Exit.KilledBy()), tail}
}

// postMortems reads the rows of the table.
func postMortems(t *testing.T) (rows []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top, "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## What a failure says\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for line := range strings.Lines(section) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "| ") && !strings.HasPrefix(line, "| a rank ") {
			rows = append(rows, strings.ReplaceAll(line, "`", ""))
		}
	}
	return rows
}

package python

import (
	"fmt"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-muster/muster/transport"
)

// progressOf returns what was told of progress, and the kind of the message after the last of it.
func progressOf(all []transport.Message) (told []transport.Progress, next string) {
	for _, m := range all {
		if p, ok := m.(*transport.Progress); ok {
			told, next = append(told, *p), ""
		} else if next == "" {
			next = m.Kind().String()
		}
	}
	return told, next
}

// TestProgress: a tight loop is told in a few messages, and its last count before the end, however the program ends.
func TestProgress(t *testing.T) {
	const loop = "from muster import progress\nfor n in range(20001): progress(n, 'step %d' % n)\n"
	for _, tt := range []struct{ name, end, next string }{
		{"its end", "", "Result"},
		{"an exception", "1 / 0", "Exception"},
		{"sys.exit(3)", "import sys; sys.exit(3)", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachPython(t, func(t *testing.T, p executable) {
				w := startScript(t, p, loop+tt.end)
				w.greet(t, transport.Welcome{Version: 1})
				told, next := progressOf(w.rest(t))
				if n := len(told); n == 0 || n > 1000 || told[n-1] != (transport.Progress{Count: 20000, Text: "step 20000"}) || next != tt.next {
					t.Fatalf("%d messages, the last %+v, then %q", n, told[max(0, n-3):], next)
				}
				for i, p := range told[1:] {
					if p.Count <= told[i].Count {
						t.Errorf("%d after %d", p.Count, told[i].Count)
					}
				}
			})
		})
	}
}

// TestProgressHeldBack: what came too soon after another is told although the program says nothing more.
func TestProgressHeldBack(t *testing.T) {
	eachPython(t, func(t *testing.T, p executable) {
		w := startScript(t, p, "import muster, sys\nmuster.progress(1)\nmuster.progress(2)\nmuster.progress(3)\nsys.stdin.read()")
		w.greet(t, transport.Welcome{Version: 1})
		expect[*transport.Ready](t, w)
		for last := uint64(0); last != 3; {
			last = expect[*transport.Progress](t, w).Count
		}
		w.stdin.Close()
		expect[*transport.Result](t, w)
	})
}

// TestProgressValues: whatever a program says keeps within the limits of the protocol.
func TestProgressValues(t *testing.T) {
	for _, tt := range []struct {
		call string
		want transport.Progress
	}{
		{"(0)", transport.Progress{}},
		{"(7.9)", transport.Progress{Count: 7}},
		{"(count=5, text='a\\udcff')", transport.Progress{Count: 5, Text: "a\\udcff"}},
		{"(-1); muster.progress(0)", transport.Progress{}},
		{"(1 << 70)", transport.Progress{Count: 1<<63 - 1}},
		{"(5); muster.progress(3)", transport.Progress{Count: 5}},
		{"(1, '\\u5b66' * 1000)", transport.Progress{Count: 1, Text: strings.Repeat("学", 84) + "…"}},
	} {
		t.Run(tt.call, func(t *testing.T) {
			eachPython(t, func(t *testing.T, p executable) {
				w := startScript(t, p, "import muster\nmuster.progress"+tt.call)
				w.greet(t, transport.Welcome{Version: 1})
				told, _ := progressOf(w.rest(t))
				if len(told) != 1 || told[0] != tt.want || !utf8.ValidString(told[0].Text) {
					t.Errorf("told %+v, want %+v", told, tt.want)
				}
			})
		})
	}
}

// TestProgressModule: the module is there without a file, gives way to a program's own, and is missed where there is no
// supervisor as any other.
func TestProgressModule(t *testing.T) {
	const idiom = `
try:
    from muster import progress
except ImportError:
    def progress(count, text=""): print("nobody hears", count)
progress(1)
`
	eachPython(t, func(t *testing.T, p executable) {
		if got := plain(t, t.TempDir(), p.path, "-c", idiom); got.stdout != "nobody hears 1\n" {
			t.Errorf("without a supervisor: %q", got)
		}
		dir := t.TempDir()
		write(t, dir, map[string]string{"own.py": "import muster; print(muster.progress(1))", "muster.py": "def progress(n): return 'mine'"})
		argv, _ := Inject([]string{p.path, "own.py"})
		w := start(t, dir, argv...)
		if got := kinds(w.rest(t)); got != "Hello Ready Result" || w.wait().stdout != "mine\n" {
			t.Errorf("with a module of its own: %s, %q", got, w.wait())
		}
	})
}

// TestProgressForked: a forked child has nothing to say, and what its parent says is not held up by it.
func TestProgressForked(t *testing.T) {
	const script = `
import muster, os
for n in range(100):
    muster.progress(n)
    if n % 10 == 0:
        pid = os.fork()
        if pid == 0:
            muster.progress(1000 + n)
            os._exit(0)
        os.waitpid(pid, 0)
`
	eachPython(t, func(t *testing.T, p executable) {
		w := startScript(t, p, script, "-W", "ignore")
		w.greet(t, transport.Welcome{Version: 1})
		told, next := progressOf(w.rest(t))
		if n := len(told); n == 0 || told[n-1].Count != 99 || next != "Result" {
			t.Errorf("told %+v, then %s", told, next)
		}
	})
}

// TestDump: the stacks of all threads are told while the program goes on, whether it works or waits.
func TestDump(t *testing.T) {
	const script = `
import muster, sys, threading
def waits():
    sys.stdin.read()
def works():
    muster.progress(1)
    while thread.is_alive():
        pass
thread = threading.Thread(target=waits, name="loader")
thread.start()
works()
`
	eachPython(t, func(t *testing.T, p executable) {
		for _, welcome := range []transport.Welcome{{Version: 1, Dumps: true}, {Version: 1, Heartbeat: 3600e9}} {
			w := startScript(t, p, script)
			w.greet(t, welcome)
			expect[*transport.Ready](t, w)
			expect[*transport.Progress](t, w)
			for range 2 {
				if err := w.conn.Send(&transport.Dump{}); err != nil {
					t.Fatal(err)
				}
				text := expect[*transport.Dump](t, w).Text
				for _, part := range []string{"[loader] (most recent call first):\n", "in waits\n", "in works\n", "script.py\", line 11 in <module>\n"} {
					if !strings.Contains(text, part) {
						t.Errorf("no %q in\n%s", part, text)
					}
				}
				if strings.Contains(text, "<muster>") || strings.Count(text, "Thread 0x") != 2 {
					t.Errorf("more than the program's own threads:\n%s", text)
				}
			}
			w.stdin.Close()
			expect[*transport.Result](t, w)
		}
	})
}

// TestDumpWithoutNames: a program that has no module threading has a thread without a name.
func TestDumpWithoutNames(t *testing.T) {
	eachPython(t, func(t *testing.T, p executable) {
		w := startScript(t, p, "import sys\nsys.modules.pop('threading', None) # which site may have imported\nsys.stdin.read()")
		w.greet(t, transport.Welcome{Version: 1, Dumps: true})
		expect[*transport.Ready](t, w)
		if err := w.conn.Send(&transport.Dump{}); err != nil {
			t.Fatal(err)
		}
		if text := expect[*transport.Dump](t, w).Text; !regexp.MustCompile(`^Thread 0x[0-9a-f]{16} \(most recent call first\):\n`).MatchString(text) {
			t.Errorf("got %s", text)
		}
		w.stdin.Close()
		expect[*transport.Result](t, w)
	})
}

// TestNoThreads: a program that is asked for nothing, and asks for nothing, has one thread, whatever it tells.
func TestNoThreads(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("threads are counted in /proc, and elsewhere one listens in any case")
	}
	const script = "import muster, os\nmuster.progress(1)\nmuster.tell('x')\nmuster.report(2)\nprint(len(os.listdir('/proc/self/task')))"
	eachPython(t, func(t *testing.T, p executable) {
		for welcome, threads := range map[transport.Welcome]int{
			{Version: 1, Credit: 100}: 1, {Version: 1, Credit: 100, Dumps: true}: 2, {Version: 1, Credit: 100, Heartbeat: 3600e9}: 3,
		} {
			w := startScript(t, p, script)
			w.greet(t, welcome)
			w.rest(t)
			if got := w.wait().stdout; got != fmt.Sprintln(threads) {
				t.Errorf("%+v: %q threads, want %d", welcome, got, threads)
			}
		}
	})
}

// TestHeartbeatsWhileTheLockIsHeld: none is sent while C code holds the interpreter's lock, which is how a supervisor knows;
// it is sent while Python code is busy.
func TestHeartbeatsWhileTheLockIsHeld(t *testing.T) {
	const script = `
import ctypes, muster, sys, time
end = time.monotonic() + 0.05
while time.monotonic() < end:
    pass
sys.setswitchinterval(1000)
time.sleep(0.05)
before = time.time_ns()
ctypes.PyDLL(None).usleep(100000)
after = time.time_ns()
sys.setswitchinterval(0.005)
muster.progress(1, "%d %d" % (before, after))
sys.stdin.read()
`
	eachPython(t, func(t *testing.T, p executable) {
		w := startScript(t, p, script)
		w.greet(t, transport.Welcome{Version: 1, Heartbeat: 1e6})
		var beats []int64
		var before, after int64
		for last := int64(0); after == 0 || last < after; {
			switch m := w.recv(t).(type) {
			case *transport.Heartbeat:
				last = m.Time
				beats = append(beats, m.Time)
			case *transport.Progress:
				fmt.Sscan(m.Text, &before, &after)
			case nil:
				t.Fatalf("the end: %q", w.wait())
			}
		}
		w.stdin.Close()
		if beats[0] > before {
			t.Error("no heartbeat while Python code was busy")
		}
		for _, at := range beats {
			if before < at && at < after {
				t.Errorf("a heartbeat %d ns after C code took the lock", at-before)
			}
		}
	})
}

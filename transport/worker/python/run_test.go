package python

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/go-muster/muster/transport"
)

// An executable is one Python of this machine.
type executable struct {
	path    string
	real    string // without symbolic links
	version string // 3.12.1
	minor   int
}

// interpreters finds every Python from 3.9 on, oldest first: of the system, on the PATH, and of pyenv.
var interpreters = sync.OnceValue(func() []executable {
	candidates := []string{"/usr/bin/python3", "python3"}
	for minor := 9; minor < 15; minor++ {
		candidates = append(candidates, fmt.Sprintf("python3.%d", minor))
	}
	if home, err := os.UserHomeDir(); err == nil {
		pyenv, _ := filepath.Glob(filepath.Join(home, ".pyenv/versions/3.*/bin/python3"))
		candidates = append(candidates, pyenv...)
	}
	var found []executable
	for _, c := range candidates {
		p, err := ask(c)
		same := func(q executable) bool { return q.real == p.real }
		if err == nil && p.minor >= 9 && !slices.ContainsFunc(found, same) {
			found = append(found, p)
		}
	}
	slices.SortFunc(found, func(p, q executable) int { return cmp.Or(p.minor-q.minor, strings.Compare(p.real, q.real)) })
	return found
})

// ask returns what a candidate says of itself: one on the PATH may be a script that starts another.
func ask(candidate string) (p executable, err error) {
	const question = `import sys; print(sys.executable, "%d.%d.%d" % sys.version_info[:3], sys.version_info[1])`
	out, err := exec.Command(candidate, "-c", question).Output()
	if err != nil {
		return p, err
	}
	if _, err := fmt.Sscan(string(out), &p.path, &p.version, &p.minor); err != nil {
		return p, err
	}
	p.real, err = filepath.EvalSymlinks(p.path)
	return p, err
}

// eachPython runs a test with every interpreter, side by side, and says so where there is only one.
func eachPython(t *testing.T, test func(t *testing.T, p executable)) {
	t.Helper()
	all := interpreters()
	if len(all) == 0 {
		t.Skip("there is no Python 3.9 or later")
	}
	if len(all) == 1 {
		t.Run("other versions", func(t *testing.T) { t.Skip("the only Python is " + all[0].path) })
	}
	for _, p := range all {
		t.Run(p.version, func(t *testing.T) {
			t.Parallel()
			test(t, p)
		})
	}
}

// A worker is a Python process with a link to the test.
type worker struct {
	*exec.Cmd
	conn           *transport.Conn
	stdin          io.WriteCloser
	stdout, stderr bytes.Buffer
	end            func() end // waits for the process
}

// An end is how a process ended, in a form that can be compared.
type end struct {
	status, stdout, stderr string
}

// environment is that of every process of the tests: nothing of the machine's own Python settings.
func environment() []string {
	env := []string{"LC_ALL=C.UTF-8", "RANK=3", "MUSTER_GENERATION=2"}
	for _, key := range []string{"PATH", "HOME", "TMPDIR"} {
		env = append(env, key+"="+os.Getenv(key))
	}
	return env
}

// start starts a command line in a directory with the worker's end of a link as descriptor 3. The link and the process
// end with the test.
func start(t testing.TB, dir string, argv ...string) *worker {
	t.Helper()
	parent, child, err := transport.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer child.Close()
	w := &worker{Cmd: exec.CommandContext(t.Context(), argv[0], argv[1:]...), conn: transport.NewConn(parent)}
	w.Dir, w.Env, w.ExtraFiles = dir, append(environment(), transport.EnvFD+"=3"), []*os.File{child}
	w.Stdout, w.Stderr = &w.stdout, &w.stderr
	if w.stdin, err = w.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	w.end = sync.OnceValue(func() end {
		w.Cmd.Wait()
		return ended(w.Cmd, &w.stdout, &w.stderr)
	})
	t.Cleanup(func() {
		w.conn.Close()
		w.Process.Kill()
		w.end()
	})
	return w
}

// startScript starts a script as a worker.
func startScript(t testing.TB, p executable, script string, options ...string) *worker {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, map[string]string{"script.py": script})
	argv, ok := Inject(slices.Concat([]string{p.path}, options, []string{"script.py"}))
	if !ok {
		t.Fatalf("not injected: %q", options)
	}
	return start(t, dir, argv...)
}

// recv returns the next message, nil at the end of the link.
func (w *worker) recv(t testing.TB) transport.Message {
	t.Helper()
	m, err := w.conn.Recv()
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatalf("%v after\n%s", err, w.stderr.String())
	}
	return m
}

// expect receives one message of type M.
func expect[M transport.Message](t testing.TB, w *worker) M {
	t.Helper()
	m := w.recv(t)
	got, ok := m.(M)
	if !ok {
		t.Fatalf("got %T, want %T; stderr:\n%s", m, got, w.wait().stderr)
	}
	return got
}

// greet answers Hello, and receives Ready.
func (w *worker) greet(t testing.TB, welcome transport.Welcome) {
	t.Helper()
	expect[*transport.Hello](t, w)
	if err := w.conn.Send(&welcome); err != nil {
		t.Fatal(err)
	}
}

// rest answers Hello and returns all messages to the end of the link.
func (w *worker) rest(t testing.TB) (all []transport.Message) {
	t.Helper()
	for m := w.recv(t); m != nil; m = w.recv(t) {
		if all = append(all, m); m.Kind() == transport.KindHello {
			// The worker may be gone already; it then ends without an answer.
			_ = w.conn.Send(&transport.Welcome{Version: transport.Version})
		}
	}
	return all
}

// wait ends the process's input and returns how the process ended.
func (w *worker) wait() end {
	w.stdin.Close()
	return w.end()
}

func ended(c *exec.Cmd, stdout, stderr *bytes.Buffer) end {
	return end{c.ProcessState.String(), stdout.String(), stderr.String()}
}

// plain runs a command line without any link.
func plain(t testing.TB, dir string, argv ...string) end {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, environment(), &stdout, &stderr
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return ended(cmd, &stdout, &stderr)
}

// write makes files, and the directories they are in. A name that ends in a slash is an empty directory.
func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		parent, base := filepath.Split(name)
		if err := os.MkdirAll(filepath.Join(dir, parent), 0o755); err != nil {
			t.Fatal(err)
		}
		if base == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// kinds names messages in their order.
func kinds(all []transport.Message) string {
	var names []string
	for _, m := range all {
		names = append(names, m.Kind().String())
	}
	return strings.Join(names, " ")
}

// TestShim runs the shim's own tests.
func TestShim(t *testing.T) {
	eachPython(t, func(t *testing.T, p executable) {
		if out, err := exec.CommandContext(t.Context(), p.path, "-W", "error", "shim_test.py").CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

func TestHello(t *testing.T) {
	eachPython(t, func(t *testing.T, p executable) {
		w := startScript(t, p, "")
		hello := expect[*transport.Hello](t, w)
		want := transport.Hello{Min: 1, Max: 1, PID: w.Process.Pid, SDK: "python/" + p.version}
		if *hello != want {
			t.Errorf("got %+v, want %+v", *hello, want)
		}
		if err := w.conn.Send(&transport.Welcome{Version: 1}); err != nil {
			t.Fatal(err)
		}
		if got := kinds(w.rest(t)); got != "Ready Result" {
			t.Errorf("then %s", got)
		}
	})
}

// TestNoVersion: a supervisor that shares no version with the worker is told so on stderr, and no user code runs.
func TestNoVersion(t *testing.T) {
	eachPython(t, func(t *testing.T, p executable) {
		w := startScript(t, p, "print('user code')")
		w.greet(t, transport.Welcome{})
		if rest := w.rest(t); len(rest) != 0 {
			t.Errorf("got %s", kinds(rest))
		}
		got := w.wait()
		want := end{"exit status 1", "", "muster: the supervisor does not speak version 1 of the protocol\n"}
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// TestHeartbeats: they are sent while the program runs, and no sooner than they are asked for.
func TestHeartbeats(t *testing.T) {
	eachPython(t, func(t *testing.T, p executable) {
		w := startScript(t, p, "import sys; sys.stdin.read(); 1 / 0")
		w.greet(t, transport.Welcome{Version: 1, Heartbeat: 1e6})
		seq, raised := 0, false
		for m := w.recv(t); m != nil; m = w.recv(t) {
			switch m := m.(type) {
			case *transport.Heartbeat:
				if seq++; m.Seq != seq || m.Time == 0 {
					t.Fatalf("got %+v, want number %d", m, seq)
				}
				if seq == 5 {
					w.stdin.Close()
				}
			case *transport.Exception:
				raised = true
			}
		}
		if seq < 5 || !raised {
			t.Errorf("%d heartbeats, exception: %v", seq, raised)
		}
	})
}

// TestForksBesideHeartbeats: a child that is forked while another thread writes is not held up by what that thread held.
func TestForksBesideHeartbeats(t *testing.T) {
	const script = `
import os
for n in range(30):
    if os.fork() == 0: break
    assert os.wait()[1] == 0
else:
    print("parent")
`
	eachPython(t, func(t *testing.T, p executable) {
		w := startScript(t, p, script)
		w.greet(t, transport.Welcome{Version: 1, Heartbeat: 1e4})
		results := 0
		for m := w.recv(t); m != nil; m = w.recv(t) {
			if m.Kind() == transport.KindResult {
				results++
			}
		}
		if got := w.wait(); got.status != "exit status 0" || got.stdout != "parent\n" || results != 1 {
			t.Errorf("%d results; %+v", results, got)
		}
	})
}

// TestNoAnswer: a supervisor that does not answer delays a program, but does not keep it from running.
func TestNoAnswer(t *testing.T) {
	hasty := strings.Replace(shim, "\nPATIENCE = 5 ", "\nPATIENCE = 0.01 ", 1)
	if hasty == shim {
		t.Fatal("there is no PATIENCE in shim.py")
	}
	eachPython(t, func(t *testing.T, p executable) {
		w := start(t, t.TempDir(), p.path, "-c", boot, hasty, modeCode, "1 / 0")
		for _, want := range []transport.Kind{transport.KindHello, transport.KindReady, transport.KindException} {
			if m := w.recv(t); m == nil || m.Kind() != want {
				t.Errorf("got %T, want %v", m, want)
			}
		}
	})
}

// TestExceptionBeforeExit: the exception is told before handlers and threads that may keep the process from its end.
func TestExceptionBeforeExit(t *testing.T) {
	const script = `
import atexit, sys, threading
atexit.register(lambda: print("handler", flush=True))
threading.Thread(target=sys.stdin.read).start()
raise ValueError("early")
`
	eachPython(t, func(t *testing.T, p executable) {
		w := startScript(t, p, script)
		w.greet(t, transport.Welcome{Version: 1})
		expect[*transport.Ready](t, w)
		x := expect[*transport.Exception](t, w)
		if x.Message != "early" || x.PID != w.Process.Pid || x.Rank != 3 || x.Generation != 2 || x.Host == "" || x.Time == 0 {
			t.Errorf("got %+v", x)
		}
		if got := w.wait(); got.status != "exit status 1" || got.stdout != "handler\n" {
			t.Errorf("got %+v", got)
		}
	})
}

// TestLargeException: one that needs several frames, with a text that is too long for any.
func TestLargeException(t *testing.T) {
	const script = `
e = ValueError("first " + "x" * (17 << 20) + " last")
e.__notes__ = ["n" * (64 << 10)] * 60
raise e
`
	eachPython(t, func(t *testing.T, p executable) {
		w := startScript(t, p, script)
		x, _ := lastOf(w.rest(t)).(*transport.Exception)
		if x == nil {
			t.Fatal("no exception")
		}
		if !x.Truncated || len(x.Notes) != 60 || len(x.Notes[59]) != 64<<10 {
			t.Errorf("truncated: %v, %d notes", x.Truncated, len(x.Notes))
		}
		for _, text := range []string{x.Message, x.Traceback} {
			if len(text) > 64<<10 || len(text) < 64<<10-8 || strings.Count(text, "left out") != 1 {
				t.Errorf("a text of %d bytes, %d times cut", len(text), strings.Count(text, "left out"))
			}
		}
		if !strings.HasPrefix(x.Message, "first ") || !strings.HasSuffix(x.Message, " last") {
			t.Error("the ends are not there")
		}
	})
}

func lastOf(all []transport.Message) transport.Message {
	if len(all) == 0 {
		return nil
	}
	return all[len(all)-1]
}

// TestInterrupt: SIGINT becomes an exception, and the process still dies of it. The signal may come before the first line.
func TestInterrupt(t *testing.T) {
	eachPython(t, func(t *testing.T, p executable) {
		w := startScript(t, p, "while True: pass") // a read that begins just then would not see the signal
		w.greet(t, transport.Welcome{Version: 1})
		expect[*transport.Ready](t, w)
		if err := w.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		x := expect[*transport.Exception](t, w)
		if got := w.wait(); x.Type != "KeyboardInterrupt" || got.status != "signal: interrupt" || got.stderr != x.Traceback {
			t.Errorf("%s; %+v", x.Traceback, got)
		}
	})
}

// TestSupervisorGone: a link that breaks costs the program nothing, not even where SIGPIPE would kill it.
func TestSupervisorGone(t *testing.T) {
	const script = `
import signal, sys
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
sys.stdin.read()
print("done")
sys.exit(%s)
`
	for _, tt := range []struct{ exit, status string }{{"0", "exit status 0"}, {"9", "exit status 9"}, {"1 / 0", "exit status 1"}} {
		t.Run(tt.exit, func(t *testing.T) {
			eachPython(t, func(t *testing.T, p executable) {
				w := startScript(t, p, fmt.Sprintf(script, tt.exit))
				w.greet(t, transport.Welcome{Version: 1})
				expect[*transport.Ready](t, w)
				w.conn.Close()
				if got := w.wait(); got.status != tt.status || got.stdout != "done\n" {
					t.Errorf("got %+v", got)
				}
			})
		})
	}
}

// TestSupervisorGoneFirst: one that is gone before it answers does not keep the program from running.
func TestSupervisorGoneFirst(t *testing.T) {
	eachPython(t, func(t *testing.T, p executable) {
		w := startScript(t, p, "print('done')")
		w.conn.Close()
		if got := w.wait(); got != (end{"exit status 0", "done\n", ""}) {
			t.Errorf("got %+v", got)
		}
	})
}

// TestOrphan: where there is no parent-death signal the end of the link is the end of the process.
func TestOrphan(t *testing.T) {
	const elsewhere = `import sys; sys.platform = "elsewhere"; ` + boot
	eachPython(t, func(t *testing.T, p executable) {
		w := start(t, t.TempDir(), p.path, "-c", elsewhere, shim, modeCode, "import sys; sys.stdin.read(); print('end of input')")
		w.greet(t, transport.Welcome{Version: 1})
		expect[*transport.Ready](t, w)
		w.conn.Close()
		if got := w.end(); got != (end{"exit status 1", "", ""}) { // the input stays open
			t.Errorf("got %+v", got)
		}
	})
}

// TestClosedDescriptor: a program that closes descriptors that it does not know, and gets their numbers for files of its
// own, does not find frames in them.
func TestClosedDescriptor(t *testing.T) {
	const script = `
import os
os.closerange(3, 64)
fd = os.open("mine", os.O_CREAT | os.O_RDWR)
assert fd == 3, fd
if os.fork() == 0:
    os.fstat(fd)
    os._exit(0)
assert os.wait()[1] == 0
raise ValueError
`
	eachPython(t, func(t *testing.T, p executable) {
		w := startScript(t, p, script)
		if got := kinds(w.rest(t)); got != "Hello Ready" {
			t.Errorf("got %s", got)
		}
		if got := w.wait(); !strings.HasSuffix(got.stderr, "\nValueError\n") {
			t.Errorf("got %+v", got)
		}
		if mine, err := os.ReadFile(filepath.Join(w.Dir, "mine")); err != nil || len(mine) != 0 {
			t.Errorf("the program's file holds %q, %v", mine, err)
		}
	})
}

// TestNoLink: without a socket, or with a variable that names none, the program simply runs.
func TestNoLink(t *testing.T) {
	argv, _ := Inject([]string{"python3", "-c", "import os, sys; print(os.environ.get('MUSTER_FD')); sys.exit(4)"})
	for _, value := range []string{"", "3", "-1", "x", "99999999999999999999"} {
		t.Run(value, func(t *testing.T) {
			eachPython(t, func(t *testing.T, p executable) {
				cmd := exec.CommandContext(t.Context(), p.path, argv[1:]...)
				cmd.Env = append(environment(), "MUSTER_FD="+value)
				out, err := cmd.CombinedOutput()
				if err == nil || err.Error() != "exit status 4" || string(out) != "None\n" {
					t.Errorf("%v\n%s", err, out)
				}
			})
		})
	}
}

// TestNoDirectory: a program may start in a directory that was removed.
func TestNoDirectory(t *testing.T) {
	gone := []string{"sh", "-c", `mkdir gone && cd gone && rmdir ../gone && exec "$@"`, "sh"}
	eachPython(t, func(t *testing.T, p executable) {
		dir := t.TempDir()
		write(t, dir, map[string]string{"script.py": "import sys; print(sys.path, __file__)"})
		for _, program := range [][]string{{filepath.Join(dir, "script.py")}, {"-c", "import sys; print(sys.path)"}} {
			argv := append([]string{p.path}, program...)
			injected, _ := Inject(argv)
			want := plain(t, dir, slices.Concat(gone, argv)...)
			w := start(t, dir, slices.Concat(gone, injected)...)
			if got := kinds(w.rest(t)); got != "Hello Ready Result" {
				t.Errorf("the worker said %s", got)
			}
			if got := w.wait(); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		}
	})
}

// TestSmallMemory: where there is no memory left to tell everything, what there is room for is told.
func TestSmallMemory(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the address space cannot be limited")
	}
	const script = `
import resource
now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + (8 << 20), -1))
bytearray(1 << 30)
`
	eachPython(t, func(t *testing.T, p executable) {
		w := startScript(t, p, script)
		x, _ := lastOf(w.rest(t)).(*transport.Exception)
		if x == nil || x.Type != "MemoryError" {
			t.Errorf("got %+v", x)
		}
	})
}

// TestTerminated: a program that is killed says nothing more, and nothing hides the signal.
func TestTerminated(t *testing.T) {
	eachPython(t, func(t *testing.T, p executable) {
		w := startScript(t, p, "import sys; sys.stdin.read()")
		w.greet(t, transport.Welcome{Version: 1})
		expect[*transport.Ready](t, w)
		if err := w.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if m := w.recv(t); m != nil {
			t.Errorf("got %T", m)
		}
		if got := w.wait(); got != (end{"signal: terminated", "", ""}) {
			t.Errorf("got %+v", got)
		}
	})
}

// BenchmarkStart is the way to a program's first line and out again: under plain Python, and as a worker.
func BenchmarkStart(b *testing.B) {
	for _, p := range interpreters() {
		dir := b.TempDir()
		write(b, dir, map[string]string{"script.py": ""})
		argv := []string{p.path, "script.py"}
		injected, _ := Inject(argv)
		b.Run(p.version+"/plain", func(b *testing.B) {
			for b.Loop() {
				plain(b, dir, argv...)
			}
		})
		b.Run(p.version+"/worker", func(b *testing.B) {
			for b.Loop() {
				w := start(b, dir, injected...)
				w.rest(b)
				w.wait()
			}
		})
	}
}

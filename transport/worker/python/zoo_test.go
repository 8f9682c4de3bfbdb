package python

import (
	"flag"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-muster/muster/transport"
)

// An animal is a program that must do as a worker what it does under plain Python: end the same way, with the same
// output, traceback included.
type animal struct {
	name   string
	script string            // of script.py
	files  map[string]string // beside it
	setup  string            // code that prepares them
	argv   []string          // for the interpreter; a script, without the slow start of site, when nil
	since  int               // the minor version of Python that it needs
	says   string            // the messages after Hello; Ready Result when empty
	check  func(t *testing.T, x *transport.Exception)
	quiet  bool // the exception's traceback does not stand in stderr
}

const (
	raises = "Ready Exception"
	silent = "Ready"
	early  = "Exception"
)

var zoo = slices.Concat(namespaces, failures, exits, programs, children)

var all = flag.Bool("all", false, "run every animal of the zoo under every Python, not under every third")

// TestZoo runs every animal as a worker and under plain Python, and compares. They take turns: each runs under every
// third of the Pythons that it can live in.
func TestZoo(t *testing.T) {
	for i, a := range zoo {
		t.Run(a.name, func(t *testing.T) {
			able := slices.DeleteFunc(slices.Clone(interpreters()), func(p executable) bool { return p.minor < a.since })
			eachPython(t, func(t *testing.T, p executable) {
				if p.minor < a.since {
					t.Skipf("needs Python 3.%d", a.since)
				}
				if turn := i + slices.Index(able, p); turn%min(3, len(able)) != 0 && !*all {
					t.Skip("another's turn: -all runs it")
				}
				compare(t, a, p)
			})
		})
	}
}

func compare(t *testing.T, a animal, p executable) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"script.py": a.script})
	write(t, dir, a.files)
	if a.setup != "" {
		if got := plain(t, dir, p.path, "-c", a.setup); got.status != "exit status 0" {
			t.Fatalf("setup: %+v", got)
		}
	}
	argv := append([]string{p.path}, a.argv...)
	if a.argv == nil {
		argv = append(argv, "-S", "script.py", "a", "-b")
	}
	want := plain(t, dir, argv...)
	injected, ok := Inject(argv)
	if !ok {
		t.Fatalf("not injected: %q", argv)
	}
	w := start(t, dir, injected...)
	w.stdin.Close()
	messages := w.rest(t)
	got := w.wait()
	for _, d := range []struct{ what, got, want string }{
		{"status", got.status, want.status}, {"stdout", stable(got.stdout), stable(want.stdout)}, {"stderr", stable(got.stderr), stable(want.stderr)},
	} {
		if d.got != d.want {
			t.Errorf("%s:\n%s\nplain Python:\n%s", d.what, d.got, d.want)
		}
	}
	a.judge(t, messages, got.stderr)
}

// judge checks what the worker said.
func (a animal) judge(t *testing.T, messages []transport.Message, stderr string) {
	t.Helper()
	says := a.says
	if says == "" {
		says = "Ready Result"
	}
	if got := kinds(messages); got != "Hello "+says {
		t.Errorf("the worker said %q, want %q", got, "Hello "+says)
	}
	x, ok := lastOf(messages).(*transport.Exception)
	if !ok {
		return
	}
	if !a.quiet && (x.Traceback == "" || !strings.Contains(stderr, x.Traceback)) {
		t.Errorf("traceback:\n%s\nstderr:\n%s", x.Traceback, stderr)
	}
	for _, f := range x.Frames {
		if f.File == "<muster>" || f.Line == 0 || f.Function == "" {
			t.Errorf("frame %+v", f)
		}
	}
	if a.check != nil {
		a.check(t, x)
	}
}

// stable leaves out what no two runs have in common, addresses, and what a worker cannot have in common with plain Python:
// its stack begins three frames higher, so that it overflows earlier, and somebody else refers to an exception.
func stable(output string) string { return unstable.ReplaceAllString(output, "…") }

var unstable = regexp.MustCompile(`0x[0-9a-f]+|line repeated \d+ more times|refcount : \d+`)

// is returns a check of the types of an exception and of what it came from, outermost first.
func is(types ...string) func(*testing.T, *transport.Exception) {
	return func(t *testing.T, x *transport.Exception) {
		var got []string
		for ; x != nil; x = related(x) {
			got = append(got, x.Type)
		}
		if !slices.Equal(got, types) {
			t.Errorf("types %q, want %q", got, types)
		}
	}
}

func related(x *transport.Exception) *transport.Exception {
	if x.Cause != nil {
		return x.Cause
	}
	return x.Context
}

// namespaces print what a program can see of where it is.
var namespaces = []animal{
	{name: "the main module", argv: []string{"script.py", "a", "-b"}, script: printMain},
	{name: "the main module by another path", argv: []string{"./sub/../script.py"}, files: map[string]string{"sub/": ""}, script: printMain},
	{name: "the main module in a directory", argv: []string{"sub/x.py", "--", "-"}, files: map[string]string{"sub/x.py": printMain}},
	{name: "the main module behind a link", argv: []string{"link.py"}, setup: `import os; os.symlink("sub/x.py", "link.py")`,
		files: map[string]string{"sub/x.py": printMain}},
	{name: "the main module without a suffix", argv: []string{"x"}, files: map[string]string{"x": printMain}},
	{name: "the main module of a module", argv: []string{"-m", "script", "a"}, script: printMain},
	{name: "the main module of a package", argv: []string{"-m", "pkg", "a"}, files: map[string]string{"pkg/__main__.py": printMain, "pkg/__init__.py": ""}},
	{name: "the main module of a part", argv: []string{"-mpkg.part", "a"}, files: map[string]string{"pkg/part.py": printMain, "pkg/__init__.py": "import sys; print(sys.argv)"}},
	{name: "the main module of a directory", argv: []string{"dir", "a"}, files: map[string]string{"dir/__main__.py": printMain}},
	{name: "the main module of an archive", argv: []string{"x.zip", "a"}, files: map[string]string{"__main__.py": printMain},
		setup: `import zipfile; z = zipfile.ZipFile("x.zip", "w"); z.write("__main__.py"); z.close()`},
	{name: "the main module of code", argv: []string{"-c", printMain, "a"}},
	{name: "the main module, isolated", argv: []string{"-I", "script.py"}, script: printMain},
	{name: "a directory, isolated", argv: []string{"-I", "dir"}, files: map[string]string{"dir/__main__.py": printMain}},
	{name: "a safe path", since: 11, argv: []string{"-P", "script.py"}, script: printMain},
	{name: "a module, with a safe path", since: 11, argv: []string{"-P", "-m", "script"}, says: raises, quiet: true},
	{name: "optimized", argv: []string{"-OO", "script.py"}, script: "assert False\n" + printMain},
	{name: "strict", argv: []string{"-bb", "-X", "dev", "-W", "error", "script.py"}, script: printMain},
	{name: "without site", argv: []string{"-S", "-E", "-s", "-u", "-B", "script.py"}, script: printMain},
	{name: "modules", argv: []string{"script.py"}, script: `import sys; print(sorted(set(sys.modules) - {"_socket", "linecache"}))`},
	{name: "modules of code", argv: []string{"-c", `import sys; print(sorted(set(sys.modules) - {"_socket", "linecache"}))`}},
	{name: "the environment", script: "import os; print(sorted(os.environ.items()))"},
	{name: "encodings", argv: []string{"x.py"}, files: map[string]string{"x.py": "# -*- coding: latin-1 -*-\r\nprint(ascii('\xe9'), __file__)\r\n"}},
	{name: "a byte order mark", argv: []string{"x.py"}, files: map[string]string{"x.py": "\ufeffprint('\u00e9')"}},
	{name: "compiled", argv: []string{"x.pyc", "a"}, files: map[string]string{"x.py": printMain}, setup: `import py_compile; py_compile.compile("x.py", "x.pyc")`},
	{name: "its own source", script: "import inspect\ndef f():\n  return 1\nprint(inspect.getsource(f), inspect.getmodule(f))\n"},
	{name: "threads", script: "import threading; print(threading.active_count(), threading.main_thread() is threading.current_thread())"},
}

const printMain = `"""doc"""
import __main__, sys
print(sys.argv, sys.path, sys.flags)
print(sorted(globals()), globals() is vars(__main__), sys.modules["__main__"] is __main__)
for name in "__name__", "__file__", "__spec__", "__package__", "__doc__", "__cached__", "__builtins__":
    print(name, globals().get(name))
print(type(__loader__), getattr(__loader__, "path", None), getattr(__loader__, "name", None), sys.gettrace(), sys.excepthook)
`

// failures end in an exception.
var failures = []animal{
	{name: "an exception", says: raises, script: "def f():\n  raise ValueError('no')\nf()", check: func(t *testing.T, x *transport.Exception) {
		want := []transport.Frame{{File: x.Frames[0].File, Line: 3, Function: "<module>", Code: "f()"},
			{File: x.Frames[0].File, Line: 2, Function: "f", Code: "raise ValueError('no')"}}
		if x.Type != "ValueError" || x.Module != "builtins" || x.Message != "no" || !reflect.DeepEqual(x.Frames, want) || filepath.Base(want[0].File) != "script.py" {
			t.Errorf("got %+v", x)
		}
	}},
	{name: "a class of its own", says: raises, script: "class A:\n  class B(Exception): pass\ne = A.B(1, 2)\ne.code = 7\nraise e", check: func(t *testing.T, x *transport.Exception) {
		if x.Type != "A.B" || x.Module != "__main__" || x.Message != "(1, 2)" || x.Attributes["code"] != "7" || len(x.Attributes) != 1 {
			t.Errorf("got %+v", x)
		}
	}},
	{name: "a cause", says: raises, script: "try: 1 / 0\nexcept Exception as e: raise ValueError(1) from e", check: is("ValueError", "ZeroDivisionError")},
	{name: "a context", says: raises, script: "try:\n  try: 1 / 0\n  except Exception: {}[1]\nexcept Exception: raise ValueError", check: is("ValueError", "KeyError", "ZeroDivisionError")},
	{name: "a suppressed context", says: raises, script: "try: 1 / 0\nexcept Exception: raise ValueError(1) from None", check: func(t *testing.T, x *transport.Exception) {
		if !x.Suppressed || x.Cause != nil || x.Context.Type != "ZeroDivisionError" || x.Unwrap() != nil {
			t.Errorf("got %+v", x)
		}
	}},
	{name: "a circle of causes", says: raises, script: "a, b = ValueError(1), KeyError(2)\na.__cause__, b.__cause__ = b, a\nraise a", check: is("ValueError", "KeyError")},
	{name: "notes", since: 11, says: raises, script: "e = ValueError(1)\ne.add_note('one\\nline')\ne.add_note('two')\nraise e", check: func(t *testing.T, x *transport.Exception) {
		if !slices.Equal(x.Notes, []string{"one\nline", "two"}) {
			t.Errorf("got %q", x.Notes)
		}
	}},
	{name: "a group", since: 11, says: raises, script: groupScript, check: func(t *testing.T, x *transport.Exception) {
		if len(x.Members) != 2 || x.Members[0].Cause.Type != "ZeroDivisionError" || x.Members[1].Members[0].Type != "KeyError" {
			t.Errorf("got %+v", x)
		}
	}},
	{name: "str that raises", says: raises, script: "class E(Exception):\n  def __str__(self): 1 / 0\nraise E", check: func(t *testing.T, x *transport.Exception) {
		if x.Message != "<exception str() failed>" {
			t.Errorf("got %q", x.Message)
		}
	}},
	{name: "text that is not UTF-8", says: raises, script: `raise ValueError("a\udcff\ud800\u2028\0b")`, check: func(t *testing.T, x *transport.Exception) {
		if x.Message != "a\\udcff\\ud800\u2028\x00b" {
			t.Errorf("got %q", x.Message)
		}
	}},
	{name: "a warning before it", says: raises, script: "import warnings\nwarnings.warn('mind')\n1 / 0", check: func(t *testing.T, x *transport.Exception) {
		if strings.Contains(x.Traceback, "mind") || strings.Contains(x.Traceback, "Warning") {
			t.Errorf("got %s", x.Traceback)
		}
	}},
	{name: "a suggestion", since: 10, says: raises, script: "learning_rate = 1\nprint(learning_rat)", check: is("NameError")},
	{name: "recursion", says: raises, quiet: true, script: "def f(): f()\nf()", check: func(t *testing.T, x *transport.Exception) {
		if x.Type != "RecursionError" || len(x.Frames) != 128 || !x.Truncated {
			t.Errorf("%s, %d frames", x.Type, len(x.Frames))
		}
	}},
	{name: "syntax", says: early, script: "x = 1\nprint(x y)\n", check: func(t *testing.T, x *transport.Exception) {
		a := x.Attributes
		if x.Type != "SyntaxError" || a["lineno"] != "2" || a["text"] != `'print(x y)\n'` || !strings.HasSuffix(a["filename"], "/script.py'") || x.Frames != nil {
			t.Errorf("got %+v", x)
		}
	}},
	{name: "indentation", says: early, script: "if 1:\npass", check: is("IndentationError")},
	{name: "tabs", says: early, script: "if 1:\n\tx = 1\n        y = 2\n", check: is("TabError")},
	{name: "syntax of a module", says: raises, script: "import other", files: map[string]string{"other.py": "def f(:"}, check: is("SyntaxError")},
	{name: "syntax of code", argv: []string{"-c", "x = ="}, says: early, check: is("SyntaxError")},
	{name: "no such module to import", says: raises, script: "import nosuch.part", check: is("ModuleNotFoundError")},
	{name: "an import that fails", says: raises, script: "import one", files: map[string]string{"one.py": "import two", "two.py": "1 / 0"}, check: is("ZeroDivisionError")},
	{name: "code called <string>", says: raises, script: "exec('1 / 0')", check: is("ZeroDivisionError")},
	{name: "code", argv: []string{"-c", "def f():\n  1 / 0\nf()"}, says: raises, check: is("ZeroDivisionError")},
	{name: "a module that fails", argv: []string{"-m", "script"}, script: "def f(): 1 / 0\nf()", says: raises, check: is("ZeroDivisionError")},
	{name: "a directory that fails", argv: []string{"dir"}, files: map[string]string{"dir/__main__.py": "1 / 0"}, says: raises, check: is("ZeroDivisionError")},
	{name: "no such file", argv: []string{"nosuch.py"}, says: early, quiet: true, check: func(t *testing.T, x *transport.Exception) {
		if x.Type != "FileNotFoundError" || !strings.HasSuffix(x.Message, "/nosuch.py'") || x.Frames != nil {
			t.Errorf("got %+v", x)
		}
	}},
	{name: "no such file elsewhere", argv: []string{"./no/such"}, says: early, quiet: true, check: is("FileNotFoundError")},
	{name: "no such module", argv: []string{"-m", "nosuch"}, says: raises, quiet: true, check: func(t *testing.T, x *transport.Exception) {
		if x.Type != "ImportError" || x.Message != "No module named nosuch" {
			t.Errorf("got %+v", x)
		}
	}},
	{name: "no such part", argv: []string{"-m", "script.part"}, says: raises, quiet: true, check: is("ImportError", "ModuleNotFoundError", "AttributeError")},
	{name: "a package that cannot run", argv: []string{"-m", "pkg"}, files: map[string]string{"pkg/__init__.py": ""}, says: raises, quiet: true, check: is("ImportError")},
	{name: "a directory that cannot run", argv: []string{"dir"}, files: map[string]string{"dir/": ""}, says: raises, quiet: true, check: is("ImportError", "ImportError")},
	{name: "an exception that cannot be changed", says: raises, script: frozenScript, check: is("Frozen", "ZeroDivisionError")},
	{name: "asyncio", says: raises, script: "import asyncio\nasync def f():\n  await asyncio.sleep(0)\n  1 / 0\nasyncio.run(f())", check: is("ZeroDivisionError")},
	{name: "a signal's handler", says: raises, script: "import os, signal\ndef f(*a): raise ValueError\nsignal.signal(signal.SIGTERM, f)\nos.kill(os.getpid(), signal.SIGTERM)\nwhile True: pass", check: is("ValueError")},
	{name: "no stderr", says: raises, quiet: true, script: "import sys\nsys.stderr = None\n1 / 0", check: is("ZeroDivisionError")},
	{name: "a closed stderr", says: raises, quiet: true, script: "import sys\nsys.stderr.close()\n1 / 0", check: is("ZeroDivisionError")},
	{name: "the last traceback", says: raises, script: "import atexit, sys, traceback\n" +
		"atexit.register(lambda: print(traceback.format_tb(sys.last_traceback), sys.last_value, sys.last_value.__traceback__ is sys.last_traceback, sys.excepthook))\n1 / 0"},
	{name: "an excepthook", says: raises, quiet: true, script: "import sys, traceback\n" +
		"def hook(*a): print('hook', a[0], a[1], a[1].__traceback__ is a[2], ''.join(traceback.format_exception(*a)), sys.excepthook is hook)\nsys.excepthook = hook\n1 / 0", check: is("ZeroDivisionError")},
	{name: "an excepthook that raises", says: raises, script: "import sys\ndef hook(*a): {}[1]\nsys.excepthook = hook\n1 / 0", check: is("ZeroDivisionError")},
	{name: "an excepthook that exits", says: raises, quiet: true, script: "import sys\nsys.excepthook = lambda *a: sys.exit(5)\n1 / 0"},
	{name: "an excepthook that ends the process", says: raises, quiet: true, script: "import os, sys\nsys.excepthook = lambda *a: os._exit(5)\n1 / 0"},
	{name: "no excepthook", says: raises, script: "import sys\nsys.excepthook = None\n1 / 0"},
}

const frozenScript = `
class Frozen(Exception):
    def __setattr__(self, name, value): raise TypeError(name)
    __delattr__ = __setattr__
try: 1 / 0
except Exception as e: raise Frozen from e
`

const groupScript = `
try: 1 / 0
except Exception as e: one = e
two = ValueError(2)
two.__cause__ = one
raise ExceptionGroup("some", [two, ExceptionGroup("inner", [KeyError(3)])])
`

// exits end otherwise.
var exits = slices.Concat(systemExits(), []animal{
	{name: "an exit in a function", says: silent, script: "import sys\ndef f():\n  try: sys.exit(3)\n  finally: print('finally')\nf()"},
	{name: "exit()", argv: []string{"script.py"}, script: "exit()"},
	{name: "a group of exits", since: 11, says: raises, script: "raise BaseExceptionGroup('exits', [SystemExit(3)])", check: is("BaseExceptionGroup")},
	{name: "an exit of a module", argv: []string{"-m", "script"}, says: silent, script: "raise SystemExit(4)"},
	{name: "an exit with an odd code", says: silent, script: "class A:\n  def __eq__(self, other): raise ValueError\n  def __str__(self): return 'odd'\nraise SystemExit(A())"},
	{name: "an exit after an exception", says: silent, script: "try: 1 / 0\nexcept Exception: raise SystemExit('text')"},
	{name: "os._exit", says: silent, script: "import os; print('lost', end=''); os._exit(7)"},
	{name: "an interrupt", says: raises, script: "raise KeyboardInterrupt", check: is("KeyboardInterrupt")},
	{name: "an interrupt of a module", argv: []string{"-m", "script"}, says: raises, script: "raise KeyboardInterrupt"},
	{name: "an interrupt of code", argv: []string{"-c", "raise KeyboardInterrupt('text')"}, says: raises},
	{name: "an interrupt of another class", says: raises, script: "class K(KeyboardInterrupt): pass\nraise K", check: is("K")},
	{name: "an interrupt with a hook", says: raises, quiet: true, script: "import sys\nsys.excepthook = lambda *a: print('hook', flush=True)\nraise KeyboardInterrupt"},
	{name: "a signal", says: silent, script: "import os, signal; os.kill(os.getpid(), signal.SIGTERM)\nwhile True: pass"},
	{name: "a thread that raises", script: "import threading\nt = threading.Thread(target=lambda: 1 / 0, name='t')\nt.start()\nt.join()\nprint('main')"},
	{name: "a thread that outlives the main body", script: "import sys, threading\nthreading.Thread(target=lambda: threading.main_thread().join() or print('thread', flush=True)).start()\nprint('main', flush=True)"},
	{name: "handlers", says: raises, script: "import atexit\natexit.register(print, 'first')\natexit.register(print, 'second')\nprint('main')\nraise ValueError"},
	{name: "handlers that raise", script: "import atexit\natexit.register(lambda: 1 / 0)\nprint('main')"},
	{name: "objects that live to the end", says: raises, script: "class A:\n  def __del__(self): print('del', A.__name__)\na = A()\ndef f():\n  b = A()\n  1 / 0\nf()"},
	{name: "unflushed output", says: silent, script: "import sys\nsys.stdout.write('text')\nsys.exit(3)"},
})

// systemExits are the codes of SystemExit.
func systemExits() (all []animal) {
	for _, code := range []string{"", "None", "0", "3", "256", "-1", "True", "1 << 70", "'text'", "'\\udcff'", "(1, 2)", "SystemExit(3)"} {
		says := silent
		if code == "" || code == "None" || code == "0" {
			says = "Ready Result"
		}
		all = append(all, animal{name: "SystemExit(" + code + ")", says: says, script: "raise SystemExit(" + code + ")"})
	}
	return all
}

// programs do ordinary things that depend on where they are.
var programs = []animal{
	{name: "pickle", script: "import pickle\nclass A:\n  def __init__(self): self.x = 1\ndef f(): pass\nprint(pickle.loads(pickle.dumps(A())).x, pickle.loads(pickle.dumps(f)) is f)"},
	{name: "pools", script: poolScript},
	{name: "a pool of a module", argv: []string{"-m", "pkg.part"}, files: map[string]string{"pkg/part.py": strings.Replace(poolScript, `"fork", "forkserver"`, "", 1)}},
	{name: "output", script: "import sys\nfor n in range(20000): print(n)\nsys.stderr.write('end')"},
	{name: "input", script: "import sys\nprint(repr(sys.stdin.read()))"},
}

const poolScript = `
import multiprocessing, os
class Item:
    def __init__(self, n): self.n = n
def double(item): return Item(2 * item.n)
def fail(item): raise ValueError(item.n)
if __name__ == "__main__":
    for method in "spawn", "fork", "forkserver":
        with multiprocessing.get_context(method).Pool(1) as pool:
            print(method, [i.n for i in pool.map(double, [Item(1), Item(2)])])
            try: pool.map(fail, [Item(3)])
            except ValueError as e: print(repr(e))
`

// children share the link with the worker, or would.
var children = []animal{
	{name: "a fork that raises", script: "import os, sys\nif os.fork() == 0: 1 / 0\nprint(os.wait()[1], flush=True)"},
	{name: "a fork that ends well", says: raises, script: "import os\nif os.fork():\n  os.wait()\n  raise ValueError", check: is("ValueError")},
	{name: "a fork that exits", script: "import os, sys\nif os.fork() == 0: sys.exit(3)\nprint(os.wait()[1])"},
	{name: "a fork without a warning", argv: []string{"-W", "error", "script.py"}, script: "import os\nif os.fork() == 0: os._exit(0)\nos.wait()"},
	{name: "a process", script: childScript},
	{name: "another program", says: silent, script: "import os, sys\nos.execv(sys.executable, [sys.executable, '-c', " +
		"'import os; print(os.path.exists(\"/proc/self/fd/3\"), os.environ.get(\"MUSTER_FD\"))'])"},
}

const childScript = `
import os, subprocess, sys
code = "import os\ntry: print(os.fstat(3))\nexcept OSError as e: print(e)\nprint(os.environ.get('MUSTER_FD'))"
print(subprocess.run([sys.executable, "-c", code], close_fds=False, stdout=subprocess.PIPE).stdout)
`

package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport"
	"github.com/go-muster/muster/transport/worker"
)

var errQuota = errors.New("quota used up")

// A shardError is of a type that both sides know, a privateError of one that only the rank's side does.
type shardError struct {
	Shard int
	Hosts []string
	Err   error
}

func (e *shardError) Error() string { return fmt.Sprintf("shard %d: %v", e.Shard, e.Err) }
func (e *shardError) Unwrap() error { return e.Err }

type privateError struct {
	Shard int
	Since time.Duration
}

func (e privateError) Error() string { return "private" }

// A point is what nobody would panic with.
type point struct{ X, Y int }

func init() {
	transport.RegisterError("conformance.errQuota", errQuota)
	transport.RegisterErrorType[*shardError]("conformance.shardError")
}

// odd are errors that functions end with; the panics among them never return.
var odd = map[string]func() error{
	"tree": func() error {
		_, missing := os.Open("/does/not/exist")
		return fmt.Errorf("epoch 3: %w", errors.Join(fmt.Errorf("disk: %w", errQuota), missing))
	},
	"registered": func() error {
		_, missing := os.Open("/does/not/exist")
		return errors.Join(io.EOF, fmt.Errorf("epoch 3: %w", &shardError{7, []string{"a", "b"}, missing}))
	},
	"too large to carry": func() error { return &shardError{7, []string{large(100 << 10)}, errQuota} },
	"not registered":     func() error { return fmt.Errorf("epoch 3: %w", privateError{7, time.Minute}) },
	"huge tree":          func() error { return hugeTree() },
	"large":              func() error { return errors.New(large(100 << 10)) },
	"huge":               func() error { return errors.New(large(20 << 20)) },
	"huge panic":         func() error { panic(large(20 << 20)) },
	"not UTF-8":          func() error { return errors.New("caf\xe9 \xff") },
	"Error panics":       func() error { return touchy{} },
	"panic's panics":     func() error { panic(touchy{}) },
	"goroutine": func() error {
		go panic("in another goroutine") // ends the process
		hang()
		return nil
	},
	"panic nil":         func() error { panic(nil) },
	"panic with error":  func() error { panic(&shardError{7, nil, io.EOF}) },
	"panic with struct": func() error { panic(point{1, 2}) },
	"elsewhere nil":     func() error { return elsewhere(nil) },
	"elsewhere error":   func() error { return elsewhere(&shardError{7, nil, io.EOF}) },
	"elsewhere struct":  func() error { return elsewhere(point{1, 2}) },
	"elsewhere touchy":  func() error { return elsewhere(touchy{}) },
	"goexit":            func() error { runtime.Goexit(); return nil },
	"exit 0":            func() error { os.Exit(0); return nil },
	"exit 3":            func() error { os.Exit(3); return nil },
	"nil map":           func() error { nilMap()["nil map"]++; return nil },
}

func nilMap() map[string]int { return nil }

// elsewhere panics in another goroutine, which ends the process.
func elsewhere(v any) error {
	go panic(v)
	hang()
	return nil
}

// touchy is an error that does not want to be read.
type touchy struct{}

func (touchy) Error() string { panic("do not ask") }

// hugeTree is within each limit of an exception, and larger than a message in all.
func hugeTree() error {
	notes := slices.Repeat([]string{strings.Repeat("n", 64<<10)}, 64)
	x := &transport.Exception{Type: "Tree", Message: large(100 << 10)}
	for range 17 {
		x.Members = append(x.Members, &transport.Exception{Type: "Leaf", Notes: notes})
	}
	return x
}

// large is a text of a size, with a beginning and an end.
func large(size int) string { return "first words " + strings.Repeat("x", size) + " last words" }

var _ = worker.Func("odd", func(_ context.Context, _ worker.Info, name string) (string, error) { return "", odd[name]() })

// oddFunction is a rank that ends with one of them.
func oddFunction(t *testing.T, name string) process.Command {
	t.Helper()
	c := process.Reexec("odd")
	var err error
	if c.Argument, err = transport.Marshal(name); err != nil || odd[name] == nil {
		t.Fatalf("%q: %v", name, err)
	}
	return c
}

// alone runs a single rank, which is to fail.
func alone(t *testing.T, c process.Command) *supervisor.Failure {
	t.Helper()
	return begin(t, supervisor.Spec{Ranks: []process.Command{c}}).failure()
}

func TestS15GoErrorsSurvive(t *testing.T) {
	f := alone(t, oddFunction(t, "tree"))
	err := fmt.Errorf("as a user may wrap it: %w", f)
	if !errors.Is(err, errQuota) || !errors.Is(err, fs.ErrNotExist) || errors.Is(err, io.EOF) {
		t.Errorf("quota %v, not exist %v, end of file %v", errors.Is(err, errQuota), errors.Is(err, fs.ErrNotExist),
			errors.Is(err, io.EOF))
	}
	e := as[*transport.Exception](t, err)
	if e.Message != "epoch 3: disk: quota used up\nopen /does/not/exist: no such file or directory" || e.Type != "*fmt.wrapError" {
		t.Errorf("exception %+v", e)
	}
	again := roundTrip(t, e)
	if !errors.Is(again, errQuota) || !errors.Is(again, fs.ErrNotExist) || errors.Is(again, io.EOF) {
		t.Errorf("after a round trip: %+v", again)
	}
	if exit := as[*process.Exit](t, err); exit.Code != 1 {
		t.Errorf("exit %v", exit)
	}
}

// An error of a registered type is a value again, with what it wraps, beside its siblings.
func TestRegisteredTypesSurvive(t *testing.T) {
	f := alone(t, oddFunction(t, "registered"))
	err := fmt.Errorf("as a user may wrap it: %w", f)
	shard := as[*shardError](t, err)
	if shard.Shard != 7 || !slices.Equal(shard.Hosts, []string{"a", "b"}) || !errors.Is(shard, fs.ErrNotExist) || errors.Is(shard, io.EOF) {
		t.Errorf("got %+v", shard)
	}
	if !errors.Is(err, io.EOF) || !errors.Is(err, fs.ErrNotExist) || shard.Error() != "shard 7: open /does/not/exist: no such file or directory" {
		t.Errorf("%v: %v", err, shard)
	}
	roundTrip(t, as[*transport.Exception](t, f))

	t.Run("too large", func(t *testing.T) {
		f := alone(t, oddFunction(t, "too large to carry"))
		var shard *shardError
		if e := f.Exception; errors.As(f, &shard) || !errors.Is(f, errQuota) || !e.Truncated || e.Attributes["Shard"] != "7" ||
			e.Type != "*conformance_test.shardError" || e.Message != "shard 7: quota used up" {
			t.Errorf("got %+v", e)
		}
	})
	t.Run("not registered", func(t *testing.T) {
		f := alone(t, oddFunction(t, "not registered"))
		e := f.Exception.Cause
		if e.Type != "conformance_test.privateError" || e.Message != "private" || e.Attributes["Shard"] != "7" || e.Attributes["Since"] != "1m0s" {
			t.Errorf("got %+v", e)
		}
	})
}

const raiseTree = `
class Quota(ValueError):
    def __init__(self, text, user):
        super().__init__(text)
        self.user = user
try:
    {}["lr"]
except KeyError as e:
    error = Quota("used up", user="ada")
    if hasattr(error, "add_note"):
        error.add_note("ask for more")
    raise error from e
`

func TestS15PythonErrorsSurvive(t *testing.T) {
	f := alone(t, pythonCode(raiseTree))
	e := as[*transport.Exception](t, fmt.Errorf("as a user may wrap it: %w", f))
	again := roundTrip(t, e)
	for _, e := range []*transport.Exception{e, again} {
		if e.Type != "Quota" || e.Module != "__main__" || e.Message != "used up" || e.Attributes["user"] != "'ada'" ||
			len(e.Frames) == 0 || !strings.Contains(e.Traceback, "direct cause of the following exception") {
			t.Errorf("exception %+v", e)
		}
		cause := as[*transport.Exception](t, errors.Join(e.Unwrap()...))
		if cause.Type != "KeyError" || cause.Message != "'lr'" {
			t.Errorf("cause %+v", cause)
		}
	}
}

// roundTrip returns what is left of an exception after one more way over the wire: all of it.
func roundTrip(t *testing.T, e *transport.Exception) *transport.Exception {
	t.Helper()
	b, err := transport.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	again := &transport.Exception{}
	if err := transport.Unmarshal(b, again); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(e, again) {
		t.Errorf("%+v\nhas become\n%+v", e, again)
	}
	return again
}

// An error of any size arrives: its beginning, its end and a mark between them.
func TestErrorLargerThanALimit(t *testing.T) {
	for name, c := range map[string]process.Command{
		"function, 100 KiB":   oddFunction(t, "large"),
		"function, 20 MiB":    oddFunction(t, "huge"),
		"function, 68 MiB":    oddFunction(t, "huge tree"),
		"a panic's, 20 MiB":   oddFunction(t, "huge panic"),
		"python, 100 KiB":     pythonCode(`raise ValueError("first words " + "x" * (100 << 10) + " last words")`),
		"python, 20 MiB":      pythonCode(`raise ValueError("first words " + "x" * (20 << 20) + " last words")`),
		"python, many causes": pythonCode(raiseMany),
	} {
		t.Run(name, func(t *testing.T) {
			e := as[*transport.Exception](t, alone(t, c))
			if !e.Truncated || len(e.Message) > 64<<10 || len(e.Traceback) > 64<<10 {
				t.Errorf("truncated %v, %d bytes of message, %d of traceback", e.Truncated, len(e.Message), len(e.Traceback))
			}
			if !strings.HasPrefix(e.Message, "first words ") || !strings.HasSuffix(e.Message, " last words") ||
				!strings.Contains(e.Message, "… left out …") {
				t.Errorf("message %.40q … %q", e.Message, e.Message[max(0, len(e.Message)-40):])
			}
		})
	}
	t.Run("command, 20 MiB of standard error", func(t *testing.T) {
		f := alone(t, sh(`head -c 20971520 /dev/zero | tr "\0" "x" | fold -w 100 >&2; printf "\\nlast words\\n" >&2; exit 7`))
		if tail := f.StderrTail(); len(tail) > 8<<10 || !strings.HasSuffix(tail, "\nlast words\n") || f.Exit.Code != 7 {
			t.Errorf("%v: %d bytes, %q", f, len(tail), tail[max(0, len(tail)-40):])
		}
	})
}

const raiseMany = `
def nest(depth):
    try:
        if depth == 0:
            raise KeyError("x" * 1000000)
        nest(depth - 1)
    except Exception as e:
        raise ValueError("first words " + "x" * 1000000 + " last words") from e
nest(40)
`

func TestMessageThatIsNotUTF8(t *testing.T) {
	for name, c := range map[string]process.Command{
		"function": oddFunction(t, "not UTF-8"),
		"python":   pythonCode(`raise ValueError(b"caf\xe9 \xff".decode("utf-8", "surrogateescape"))`),
	} {
		t.Run(name, func(t *testing.T) {
			e := as[*transport.Exception](t, alone(t, c))
			if !strings.HasPrefix(e.Message, "caf") || len(e.Message) < len("caf. .") || !utf8.ValidString(e.Message) {
				t.Errorf("message %q", e.Message)
			}
		})
	}
	t.Run("command", func(t *testing.T) {
		if f := alone(t, sh(`printf "caf\351 \377\n" >&2; exit 1`)); f.StderrTail() != "caf\xe9 \xff\n" {
			t.Errorf("standard error %q", f.StderrTail())
		}
	})
}

func TestErrorThatPanics(t *testing.T) {
	for name, test := range map[string]struct {
		command process.Command
		text    string
	}{
		"Error":           {oddFunction(t, "Error panics"), "<Error panicked: do not ask>"},
		"a panic's value": {oddFunction(t, "panic's panics"), "do not ask"},
		"python":          {pythonCode("class E(Exception):\n def __str__(self): raise KeyError\nraise E"), "str() failed"},
	} {
		t.Run(name, func(t *testing.T) {
			if e := as[*transport.Exception](t, alone(t, test.command)); !strings.Contains(e.Message, test.text) {
				t.Errorf("message %q", e.Message)
			}
		})
	}
}

// Whatever a function panics with, in its own goroutine or in another one, is told (T25).
func TestPanicOfAnyValue(t *testing.T) {
	for name, want := range map[string]string{
		"panic nil":         "panic: panic called with nil argument",
		"panic with error":  "panic: shard 7: EOF",
		"panic with struct": "panic: conformance_test.point{X:1, Y:2}",
		"elsewhere nil":     "panic: panic called with nil argument",
		"elsewhere error":   "panic: shard 7: EOF",
		"elsewhere struct":  "panic: (conformance_test.point) 0x", // the runtime's
		"elsewhere touchy":  "fatal error: panic while printing panic value",
	} {
		t.Run(name, func(t *testing.T) {
			f := alone(t, oddFunction(t, name))
			e := as[*transport.Exception](t, f)
			if !strings.HasPrefix(e.Error(), want) || f.Exit.Code != 2 || f.Exit.Silent || !strings.Contains(e.Traceback, "errors_linux_test.go:") {
				t.Errorf("got %q, want %q; exit %v\n%s", e, want, f.Exit, e.Traceback)
			}
			var shard *shardError
			if found := errors.As(f, &shard); found != (name == "panic with error") {
				t.Errorf("it is a shardError: %v", found)
			}
		})
	}
}

func TestPanicInAnotherGoroutine(t *testing.T) {
	f := alone(t, oddFunction(t, "goroutine"))
	e := as[*transport.Exception](t, f)
	if e.Error() != "panic: in another goroutine" || e.Rank != 0 || e.PID != f.PID ||
		!strings.Contains(e.Traceback, "errors_linux_test.go:") {
		t.Errorf("%v\n%s", e, e.Traceback)
	}
	if exit := as[*process.Exit](t, f); exit.Code != 2 {
		t.Errorf("exit %v", exit)
	}
}

// To Python, an exception in a thread is no failure of the program; neither is it to us.
func TestRaiseInAnotherThread(t *testing.T) {
	x := begin(t, supervisor.Spec{Ranks: []process.Command{
		pythonCode("import threading\ndef f(): raise ValueError\nt = threading.Thread(target=f); t.start(); t.join()"),
	}})
	if err := x.end(); err != nil {
		t.Error(err)
	}
}

// A function that ends its process has proved nothing (G-8).
func TestFunctionThatExits(t *testing.T) {
	t.Run("with code 0", func(t *testing.T) {
		f := alone(t, oddFunction(t, "exit 0"))
		if !errors.Is(f, process.ErrNoResult) || f.Exit.Code != 0 || f.Exception != nil {
			t.Errorf("%v, exit %+v", f, f.Exit)
		}
	})
	t.Run("with code 3", func(t *testing.T) {
		f := alone(t, oddFunction(t, "exit 3"))
		if f.Exit.Code != 3 || f.Exception != nil || !strings.HasPrefix(f.Error(), "rank 0@0: exit status 3 without a report") {
			t.Errorf("%v, exit %+v", f, f.Exit)
		}
	})
	t.Run("by Goexit", func(t *testing.T) {
		if e := as[*transport.Exception](t, alone(t, oddFunction(t, "goexit"))); !strings.Contains(e.Message, "Goexit") {
			t.Error(e)
		}
	})
	t.Run("by a runtime error", func(t *testing.T) {
		e := as[*transport.Exception](t, alone(t, oddFunction(t, "nil map")))
		if e.Error() != "panic: assignment to entry in nil map" {
			t.Error(e)
		}
	})
}

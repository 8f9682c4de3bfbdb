package python

import (
	"maps"
	"strings"
	"testing"

	"github.com/go-muster/muster/transport"
)

// raisedBy runs a script under MUSTER_LOCALS, or without, and returns the exception that it ends with.
func raisedBy(t *testing.T, p executable, locals, script string) (*transport.Exception, end) {
	t.Helper()
	w := startScript(t, p, "import os; os.environ['MUSTER_LOCALS'] = '"+locals+"'; del os\n"+script)
	x, _ := lastOf(w.rest(t)).(*transport.Exception)
	if x == nil {
		t.Fatalf("no exception: %+v", w.wait())
	}
	return x, w.wait()
}

const localsScript = `
import json
from threading import Thread
def helper(): pass
class Kept: pass
rates = {"lr": 0.1}
def step(n, *rest, **more):
    secret = "p\xe4ss"
    def callback(): pass
    try:
        list(1 / k for k in [0])
    except ZeroDivisionError as e:
        raise ValueError(n) from e
step(3, 4, x=5)
`

// TestLocals: who asks for them is told what the variables were, in the frames and in the text, and sees the same output.
func TestLocals(t *testing.T) {
	eachPython(t, func(t *testing.T, p executable) {
		x, got := raisedBy(t, p, "1", localsScript)
		if len(x.Frames) != 2 || !maps.Equal(x.Frames[0].Locals, map[string]string{"rates": "{'lr': 0.1}"}) {
			t.Fatalf("frames %+v", x.Frames)
		}
		held := x.Frames[1].Locals
		for name, text := range map[string]string{"n": "3", "rest": "(4,)", "more": "{'x': 5}", "secret": "'päss'"} {
			if held[name] != text {
				t.Errorf("%s is %q, want %q", name, held[name], text)
			}
			if line := "\n    " + name + " = " + text + "\n"; !strings.Contains(x.Traceback, line) {
				t.Errorf("%q is not in\n%s", line, x.Traceback)
			}
		}
		if !strings.HasPrefix(held["callback"], "<function step.<locals>.callback") {
			t.Errorf("got %q", held)
		}
		inner := x.Cause.Frames[len(x.Cause.Frames)-1].Locals
		if n := len(inner); inner["k"] != "0" || n < 1 || inner[".0"] != "" || !strings.Contains(x.Cause.Traceback, "\n    k = 0\n") {
			t.Errorf("of the cause %q\n%s", inner, x.Cause.Traceback)
		}
		if strings.Contains(got.stderr, " = '") || !strings.Contains(got.stderr, "direct cause") || x.Truncated {
			t.Errorf("stderr:\n%s", got.stderr)
		}
	})
}

// TestNoLocals: nobody is told who has not asked, for they may hold secrets.
func TestNoLocals(t *testing.T) {
	eachPython(t, func(t *testing.T, p executable) {
		for _, is := range []string{"", "0"} {
			x, got := raisedBy(t, p, is, localsScript)
			if x.Frames[0].Locals != nil || x.Frames[1].Locals != nil || x.Cause.Frames[0].Locals != nil ||
				!strings.Contains(got.stderr, x.Traceback) {
				t.Errorf("MUSTER_LOCALS=%q: %+v", is, x)
			}
		}
	})
}

const oddLocalsScript = `
class Loud:
    def __repr__(self): raise SystemExit(9)
    def __bool__(self): raise SystemExit(9)
    def __eq__(self, other): raise SystemExit(9)
    __class__ = property(lambda self: 1 / 0)
def f(n):
    loud, big, text, wide = Loud(), "x" * (1 << 16), "\udcff", list(range(1 << 10))
    circle = []
    circle.append(circle)
    if n: f(n - 1)
    else:
        class Body(metaclass=Meta):
            x = 1
            raise ValueError("odd")
class Space(dict):
    def keys(self): raise SystemExit(9)
    def items(self): raise SystemExit(9)
    def __iter__(self): raise SystemExit(9)
class Meta(type):
    @classmethod
    def __prepare__(meta, *args): return Space()
f(150)
`

// TestOddLocals: variables that are too large, too many or fight back are cut, or said to; the exception arrives.
func TestOddLocals(t *testing.T) {
	eachPython(t, func(t *testing.T, p executable) {
		x, _ := raisedBy(t, p, "1", oddLocalsScript)
		n := len(x.Frames)
		if x.Type != "ValueError" || x.Message != "odd" || n != 128 || !x.Truncated {
			t.Fatalf("%s, %d frames, truncated %v", x.Error(), n, x.Truncated)
		}
		body, innermost := x.Frames[n-1], x.Frames[n-2].Locals
		if body.Function != "Body" || body.Locals != nil {
			t.Errorf("the innermost frame is %+v", body)
		}
		if innermost["loud"] != "<repr() failed>" || !strings.HasPrefix(innermost["circle"], "[[") || innermost["text"] != `'\udcff'` ||
			len(innermost["big"]) > 1<<10 || len(innermost["wide"]) > 1<<10 {
			t.Errorf("got %.500q", innermost)
		}
		all := 0
		for _, f := range x.Frames {
			all += len(f.Locals)
		}
		if all == 0 || all > 1024 || !strings.Contains(x.Traceback, "loud = <repr() failed>") {
			t.Errorf("%d variables in\n%.3000s", all, x.Traceback)
		}
	})
}

// TestExceptionThatFightsBack: one that may not even be asked whether it is true is told by its text and its frames.
func TestExceptionThatFightsBack(t *testing.T) {
	const script = `
class Falsy(Exception):
    def __bool__(self): raise SystemExit(9)
    def __len__(self): raise SystemExit(9)
n = 3
raise Falsy("odd") from ValueError(1)
`
	eachPython(t, func(t *testing.T, p executable) {
		for locals, n := range map[string]string{"0": "", "1": "3"} {
			x, _ := raisedBy(t, p, locals, script)
			if x.Message != "odd" || len(x.Frames) != 1 || x.Frames[0].Locals["n"] != n || x.Cause == nil || x.Cause.Message != "1" {
				t.Errorf("MUSTER_LOCALS=%s: %+v", locals, x)
			}
		}
	})
}

const manyLocalsScript = `
for i in range(2000): exec("v%04d = %d" % (i, i))
def f(e):
    raise ValueError from e
def g(): f(KeyError())
g()
`

// TestManyLocals: of a frame with too many the first by name are told.
func TestManyLocals(t *testing.T) {
	eachPython(t, func(t *testing.T, p executable) {
		x, _ := raisedBy(t, p, "1", manyLocalsScript)
		if held := x.Frames[0].Locals; len(held) != 64 || held["i"] != "1999" || held["v0062"] != "62" || !x.Truncated {
			t.Errorf("%d variables, truncated %v: %.300q", len(held), x.Truncated, held)
		}
	})
}

// TestWarningsApart: what a program prints while it is asked for a text is no part of the traceback, and is not lost.
func TestWarningsApart(t *testing.T) {
	const script = `
import sys, warnings
class E(Exception):
    told = False
    def __str__(self):
        warnings.warn("mind")
        if not E.told:
            E.told = True
            print("careful", file=sys.stderr)
        return "text"
raise E
`
	eachPython(t, func(t *testing.T, p executable) {
		w := startScript(t, p, script)
		x, _ := lastOf(w.rest(t)).(*transport.Exception)
		got := w.wait()
		if x == nil || strings.Contains(x.Traceback, "mind") || strings.Contains(x.Traceback, "careful") || !strings.HasSuffix(x.Traceback, "E: text\n") {
			t.Fatalf("got %+v", x)
		}
		if strings.Count(got.stderr, "UserWarning: mind") != 1 || strings.Count(got.stderr, "careful") != 1 || !strings.Contains(got.stderr, x.Traceback) {
			t.Errorf("stderr:\n%s", got.stderr)
		}
	})
}

// TestLocalsOfAGroup: the members of a group have theirs, in their frames and in the text of the whole.
func TestLocalsOfAGroup(t *testing.T) {
	const script = `
def part(n): raise ValueError(n)
errors = []
for k in 1, 2:
    try: part(k)
    except ValueError as e: errors.append(e)
raise ExceptionGroup("parts", errors)
`
	eachPython(t, func(t *testing.T, p executable) {
		if p.minor < 11 {
			t.Skip("exception groups came with Python 3.11")
		}
		x, _ := raisedBy(t, p, "1", script)
		for i, m := range x.Members {
			n := []string{"1", "2"}[i]
			if got := m.Frames[1].Locals["n"]; got != n || m.Frames[0].Locals["k"] != "2" || !strings.Contains(x.Traceback, "|     n = "+n+"\n") {
				t.Errorf("member %d: %+v\n%s", i, m.Frames, x.Traceback)
			}
		}
		if len(x.Members) != 2 || x.Frames[0].Locals["errors"] != "[ValueError(1), ValueError(2)]" {
			t.Errorf("%+v", x)
		}
	})
}

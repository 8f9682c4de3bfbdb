package transport_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"reflect"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/go-muster/muster/transport"
)

// errSample is known on both sides of every boundary in these tests, errOwn is so and is fs.ErrExist by its own account.
var (
	errSample = errors.New("sample")
	errOwn    = &ownError{}
)

type ownError struct{}

func (*ownError) Error() string        { return "own" }
func (*ownError) Is(target error) bool { return target == fs.ErrExist }
func init()                            { transport.RegisterError("transport_test.errSample", errSample) }
func init()                            { transport.RegisterError("transport_test.errOwn", errOwn) }

// A loudError panics in everything that is asked of it.
type loudError struct{ what string }

func (e loudError) Error() string    { panic(e.what) }
func (e loudError) Unwrap() error    { panic(e.what) }
func (e loudError) Is(error) bool    { panic(e.what) }
func (e loudError) String() string   { panic(e.what) }
func (e loudError) GoString() string { panic(e.what) }

// An unequalError holds a slice: comparing two of them panics.
type unequalError struct{ any }

func (unequalError) Error() string { return "unequal" }

// cross sends an error through the wire.
func cross(t *testing.T, err error) *transport.Exception {
	t.Helper()
	return receive(t, reading(send(t, transport.FromError(err)))).(*transport.Exception)
}

// TestErrorsIs is S15: a sentinel is the same error on the other side, however it was wrapped.
func TestErrorsIs(t *testing.T) {
	_, notThere := os.Open("/no/such/file")
	wrapped := fmt.Errorf("load shard 3: %w", notThere)
	tests := []struct {
		name string
		err  error
		is   []error
		not  []error
	}{
		{"a sentinel", io.EOF, []error{io.EOF}, []error{io.ErrUnexpectedEOF}},
		{"a registered one", errSample, []error{errSample}, []error{io.EOF}},
		{"one that was never registered", errors.New("x"), nil, []error{io.EOF, errSample}},
		{"a *fs.PathError", notThere, []error{fs.ErrNotExist, os.ErrNotExist}, []error{fs.ErrExist}},
		{"wrapped with %w", wrapped, []error{fs.ErrNotExist}, []error{fs.ErrPermission}},
		{"joined", errors.Join(wrapped, errSample, context.Canceled), []error{fs.ErrNotExist, errSample, context.Canceled}, []error{io.EOF}},
		{"two with %w", fmt.Errorf("%w and %w", io.EOF, errSample), []error{io.EOF, errSample}, []error{fs.ErrExist}},
		{"its own name before what it says it is", errOwn, []error{errOwn, fs.ErrExist}, []error{fs.ErrNotExist}},
		{"a cancelled context's cause", fmt.Errorf("stop: %w", context.DeadlineExceeded),
			[]error{context.DeadlineExceeded}, []error{context.Canceled}},
		{"a file's deadline", &fs.PathError{Op: "read", Path: "p", Err: os.ErrDeadlineExceeded}, []error{os.ErrDeadlineExceeded}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			x := cross(t, tt.err)
			if x.Message != tt.err.Error() {
				t.Errorf("text %q, want %q", x.Message, tt.err)
			}
			for _, target := range tt.is {
				if !errors.Is(x, target) {
					t.Errorf("it is not %v any more: %+v", target, x)
				}
			}
			for _, target := range tt.not {
				if errors.Is(x, target) {
					t.Errorf("it has become %v: %+v", target, x)
				}
			}
		})
	}
}

func TestFromError(t *testing.T) {
	raised := &transport.Exception{Type: "ValueError"}
	text := func(typ, message string) *transport.Exception {
		return &transport.Exception{Type: typ, Module: strings.Trim(typ[:strings.IndexByte(typ, '.')], "*"), Message: message}
	}
	plain := text("*errors.errorString", "plain")
	wrap := text("*fmt.wrapError", "outer: plain")
	wrap.Cause = plain
	join := text("*errors.joinError", "plain\nplain")
	join.Members = []*transport.Exception{plain, plain}
	wrapRaised := text("*fmt.wrapError", "outer: ValueError")
	wrapRaised.Cause = raised
	err := errors.New("plain")
	tests := []struct {
		name string
		err  error
		want *transport.Exception
	}{
		{"nil", nil, nil},
		{"a text", err, plain},
		{"wrapped", fmt.Errorf("outer: %w", err), wrap},
		{"joined", errors.Join(err, nil, err), join},
		{"an exception", raised, raised},
		{"a wrapped exception", fmt.Errorf("outer: %w", raised), wrapRaised},
		{"one that panics", loudError{"loud"}, &transport.Exception{Type: "transport_test.loudError",
			Module: "github.com/go-muster/muster/transport_test", Message: "<Error panicked: loud>"}},
		{"one that cannot be compared", unequalError{[]int{1}}, &transport.Exception{Type: "transport_test.unequalError",
			Module: "github.com/go-muster/muster/transport_test", Message: "unequal"}},
		{"a nil pointer", (*fs.PathError)(nil), &transport.Exception{Type: "*fs.PathError", Module: "io/fs",
			Message: "<Error panicked: runtime error: invalid memory address or nil pointer dereference>"}},
		{"a nil exception", (*transport.Exception)(nil), &transport.Exception{Type: "*transport.Exception",
			Module:  "github.com/go-muster/muster/transport",
			Message: "<Error panicked: runtime error: invalid memory address or nil pointer dereference>"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := transport.FromError(tt.err); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// A wideError wraps itself n times.
type wideError int

func (e wideError) Error() string { return "wide" }
func (e wideError) Unwrap() []error {
	all := make([]error, e)
	for i := range all {
		all[i] = e
	}
	return all
}

func TestFromErrorIsBounded(t *testing.T) {
	for _, n := range []wideError{1, 2, 3, 100, 1000} {
		x := transport.FromError(n)
		left := transport.MaxExceptions
		if why := beyond(x, 1, &left); why != "" || !anyTruncated(x) {
			t.Errorf("%d causes each: %s", int(n), why)
		}
	}
	many := make([]error, 1000)
	for i := range many {
		many[i] = io.EOF
	}
	if x := transport.FromError(errors.Join(many...)); len(x.Members) != transport.MaxExceptions-1 || !x.Truncated {
		t.Errorf("%d members are left of 1000", len(x.Members))
	}
}

// TestEndOfChain is S15 for errors that were wrapped more often than an exception is deep: the sentinel stands at the end.
func TestEndOfChain(t *testing.T) {
	wrap := func(err error, times int) error {
		for n := range times {
			err = fmt.Errorf("%d: %w", n, err)
		}
		return err
	}
	for _, times := range []int{transport.MaxChain - 1, transport.MaxChain, 1000} {
		x := cross(t, wrap(errSample, times))
		if !errors.Is(x, errSample) || depth(x) != transport.MaxChain {
			t.Errorf("wrapped %d times: is the sentinel: %v, depth %d", times, errors.Is(x, errSample), depth(x))
		}
		if anyTruncated(x) != (times >= transport.MaxChain) {
			t.Errorf("wrapped %d times: truncated is %v", times, anyTruncated(x))
		}
	}
	if x := cross(t, wrap(errors.Join(errSample, io.EOF), 1000)); errors.Is(x, errSample) || !anyTruncated(x) {
		t.Error("what the end of a long chain joins has no room, and that is told")
	}
	circle := &circleError{}
	circle.next = wrap(circle, 3)
	if x := cross(t, circle); depth(x) != transport.MaxChain {
		t.Errorf("a circle has the depth %d", depth(x))
	}
}

type circleError struct{ next error }

func (*circleError) Error() string   { return "circle" }
func (e *circleError) Unwrap() error { return e.next }

func TestFromPanic(t *testing.T) {
	var none *transport.Exception
	tests := []struct {
		name    string
		panics  func()
		message string
		cause   string
	}{
		{"a text", func() { panic("boom") }, "boom", ""},
		{"a number", func() { panic(7) }, "7", ""},
		{"an error", func() { panic(fmt.Errorf("outer: %w", io.EOF)) }, "outer: EOF", "*fmt.wrapError"},
		{"the runtime's", func() { none.Message = "x" },
			"runtime error: invalid memory address or nil pointer dereference", "runtime.errorString"},
		{"an index", func() { _ = []int{}[len(t.Name())] }, "", "runtime.boundsError"},
		{"a value that panics in String", func() { panic(loudValue{}) }, "%!v(PANIC=String method: loud)", ""},
		{"an error that panics in Error", func() { panic(loudError{"loud"}) }, "%!v(PANIC=Error method: loud)", "transport_test.loudError"},
		{"nil", func() { panic(nil) }, "panic called with nil argument", "*runtime.PanicNilError"},
		{"one on top of another", func() {
			defer func() { panic("second") }()
			panic("first")
		}, "second", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			x := recovered(tt.panics)
			cause := ""
			if x.Cause != nil {
				cause = x.Cause.Type
			}
			if x.Type != "panic" || tt.message != "" && x.Message != tt.message || cause != tt.cause {
				t.Errorf("got %q of type %q, cause %q; want %q, cause %q", x.Message, x.Type, cause, tt.message, tt.cause)
			}
			if !strings.Contains(x.Traceback, "TestFromPanic") {
				t.Errorf("traceback %q", x.Traceback)
			}
			checkPanicFrames(t, x.Frames)
		})
	}
}

type loudValue struct{}

func (loudValue) String() string { panic("loud") }

func recovered(panics func()) (x *transport.Exception) {
	defer func() { x = transport.FromPanic(recover(), debug.Stack()) }()
	panics()
	return nil
}

// checkPanicFrames wants the function that panicked innermost, the one that called it before it, and nothing of the
// recovery.
func checkPanicFrames(t *testing.T, frames []transport.Frame) {
	t.Helper()
	n := len(frames)
	if n < 3 {
		t.Fatalf("frames %+v", frames)
	}
	last := frames[n-1]
	if !strings.Contains(last.Function, ".TestFromPanic.func") || path.Base(last.File) != "goerror_test.go" || last.Line == 0 {
		t.Errorf("the innermost frame is %+v", last)
	}
	called := false
	for _, f := range frames {
		called = called || strings.HasSuffix(f.Function, ".recovered")
		if strings.HasPrefix(f.Function, "runtime.") || strings.Contains(f.Function, "transport.FromPanic") ||
			strings.HasSuffix(f.Function, "recovered.func1") {
			t.Errorf("%s is in the frames", f.Function)
		}
	}
	if !called {
		t.Errorf("the caller is not in the frames: %+v", frames)
	}
}

func TestRegisterError(t *testing.T) {
	tests := []struct {
		name  string
		as    string
		err   error
		panic string
	}{
		{"the same again", "io.EOF", io.EOF, ""},
		{"a taken name", "io.EOF", errors.New("mine"), `transport: RegisterError: "io.EOF" is registered as another error (EOF)`},
		{"no name", "", errors.New("mine"), `transport: RegisterError("", mine): a sentinel needs a name and an error`},
		{"no error", "mine", nil, `transport: RegisterError("mine", <nil>): a sentinel needs a name and an error`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			defer func() {
				if p := recover(); fmt.Sprint(p) != tt.panic && (p != nil || tt.panic != "") {
					t.Errorf("panic %v, want %q", p, tt.panic)
				}
			}()
			transport.RegisterError(tt.as, tt.err)
		})
	}
	if !errors.Is(cross(t, io.EOF), io.EOF) {
		t.Error("io.EOF is lost")
	}
}

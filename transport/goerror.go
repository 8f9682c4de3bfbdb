package transport

import (
	"fmt"
	"reflect"
	"runtime"
	"slices"
)

// FromError returns an error with its whole tree of causes as an exception: what an error wraps becomes its cause, what
// it joins its members, the exported fields of its types attributes. An error of a type that [RegisterErrorType] knows
// carries itself. It returns nil for nil. An *Exception anywhere in the tree is taken as it is.
func FromError(err error) *Exception {
	left := maxExceptions
	return fromError(err, 1, &left)
}

func fromError(err error, depth int, left *int) *Exception {
	if err == nil {
		return nil
	}
	if x, ok := err.(*Exception); ok && x != nil {
		return x
	}
	*left--
	x := &Exception{Type: fmt.Sprintf("%T", err), Module: module(err), Message: message(err), Sentinel: sentinelOf(err)}
	causes, joined := unwrap(err)
	x.Attributes = fields(err, len(causes) > 0)
	x.addValue(err)
	for _, cause := range causes {
		if depth == maxChain || *left == 0 {
			x.Truncated = true
			break
		}
		if depth == maxChain-1 {
			var skipped bool
			cause, skipped = root(cause)
			x.Truncated = x.Truncated || skipped
		}
		if joined {
			x.Members = append(x.Members, fromError(cause, depth+1, left))
		} else {
			x.Cause = fromError(cause, depth+1, left)
		}
	}
	return x
}

// root returns the end of a chain of errors that wrap one another, and whether that is another error than its beginning. Of a
// chain that is too long its end is worth more than its middle: sentinels stand there. One that goes round in a circle has no end.
func root(err error) (end error, skipped bool) {
	end = err
	for range maxUnwrap {
		if _, ours := end.(*Exception); ours {
			return end, skipped
		}
		causes, _ := unwrap(end)
		if len(causes) != 1 {
			return end, skipped
		}
		end, skipped = causes[0], true
	}
	return err, false
}

// unwrap returns what an error wraps, without nils, and whether it joins several. Unwrap, too, may panic: that of a nil
// pointer, for one.
func unwrap(err error) (causes []error, joined bool) {
	defer func() {
		if recover() != nil {
			causes = nil
		}
	}()
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		causes = []error{e.Unwrap()}
	case interface{ Unwrap() []error }:
		causes, joined = e.Unwrap(), true
	}
	causes = slices.DeleteFunc(slices.Clone(causes), func(c error) bool { return c == nil })
	return causes, joined
}

// message calls Error, which is the user's code and may panic.
func message(err error) (s string) {
	defer func() {
		if p := recover(); p != nil {
			s = fmt.Sprintf("<Error panicked: %v>", p)
		}
	}()
	return err.Error()
}

func module(v any) string {
	t := reflect.TypeOf(v)
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil {
		return ""
	}
	return t.PkgPath()
}

// FromPanic returns a recovered panic value as an exception: call it in the deferred function that recovered, so that
// the stack still shows who panicked. An error that was panicked with becomes the cause; of a struct the exported fields
// become attributes.
func FromPanic(value any, stack []byte) *Exception {
	x := &Exception{Type: "panic", Message: panicText(value), Traceback: string(stack), Frames: panicFrames()}
	if err, ok := value.(error); ok {
		x.Cause = FromError(err)
	} else {
		x.Attributes = fields(value, false)
	}
	return x
}

func panicText(value any) (s string) {
	defer func() {
		if p := recover(); p != nil {
			s = fmt.Sprintf("<%T whose text panicked: %v>", value, p)
		}
	}()
	if t := reflect.TypeOf(value); t != nil && t.Kind() == reflect.Struct && !hasText(t) {
		return fmt.Sprintf("%#v", value) // with the names: nothing else says what it means
	}
	return fmt.Sprint(value)
}

// panicFrames returns the stack of the panicking function, outermost first, without the runtime's and our own part.
func panicFrames() []Frame {
	pcs := make([]uintptr, 2*maxFrames)
	iter := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	var frames []Frame
	for recovering, more := true, true; more; {
		var next runtime.Frame
		next, more = iter.Next()
		f := Frame{File: next.File, Line: next.Line, Function: next.Function}
		if next.Function == "runtime.gopanic" && recovering {
			frames, recovering = nil, false // all until here is recovery; a further one is a panic that this one replaced
		} else if f.Function != "" && !isRuntime(f) {
			frames = append(frames, f)
		}
	}
	slices.Reverse(frames)
	return frames
}

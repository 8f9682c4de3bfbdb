package transport_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-muster/muster/transport"
)

func TestExceptionError(t *testing.T) {
	tests := []struct {
		x    transport.Exception
		want string
	}{
		{transport.Exception{Type: "ValueError", Message: "no learning rate"}, "ValueError: no learning rate"},
		{transport.Exception{Type: "KeyboardInterrupt"}, "KeyboardInterrupt"},
		{transport.Exception{Message: "text"}, "text"},
		{transport.Exception{}, ""},
		{transport.Exception{Type: "*errors.errorString", Message: "text"}, "text"},
		{transport.Exception{Type: "*fmt.wrapError", Message: "a: b"}, "a: b"},
		{transport.Exception{Type: "*fs.PathError", Message: "open x: EIO"}, "*fs.PathError: open x: EIO"},
	}
	for _, tt := range tests {
		if got := tt.x.Error(); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.x, got, tt.want)
		}
	}
}

func TestExceptionUnwrap(t *testing.T) {
	a, b := &transport.Exception{Type: "A"}, &transport.Exception{Type: "B"}
	group := []*transport.Exception{a, nil, b}
	tests := []struct {
		name string
		x    transport.Exception
		want []error
	}{
		{"nothing", transport.Exception{}, nil},
		{"a cause", transport.Exception{Cause: a}, []error{a}},
		{"a context", transport.Exception{Context: a}, []error{a}},
		{"a cause hides the context", transport.Exception{Cause: a, Context: b, Suppressed: true}, []error{a}},
		{"a context that is not to be shown", transport.Exception{Context: a, Suppressed: true}, nil},
		{"members", transport.Exception{Members: group}, []error{a, b}},
		{"a cause and members", transport.Exception{Cause: b, Members: group}, []error{b, a, b}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.x.Unwrap(); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestExceptionIs(t *testing.T) {
	deep := &transport.Exception{Type: "A", Members: []*transport.Exception{
		{Type: "B", Context: &transport.Exception{Type: "C", Sentinel: "fs.ErrNotExist"}},
		{Type: "D", Sentinel: "context.Canceled"},
		{Type: "E", Sentinel: "somebody.else's"},
	}}
	err := fmt.Errorf("rank 3: %w", deep)
	for target, want := range map[error]bool{
		fs.ErrNotExist: true, context.Canceled: true, io.EOF: false, fs.ErrExist: false, errors.New("other"): false,
	} {
		if got := errors.Is(err, target); got != want {
			t.Errorf("errors.Is(%v) = %v, want %v", target, got, want)
		}
	}
	if deep.Is(nil) || (&transport.Exception{}).Is(nil) {
		t.Error("an exception is nil")
	}
	var x *transport.Exception
	if !errors.As(err, &x) || x != deep {
		t.Errorf("errors.As gives %v", x)
	}
}

// TestExceptionRoundTrip is S15: what was raised in one process is what is caught in the other.
func TestExceptionRoundTrip(t *testing.T) {
	for _, x := range []*transport.Exception{{}, everything(), transport.FromError(errors.Join(fs.ErrExist, io.EOF))} {
		got := receive(t, reading(send(t, x)))
		if !reflect.DeepEqual(got, transport.Message(x)) {
			t.Errorf("got %+v, want %+v", got, x)
		}
	}
	full := reflect.ValueOf(everything()).Elem()
	for i := range full.NumField() {
		if full.Field(i).IsZero() {
			t.Errorf("the round trip shows nothing of %s", full.Type().Field(i).Name)
		}
	}
}

func TestExceptionJSON(t *testing.T) {
	b, err := json.Marshal(&transport.Exception{Type: "ValueError", Message: "m", Rank: 3, PID: 7, Host: "h",
		Cause: &transport.Exception{Type: "KeyError"}})
	if want := `{"type":"ValueError","message":"m","cause":{"type":"KeyError","message":""}}`; err != nil || string(b) != want {
		t.Errorf("got %s, %v, want %s", b, err, want)
	}
}

func TestLimit(t *testing.T) {
	text := strings.Repeat("first ", 10000) + strings.Repeat("last ", 20000)
	tests := []struct {
		name  string
		x     *transport.Exception
		check func(x *transport.Exception) bool
	}{
		{"a text within the limit", &transport.Exception{Message: strings.Repeat("x", transport.MaxText)},
			func(x *transport.Exception) bool { return !x.Truncated && len(x.Message) == transport.MaxText }},
		{"a longer text keeps both ends", &transport.Exception{Traceback: text}, func(x *transport.Exception) bool {
			return len(x.Traceback) <= transport.MaxText && strings.HasPrefix(x.Traceback, "first ") &&
				strings.HasSuffix(x.Traceback, "last ") && strings.Contains(x.Traceback, "\n… left out …\n")
		}},
		{"a text of characters keeps them whole", &transport.Exception{Message: "x" + strings.Repeat("é", transport.MaxText)},
			func(x *transport.Exception) bool {
				return utf8.ValidString(x.Message) && !strings.Contains(x.Message, "\uFFFD")
			}},
		{"a text that is no UTF-8", &transport.Exception{Message: "a\xff\xfeb"},
			func(x *transport.Exception) bool { return x.Message == "a\uFFFDb" && !x.Truncated }},
		{"frames", &transport.Exception{Frames: frames(1000)}, func(x *transport.Exception) bool {
			n := len(x.Frames)
			return n == transport.MaxFrames && x.Frames[0].Line == 100 && x.Frames[n/2-1].Line == 6400 &&
				x.Frames[n/2].Line == 93700 && x.Frames[n-1].Line == 100000
		}},
		{"a frame's texts", &transport.Exception{Frames: []transport.Frame{{File: text, Function: text, Code: text}}},
			func(x *transport.Exception) bool {
				return len(x.Frames[0].File) < 5000 && len(x.Frames[0].Function) <= transport.MaxAttribute && x.Truncated
			}},
		{"variables of a frame", &transport.Exception{Frames: []transport.Frame{{Locals: attributes(99)}}}, func(x *transport.Exception) bool {
			return reflect.DeepEqual(x.Frames[0].Locals, attributes(transport.MaxNotes)) && x.Truncated
		}},
		{"a variable's text", &transport.Exception{Frames: []transport.Frame{{Locals: map[string]string{"a": text, "b": "\xff"}}}},
			func(x *transport.Exception) bool {
				return len(x.Frames[0].Locals["a"]) <= transport.MaxAttribute && x.Frames[0].Locals["b"] == "\uFFFD" && x.Truncated
			}},
		{"variables of a tree: the innermost frames'", &transport.Exception{Frames: variables(20), Cause: &transport.Exception{Frames: variables(1)}},
			func(x *transport.Exception) bool {
				return x.Frames[3].Locals == nil && len(x.Frames[4].Locals) == 64 && x.Cause.Frames[0].Locals == nil && x.Cause.Truncated
			}},
		{"notes", &transport.Exception{Notes: append([]string{text}, make([]string, 100)...)},
			func(x *transport.Exception) bool {
				return len(x.Notes) == transport.MaxNotes && len(x.Notes[0]) <= transport.MaxText
			}},
		{"attributes are kept in the order of their keys", &transport.Exception{Attributes: attributes(99)},
			func(x *transport.Exception) bool {
				return len(x.Attributes) == transport.MaxNotes && reflect.DeepEqual(x.Attributes, attributes(transport.MaxNotes))
			}},
		{"an attribute's texts", &transport.Exception{Attributes: map[string]string{"k": text, text: "v"}},
			func(x *transport.Exception) bool { return len(x.Attributes) == 1 && len(x.Attributes["k"]) <= 1024 }},
		{"base classes", &transport.Exception{Bases: append([]string{text}, make([]string, 100)...)},
			func(x *transport.Exception) bool {
				return len(x.Bases) == transport.MaxBases && len(x.Bases[0]) <= transport.MaxAttribute && x.Truncated
			}},
		{"a chain of causes", chain(20), func(x *transport.Exception) bool { return depth(x) == transport.MaxChain }},
		{"a chain within the limit", chain(transport.MaxChain), func(x *transport.Exception) bool { return !anyTruncated(x) }},
		{"a group", &transport.Exception{Members: members(200)}, func(x *transport.Exception) bool {
			return len(x.Members) == transport.MaxExceptions-1 && x.Truncated && x.Members[0].Type == "0"
		}},
		{"a group within the limit", &transport.Exception{Members: members(transport.MaxExceptions - 1)},
			func(x *transport.Exception) bool { return !anyTruncated(x) }},
		{"a group of nothing", &transport.Exception{Members: []*transport.Exception{nil, nil}},
			func(x *transport.Exception) bool { return x.Members == nil && !x.Truncated }},
		{"a circle becomes a tree", circle(), func(x *transport.Exception) bool { return depth(x) == transport.MaxChain }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.x.Limit()
			if !tt.check(tt.x) {
				t.Errorf("got %.300v", fmt.Sprintf("%+v", tt.x))
			}
			checkLimited(t, tt.x)
		})
	}
}

// TestLimitRandom limits trees that break every limit at once.
func TestLimitRandom(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for range 15 {
		left := r.IntN(300)
		x := randomException(r, &left)
		if x == nil {
			continue
		}
		x.Limit()
		checkLimited(t, x)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// checkLimited wants an exception within the limits, on which limiting once more changes nothing, and which arrives as it
// is.
func checkLimited(t *testing.T, x *transport.Exception) {
	t.Helper()
	left := transport.MaxExceptions
	if why := beyond(x, 1, &left); why != "" {
		t.Error(why)
	}
	if n := locals(x); n > transport.MaxLocals {
		t.Errorf("%d variables", n)
	}
	before := encode(t, x)
	got := receive(t, reading(send(t, x)))
	x.Limit()
	if string(before) != string(encode(t, got)) {
		t.Error("it arrives as another")
	}
	if string(before) != string(encode(t, x)) {
		t.Error("limiting it again changes it")
	}
}

// beyond returns a limit of docs/protocol.md that does not hold.
func beyond(x *transport.Exception, depth int, left *int) string {
	if *left--; *left < 0 {
		return "too many exceptions"
	}
	if depth > transport.MaxChain {
		return "too deep"
	}
	for _, s := range append([]string{x.Type, x.Module, x.Message, x.Traceback, x.Sentinel, x.Host}, x.Notes...) {
		if len(s) > transport.MaxText || !utf8.ValidString(s) {
			return fmt.Sprintf("a text of %d bytes", len(s))
		}
	}
	for _, f := range x.Frames {
		if len(f.File) > 4*transport.MaxAttribute || len(f.Function) > transport.MaxAttribute || len(f.Code) > transport.MaxAttribute {
			return fmt.Sprintf("a frame of %d, %d and %d bytes", len(f.File), len(f.Function), len(f.Code))
		}
		if len(f.Locals) > transport.MaxNotes {
			return fmt.Sprintf("%d variables of a frame", len(f.Locals))
		}
		for k, v := range f.Locals {
			if len(k) > transport.MaxAttribute || len(v) > transport.MaxAttribute {
				return fmt.Sprintf("a variable of %d and %d bytes", len(k), len(v))
			}
		}
	}
	if len(x.Value) > transport.MaxValue {
		return fmt.Sprintf("a value of %d bytes", len(x.Value))
	}
	for k, v := range x.Attributes {
		if len(k) > transport.MaxAttribute || len(v) > transport.MaxAttribute {
			return fmt.Sprintf("an attribute of %d and %d bytes", len(k), len(v))
		}
	}
	for _, base := range x.Bases {
		if len(base) > transport.MaxAttribute || !utf8.ValidString(base) {
			return fmt.Sprintf("a base class's name of %d bytes", len(base))
		}
	}
	if len(x.Bases) > transport.MaxBases {
		return fmt.Sprintf("%d base classes", len(x.Bases))
	}
	if len(x.Frames) > transport.MaxFrames || len(x.Notes) > transport.MaxNotes || len(x.Attributes) > transport.MaxNotes {
		return fmt.Sprintf("%d frames, %d notes, %d attributes", len(x.Frames), len(x.Notes), len(x.Attributes))
	}
	for _, e := range related(x) {
		if why := beyond(e, depth+1, left); why != "" {
			return why
		}
	}
	return ""
}

// locals counts the variables of a tree.
func locals(x *transport.Exception) (n int) {
	for _, f := range x.Frames {
		n += len(f.Locals)
	}
	for _, e := range related(x) {
		n += locals(e)
	}
	return n
}

func related(x *transport.Exception) (all []*transport.Exception) {
	for _, e := range append([]*transport.Exception{x.Cause, x.Context}, x.Members...) {
		if e != nil {
			all = append(all, e)
		}
	}
	return all
}

func depth(x *transport.Exception) (most int) {
	for _, e := range related(x) {
		most = max(most, depth(e))
	}
	return most + 1
}

func anyTruncated(x *transport.Exception) bool {
	for _, e := range related(x) {
		if anyTruncated(e) {
			return true
		}
	}
	return x.Truncated
}

// variables returns frames with as many variables as a frame may have.
func variables(n int) []transport.Frame {
	all := frames(n)
	for i := range all {
		all[i].Locals = attributes(transport.MaxNotes)
	}
	return all
}

func chain(n int) *transport.Exception {
	x := &transport.Exception{Type: fmt.Sprint(n)}
	if n > 1 {
		x.Cause = chain(n - 1)
	}
	return x
}

func members(n int) []*transport.Exception {
	all := make([]*transport.Exception, n)
	for i := range all {
		all[i] = &transport.Exception{Type: fmt.Sprint(i)}
	}
	return all
}

// circle returns an exception that is its own cause, by way of a member.
func circle() *transport.Exception {
	x := &transport.Exception{Type: "circle", Attributes: attributes(3)}
	x.Members = []*transport.Exception{{Type: "member", Cause: x}}
	return x
}

// randomException returns a tree of at most *left exceptions.
func randomException(r *rand.Rand, left *int) *transport.Exception {
	if *left--; *left < 0 {
		return nil
	}
	x := &transport.Exception{Type: randomText(r, 100), Message: randomText(r, 20), Notes: make([]string, r.IntN(3)),
		Suppressed: r.IntN(2) == 0}
	for i := range x.Notes {
		x.Notes[i] = randomText(r, 20)
	}
	if r.IntN(16) == 0 {
		x.Traceback, x.Frames = randomText(r, 2*transport.MaxText), frames(r.IntN(300))
		x.Notes, x.Attributes = make([]string, r.IntN(100)), attributes(r.IntN(100))
		for i := range x.Frames {
			x.Frames[i].Locals = attributes(r.IntN(100))
		}
		x.Value = make([]byte, r.IntN(2*transport.MaxValue))
		x.Bases = slices.Repeat([]string{randomText(r, 2*transport.MaxAttribute)}, r.IntN(2*transport.MaxBases))
	}
	if r.IntN(8) > 0 {
		x.Cause = randomException(r, left)
	}
	if r.IntN(8) == 0 {
		x.Context = randomException(r, left)
	}
	for range r.IntN(8) {
		x.Members = append(x.Members, randomException(r, left))
	}
	return x
}

// randomText returns up to n bytes of characters of all lengths, and of none.
func randomText(r *rand.Rand, n int) string {
	alphabet := []string{"a", "\n", "é", "学", "🚀", "\xff", "\xe5\xad"}
	var b strings.Builder
	for n = r.IntN(n + 1); b.Len() < n; {
		b.WriteString(alphabet[r.IntN(len(alphabet))])
	}
	return b.String()
}

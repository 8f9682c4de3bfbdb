package transport_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-muster/muster/transport"
)

// goroutine1 is a stack with everything that a line of it may hold.
const goroutine1 = `goroutine 1 gp=0xc000002380 m=0 mp=0x586a40 [running, locked to thread]:
panic({0x4b5420?, 0x5aed20?})
	/usr/local/go/src/runtime/panic.go:877 +0x165 fp=0xc00006ee48 sp=0xc00006ed98 pc=0x4795e5
main.(*trainer[...]).step(0xc000012345, {0x0, 0x1, ...})
	/home/a b/train: 2/main.go:25 +0x1d
main.run(...)
	C:/src/main.go:7
runtime.main()
	/usr/local/go/src/runtime/proc.go:290 +0x2d5
...12 frames elided...
non-Go function at pc=7f0001
main.main.gowrap1()
	/src/main.go:3 +0x17
created by main.main in goroutine 9
	/src/main.go:2 +0x5

goroutine 2 [select]:
main.other()
	/src/other.go:1 +0x1
`

// frames1 are the frames of goroutine1.
var frames1 = []transport.Frame{
	{Function: "main.main.gowrap1", File: "/src/main.go", Line: 3},
	{Function: "main.run", File: "C:/src/main.go", Line: 7},
	{Function: "main.(*trainer[...]).step", File: "/home/a b/train: 2/main.go", Line: 25},
}

func TestParseCrash(t *testing.T) {
	tests := []struct {
		name    string
		head    string
		typ     string
		message string
		notes   []string
	}{
		{"a text", "panic: boom\n\n", "panic", "boom", nil},
		{"after empty lines", "\n\npanic: boom\n\n", "panic", "boom", nil},
		{"a text of several lines", "panic: one\n\ttwo\n\t\n\tgoroutine 1 [running]:\n\n", "panic", "one\ntwo\n\ngoroutine 1 [running]:", nil},
		{"a value", "panic: main.MyErr{A:1}\n\n", "panic", "main.MyErr{A:1}", nil},
		{"an empty text", "panic: \n\n", "panic", "", nil},
		{"nested", "panic: first [recovered, repanicked]\n\tpanic: second\n\n", "panic", "first [recovered, repanicked]\npanic: second", nil},
		{"recovered once", "panic: first [recovered]\n\tpanic: second\n\n", "panic", "first [recovered]\npanic: second", nil},
		{"a signal", "panic: runtime error: invalid memory address\n[signal SIGSEGV: segmentation violation addr=0x0 pc=0x4a2b48]\n\n",
			"panic", "runtime error: invalid memory address", []string{"[signal SIGSEGV: segmentation violation addr=0x0 pc=0x4a2b48]"}},
		{"a fatal error", "fatal error: concurrent map writes\n\n", "fatal error", "concurrent map writes", nil},
		{"a stack overflow", "runtime: goroutine stack exceeds 1000000000-byte limit\nruntime: sp=0xc0\n" +
			"fatal error: stack overflow\n\n" +
			"runtime stack:\nruntime.throw({0x4cbb8c?, 0x2?})\n\t/usr/local/go/src/runtime/panic.go:1229 +0x48\n\n",
			"fatal error", "stack overflow", []string{"runtime: goroutine stack exceeds 1000000000-byte limit", "runtime: sp=0xc0"}},
		{"a fault", "unexpected fault address 0xdeadbeef000\nfatal error: fault\n[signal SIGSEGV: segmentation violation]\n\n",
			"fatal error", "fault", []string{"unexpected fault address 0xdeadbeef000", "[signal SIGSEGV: segmentation violation]"}},
		{"out of memory", "runtime: out of memory: cannot allocate 67108864-byte block (872808448 in use)\nfatal error: out of memory\n\n",
			"fatal error", "out of memory", []string{"runtime: out of memory: cannot allocate 67108864-byte block (872808448 in use)"}},
		{"a dump", "SIGQUIT: quit\nPC=0x40866e m=0 sigcode=0\n\ngoroutine 0 gp=0x58 m=0 mp=0x59 [idle]:\n" +
			"runtime.futex(0x1)\n\t/usr/local/go/src/runtime/sys_linux_amd64.s:557 +0x21\n\n",
			"signal", "SIGQUIT: quit", []string{"PC=0x40866e m=0 sigcode=0"}},
		{"a signal in C", "SIGSEGV: segmentation violation\nPC=0x40866e m=0 sigcode=1\nsignal arrived during cgo execution\n\n",
			"signal", "SIGSEGV: segmentation violation", []string{"PC=0x40866e m=0 sigcode=1", "signal arrived during cgo execution"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := &transport.Exception{Type: tt.typ, Message: tt.message, Notes: tt.notes, Frames: frames1,
				Traceback: strings.TrimLeft(tt.head, "\n") + goroutine1}
			if got := transport.ParseCrash([]byte(tt.head + goroutine1)); !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v\nwant %+v", got, want)
			}
		})
	}
}

// TestParseCrashReason is about dumps without the line that says what happened.
func TestParseCrashReason(t *testing.T) {
	const running, sigbus = "\ngoroutine 6 [running]:\n", "[signal SIGBUS: bus error]\n"
	call := func(name string) string { return name + "(0x1)\n\t/usr/local/go/src/x.go:1 +0x1\n" }
	f := call("main.f")
	tests := []struct {
		name    string
		dump    string
		message string
		user    []string
	}{
		{"a map", running + call("internal/runtime/maps.fatal") + f, "concurrent map access", []string{"main.f"}},
		{"a mutex", running + call("internal/sync.fatal") + f, "unlock of unlocked mutex", []string{"main.f", "internal/sync.fatal"}},
		{"a stack", "\nruntime stack:\n" + call("runtime.throw") + call("runtime.newstack") + running + f,
			"stack overflow", []string{"main.f"}},
		{"memory", running + call("runtime.throw") + call("runtime.(*mcache).allocLarge") + f, "out of memory", []string{"main.f"}},
		{"a fault", sigbus + running + call("runtime.throw") + call("runtime.sigpanic") + f, "fault", []string{"main.f"}},
		{"a deadlock", "\ngoroutine 1 [chan receive, 2 minutes]:\n" + f, "all goroutines are asleep - deadlock!", []string{"main.f"}},
		{"unknown", "\ngoroutine 1 [running]:\n" + call("runtime.throw") + f, "", []string{"main.f"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			x := transport.ParseCrash([]byte(tt.dump))
			if x == nil || x.Type != "fatal error" || x.Message != tt.message || !slices.Equal(functions(x), tt.user) {
				t.Errorf("got %+v, want %q in %v", x, tt.message, tt.user)
			}
		})
	}
}

func functions(x *transport.Exception) (names []string) {
	for _, f := range x.Frames {
		names = append(names, f.Function)
	}
	return names
}

func TestParseCrashNothing(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":               "",
		"empty lines":           "\n\n\n",
		"text":                  "loading shard 3\n",
		"a Python traceback":    "Traceback (most recent call last):\n  File \"x\", line 1\nValueError: x\n",
		"a stack behind a text": "watchdog: still here\n\n" + goroutine1,
		"a note alone":          "runtime: a remark\n",
		"a goroutine in a text": "see goroutine 1 [running]:\n",
	} {
		if x := transport.ParseCrash([]byte(text)); x != nil {
			t.Errorf("%s: %+v", name, x)
		}
	}
}

func TestParseCrashWithoutStack(t *testing.T) {
	want := &transport.Exception{Type: "panic", Message: "boom", Traceback: "panic: boom\n"}
	if got := transport.ParseCrash([]byte("panic: boom\n\n")); !reflect.DeepEqual(got, want) { // GOTRACEBACK=none
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestParseCrashLimit(t *testing.T) {
	call := "main.f(0x1)\n\t/src/main.go:1 +0x1\n"
	head := "panic: " + strings.Repeat("x", 1<<20) + "\xff\n\ngoroutine 1 [running]:\n"
	x := transport.ParseCrash([]byte(head + strings.Repeat(call, 10000)))
	if !x.Truncated || len(x.Frames) != transport.MaxFrames || max(len(x.Traceback), len(x.Message)) > transport.MaxText {
		t.Errorf("%d frames, %d bytes of traceback, %d of message", len(x.Frames), len(x.Traceback), len(x.Message))
	}
	checkLimited(t, x)
}

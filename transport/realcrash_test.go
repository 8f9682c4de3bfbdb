//go:build unix

package transport_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-muster/muster/transport"
)

// crashEnv names the crash that this binary is to die of.
const crashEnv = "TRANSPORT_TEST_CRASH"

const nilPointer = "runtime error: invalid memory address or nil pointer dereference"

type crashError struct{ A int }

func (e *crashError) Error() string { return fmt.Sprintf("A is %d", e.A) }

// crashes are ways to die, and what must be known of each afterwards: the message, from the crash output alone and with
// the help of standard error, and the function that the program died in.
var crashes = map[string]struct {
	crash    func()
	typ      string
	message  string
	stderr   string // "" where it says the same
	function string
}{
	"a panic":                      {crashPanic, "panic", "one\ntwo", "", "crashPanic"},
	"a panic of another goroutine": {crashElsewhere, "panic", "boom", "", "crashPanicWith"},
	"an error":                     {func() { crashPanicWith(&crashError{7}) }, "panic", "A is 7", "", "crashPanicWith"},
	"a panic on a panic":           {crashTwice, "panic", "first [recovered, repanicked]\npanic: second", "", "crashTwice.func1"},
	"a panic after Goexit":         {crashGoexit, "panic", "boom", "", "crashPanicWith"},
	"a nil map":                    {crashNilMap, "panic", "assignment to entry in nil map", "", "crashNilMap"},
	"a nil pointer":                {crashNilPointer, "panic", nilPointer, "", "crashNilPointer"},
	"a concurrent map":             {crashMap, "fatal error", "concurrent map access", "concurrent map writes", "crashMap.func1"},
	"a mutex":                      {crashMutex, "fatal error", "unlock of unlocked mutex", "sync: unlock of unlocked mutex", "crashMutex"},
	"a stack overflow":             {crashStack, "fatal error", "stack overflow", "", "overflow"},
	"a fault":                      {crashFault, "fatal error", "fault", "", "crashFault"},
	"a deadlock":                   {crashDeadlock, "fatal error", "all goroutines are asleep - deadlock!", "", "crashDeadlock"},
	"a SIGQUIT":                    {crashQuit, "signal", "SIGQUIT: quit", "", "crashQuit"},
}

//go:noinline
func crashPanic() { panic("one\ntwo") }

//go:noinline
func crashPanicWith(v any) { panic(v) }

func crashElsewhere() {
	go crashPanicWith("boom") // ends the process
	select {}
}

func crashTwice() {
	defer func() { panic("second") }()
	defer func() { panic(recover()) }()
	panic("first")
}

func crashGoexit() {
	go func() { // ends the process
		defer crashPanicWith("boom")
		runtime.Goexit()
	}()
	select {}
}

func crashNilMap() {
	nilMap()["a"] = 1
}

func nilMap() map[string]int { return nil }

func crashNilPointer() {
	var e *crashError
	e.A = 1
}

func crashMap() {
	m := map[[1 << 14]byte]bool{} // a key that takes long to insert: two goroutines soon meet
	for id := range byte(4) {
		go func() { // ends with the process
			for i := uint32(0); ; i++ {
				key := [1 << 14]byte{id}
				binary.BigEndian.PutUint32(key[1:], i&0xff)
				m[key] = true
				delete(m, key)
			}
		}()
	}
	select {}
}

func crashMutex() {
	var mu sync.Mutex
	mu.Unlock()
}

func crashStack() {
	debug.SetMaxStack(1 << 18)
	fmt.Println(overflow(1))
}

// overflow has an end that is never reached.
//
//go:noinline
func overflow(n int) int {
	if n == 0 {
		return 0
	}
	return overflow(n+1) + 1
}

func crashFault() {
	page, err := syscall.Mmap(-1, 0, os.Getpagesize(), syscall.PROT_NONE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err == nil {
		page[0] = 1
	}
}

func crashDeadlock() { <-make(chan int) }

func crashQuit() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGQUIT)
	select {}
}

// init makes this binary crash where a test asks for it, with the crash output on descriptor 3.
func init() {
	name := os.Getenv(crashEnv)
	if name == "" {
		return
	}
	f := os.NewFile(3, "crash output")
	if err := debug.SetCrashOutput(f, debug.CrashOptions{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	f.Close()
	crashes[name].crash()
	os.Exit(0)
}

func TestParseRealCrash(t *testing.T) {
	for name, c := range crashes {
		t.Run(name, func(t *testing.T) {
			if name == "a deadlock" && withC() {
				t.Skip("the runtime looks for deadlocks in programs without C code only: run with CGO_ENABLED=0")
			}
			crash, stderr := crashOf(t, name)
			checkCrash(t, transport.ParseCrash(crash), c.typ, c.message, c.function)
			if c.stderr == "" {
				c.stderr = c.message
			}
			at := strings.Index(stderr, "fatal error: ")
			if at < 0 {
				at = max(strings.Index(stderr, "panic: "), strings.Index(stderr, "SIGQUIT: "))
			}
			checkCrash(t, transport.ParseCrash([]byte(stderr[max(at, 0):])), c.typ, c.stderr, c.function)
		})
	}
}

func withC() bool {
	info, known := debug.ReadBuildInfo()
	return known && slices.Contains(info.Settings, debug.BuildSetting{Key: "CGO_ENABLED", Value: "1"})
}

func checkCrash(t *testing.T, x *transport.Exception, typ, message, function string) {
	t.Helper()
	if x == nil {
		t.Fatal("it is no crash")
	}
	if x.Type != typ || x.Message != message {
		t.Errorf("got %q, %q, want %q, %q\n%.2000s", x.Type, x.Message, typ, message, x.Traceback)
	}
	if !strings.Contains(x.Traceback, "goroutine ") {
		t.Errorf("traceback %q", x.Traceback)
	}
	found := false
	for _, f := range x.Frames {
		if strings.HasPrefix(f.Function, "runtime.") {
			t.Errorf("%s is in the frames", f.Function)
		}
		here := path.Base(f.File) == "realcrash_test.go" && f.Line > 0
		found = found || here && strings.HasSuffix(f.Function, "."+function)
	}
	if !found {
		t.Errorf("%s is not in the frames %+v\n%.2000s", function, x.Frames, x.Traceback)
	}
}

// crashOf returns what a process that dies writes to the crash output and to standard error.
func crashOf(t *testing.T, name string) (crash []byte, stderr string) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var text strings.Builder
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), crashEnv+"="+name, "GORACE=atexit_sleep_ms=0", "GOTRACEBACK=single")
	cmd.Stderr, cmd.ExtraFiles = &text, []*os.File{w}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	crash, err = io.ReadAll(r)
	if err != nil {
		t.Error(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 2 {
		t.Fatalf("it ended with %v\n%s", err, text.String())
	}
	return crash, text.String()
}

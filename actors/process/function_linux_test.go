package process_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/transport"
	"github.com/go-muster/muster/transport/worker"
)

// envCensus names a file to which every start of this binary adds a line.
const envCensus = "MUSTER_TEST_CENSUS"

func init() {
	if path := os.Getenv(envCensus); path != "" {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			panic(err)
		}
		fmt.Fprintln(f, os.Getpid())
		f.Close()
	}
	worker.Register("nothing", func(context.Context, worker.Info) error { return nil })
	worker.Register("error", func(context.Context, worker.Info) error {
		return fmt.Errorf("load: %w", os.ErrNotExist)
	})
	worker.Register("panic", func(context.Context, worker.Info) error { panic("boom") })
	worker.Register("panic elsewhere", func(context.Context, worker.Info) error {
		go panicElsewhere()
		select {}
	})
	worker.Register("fatal error", func(context.Context, worker.Info) error {
		new(sync.Mutex).Unlock()
		return nil
	})
	worker.Register("deaf", func(context.Context, worker.Info) error { select {} })
	worker.Register("goexit", func(context.Context, worker.Info) error {
		runtime.Goexit()
		return nil
	})
	worker.Register("exit", func(_ context.Context, _ worker.Info) error {
		var code int
		fmt.Sscan(os.Args[1], &code)
		os.Exit(code)
		return nil
	})
	worker.Register("wait", func(ctx context.Context, _ worker.Info) error {
		done := ctx.Done()
		fmt.Println("waiting")
		<-done
		fmt.Println(context.Cause(ctx))
		return ctx.Err()
	})
}

func panicElsewhere() { panic("boom elsewhere") }

var sum = worker.Func("sum", func(_ context.Context, _ worker.Info, data []byte) (int, error) {
	n := 0
	for _, b := range data {
		n += int(b)
	}
	return n, nil
})

// result returns the Result that a rank reported.
func (r *recorder) result() (value []byte, said bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.messages {
		if result, ok := m.(*transport.Result); ok {
			return result.Value, true
		}
	}
	return nil, false
}

// TestFunction: a function's success is its result, and what goes wrong in it is an exception (G-8).
func TestFunction(t *testing.T) {
	t.Run("a result", func(t *testing.T) {
		processtest.Check(t)
		l, exit := run(t, process.Reexec("nothing"))
		if _, said := l.result(); !said || !exit.Success() || len(l.exceptions()) > 0 {
			t.Errorf("exit %+v, messages %v, %s", exit, l.messages, l.dump())
		}
	})
	t.Run("an argument of 8 MB and a value", func(t *testing.T) {
		processtest.Check(t)
		c := process.Reexec(sum.Name())
		var err error
		if c.Argument, err = transport.Marshal(bytes.Repeat([]byte{1}, 8<<20)); err != nil {
			t.Fatal(err)
		}
		l, exit := run(t, c)
		value, said := l.result()
		var n int
		if err := transport.Unmarshal(value, &n); err != nil || !said || n != 8<<20 || !exit.Success() {
			t.Errorf("result %v (%v), exit %+v, %s", n, err, exit, l.dump())
		}
	})
	t.Run("an error", func(t *testing.T) {
		processtest.Check(t)
		l, exit := run(t, process.Reexec("error"))
		x := l.onlyException()
		if x.Message != "load: file does not exist" || exit.Code != 1 || x.Rank != 3 || x.PID != l.PID() {
			t.Errorf("exit %+v, exception %+v", exit, x)
		}
		wantErrorIs(t, x, os.ErrNotExist)
	})
	t.Run("a panic", func(t *testing.T) {
		processtest.Check(t)
		l, exit := run(t, process.Reexec("panic"))
		x := l.onlyException()
		if x.Error() != "panic: boom" || exit.Code != 2 || !strings.Contains(x.Traceback, "function_linux_test.go") {
			t.Errorf("exit %+v, exception %+v", exit, x)
		}
	})
	t.Run("a panic in another goroutine", func(t *testing.T) { // T25
		processtest.Check(t)
		l, exit := run(t, process.Reexec("panic elsewhere"))
		x := l.onlyException()
		if x.Error() != "panic: boom elsewhere" || exit.Code != 2 || x.Rank != 3 || x.PID != l.PID() ||
			!strings.Contains(x.Traceback, "panicElsewhere") {
			t.Errorf("exit %+v, exception %+v", exit, x)
		}
	})
	t.Run("a fatal error of the runtime", func(t *testing.T) { // T25
		processtest.Check(t)
		l, exit := run(t, process.Reexec("fatal error"))
		if x := l.onlyException(); x.Type != "fatal error" || exit.Code != 2 {
			t.Errorf("exit %+v, exception %+v", exit, x)
		}
	})
	t.Run("runtime.Goexit", func(t *testing.T) {
		processtest.Check(t)
		l, exit := run(t, process.Reexec("goexit"))
		if x := l.onlyException(); !strings.Contains(x.Message, "Goexit") || exit.Code != 1 {
			t.Errorf("exit %+v, exception %+v", exit, x)
		}
	})
	t.Run("os.Exit(0) is no result", func(t *testing.T) {
		processtest.Check(t)
		l, exit := run(t, process.Reexec("exit", "0"))
		if exit.Success() || exit.Code != 0 || len(l.exceptions()) > 0 {
			t.Errorf("exit %+v", exit)
		}
		wantErrorIs(t, &exit, process.ErrNoResult)
		if strings.Contains(exit.Error(), "worker.Main") {
			t.Errorf("%q of a function that was called", exit.Error())
		}
	})
	t.Run("exit code 0 after an exception is told as the exception", func(t *testing.T) {
		processtest.Check(t)
		c := shell("printf '" + octal(frame(boom)) + "' >&3")
		c.Entry = "e"
		l, exit := run(t, c)
		if x := l.onlyException(); x.Message != boom.Message || exit.Code != 0 || exit.Err != nil {
			t.Errorf("exit %+v, exception %+v", exit, x)
		}
	})
	t.Run("os.Exit(138) is exit code 138, without a report", func(t *testing.T) { // E29
		processtest.Check(t)
		l, exit := run(t, process.Reexec("exit", "138"))
		if exit.Code != 138 || exit.Signal != 0 || exit.Err != nil || !exit.Silent || len(l.exceptions()) > 0 {
			t.Errorf("exit %+v", exit)
		}
		if want := "exit status 138 without a report (os.Exit?)"; exit.Error() != want {
			t.Errorf("%q, want %q", exit.Error(), want)
		}
	})
	t.Run("an exit with a report is not silent", func(t *testing.T) {
		processtest.Check(t)
		for _, name := range []string{"error", "panic", "panic elsewhere", "fatal error", "goexit", "nothing"} {
			if _, exit := run(t, process.Reexec(name)); exit.Silent {
				t.Errorf("%s: exit %+v", name, exit)
			}
		}
	})
	t.Run("one that looks at its context is told why it is stopped", func(t *testing.T) {
		processtest.Check(t)
		l := launch(t, process.Reexec("wait"))
		l.awaitOutput(process.Stdout, "waiting")
		l.Stop("rank 2 failed", time.Minute)
		exit := l.awaitExit()
		if exit.Code != 1 || !exit.Stopped || exit.Silent || exit.Err != nil || len(l.exceptions()) > 0 {
			t.Errorf("exit %+v, %s", exit, l.dump())
		}
		if out := l.stdout(); !strings.Contains(out, "rank 2 failed") && !strings.Contains(out, "terminated") {
			t.Errorf("cause %q", out)
		}
	})
	t.Run("one that does not ends at once", func(t *testing.T) {
		processtest.Check(t)
		l := launch(t, process.Reexec("deaf"))
		l.Stop("test", time.Minute)
		if exit := l.awaitExit(); exit.Signal != syscall.SIGTERM || !exit.Stopped || exit.Err != nil {
			t.Errorf("exit %+v, %s", exit, l.dump())
		}
	})
}

// onlyException returns the exception that a rank raised, and fails the test when it is not exactly one.
func (r *recorder) onlyException() *transport.Exception {
	r.t.Helper()
	all := r.exceptions()
	if len(all) != 1 {
		r.t.Fatalf("%d exceptions: %v\n%s", len(all), all, r.dump())
	}
	return all[0]
}

// careless is a program that starts ranks and has not called worker.Main: in a rank it does so again.
var careless = processtest.Helper("start ranks without worker.Main", func() {
	for range 4 {
		_, err := process.Local().Launch(process.ID{}, process.Reexec("nothing"), nil)
		if !errors.Is(err, process.ErrMainNotCalled) {
			panic(err)
		}
	}
	fmt.Println(process.Local().Check(process.Command{Args: []string{"true"}}))
})

// TestForkBomb: a program that is started as a rank never starts its parent's work again (aesthetics §9.6).
func TestForkBomb(t *testing.T) {
	census := func(t *testing.T, c *process.Command) (count func() int) {
		path := filepath.Join(t.TempDir(), "census")
		c.Env = append(c.Env, envCensus+"="+path)
		return func() int {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			return bytes.Count(b, []byte("\n"))
		}
	}
	t.Run("an entry point that nobody registered", func(t *testing.T) {
		processtest.Check(t)
		c := process.Reexec("nobody")
		count := census(t, &c)
		l, exit := run(t, c)
		if x := l.onlyException(); !strings.Contains(x.Message, `no entry point "nobody"`) || exit.Code != 1 {
			t.Errorf("exit %+v, exception %+v", exit, x)
		}
		if n := count(); n != 1 {
			t.Errorf("%d processes were started", n)
		}
	})
	t.Run("a main that does not call worker.Main", func(t *testing.T) {
		processtest.Check(t)
		c := processtest.Command(t, careless)
		c.Entry = "nothing"
		count := census(t, &c)
		l, exit := run(t, c)
		if want := fmt.Sprintln(process.ErrMainNotCalled); l.stdout() != want {
			t.Errorf("%s", l.dump())
		}
		wantErrorIs(t, &exit, process.ErrNoResult)
		if !strings.Contains(exit.Error(), "worker.Main") {
			t.Errorf("%q does not say what to do", exit.Error())
		}
		if n := count(); n != 1 {
			t.Errorf("%d processes were started", n)
		}
	})
}

// crowd crashes with 3000 goroutines, whose dump is half a megabyte.
func init() {
	worker.Register("crowd", func(context.Context, worker.Info) error {
		for range 3000 {
			go func() { select {} }()
		}
		go panicElsewhere()
		select {}
	})
}

// TestCrowd: a crash that dumps half a megabyte is drained, and so the process does die (T26).
func TestCrowd(t *testing.T) {
	processtest.Check(t)
	c := process.Reexec("crowd")
	c.Env = []string{"GOTRACEBACK=all"}
	r := newRecorder(t)
	l := launchWith(t, c, r)
	exit := l.awaitExit()
	if x := l.onlyException(); exit.Code != 2 || x.Message != "boom elsewhere" || len(x.Traceback) > 64<<10 {
		t.Errorf("exit %+v, exception with %d bytes of traceback", exit, len(x.Traceback))
	}
	if len(exit.Stderr) > 8<<10 {
		t.Errorf("a tail of %d bytes", len(exit.Stderr))
	}
}

// TestQuit: SIGQUIT makes the runtime dump and die; it is told as a signal's dump.
func TestQuit(t *testing.T) {
	processtest.Check(t)
	l := launch(t, process.Reexec("wait"))
	l.awaitOutput(process.Stdout, "waiting")
	if err := l.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	exit := l.awaitExit()
	if x := l.onlyException(); x.Type != "signal" || exit.Code != 2 || exit.Stopped {
		t.Errorf("exit %+v, exception %+v", exit, x)
	}
}

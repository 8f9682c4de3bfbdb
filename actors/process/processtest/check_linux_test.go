package processtest

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-muster/muster/actors/process"
)

func TestMain(m *testing.M) { Main(m) }

// A subject is the test that is checked.
type subject struct {
	testing.TB
	errors   []string
	cleanups []func()
}

func (s *subject) Errorf(format string, args ...any) {
	s.errors = append(s.errors, fmt.Sprintf(format, args...))
}
func (s *subject) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

func (s *subject) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// checked returns what Check finds when leak leaves something behind.
func checked(t *testing.T, leak func()) []string {
	t.Helper()
	before := patience
	patience = 300 * time.Millisecond
	t.Cleanup(func() { patience = before })
	s := &subject{TB: t}
	Check(s)
	leak()
	for i := range s.cleanups {
		s.cleanups[len(s.cleanups)-1-i]()
	}
	return s.errors
}

func wantOne(t *testing.T, errors []string, parts ...string) {
	t.Helper()
	if len(errors) != 1 {
		t.Fatalf("%d errors: %q", len(errors), errors)
	}
	for _, part := range parts {
		if !strings.Contains(errors[0], part) {
			t.Errorf("%q is not in %q", part, errors[0])
		}
	}
}

// orphan prints the process id of an orphan that is far away from its family.
func orphan(t *testing.T) string {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", `(setsid sh -c 'echo $$; exec sleep 600 >/dev/null 2>&1' &)`)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func TestCheck(t *testing.T) {
	t.Run("nothing is left", func(t *testing.T) {
		if errors := checked(t, func() { _ = exec.Command("true").Run() }); len(errors) > 0 {
			t.Errorf("%q", errors)
		}
	})
	t.Run("what ends soon is no leak", func(t *testing.T) {
		errors := checked(t, func() { go func() { <-time.After(50 * time.Millisecond) }() })
		if len(errors) > 0 {
			t.Errorf("%q", errors)
		}
	})
	t.Run("an orphan in a session of its own", func(t *testing.T) {
		var pid string
		errors := checked(t, func() { pid = orphan(t) })
		wantOne(t, errors, "processes that outlive the test", "pid "+pid+" (sleep)", "sleep 600")
		if b, err := os.ReadFile("/proc/" + pid + "/cmdline"); err == nil && len(b) > 0 {
			t.Error("it was not killed")
		}
	})
	t.Run("a zombie", func(t *testing.T) {
		var pid int
		errors := checked(t, func() {
			null, err := os.Open(os.DevNull)
			if err != nil {
				t.Fatal(err)
			}
			defer null.Close()
			if pid, err = syscall.ForkExec("/bin/true", []string{"true"}, &syscall.ProcAttr{Files: []uintptr{null.Fd()}}); err != nil {
				t.Fatal(err)
			}
		})
		wantOne(t, errors, "zombies that outlive the test", "(true), state Z")
		if _, err := syscall.Wait4(pid, nil, 0, nil); err != nil {
			t.Error(err)
		}
	})
	t.Run("an open descriptor", func(t *testing.T) {
		var f *os.File
		errors := checked(t, func() { f, _ = os.Open("/dev/zero") })
		wantOne(t, errors, "descriptors that outlive the test", fmt.Sprintf("descriptor %d was opened: /dev/zero", f.Fd()))
		f.Close()
	})
	t.Run("a goroutine", func(t *testing.T) {
		end := make(chan struct{})
		errors := checked(t, func() { go func() { <-end }() })
		wantOne(t, errors, "goroutines that outlive the test", "TestCheck")
		close(end)
	})
}

// TestDifference: what changed is said in words.
func TestDifference(t *testing.T) {
	got := difference(map[string]string{"1": "a", "2": "b", "3": "c"}, map[string]string{"1": "a", "2": "x", "4": "d"})
	for _, part := range []string{"descriptor 2 was b and is x", "descriptor 3 was closed: c", "descriptor 4 was opened: d"} {
		if !strings.Contains(got, part) {
			t.Errorf("%q is not in %q", part, got)
		}
	}
	if strings.Count(got, "\n") != 3 {
		t.Errorf("%q", got)
	}
}

var hello = Helper("hello", func() { fmt.Println("hello", os.Args[1:], os.Getenv(envHelper)) })

// TestCommand: a helper is this binary, started again.
func TestCommand(t *testing.T) {
	Check(t)
	c := Command(t, hello, "a", "b")
	cmd := exec.Command(c.Args[0], c.Args[1:]...)
	cmd.Env = append(os.Environ(), c.Env...)
	out, err := cmd.Output()
	if err != nil || string(out) != "hello [a b] \n" {
		t.Errorf("%q, %v", out, err)
	}
	if c.Entry != "" || c.Speaks || c.String() != process.Reexec("", "a", "b").String() {
		t.Errorf("%+v", c)
	}
	defer func() {
		if p := recover(); p == nil {
			t.Error("a helper that does not exist has a command")
		}
	}()
	Command(&subject{TB: t}, "nobody")
}

// TestHelper: a name stands for one helper.
func TestHelper(t *testing.T) {
	for _, name := range []string{"", hello} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q can be registered", name)
				}
			}()
			Helper(name, func() {})
		}()
	}
	idle := Helper("idle", func() {})
	defer func() { delete(helpers, idle) }()
	if got := unused(); len(got) == 0 || got[len(got)-1] != "idle" {
		t.Errorf("unused helpers: %v", got)
	}
}

package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/transport"
	"github.com/go-muster/muster/transport/worker"
	"github.com/go-muster/muster/transport/worker/python"
)

// A mode is a way of launching ranks. In each, a rank takes the same verbs:
//
//	say TEXT       print a line
//	wait PATH      print "here" and wait for the gate to open
//	ignore         ignore SIGTERM from now on
//	count          print "term" for each SIGTERM from now on, and go on
//	slow TIME      take a time to end after SIGTERM
//	stuck          never return from the handler of SIGTERM
//	raise TEXT     end with an exception; where there are none, with exit code 1 and the text on standard error
//	exit CODE      end at once, without a word
//	signal NUMBER  send a signal to oneself
//	hang           never end
//	first VERB     a verb for generation 0 alone
//
// After its last verb a rank ends well.
type mode struct {
	name    string
	speaks  bool   // exceptions travel
	kind    string // what raise raises
	command func(t *testing.T, verbs ...string) process.Command
}

// exit is how a rank ends that exits with a code of its own.
func (m mode) exit(code int) *process.Exit {
	return &process.Exit{Code: code, Silent: code != 0 && m.name == "function"}
}

var (
	function = mode{"function", true, "*errors.errorString", func(t *testing.T, verbs ...string) process.Command {
		t.Helper()
		c := process.Reexec("act")
		var err error
		if c.Argument, err = transport.Marshal(verbs); err != nil {
			t.Fatal(err)
		}
		return c
	}}
	command = mode{"command", false, "", func(t *testing.T, verbs ...string) process.Command {
		t.Helper()
		return processtest.Command(t, actor, verbs...)
	}}
	script = mode{"python", true, "ValueError", func(_ *testing.T, verbs ...string) process.Command {
		return injected(append([]string{"testdata/act.py"}, verbs...)...)
	}}
)

// inEach runs a test in every launch mode.
func inEach(t *testing.T, test func(t *testing.T, m mode)) {
	t.Helper()
	for _, m := range []mode{function, command, script} {
		t.Run(m.name, func(t *testing.T) { test(t, m) })
	}
}

// sh is a rank that is a shell's.
func sh(script string, args ...string) process.Command {
	return process.Command{Args: append([]string{"/bin/sh", "-c", script, "sh"}, args...)}
}

// ranks makes a list of commands, one for each list of verbs.
func (m mode) ranks(t *testing.T, verbs ...[]string) []process.Command {
	t.Helper()
	commands := make([]process.Command, len(verbs))
	for rank := range verbs {
		commands[rank] = m.command(t, verbs[rank]...)
	}
	return commands
}

var _ = worker.Func("act", func(_ context.Context, me worker.Info, verbs []string) (string, error) {
	if err := act(me, verbs); err != nil {
		return "", err
	}
	return fmt.Sprintf("rank %d of %d has ended well", me.Rank, me.World), nil
})

var actor = processtest.Helper("act", func() {
	if err := act(worker.Environment(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
})

func act(me worker.Info, verbs []string) error {
	if len(verbs) > 0 && strings.HasPrefix(verbs[0], "live ") {
		return actLife(me, strings.TrimPrefix(verbs[0], "live "), verbs[1:])
	}
	for _, words := range verbs {
		verb, rest, _ := strings.Cut(words, " ")
		if verb == "first" {
			if me.Generation > 0 {
				continue
			}
			verb, rest, _ = strings.Cut(rest, " ")
		}
		if err := do(verb, rest); err != nil {
			return err
		}
	}
	return nil
}

func do(verb, rest string) error {
	switch verb {
	case "say":
		fmt.Println(rest)
	case "wait":
		return pass(rest)
	case "ignore":
		signal.Ignore(syscall.SIGTERM)
	case "count":
		onTerm(func() bool { fmt.Println("term"); return true })
	case "slow":
		onTerm(func() bool { <-time.After(duration(rest)); os.Exit(0); return false })
	case "stuck":
		onTerm(func() bool { hang(); return false })
	case "raise":
		return errors.New(rest)
	case "exit":
		os.Exit(number(rest))
	case "signal":
		if err := syscall.Kill(os.Getpid(), syscall.Signal(number(rest))); err != nil {
			return err
		}
		hang()
	case "hang":
		hang()
	default:
		return fmt.Errorf("nobody knows how to %q", verb)
	}
	return nil
}

// pass waits at a gate.
func pass(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	fmt.Println("here")
	_, _ = f.Read(make([]byte, 1))
	return nil
}

// onTerm calls a handler for each SIGTERM until it returns false.
func onTerm(handle func() bool) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM)
	go func() { // ends with the process
		for range c {
			if !handle() {
				return
			}
		}
	}()
}

// hang never returns, and is no deadlock to the runtime.
func hang() { <-time.After(24 * time.Hour) }

func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		panic(err)
	}
	return n
}

func duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		panic(err)
	}
	return d
}

// pythonCode is a rank that is a Python program in its arguments, whose exceptions travel.
func pythonCode(source string, args ...string) process.Command {
	return injected(append([]string{"-c", source}, args...)...)
}

func injected(args ...string) process.Command {
	argv, _ := python.Inject(append([]string{interpreter()}, args...))
	return process.Command{Args: argv, Speaks: true}
}

// interpreter is Python itself: the python3 on the PATH may be a script of a version manager that takes longer to find
// Python than Python takes to start.
var interpreter = sync.OnceValue(func() string {
	path, err := exec.Command("python3", "-c", "import sys; print(sys.executable)").Output()
	if err != nil {
		return "python3"
	}
	return strings.TrimSpace(string(path))
})

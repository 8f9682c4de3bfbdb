// Subject is what the comparison runs of Go: groups through the library, and what one would write without it. It measures
// itself, as a call in a program that runs already, and says so on the pipe that COMPARE_MARKS names.
//
//	subject launch N PROGRAM [ARG…]      a group, to its end
//	subject guarantees WITHOUT N PROGRAM [ARG…]  the same, with some of its guarantees left out
//	subject exec N PROGRAM [ARG…]        os/exec, in a loop
//	subject exec-pipes N PROGRAM [ARG…]  the same, and what they write is read
//	subject run RESTARTS N PROGRAM [ARG…]  a group of Python scripts, or of other commands, that says "held" when it has the failure
//	subject functions N                  a group of Go functions, of which one fails
//	subject roundtrip|oneway VIA COUNT   messages of 64 bytes: VIA is muster, socketpair or rpc
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport"
	"github.com/go-muster/muster/transport/worker"
	"github.com/go-muster/muster/transport/worker/python"
)

func main() {
	worker.Main()
	serve()
	if len(os.Args) < 3 {
		fail(errors.New("too few arguments"))
	}
	args := os.Args[2:]
	switch os.Args[1] {
	case "launch":
		measure(func(argv []string) error { return launch(argv, 1) }, launchOf(args))
	case "guarantees":
		guarantees(args[0], args[1:])
	case "exec":
		measure(execOne, func() error { return execLoop(number(args[0]), args[1:], nil) })
	case "exec-pipes":
		measure(execOne, func() error { return execLoop(number(args[0]), args[1:], io.Discard) })
	case "run":
		run(number(args[0]), number(args[1]), args[2:])
	case "functions":
		functions(number(args[0]))
	case "roundtrip":
		messages(roundtrips, args[0], number(args[1]))
	case "oneway":
		messages(oneways, args[0], number(args[1]))
	default:
		fail(fmt.Errorf("unknown: %s", os.Args[1]))
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "subject:", err)
	os.Exit(1)
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		fail(err)
	}
	return n
}

// clock is the same in all processes.
func clock() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		fail(err)
	}
	return ts.Nano()
}

func mark(what string, number int64) {
	f, err := os.OpenFile(os.Getenv("COMPARE_MARKS"), os.O_WRONLY, 0)
	if err != nil {
		fail(err)
	}
	defer f.Close()
	if _, err := fmt.Fprintf(f, "%s %d %d\n", what, os.Getpid(), number); err != nil {
		fail(err)
	}
}

// measure says what a call has taken, after one of its kind that does not count.
func measure(first func(argv []string) error, call func() error) {
	if err := first([]string{"/bin/true"}); err != nil {
		fail(err)
	}
	start := time.Now()
	if err := call(); err != nil {
		fail(err)
	}
	mark("took", int64(time.Since(start)))
}

// show hands on what the ranks write.
var show = supervisor.WithOutput(func(_ process.ID, _ process.Stream, lines []byte) { os.Stderr.Write(lines) })

func launch(argv []string, n int, opts ...supervisor.Option) error {
	ranks := supervisor.Repeat(n, process.Command{Args: argv})
	return supervisor.Run(context.Background(), supervisor.Spec{Ranks: ranks}, append(opts, show)...)
}

func launchOf(args []string) func() error {
	return func() error { return launch(args[1:], number(args[0])) }
}

// guarantees runs a group with fewer protections, so that one sees what each costs; "actors" is without a group at all.
func guarantees(without string, args []string) {
	layers, c := process.Layers{}, process.Command{Args: args[1:]}
	actors := true
	for _, layer := range strings.Split(without, ",") {
		switch layer {
		case "cgroup":
			layers.NoCgroup = true
		case "watchdog":
			layers.NoWatchdog = true
		case "deathsig":
			layers.NoDeathsig = true
		case "link":
			c.Plain = true
		case "actors":
			actors = false
		}
	}
	l, n := process.LocalWith(layers), number(args[0])
	once := func(n int, c process.Command) error {
		if !actors {
			return processes(l, n, c)
		}
		return supervisor.Run(context.Background(), supervisor.Spec{Ranks: supervisor.Repeat(n, c)}, supervisor.WithLauncher(l), show)
	}
	first := func(argv []string) error { return once(1, process.Command{Args: argv}) }
	measure(first, func() error { return once(n, c) })
}

// An end is an observer that waits for the exit.
type end chan process.Exit

func (end) Message(transport.Message)     {}
func (end) Broken(error)                  {}
func (end) Probed(error)                  {}
func (end) Output(process.Stream, []byte) {}
func (e end) Exited(x process.Exit)       { e <- x }

// processes starts them one after the other, with nobody who supervises them.
func processes(l process.Launcher, n int, c process.Command) error {
	defer l.Guard(nil)()
	exits := make(end, n)
	for i := range n {
		if _, err := l.Launch(process.ID{Rank: i}, c, exits); err != nil {
			return err
		}
	}
	for range n {
		if x := <-exits; !x.Success() {
			return fmt.Errorf("a process ended badly: %+v", x)
		}
	}
	return nil
}

func execOne(argv []string) error { return exec.Command(argv[0], argv[1:]...).Run() }

// execLoop hands what they write to somebody, each stream through a pipe and a goroutine of os/exec; nil is the null device.
func execLoop(n int, argv []string, output io.Writer) error {
	running := make([]*exec.Cmd, n)
	for i := range running {
		running[i] = exec.Command(argv[0], argv[1:]...)
		if output != nil {
			running[i].Stdout, running[i].Stderr = output, io.MultiWriter(output) // of two writers that are the same it would make one pipe
		}
		if err := running[i].Start(); err != nil {
			return err
		}
	}
	var errs []error
	for _, cmd := range running {
		errs = append(errs, cmd.Wait())
	}
	return errors.Join(errs...)
}

// run runs a group that fails in the end. Whoever holds the failure of a Python script holds its exception.
func run(restarts, n int, argv []string) {
	c := process.Command{Args: argv}
	if injected, ok := python.Inject(argv); ok {
		c.Args, c.Speaks = injected, true
	}
	spec := supervisor.Spec{Ranks: supervisor.Repeat(n, c), Strategy: supervisor.AllForOne{Restarts: restarts}}
	hold(supervisor.Run(context.Background(), spec, supervisor.WithOutput(nil)), c.Speaks)
}

func hold(err error, speaks bool) {
	held := clock()
	var exception *transport.Exception
	var failure *supervisor.Failure
	switch {
	case err == nil:
		os.Exit(0)
	case speaks && errors.As(err, &exception) && strings.Contains(exception.Message, os.Getenv("COMPARE_WORD")):
	case !speaks && errors.As(err, &failure) && failure.Exit.Code == 3:
	default:
		fail(err)
	}
	mark("held", held)
	os.Exit(3)
}

var gate = worker.Func("gate", func(ctx context.Context, _ worker.Info, _ struct{}) (struct{}, error) {
	fd, err := unix.Open(os.Getenv("COMPARE_GATE"), unix.O_RDONLY|unix.O_CLOEXEC, 0) // blocking: one byte wakes one rank
	if err != nil {
		return struct{}{}, err
	}
	mark("ready", clock())
	if _, err := unix.Read(fd, make([]byte, 1)); err != nil {
		return struct{}{}, err
	}
	mark("raise", clock())
	return struct{}{}, errors.New(os.Getenv("COMPARE_WORD"))
})

func functions(n int) {
	_, err := supervisor.Map(context.Background(), supervisor.Spec{}, gate, make([]struct{}, n), supervisor.WithOutput(nil))
	hold(err, true)
}

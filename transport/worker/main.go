package worker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/go-muster/muster/transport"
)

// Exit codes of a worker. 2 is what the Go runtime uses for a panic.
const (
	exitError = 1
	exitPanic = 2
)

// Main runs the entry point this process was started for and exits; in any other process it returns at once. Call it
// before anything else in main: what comes before it runs in every rank too.
//
// It never returns in a process that was started for an entry point, registered or not, and it takes the entry point
// out of the environment: a rank can not start its parent's work all over again.
func Main() {
	name, asked := os.LookupEnv(transport.EnvEntry)
	if !asked {
		return
	}
	os.Unsetenv(transport.EnvEntry)
	os.Exit(run(name))
}

// run does everything for one entry point and returns the exit code.
func run(name string) int {
	me := Environment()
	captureCrashes()
	l, err := openLink()
	if err != nil {
		fmt.Fprintln(os.Stderr, "muster:", err)
		return exitError
	}
	e, known := entries[name]
	if !known {
		return l.fail(me, fmt.Errorf("worker: no entry point %q is registered in %s: call worker.Register or "+
			"worker.Func for it while the program initialises", name, os.Args[0]))
	}
	go l.listen() // ends with the process
	argument, err := l.argument(e.wantsData)
	if err != nil {
		return l.fail(me, err)
	}
	if err := l.conn.Send(&transport.Ready{}); err != nil {
		return exitError // nobody listens any more
	}
	return l.call(me, e, argument)
}

// call runs the user's function and sends its result, its error or its panic.
func (l *link) call(me Info, e entry, argument []byte) (code int) {
	returned := false
	defer func() {
		switch p := recover(); {
		case p != nil:
			l.report(me, transport.FromPanic(p, debug.Stack()))
			fmt.Fprintf(os.Stderr, "panic: %v\n\n%s", p, debug.Stack())
			code = exitPanic
		case !returned: // runtime.Goexit ends this goroutine, and only the process's end can follow
			os.Exit(l.fail(me, errGoexit))
		}
	}()
	ctx := newContext(l.stopped)
	result, err := e.run(ctx, me, argument)
	returned = true
	switch {
	case err == nil:
		return l.succeed(result)
	case ctx.stopped() && (errors.Is(err, context.Canceled) || errors.Is(err, ErrStopped)):
		l.progress.flush()
		return exitError // the answer to our being stopped is no failure of the work
	}
	return l.fail(me, err)
}

var errGoexit = errors.New("worker: the function called runtime.Goexit (as t.FailNow does) and will never return")

func (l *link) succeed(value []byte) int {
	l.progress.flush()
	value, err := l.office.parts(value)
	if err == nil {
		err = l.conn.Send(&transport.Result{Value: value})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "muster: the result could not be sent:", err)
		return exitError
	}
	return 0
}

func (l *link) fail(me Info, err error) int {
	l.report(me, transport.FromError(err))
	fmt.Fprintln(os.Stderr, err)
	return exitError
}

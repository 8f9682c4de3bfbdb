package worker

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"github.com/go-muster/muster/transport"
)

// A link is the worker's end of the socket.
type link struct {
	conn      *transport.Conn
	progress  *progress
	office    *office
	arguments chan []byte          // the Argument, once
	stopped   chan *transport.Stop // closed-over by the context: one Stop
	refused   chan error           // the supervisor refused us
}

// openLink takes the socket from the environment and says hello.
func openLink() (*link, error) {
	f, err := inherited(transport.EnvFD)
	if err != nil {
		return nil, err
	}
	l := &link{
		conn:      transport.NewConn(f),
		arguments: make(chan []byte, 1),
		stopped:   make(chan *transport.Stop, 1),
		refused:   make(chan error, 1),
	}
	l.conn.Trust()
	hello := &transport.Hello{Min: transport.Version, Max: transport.Version, PID: os.Getpid(), SDK: "go"}
	if err := l.conn.Send(hello); err != nil {
		return nil, fmt.Errorf("worker: say hello: %w", err)
	}
	l.progress = &progress{conn: l.conn}
	theProgress.Store(l.progress)
	l.office = newOffice(l.conn)
	theOffice.Store(l.office)
	return l, nil
}

// inherited returns the descriptor that an environment variable names, and removes the variable: neither may reach this
// process's own children.
func inherited(name string) (*os.File, error) {
	text := os.Getenv(name)
	os.Unsetenv(name)
	fd, err := strconv.Atoi(text)
	if err != nil || fd < 3 {
		return nil, fmt.Errorf("worker: %s=%q names no descriptor", name, text)
	}
	closeOnExec(fd)
	f := os.NewFile(uintptr(fd), name)
	if _, err := f.Stat(); err != nil {
		return nil, fmt.Errorf("worker: %s=%s: %w", name, text, err)
	}
	return f, nil
}

// listen reads what the supervisor says until the end of the stream, which means that the supervisor is gone: then this
// process has nobody to work for and ends. (On Linux the parent-death signal is usually faster.)
func (l *link) listen() {
	for {
		m, err := l.conn.Recv()
		if errors.Is(err, syscall.EBADF) {
			l.office.close()
			return // the program has closed the socket: its end is its own
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "muster: the supervisor is gone:", err)
			os.Exit(exitError)
		}
		switch m := m.(type) {
		case *transport.Welcome:
			l.welcome(m)
		case *transport.Argument:
			offer(l.arguments, m.Value)
		case *transport.Stop:
			offer(l.stopped, m)
		case *transport.Mail:
			l.office.receive(m)
			// We are about to wait in the kernel, and take the processor along for as long as nobody takes it away: who has just
			// been given something goes first.
			runtime.Gosched()
		case *transport.Credit:
			l.office.credit.Grant(m.Bytes)
		case *transport.Dump:
			go l.dump() // ends when it is read: a supervisor that does not read can still ask this process to stop
		}
	}
}

func (l *link) welcome(m *transport.Welcome) {
	if m.Version == 0 {
		offer(l.refused, fmt.Errorf("worker: %w: this side speaks %d", transport.ErrVersion, transport.Version))
		return
	}
	l.office.credit.Grant(m.Credit)
	if m.Heartbeat > 0 {
		go l.beat(m.Heartbeat) // ends with the process
	}
}

// beat sends a heartbeat at every interval, from a goroutine of its own: a busy worker is not a dead one.
func (l *link) beat(interval time.Duration) {
	ticker := time.NewTicker(interval)
	for seq := 1; ; seq++ {
		now := <-ticker.C
		if l.conn.Send(&transport.Heartbeat{Seq: seq, Time: now.UnixNano()}) != nil {
			return // listen sees the end too
		}
	}
}

// dump answers with the stacks of all goroutines. They stand still for the few milliseconds that this takes.
func (l *link) dump() {
	buf := make([]byte, 1<<20) // several times what a message holds: its end is worth having, too
	d := &transport.Dump{Text: string(buf[:runtime.Stack(buf, true)])}
	d.Limit()
	_ = l.conn.Send(d) // listen sees an error too
}

// argument waits for the argument of a function that takes one.
func (l *link) argument(wanted bool) ([]byte, error) {
	if !wanted {
		return nil, nil
	}
	select {
	case a := <-l.arguments:
		return a, nil
	case err := <-l.refused:
		return nil, err
	}
}

// report sends an exception with who we are. An error of the link leaves nothing to do: the exit code still speaks.
func (l *link) report(me Info, x *transport.Exception) {
	x.Rank, x.Generation, x.PID, x.Time = me.Rank, me.Generation, os.Getpid(), time.Now().UnixNano()
	x.Host, _ = os.Hostname()
	x.Limit()
	l.progress.flush()
	if errors.Is(l.conn.Send(x), transport.ErrTooLarge) { // within each limit, and too much in all
		x.Cause, x.Context, x.Members, x.Truncated = nil, nil, nil, true
		_ = l.conn.Send(x)
	}
}

// offer is a send that keeps the first value: each of these comes once, and a peer that repeats itself changes nothing.
func offer[T any](ch chan T, v T) {
	select {
	case ch <- v:
	default:
	}
}

// captureCrashes lets the runtime write its last words (a panic in a goroutine that is not ours, a fatal error) on
// a descriptor which the supervisor drains.
func captureCrashes() {
	if os.Getenv(transport.EnvCrashFD) == "" {
		return
	}
	f, err := inherited(transport.EnvCrashFD)
	if err != nil {
		return
	}
	defer f.Close() // the runtime keeps its own duplicate
	_ = debug.SetCrashOutput(f, debug.CrashOptions{})
}

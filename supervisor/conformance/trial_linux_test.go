package conformance_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
)

// patience bounds every wait. It is long, because a loaded machine is no failure.
const patience = time.Minute

// A trial is a group under test and all that it has said so far. What it said is held against the invariants when the
// test is over.
type trial struct {
	*testing.T
	group *supervisor.Group
	size  int

	mu     sync.Mutex
	more   chan struct{} // closed, and replaced, when something is said
	events []supervisor.Event
	lines  map[process.ID][]string // of standard output
}

// begin starts a group. The test leaks nothing, whatever becomes of it.
func begin(t *testing.T, s supervisor.Spec, opts ...supervisor.Option) *trial {
	t.Helper()
	processtest.Check(t)
	return beginWith(t, context.Background(), s, opts...)
}

// beginWith is begin under a context, for a test that has called processtest.Check.
func beginWith(t *testing.T, ctx context.Context, s supervisor.Spec, opts ...supervisor.Option) *trial {
	t.Helper()
	x := &trial{T: t, size: len(s.Ranks), more: make(chan struct{}), lines: map[process.ID][]string{}}
	opts = append([]supervisor.Option{supervisor.WithObserver(x.observe), supervisor.WithOutput(x.output)}, opts...)
	g, err := supervisor.Start(ctx, s, opts...)
	if err != nil {
		t.Fatalf("Start: %v", err)
	}
	x.group = g
	t.Cleanup(func() {
		g.Kill("the test is over")
		<-g.Done()
		x.audit()
	})
	return x
}

func (x *trial) observe(e supervisor.Event) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.events = append(x.events, e)
	x.news()
}

func (x *trial) output(id process.ID, s process.Stream, lines []byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if s == process.Stdout {
		for line := range bytes.Lines(lines) {
			x.lines[id] = append(x.lines[id], strings.TrimSuffix(string(line), "\n"))
		}
		x.news()
	}
}

func (x *trial) news() {
	close(x.more)
	x.more = make(chan struct{})
}

// await waits until look finds what it looks for in what the group has said. The end of the group is the end of the wait.
func (x *trial) await(what string, look func() bool) {
	x.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	for over := false; ; {
		x.mu.Lock()
		found, more := look(), x.more
		x.mu.Unlock()
		if found {
			return
		}
		if over {
			x.Fatalf("the group has ended (%v) without %s\n%s", x.group.Wait(), what, x.story())
		}
		select {
		case <-more:
		case <-x.group.Done():
			over = true
		case <-late.C:
			x.Fatalf("after %v, still no %s\n%s", patience, what, x.story())
		}
	}
}

// event waits for the first event of a kind that concerns a rank, -1 for the group.
func (x *trial) event(kind supervisor.EventKind, rank int) (e supervisor.Event) {
	x.Helper()
	return x.eventOf(kind, process.ID{Rank: rank, Generation: -1})
}

// eventOf is event for one life; generation -1 is any.
func (x *trial) eventOf(kind supervisor.EventKind, id process.ID) (e supervisor.Event) {
	x.Helper()
	x.await(fmt.Sprintf("event %s of %v", kind, id), func() bool {
		i := slices.IndexFunc(x.events, func(e supervisor.Event) bool {
			return e.Kind == kind && e.Rank == id.Rank && (id.Generation < 0 || e.Generation == id.Generation)
		})
		if i >= 0 {
			e = x.events[i]
		}
		return i >= 0
	})
	return e
}

// line waits for a line that a life of a rank prints and that begins with a prefix; it returns the rest.
func (x *trial) line(id process.ID, prefix string) (rest string) {
	x.Helper()
	x.await(fmt.Sprintf("line %q of %v", prefix, id), func() bool {
		for _, line := range x.lines[id] {
			if after, ok := strings.CutPrefix(line, prefix); ok {
				rest = after
				return true
			}
		}
		return false
	})
	return rest
}

// lineOfAll waits until all ranks of a generation have printed a line.
func (x *trial) lineOfAll(generation int, line string) {
	x.Helper()
	for rank := range x.size {
		x.line(process.ID{Rank: rank, Generation: generation}, line)
	}
}

// all returns the events of a kind so far, in order.
func (x *trial) all(kind supervisor.EventKind) (found []supervisor.Event) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, e := range x.events {
		if e.Kind == kind {
			found = append(found, e)
		}
	}
	return found
}

// end waits for the end of the group and returns its error.
func (x *trial) end() error {
	x.Helper()
	select {
	case <-x.group.Done():
	case <-time.After(patience):
		x.Fatalf("the group has not ended after %v\n%s", patience, x.story())
	}
	return x.group.Wait()
}

// failure waits for the end of the group, which is to be a failure.
func (x *trial) failure() *supervisor.Failure {
	x.Helper()
	err := x.end()
	f := as[*supervisor.Failure](x.T, err)
	if f.Kind != supervisor.Origin || x.group.Report().Outcome != supervisor.Failed {
		x.Errorf("kind %q, outcome %q of %v", f.Kind, x.group.Report().Outcome, err)
	}
	return f
}

// rank returns the report on a rank after the end of the group.
func (x *trial) rank(rank int) supervisor.RankReport {
	x.Helper()
	_ = x.end()
	return x.group.Report().Ranks[rank]
}

// as returns what errors.As finds in an error, and fails the test when that is nothing.
func as[E error](t testing.TB, err error) (target E) {
	t.Helper()
	if !errors.As(err, &target) {
		t.Fatalf("there is no %T in %v", target, err)
	}
	return target
}

// audit holds what was said against the invariants that every run keeps.
func (x *trial) audit() {
	x.Helper()
	last := len(x.events) - 1
	decided, alive := map[int]int{}, map[process.ID]bool{}
	for i, e := range x.events {
		id := process.ID{Rank: e.Rank, Generation: e.Generation}
		switch {
		case e.Seq != i+1:
			x.Errorf("event %d has number %d", i+1, e.Seq)
		case (e.Kind == supervisor.EventDone) != (i == last):
			x.Errorf("G-4: event %d of %d is %s", i+1, last+1, e.Kind)
		}
		switch e.Kind {
		case supervisor.EventSpawn:
			for old := range alive {
				if old.Rank == id.Rank || e.Generation > 0 && wholeGroup(x) && old.Generation < e.Generation {
					x.Errorf("G-1: %v is spawned while %v is alive", id, old)
				}
			}
			alive[id] = true
		case supervisor.EventExited:
			delete(alive, id)
		case supervisor.EventDecided:
			if e.Action != supervisor.Restart && e.Action != supervisor.Terminate {
				break // as many ranks as may be can be ignored or dropped before one has the group end
			}
			if decided[e.Generation]++; decided[e.Generation] > 1 {
				x.Errorf("G-2: a second decision in generation %d", e.Generation)
			}
		}
		abandoned := e.Exit != nil && errors.Is(e.Exit, supervisor.ErrAbandoned)
		if e.PID != 0 && e.Kind == supervisor.EventExited && !abandoned && pidIsChild(e.PID) {
			x.Errorf("G-4: pid %d of %v is there after its exit", e.PID, id)
		}
	}
	if len(alive) > 0 {
		x.Errorf("G-4: no exit was told of %v", alive)
	}
	if x.Failed() {
		x.Log(x.story())
	}
}

// wholeGroup reports whether every generation was one of all ranks.
func wholeGroup(x *trial) bool {
	spawned := 0
	for _, e := range x.events {
		if e.Kind == supervisor.EventSpawn {
			spawned++
		}
	}
	for _, g := range x.group.Report().Generations {
		spawned -= g.Size
	}
	return spawned == 0
}

// pidIsChild reports whether a number names a child of this process, dead or alive.
func pidIsChild(pid int) bool {
	var info unix.Siginfo
	return unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOWAIT|unix.WNOHANG, nil) == nil
}

// story tells what was said, for a failed test.
func (x *trial) story() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	var b strings.Builder
	for _, e := range x.events {
		fmt.Fprintf(&b, "  %3d %s %-9s %d@%d pid %d %s %v", e.Seq, e.At.Format("05.000000"), e.Kind, e.Rank, e.Generation,
			e.PID, e.Reason, e.Action)
		if e.Failure != nil {
			fmt.Fprintf(&b, " failure: %.200v", e.Failure)
		}
		if e.Exit != nil {
			fmt.Fprintf(&b, " exit: %v, stopped %v, stderr %.500q", e.Exit, e.Exit.Stopped, e.Exit.Stderr)
		}
		b.WriteByte('\n')
	}
	for id, lines := range x.lines {
		fmt.Fprintf(&b, "  %v said %.500q\n", id, lines)
	}
	return b.String()
}

// A gate holds ranks back until the test opens it: a FIFO that the test holds open and nobody writes to.
type gate struct {
	path string
	file *os.File
}

func newGate(t *testing.T) *gate {
	t.Helper()
	return makeGate(t, t.TempDir()+"/gate")
}

func makeGate(t *testing.T, path string) *gate {
	t.Helper()
	g := &gate{path: path}
	if err := unix.Mkfifo(g.path, 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if g.file, err = os.OpenFile(g.path, os.O_RDWR, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.open)
	return g
}

// open lets all through who have come to the gate.
func (g *gate) open() { g.file.Close() }

// A handle names a process for good: its number may go to another.
type handle int

// hold returns a handle on a living process.
func hold(t *testing.T, pid int) handle {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatalf("pid %d: %v", pid, err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return handle(fd)
}

// gone waits for the end of the process and returns whether it came within a time.
func (h handle) gone(within time.Duration) bool {
	fds := []unix.PollFd{{Fd: int32(h), Events: unix.POLLIN}}
	for end := time.Now().Add(within); ; {
		n, err := unix.Poll(fds, max(0, int(time.Until(end).Milliseconds())))
		if err != unix.EINTR {
			return err == nil && n == 1
		}
	}
}

func (h handle) signal(t *testing.T, s process.Signal) {
	t.Helper()
	if err := unix.PidfdSendSignal(int(h), s, nil, 0); err != nil {
		t.Fatalf("signal %v: %v", s, err)
	}
}

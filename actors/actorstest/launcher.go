package actorstest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/go-muster/muster/actors/process"
)

// A Launcher is a [process.Launcher] for one test. Its methods may be called from any goroutine.
type Launcher struct {
	t      testing.TB
	script func(*Process)
	plays  sync.WaitGroup

	mu       sync.Mutex
	changed  chan struct{} // closed and replaced when a process is launched
	launched []*Process    // not yet taken, in the order of their launch
	living   map[*Process]bool
	refusals map[process.ID]error
	count    int
	over     bool // the test is: what a script still does has no effect
}

// NewLauncher returns a Launcher. When the test is over it fails if a process still lives: whoever was tested let go of
// it. It is then ended.
func NewLauncher(t testing.TB) *Launcher {
	l := &Launcher{
		t: t, changed: make(chan struct{}), living: map[*Process]bool{}, refusals: map[process.ID]error{},
	}
	t.Cleanup(func() {
		for _, p := range l.close() {
			t.Errorf("actorstest: process %v lives on after the test", p.ID)
			p.end(process.Exit{Code: -1})
		}
		l.plays.Wait()
	})
	return l
}

// close ends the plays and returns the processes that live.
func (l *Launcher) close() (all []*Process) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	for p := range l.living {
		all = append(all, p)
	}
	clear(l.living)
	return all
}

// Play gives every process that is launched from now on a script, which runs on a goroutine of its own. When the test is
// over it waits for the scripts: one that waits does so with the test's context. A process that has a script is still
// there for Next and Await.
func (l *Launcher) Play(script func(*Process)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.script = script
}

// Refuse makes the launch of one life of one rank fail with err.
func (l *Launcher) Refuse(id process.ID, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refusals[id] = err
}

// Next takes the process that was launched first of those that were not taken yet, and waits for one if there is none.
// It fails the test when ctx is done first; call it from the test's goroutine.
func (l *Launcher) Next(ctx context.Context) *Process {
	l.t.Helper()
	return l.take(ctx, "the next process", func(*Process) bool { return true })
}

// Await takes the process of one life of one rank, like Next.
func (l *Launcher) Await(ctx context.Context, id process.ID) *Process {
	l.t.Helper()
	return l.take(ctx, "process "+id.String(), func(p *Process) bool { return p.ID == id })
}

func (l *Launcher) take(ctx context.Context, what string, wanted func(*Process) bool) *Process {
	l.t.Helper()
	for {
		l.mu.Lock()
		changed := l.changed
		if i := slices.IndexFunc(l.launched, wanted); i >= 0 {
			p := l.launched[i]
			l.launched = slices.Delete(l.launched, i, i+1)
			l.mu.Unlock()
			return p
		}
		l.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			l.t.Fatalf("actorstest: no launch of %s: %v", what, context.Cause(ctx))
		}
	}
}

// Launched returns how many processes were launched so far.
func (l *Launcher) Launched() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}

// Check finds nothing wrong with any command.
func (l *Launcher) Check(process.Command) error { return nil }

// Containment returns "script".
func (l *Launcher) Containment() string { return "script" }

// Guard guards nothing.
func (l *Launcher) Guard(func(string)) (release func()) { return func() {} }

// Launch makes a process, unless it is to be refused.
func (l *Launcher) Launch(id process.ID, c process.Command, o process.Observer) (process.Process, error) {
	return l.launch(nil, id, c, o)
}

func (l *Launcher) launch(t *team, id process.ID, c process.Command, o process.Observer) (process.Process, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.refusals[id]; err != nil {
		return nil, err
	}
	l.count++
	p := &Process{
		ID: id, Command: c, launcher: l, team: t, observer: o, changed: make(chan struct{}),
		pid: firstPID + l.count, // far above any real one
	}
	l.launched = append(l.launched, p)
	l.living[p] = true
	close(l.changed)
	l.changed = make(chan struct{})
	if script := l.script; script != nil {
		l.plays.Go(func() { script(p) })
	}
	return handle{p}, nil
}

// firstPID is where the numbers of processes start: above the kernel's limit of 4194304, so that none can be real.
const firstPID = 5_000_000

// lives reports whether a process may still act; ends says that this is its last act. A script that acts for a process
// that has exited is wrong, unless the test is over.
func (l *Launcher) lives(p *Process, ends bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	alive := l.living[p]
	if !alive && !l.over && !p.lost {
		panic(fmt.Sprintf("actorstest: process %v acts after its exit", p.ID))
	}
	if ends {
		delete(l.living, p)
	}
	return alive
}

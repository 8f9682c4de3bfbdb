package process_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/transport"
)

func TestMain(m *testing.M) { processtest.Main(m) }

// patience is longer than anything takes on a machine that is busy with something else.
const patience = 20 * time.Second

// A recorder is an observer that keeps everything, and holds process to the contract of Observer.
type recorder struct {
	t *testing.T

	mu       sync.Mutex
	changed  chan struct{} // closed and replaced at every call
	messages []transport.Message
	output   map[process.Stream]*bytes.Buffer
	torn     map[process.Stream]bool // a call ended without a newline
	broken   []error
	probes   []error
	exit     *process.Exit
	exitedAt time.Time

	listening atomic.Int32

	// Called before the recorder looks, when set: a test's own observer.
	onMessage func(transport.Message)
	onOutput  func(process.Stream, []byte)
}

func newRecorder(t *testing.T) *recorder {
	return &recorder{
		t: t, changed: make(chan struct{}), torn: map[process.Stream]bool{},
		output: map[process.Stream]*bytes.Buffer{process.Stdout: {}, process.Stderr: {}},
	}
}

// record runs f with the lock and wakes who waits.
func (r *recorder) record(what string, f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.exit != nil {
		r.t.Errorf("the observer hears of %s after the exit", what)
	}
	f()
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *recorder) Message(m transport.Message) {
	if r.listening.Add(1) > 1 {
		r.t.Error("two calls of Message at once")
	}
	defer r.listening.Add(-1)
	if r.onMessage != nil {
		r.onMessage(m)
	}
	r.record("a message", func() { r.messages = append(r.messages, m) })
}

func (r *recorder) Broken(err error) {
	r.record("a broken link", func() {
		if r.broken = append(r.broken, err); len(r.broken) > 1 {
			r.t.Errorf("Broken is called more than once: %q", r.broken)
		}
	})
}

func (r *recorder) Probed(err error) {
	r.record("a probe", func() {
		if n := len(r.probes); n > 0 && (r.probes[n-1] == nil || err != nil && err.Error() == r.probes[n-1].Error()) {
			r.t.Errorf("probed %v after %v", err, r.probes)
		}
		r.probes = append(r.probes, err)
	})
}

func (r *recorder) Output(s process.Stream, lines []byte) {
	if r.onOutput != nil {
		r.onOutput(s, lines)
	}
	r.record("output", func() {
		if len(lines) == 0 {
			r.t.Errorf("an empty call of Output for %v", s)
		}
		if r.torn[s] && !r.long(s) {
			r.t.Errorf("output of %v after its last, unfinished line", s)
		}
		r.torn[s] = !bytes.HasSuffix(lines, []byte("\n"))
		r.output[s].Write(lines)
	})
}

// long reports whether the unfinished line of a stream is so long that it may come in pieces.
func (r *recorder) long(s process.Stream) bool {
	all := r.output[s].Bytes()
	return len(all)-bytes.LastIndexByte(all, '\n') > process.MaxLine
}

func (r *recorder) Exited(e process.Exit) {
	r.record("a second exit", func() { r.exit, r.exitedAt = &e, time.Now() })
}

// await waits until done, which is called with the lock held, returns true.
func (r *recorder) await(what string, done func() bool) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		r.mu.Lock()
		over, changed := done(), r.changed
		exited := r.exit != nil
		r.mu.Unlock()
		if over {
			return
		}
		if exited {
			r.t.Fatalf("the process ended without: %s\n%s", what, r.dump())
		}
		select {
		case <-changed:
		case <-ctx.Done():
			r.t.Fatalf("after %v, still not: %s\n%s", patience, what, r.dump())
		}
	}
}

func (r *recorder) awaitExit() process.Exit {
	r.t.Helper()
	r.await("the exit", func() bool { return r.exit != nil })
	return *r.exit
}

// awaitOutput waits until a stream holds a text.
func (r *recorder) awaitOutput(s process.Stream, text string) {
	r.t.Helper()
	r.await("output "+text, func() bool { return strings.Contains(r.output[s].String(), text) })
}

func (r *recorder) stdout() string { return r.text(process.Stdout) }
func (r *recorder) stderr() string { return r.text(process.Stderr) }

func (r *recorder) text(s process.Stream) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.output[s].String()
}

// exceptions returns those that were told.
func (r *recorder) exceptions() (all []*transport.Exception) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.messages {
		if x, ok := m.(*transport.Exception); ok {
			all = append(all, x)
		}
	}
	return all
}

func (r *recorder) dump() string {
	return "stdout: " + shorten(r.stdout()) + "\nstderr: " + shorten(r.stderr())
}

func shorten(s string) string { return s[max(0, len(s)-4096):] }

// A life is a process under test with its observer.
type life struct {
	*recorder
	process.Process
}

// launch starts a command; the test ends with its exit, if need be by force.
func launch(t *testing.T, c process.Command) life {
	t.Helper()
	return launchWith(t, c, newRecorder(t))
}

func launchWith(t *testing.T, c process.Command, r *recorder) life {
	t.Helper()
	p, err := launcher.Launch(process.ID{Rank: 3, Generation: 1}, c, r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		r.awaitExit()
	})
	return life{r, p}
}

// launchAll launches n commands at once, each from a goroutine that ends with the launch.
func launchAll(t *testing.T, n int, command func(i int) process.Command) []life {
	t.Helper()
	lives, errs := make([]life, n), make([]error, n)
	var starting sync.WaitGroup
	for i := range lives {
		starting.Go(func() {
			lives[i].recorder = newRecorder(t)
			lives[i].Process, errs[i] = launcher.Launch(process.ID{Rank: i}, command(i), lives[i].recorder)
		})
	}
	starting.Wait()
	t.Cleanup(func() {
		for _, l := range lives {
			if l.Process != nil {
				l.Kill()
				l.awaitExit()
			}
		}
	})
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return lives
}

// run launches a command and waits for its end.
func run(t *testing.T, c process.Command) (life, process.Exit) {
	t.Helper()
	l := launch(t, c)
	return l, l.awaitExit()
}

// shell returns the command that runs a script; $1 and so on are args.
func shell(script string, args ...string) process.Command {
	return process.Command{Args: append([]string{"/bin/sh", "-c", script, "sh"}, args...)}
}

func wantErrorIs(t *testing.T, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("error %v is not %v", err, target)
	}
}

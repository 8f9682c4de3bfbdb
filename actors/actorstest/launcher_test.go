package actorstest_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"reflect"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/go-muster/muster/actors"
	"github.com/go-muster/muster/actors/actorstest"
	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/transport"
)

// An audience keeps what it hears. It is called by the test's goroutine alone.
type audience struct {
	messages []transport.Message
	output   bytes.Buffer
	broken   error
	probed   []error
	exits    []process.Exit
}

func (a *audience) Message(m transport.Message)           { a.messages = append(a.messages, m) }
func (a *audience) Output(_ process.Stream, lines []byte) { a.output.Write(lines) }
func (a *audience) Broken(err error)                      { a.broken = err }
func (a *audience) Probed(err error)                      { a.probed = append(a.probed, err) }
func (a *audience) Exited(e process.Exit)                 { a.exits = append(a.exits, e) }
func launch(l *actorstest.Launcher, rank int) (*audience, process.Process, error) {
	a := &audience{}
	p, err := l.Launch(process.ID{Rank: rank}, process.Command{}, a)
	return a, p, err
}

// TestPlay: what a process says has been heard when the call returns.
func TestPlay(t *testing.T) {
	l := actorstest.NewLauncher(t)
	a, owned, err := launch(l, 2)
	if err != nil {
		t.Fatal(err)
	}
	p := l.Next(t.Context())
	if p.ID.Rank != 2 || p.PID() != owned.PID() || p.PID() < 1<<22 {
		t.Errorf("%+v", p)
	}
	p.Ready()
	p.Raise(&transport.Exception{Type: "ValueError"})
	p.Return([]byte("x"))
	p.Print(process.Stderr, "a line\n")
	p.Break(os.ErrInvalid)
	owned.Stop("why", time.Second)
	p.Exit(process.Exit{Code: 3})
	if len(a.messages) != 3 || a.output.String() != "a line\n" || a.broken != os.ErrInvalid {
		t.Errorf("%+v", a)
	}
	if x, ok := a.messages[1].(*transport.Exception); !ok || x.Rank != 2 || x.PID != p.PID() {
		t.Errorf("%+v", a.messages[1])
	}
	if len(a.exits) != 1 || a.exits[0].Code != 3 || !a.exits[0].Stopped {
		t.Errorf("exits %+v", a.exits)
	}
}

// TestOrders: orders come in their order, as values.
func TestOrders(t *testing.T) {
	l := actorstest.NewLauncher(t)
	_, owned, _ := launch(l, 0)
	p := l.Next(t.Context())
	owned.Stop("why", time.Second)
	_ = owned.Signal(syscall.SIGHUP)
	go owned.Kill() // ends at once
	for _, want := range []any{
		actors.Stop{Reason: "why", Grace: time.Second}, actors.Signal{Signal: syscall.SIGHUP}, actors.Kill{},
	} {
		if got := p.Order(t.Context()); got != want {
			t.Errorf("%#v, want %#v", got, want)
		}
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if got := p.Order(canceled); got != nil {
		t.Errorf("%#v after the end of the context", got)
	}
	p.Exit(process.Exit{})
	owned.Kill()
	if err := owned.Signal(syscall.SIGHUP); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("a signal to a process that is gone: %v", err)
	}
	if got := p.Order(canceled); got != nil {
		t.Errorf("%#v to a process that is gone", got)
	}
}

// TestLaunches: processes can be taken in order, by rank, and refused.
func TestLaunches(t *testing.T) {
	l := actorstest.NewLauncher(t)
	l.Refuse(process.ID{Rank: 1}, os.ErrPermission)
	var got []error
	for rank := range 4 {
		_, _, err := launch(l, rank)
		got = append(got, err)
	}
	if want := []error{nil, os.ErrPermission, nil, nil}; !slices.Equal(got, want) || l.Launched() != 3 {
		t.Errorf("%v, %d launched", got, l.Launched())
	}
	for i, p := range []*actorstest.Process{
		l.Await(t.Context(), process.ID{Rank: 2}), l.Next(t.Context()), l.Next(t.Context()),
	} {
		if want := []int{2, 0, 3}[i]; p.ID.Rank != want {
			t.Errorf("rank %d in place of %d", p.ID.Rank, want)
		}
		p.Exit(process.Exit{})
	}
	if err := l.Check(process.Command{}); err != nil || l.Containment() != "script" {
		t.Errorf("%v, %q", err, l.Containment())
	}
}

// TestScripts: each process has its own.
func TestScripts(t *testing.T) {
	l := actorstest.NewLauncher(t)
	l.Play(func(p *actorstest.Process) {
		p.Ready()
		p.Order(t.Context())
		p.Exit(process.Exit{Code: p.ID.Rank})
	})
	done := make(chan int)
	for rank := range 3 {
		o := &waiting{audience: audience{}, done: done}
		owned, err := l.Launch(process.ID{Rank: rank}, process.Command{}, o)
		if err != nil {
			t.Fatal(err)
		}
		owned.Kill()
	}
	codes := []int{<-done, <-done, <-done}
	if slices.Sort(codes); !slices.Equal(codes, []int{0, 1, 2}) {
		t.Errorf("exit codes %v", codes)
	}
}

type waiting struct {
	audience
	done chan int
}

func (w *waiting) Exited(e process.Exit) { w.done <- e.Code }

// A subject is a test that ends within this one.
type subject struct {
	testing.TB
	errors   int
	cleanups []func()
}

func (s *subject) Errorf(string, ...any) { s.errors++ }
func (s *subject) Cleanup(f func())      { s.cleanups = append(s.cleanups, f) }

// TestLeft: a process that nobody ended is a mistake of whoever launched it.
func TestLeft(t *testing.T) {
	s := &subject{TB: t}
	l := actorstest.NewLauncher(s)
	a, _, _ := launch(l, 0)
	p := l.Next(t.Context())
	for _, f := range s.cleanups {
		f()
	}
	if s.errors != 1 || len(a.exits) != 1 {
		t.Errorf("%d errors, exits %+v", s.errors, a.exits)
	}
	p.Ready() // of a script that comes late
	p.Exit(process.Exit{})
	if len(a.exits) != 1 || len(a.messages) != 0 {
		t.Errorf("%+v", a)
	}
}

// TestDead: a script that acts for a process that has exited is wrong.
func TestDead(t *testing.T) {
	l := actorstest.NewLauncher(t)
	_, _, _ = launch(l, 0)
	p := l.Next(t.Context())
	p.Exit(process.Exit{})
	defer func() {
		if recover() == nil {
			t.Error("a dead process speaks")
		}
	}()
	p.Ready()
}

// TestSigns: what a process says while it works is heard as its worker's message, and a dump is an order like others.
func TestSigns(t *testing.T) {
	l := actorstest.NewLauncher(t)
	a, owned, err := launch(l, 0)
	if err != nil {
		t.Fatal(err)
	}
	p, why := l.Next(t.Context()), errors.New("refused")
	p.Hello("go")
	p.Beat(3)
	p.Progress(7, "epoch 1")
	p.Dump("goroutine 1")
	p.Probe(why)
	p.Probe(nil)
	owned.Dump()
	if order := p.Order(t.Context()); order != (actors.Dump{}) {
		t.Errorf("order %v", order)
	}
	p.Exit(process.Exit{})
	want := []transport.Message{
		&transport.Hello{Min: transport.Version, Max: transport.Version, PID: p.PID(), SDK: "go"}, &transport.Heartbeat{Seq: 3},
		&transport.Progress{Count: 7, Text: "epoch 1"}, &transport.Dump{Text: "goroutine 1"},
	}
	if !reflect.DeepEqual(a.messages, want) || !slices.Equal(a.probed, []error{why, nil}) || a.exits[0].Stopped {
		t.Errorf("heard %v, %v, %v", a.messages, a.probed, a.exits)
	}
}

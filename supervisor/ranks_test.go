package supervisor_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-muster/muster/actors"
	"github.com/go-muster/muster/actors/actorstest"
	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport"
)

// expectEnv holds what a process finds against what it has to.
func (p *play) expectEnv(rank *actorstest.Process, want ...string) {
	p.Helper()
	for _, kv := range want {
		if !slices.Contains(rank.Command.Env, kv) {
			p.Errorf("rank %v does not find %s in %v", rank.ID, kv, rank.Command.Env)
		}
	}
}

// O-05, O-23: ranks are added to a running group, with their own commands, and removed again.
func TestAddAndRemove(t *testing.T) {
	processtest.Check(t)
	b := &book{until: -1}
	p := begin(t, spec(2), supervisor.WithJournal(b))
	first, second := p.rank(0, 0), p.rank(1, 0)
	p.events.await(supervisor.EventRunning, 1)
	more := spec(2).Ranks
	more[1].Args = []string{"test"}
	ranks, err := p.Add(more, "more work")
	if err != nil || !slices.Equal(ranks, []int{2, 3}) {
		t.Fatalf("%v, %v", ranks, err)
	}
	third, fourth := p.rank(2, 1), p.rank(3, 1)
	p.expectEnv(fourth, "RANK=3", "WORLD_SIZE=4", "MUSTER_GENERATION=1")
	if fourth.Command.Args[0] != "test" || port(fourth) != port(first) {
		t.Errorf("rank 3 runs %v, and meets at %s", fourth.Command.Args, port(fourth))
	}
	p.events.await(supervisor.EventRunning, 2)
	if err := p.Remove(1, "too slow"); err != nil {
		t.Fatal(err)
	}
	p.expect(second, actors.Stop{Reason: "removed: too slow", Grace: 30 * time.Second})
	second.Exit(terminated)
	p.events.await(supervisor.EventExited, 1)
	if err := p.Remove(1, "again"); err != nil {
		t.Errorf("the second time: %v", err)
	}
	for _, rank := range []*actorstest.Process{first, third, fourth} {
		rank.Exit(process.Exit{})
	}
	p.expectEnd(nil)
	r := p.Report()
	if k := r.Ranks[1]; len(r.Ranks) != 4 || k.Outcome != supervisor.Stopped || k.Removed != "removed: too slow" || r.Restarts != 0 {
		t.Errorf("the report says %+v", r)
	}
	if g := r.Generations[1]; g.Size != 4 || g.Reason != "added ranks 2 to 3: more work" || r.Generations[0].Size != 2 {
		t.Errorf("the generations are %+v", r.Generations)
	}
	replayed, err := supervisor.Replay(b.read(t), supervisor.FailFast{})
	if err != nil || replayed.Err != nil || len(replayed.Report.Ranks) != 4 || replayed.Report.Ranks[1].Removed != "removed: too slow" {
		t.Errorf("replayed: %+v, %v", replayed.Report, err)
	}
}

// TestResize: all ranks are stopped, and the new ones have new numbers, commands and a new place to meet.
func TestResize(t *testing.T) {
	processtest.Check(t)
	b := &book{until: -1}
	s := spec(3)
	s.Ordered = true
	p := begin(t, s, supervisor.WithJournal(b))
	old := []*actorstest.Process{p.rank(0, 0), p.rank(1, 0), p.rank(2, 0)}
	p.events.await(supervisor.EventRunning, 1)
	if err := p.Resize([]process.Command{{Args: []string{"test"}}}, "a machine is gone"); err != nil {
		t.Fatal(err)
	}
	for rank := 2; rank >= 0; rank-- {
		p.expect(old[rank], actors.Stop{Reason: "resized from 3 to 1: a machine is gone", Grace: 30 * time.Second})
		old[rank].Exit(terminated)
	}
	only := p.rank(0, 1)
	p.expectEnv(only, "RANK=0", "WORLD_SIZE=1", "TORCHELASTIC_RESTART_COUNT=1")
	if only.Command.Args[0] != "test" || port(only) == "" {
		t.Errorf("rank 0 runs %v", only.Command.Args)
	}
	if err := p.Tell(t.Context(), 2, "where are you", 0); !errors.Is(err, supervisor.ErrNoRank) {
		t.Errorf("a message to a rank that was: %v", err)
	}
	only.Return([]byte{7})
	only.Exit(process.Exit{})
	p.expectEnd(nil)
	if got := p.Results(); len(got) != 1 || got[0][0] != 7 {
		t.Errorf("the results are %v", got)
	}
	r := p.Report()
	if g := r.Generations[1]; len(r.Ranks) != 1 || g.Size != 1 || g.Reason != "resized from 3 to 1: a machine is gone" {
		t.Errorf("the report says %+v", r)
	}
	replayed, err := supervisor.Replay(b.read(t), supervisor.FailFast{})
	if err != nil || replayed.Err != nil || len(replayed.Report.Ranks) != 1 || replayed.Report.Generations[1].Reason != r.Generations[1].Reason {
		t.Errorf("replayed: %+v, %v", replayed.Report, err)
	}
}

// O-62 to O-68, O-05, O-23: other terms are held against the ranks that there are then, in a replay as well.
func TestTermsOfOtherRanks(t *testing.T) {
	processtest.Check(t)
	b := &book{until: -1}
	p := begin(t, spec(2), supervisor.WithJournal(b))
	first, second := p.rank(0, 0), p.rank(1, 0)
	p.events.await(supervisor.EventRunning, 1)
	set := func(want error, terms supervisor.Terms) {
		t.Helper()
		if err := p.SetTerms(terms); !errors.Is(err, want) {
			t.Errorf("%+v: %v", terms, err)
		}
	}
	all := func(n int) supervisor.Terms { return supervisor.Terms{Success: supervisor.Success{Need: n}} }
	last := supervisor.Terms{Significant: []int{2}, AutoShutdown: supervisor.AnySignificant}
	set(supervisor.ErrSpec, last)
	if err := p.Resize(spec(4).Ranks, ""); err != nil {
		t.Fatal(err)
	}
	set(supervisor.ErrSpec, last) // there is no rank 2 yet
	first.Exit(terminated)
	second.Exit(terminated)
	ranks := []*actorstest.Process{p.rank(0, 1), p.rank(1, 1), p.rank(2, 1), p.rank(3, 1)}
	p.events.await(supervisor.EventRunning, 2)
	if err := p.Remove(3, ""); err != nil {
		t.Fatal(err)
	}
	ranks[3].Exit(terminated)
	set(supervisor.ErrSpec, all(4))
	set(nil, all(3))
	if err := p.Remove(0, ""); !errors.Is(err, supervisor.ErrSpec) {
		t.Errorf("a rank was removed that has to end well: %v", err)
	}
	set(nil, last)
	ranks[2].Exit(process.Exit{})
	for _, rank := range ranks[:2] {
		p.expect(rank, actors.Stop{Reason: "rank 2, which is significant, has ended", Grace: 30 * time.Second})
		rank.Exit(terminated)
	}
	p.expectEnd(nil)
	j := b.read(t)
	var told []supervisor.EventKind
	for _, e := range j.Outside() {
		told = append(told, e.Kind)
	}
	want := []supervisor.EventKind{supervisor.EventResized, supervisor.EventRemoved, supervisor.EventChanged, supervisor.EventChanged}
	if !slices.Equal(told, want) {
		t.Errorf("from outside came %v", told)
	}
	again, err := supervisor.Replay(j, supervisor.FailFast{})
	if err != nil || again.Err != nil || again.Report.Outcome != supervisor.Succeeded || again.Report.Ranks[0].Outcome != supervisor.Stopped {
		t.Errorf("replayed: %+v, %v", again.Report, err)
	}
}

// O-23, O-24: what cannot be done is refused with an error of its type, and changes nothing.
func TestRefusedChanges(t *testing.T) {
	processtest.Check(t)
	s := spec(2)
	s.MinRanks, s.MaxRanks, s.GPUs = 2, 4, supervisor.GPUs{PerRank: 1, Total: 3, Variables: []string{"NO_SUCH_DEVICES"}}
	s.Ranks[1].Speaks = true
	p := begin(t, s)
	a, b := p.rank(0, 0), p.rank(1, 0)
	refused := func(when string, want error, changes ...func() error) {
		t.Helper()
		for i, change := range changes {
			if err := change(); !errors.Is(err, want) {
				t.Errorf("%s, change %d: %v", when, i, err)
			}
		}
	}
	add := func(n int) func() error {
		return func() error { _, err := p.Add(spec(n).Ranks, ""); return err }
	}
	remove := func(rank int) func() error { return func() error { return p.Remove(rank, "") } }
	resize := func(n int) func() error { return func() error { return p.Resize(spec(n).Ranks, "") } }
	refused("during the start", supervisor.ErrBusy, add(1), remove(1), resize(2))
	b.Ready()
	p.events.await(supervisor.EventRunning, 1)
	refused("out of bounds", supervisor.ErrSpec, add(0), add(3), remove(1), remove(2), remove(-1), resize(0), resize(1), resize(5))
	if err := add(2)(); !errors.Is(err, supervisor.ErrSpec) || !strings.Contains(err.Error(), "GPUs") {
		t.Errorf("more ranks than devices: %v", err)
	}
	if r := p.Report(); len(r.Ranks) != 2 || r.Generation != 0 {
		t.Errorf("something has changed: %+v", r)
	}
	p.Stop("")
	refused("while it stops", supervisor.ErrStopped, add(1), remove(1), resize(2))
	obey(a)
	obey(b)
	p.expectEnd(supervisor.ErrStopped)
	refused("after the end", supervisor.ErrStopped, add(1), remove(1), resize(2))
}

// TestRemoveIsTheEnd: who asked for what ended the group hears that it was done: see TestAnswerBeforeTheEnd.
func TestRemoveIsTheEnd(t *testing.T) {
	processtest.Check(t)
	s := spec(2)
	s.Strategy = supervisor.OneForOne{Restarts: 1, Backoff: supervisor.Backoff{Min: time.Hour}}
	p := begin(t, s)
	good, bad := p.rank(0, 0), p.rank(1, 0)
	p.events.await(supervisor.EventRunning, 1)
	good.Exit(process.Exit{})
	bad.Exit(process.Exit{Code: 1})
	p.events.await(supervisor.EventWaiting, 1)
	if err := p.Remove(1, "it flaps"); err != nil {
		t.Fatal(err)
	}
	p.expectEnd(nil)
}

// TestResizeAtTheLimit: a failure while the group is being resized joins that, and the one restart that there is, is left.
func TestResizeAtTheLimit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := spec(1)
		s.Strategy = supervisor.AllForOne{Restarts: 1}
		p := begin(t, s)
		first := p.rank(0, 0)
		p.events.await(supervisor.EventRunning, 1)
		if err := p.Resize(spec(2).Ranks, ""); err != nil {
			t.Fatal(err)
		}
		first.Raise(valueError())
		first.Exit(process.Exit{Code: 1})
		a, b := p.rank(0, 1), p.rank(1, 1)
		p.events.await(supervisor.EventRunning, 2)
		synctest.Wait()
		a.Exit(process.Exit{Code: 1})
		obey(b)
		for rank := range 2 {
			p.rank(rank, 2).Exit(process.Exit{})
		}
		p.expectEnd(nil)
		if r := p.Report(); len(r.Failures) != 2 || r.Failures[0].Kind != supervisor.Collateral || r.Failures[1].Kind != supervisor.Origin {
			t.Errorf("the failures are %v", r.Failures)
		}
	})
}

// TestCrashInAResize: a bug that strikes when the machine has other ranks already, and the shell has not.
func TestCrashInAResize(t *testing.T) {
	launcher := actorstest.NewLauncher(t)
	launcher.Play(obey)
	running := make(chan struct{})
	g, err := supervisor.Start(t.Context(), spec(1), supervisor.WithSystem(newSystem()), supervisor.WithLauncher(launcher),
		supervisor.WithLogger(slog.New(slog.DiscardHandler)), supervisor.WithObserver(func(e supervisor.Event) {
			switch e.Kind {
			case supervisor.EventRunning:
				close(running)
			case supervisor.EventReaped:
				panic("on purpose")
			}
		}))
	if err != nil {
		t.Fatal(err)
	}
	<-running
	if err := g.Resize(spec(3).Ranks, ""); err != nil {
		t.Fatal(err)
	}
	err = g.Wait()
	if err == nil || !strings.Contains(err.Error(), "on purpose") || len(g.Report().Ranks) != 3 {
		t.Errorf("%v, %+v", err, g.Report().Ranks)
	}
}

// TestBadBounds: a spec whose bounds make no sense is not started.
func TestBadBounds(t *testing.T) {
	for _, bounds := range [][2]int{{-1, 0}, {0, -1}, {3, 0}, {0, 1}, {3, 2}} {
		s := spec(2)
		s.MinRanks, s.MaxRanks = bounds[0], bounds[1]
		if _, err := supervisor.Start(context.Background(), s, supervisor.WithLauncher(actorstest.NewLauncher(t))); !errors.Is(err, supervisor.ErrSpec) {
			t.Errorf("%v: %v", bounds, err)
		}
	}
}

// TestFirstToSpeak: a rank that is added may be the first that can take messages.
func TestFirstToSpeak(t *testing.T) {
	s := spec(1)
	s.Ranks[0].Plain = true
	p := begin(t, s)
	only := p.rank(0, 0)
	p.events.await(supervisor.EventRunning, 1)
	if _, err := p.Add(spec(1).Ranks, ""); err != nil {
		t.Fatal(err)
	}
	second := p.rank(1, 1)
	if err := p.Tell(t.Context(), 2, "who is there", 0); !errors.Is(err, supervisor.ErrNoRank) {
		t.Errorf("a message to a rank that there is not: %v", err)
	}
	only.Exit(process.Exit{})
	second.Exit(process.Exit{})
	p.expectEnd(nil)
}

// A frugal launcher has room for so many ranks more.
type frugal struct {
	process.Launcher
	room int
}

func (f frugal) Preflight(commands []process.Command) error {
	if len(commands) > f.room {
		return errors.New("there is no room")
	}
	return nil
}

// TestRoomForMore: what is added has to find room beside the others; of a resize, only what is more.
func TestRoomForMore(t *testing.T) {
	launcher := actorstest.NewLauncher(t)
	launcher.Play(obey)
	running := make(chan struct{}, 1)
	g, err := supervisor.Start(t.Context(), spec(2), supervisor.WithSystem(newSystem()), supervisor.WithLauncher(frugal{launcher, 2}),
		supervisor.WithObserver(func(e supervisor.Event) {
			if e.Kind == supervisor.EventRunning {
				running <- struct{}{}
			}
		}))
	if err != nil {
		t.Fatal(err)
	}
	<-running
	if _, err := g.Add(spec(3).Ranks, ""); !errors.Is(err, supervisor.ErrSpec) {
		t.Errorf("three more: %v", err)
	}
	if err := g.Resize(spec(5).Ranks, ""); !errors.Is(err, supervisor.ErrSpec) {
		t.Errorf("five in place of two: %v", err)
	}
	if err := g.Resize(spec(4).Ranks, ""); err != nil {
		t.Errorf("four in place of two: %v", err)
	}
	<-running
	g.Stop("")
	if err := g.Wait(); !errors.Is(err, supervisor.ErrStopped) {
		t.Error(err)
	}
}

// What is told to a rank waits for its first life, in an ordered start as long as that takes; where that never comes it is an error.
func TestMessageBeforeTheFirstLife(t *testing.T) {
	processtest.Check(t)
	s := supervisor.Spec{Ranks: supervisor.Repeat(3, process.Command{Args: []string{"train"}, Speaks: true}), Ordered: true}
	p := begin(t, s)
	tell := func(rank int) <-chan error {
		told := make(chan error, 1)
		go func() { told <- p.Tell(context.Background(), rank, "where are you", rank) }()
		return told
	}
	second, third := tell(1), tell(2)
	zero := p.rank(0, 0)
	zero.Ready()
	one := p.rank(1, 0)
	one.Hello("go")
	one.Say(&transport.Credit{Bytes: transport.MailWindow})
	if m, is := one.Order(context.Background()).(*transport.Mail); !is || m.Topic != "where are you" {
		t.Errorf("the rank is told %+v", m)
	}
	if err := <-second; err != nil {
		t.Error(err)
	}
	one.Exit(process.Exit{Code: 1})
	obey(zero)
	if err := <-third; !errors.Is(err, supervisor.ErrStopped) {
		t.Errorf("the message to a rank that never lived: %v", err)
	}
	if f := new(supervisor.Failure); !errors.As(p.Wait(), &f) || p.launcher.Launched() != 2 {
		t.Errorf("the group's end is %v, after %d launches", p.Wait(), p.launcher.Launched())
	}
}

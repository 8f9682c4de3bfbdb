package host

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-muster/muster/actors"
	"github.com/go-muster/muster/actors/actorstest"
	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/transport"
)

// TestFarewell: who is killed when, and what the root is told of whom.
func TestFarewell(t *testing.T) {
	begun := time.Unix(1000, 0)
	at := func(seconds int) time.Time { return begun.Add(time.Duration(seconds) * time.Second) }
	f := newFarewell()
	for life, grace := range map[uint64]time.Duration{1: 10, 2: 20, 3: 20, 4: 30} {
		f.ask(life, grace*time.Second, begun)
	}
	if got := f.next(at(5)); got != at(5) {
		t.Errorf("the lease is over at %v, before any grace", got)
	}
	if got := f.next(at(100)); got != at(10) {
		t.Errorf("the first grace is over at %v", got)
	}
	if f.end(&exited{Life: 2}, false) || !f.end(&exited{Life: 3}, true) {
		t.Error("the root hears of the end that it asked for, and of no other")
	}
	for _, row := range []struct {
		now  int
		want []uint64
	}{{9, nil}, {10, []uint64{1}}, {29, nil}, {30, []uint64{4}}, {99, nil}} {
		if got := f.overdue(at(row.now)); !slices.Equal(got, row.want) {
			t.Errorf("after %d s %v are killed, want %v", row.now, got, row.want)
		}
	}
	if x := f.answer(2); x == nil || f.answer(2) != nil || f.answer(3) != nil || f.answer(1) != nil {
		t.Error("an end that was held back is told once, when the root asks for it")
	}
}

// TestGraceOf: the grace is the group's, and no more than the host gives.
func TestGraceOf(t *testing.T) {
	for _, row := range []struct{ group, most, want time.Duration }{
		{0, 0, defaultGrace}, {5, 0, 5}, {5, 3, 3}, {3, 5, 3}, {0, 3, 3}, {defaultGrace + 1, 0, defaultGrace + 1},
	} {
		if got := graceOf(row.group, row.most); got != row.want {
			t.Errorf("%v of a group, %v at the most: %v, want %v", row.group, row.most, got, row.want)
		}
	}
}

// TestBlames: what would make a failure of a rank's own is told apart.
func TestBlames(t *testing.T) {
	for _, row := range []struct {
		code code
		m    any
		want bool
	}{
		{codeSaid, &said{Kind: transport.KindException}, true},
		{codeSaid, &said{Kind: transport.KindProgress}, false},
		{codeBroken, &broken{}, true},
		{codeOutput, &output{}, false},
		{codeProbed, &probed{}, false},
	} {
		if got := blames(row.code, row.m); got != row.want {
			t.Errorf("%T %+v: %v", row.m, row.m, got)
		}
	}
}

// A guest is a rank on a host that is about to leave.
func (w *town) guest(team process.Team, scripts *actorstest.Launcher, rank int, host string) (*actorstest.Process, process.Process, *witness) {
	w.t.Helper()
	seen := newWitness()
	p, err := team.Launch(process.ID{Rank: rank}, process.Command{Args: []string{"x"}, Host: host}, seen)
	if err != nil {
		w.t.Fatal(err)
	}
	return scripts.Await(w.ctx, process.ID{Rank: rank}), p, seen
}

// TestDeparture: ranks of a host that leaves are asked to end, with the grace of their group; what they write is heard, that one of
// them has ended is not, unless the root has asked for it; nothing is placed there any more; at the end the host is lost, once.
func TestDeparture(t *testing.T) {
	w := newTown(t, Config{})
	scripts := actorstest.NewLauncher(t)
	a := w.settle("a", 3, scripts)
	w.settle("b", 3, scripts)
	rooms := make(chan process.Room, 10)
	team := w.pool.Join(time.Hour, func(r process.Room) { rooms <- r })
	<-rooms
	if _, err := team.Place(4, []string{"a", "a", "a"}); err != nil {
		t.Fatal(err)
	}
	first, _, seen := w.guest(team, scripts, 0, "a")
	second, asked, told := w.guest(team, scripts, 1, "a")
	third, _, last := w.guest(team, scripts, 2, "a")
	a.leave()
	if r := w.room(rooms); r.Ranks != 3 || r.Hosts != 1 || r.Why != "host a leaves: its agent was stopped" {
		t.Errorf("room %+v", r)
	}
	for _, p := range []*actorstest.Process{first, second, third} {
		if order := p.Order(w.ctx); order != (actors.Stop{Reason: stoppedAgent, Grace: time.Hour}) {
			t.Errorf("order %+v", order)
		}
	}
	if n, err := w.pool.Await(w.ctx, 1, 1, 0); n != 1 || err != nil {
		t.Errorf("%d hosts stay, %v", n, err)
	}
	if _, err := team.Place(4, nil); !errors.Is(err, process.ErrNoRoom) {
		t.Errorf("a place where nobody stays: %v", err)
	}
	first.Raise(&transport.Exception{Type: "KeyboardInterrupt"})
	first.Print(process.Stdout, "saved\n")
	first.Exit(process.Exit{Code: 1})
	second.Raise(&transport.Exception{Type: "KeyboardInterrupt"})
	second.Exit(process.Exit{Code: 2})
	asked.Stop("the group is stopped", time.Minute)
	if x := told.exit(w.ctx, t); x.Code != 2 || x.Err != nil || !x.Stopped {
		t.Errorf("who was asked to end, has: %+v", x)
	}
	plan, err := team.Place(4, []string{"a", "a", "a"}) // the second one is started again, beside the others
	if err != nil {
		t.Fatal(err)
	}
	var where []string
	for _, place := range plan.Places {
		where = append(where, place.Host)
	}
	if fmt.Sprint(where) != "[a b a b]" {
		t.Errorf("places %v", where)
	}
	refused := make(chan error, 1)
	go func() {
		_, err := team.Launch(process.ID{Rank: 3}, process.Command{Args: []string{"x"}, Host: "a"}, newWitness())
		refused <- err
	}()
	third.Exit(process.Exit{})
	if err := <-refused; !errors.Is(err, process.ErrHostLost) {
		t.Errorf("a launch on a host that leaves: %v", err)
	}
	for _, of := range []*witness{seen, last} {
		x := of.exit(w.ctx, t)
		lost, is := errors.AsType[*process.HostLostError](x.Err)
		if !is || lost.Host != "a" || lost.Why != stoppedAgent || !slices.Contains([]string{"[0@0 2@0]", "[0@0 2@0 3@0]"}, fmt.Sprint(lost.Lives)) {
			t.Errorf("exit %+v", x)
		}
	}
	if r := w.room(rooms); r.Ranks != 3 || r.Why != "host a is lost: its agent was stopped" {
		t.Errorf("room %+v", r)
	}
	if got := strings.Join(seen.heard, " ") + seen.out[process.Stdout]; got != "saved\n" {
		t.Errorf("heard %q", got)
	}
	team.Leave()
}

// TestDepartureIsBounded: a rank that does not end is killed after its grace, after the host's, when whoever told the agent to leave
// does not wait, or when the lease is over.
func TestDepartureIsBounded(t *testing.T) {
	now := make(chan struct{})
	close(now)
	for name, row := range map[string]struct {
		group, host time.Duration
		kill        chan struct{}
		deaf        bool
	}{
		"the group's grace": {group: time.Millisecond},
		"the host's grace":  {group: time.Hour, host: time.Millisecond},
		"it is hastened":    {group: time.Hour, kill: now},
		"it has no root":    {group: time.Hour, deaf: true},
	} {
		t.Run(name, func(t *testing.T) {
			lease := MaxLease
			if row.deaf {
				lease = MinLease
			}
			w := newTown(t, Config{Lease: lease})
			scripts := actorstest.NewLauncher(t)
			a := w.settleWith(AgentConfig{Name: "a", Slots: 1, Launcher: scripts, Grace: row.host, Kill: row.kill})
			team := w.pool.Join(row.group, nil)
			p, _, seen := w.guest(team, scripts, 0, "a")
			if row.deaf {
				a.agent.tell(&deafen{})
			}
			a.leave()
			for _, want := range []string{"actors.Stop", "actors.Kill"} {
				if got := fmt.Sprintf("%T", p.Order(w.ctx)); got != want {
					t.Errorf("order %s, want %s", got, want)
				}
			}
			p.Exit(process.Exit{Code: -1, Signal: 9})
			if x := seen.exit(w.ctx, t); !errors.Is(&x, process.ErrHostLost) {
				t.Errorf("exit %+v", x)
			}
			team.Leave()
		})
	}
}

// TestSlotsAreTheAgents: an agent that bounds its slots starts no more, whatever its root believes.
func TestSlotsAreTheAgents(t *testing.T) {
	w := newTown(t, Config{PerHost: 3})
	scripts := actorstest.NewLauncher(t)
	w.settle("a", 1, scripts)
	team := w.pool.Join(0, nil)
	p, _, seen := w.guest(team, scripts, 0, "a")
	_, err := team.Launch(process.ID{Rank: 1}, process.Command{Args: []string{"x"}, Host: "a"}, newWitness())
	if want := "host a has 1 slot, and it is taken: give its agent more (--slots)"; !errors.Is(err, process.ErrNoRoom) || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %s", err, want)
	}
	p.Exit(process.Exit{})
	seen.exit(w.ctx, t)
	p, _, seen = w.guest(team, scripts, 1, "a")
	p.Exit(process.Exit{})
	seen.exit(w.ctx, t)
	team.Leave()
}

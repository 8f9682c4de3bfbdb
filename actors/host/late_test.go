package host

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/go-muster/muster/actors/actorstest"
	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
)

// A bare launcher is that of a host that lacks programs.
type bare struct {
	*actorstest.Launcher
	lacks string
}

func (b bare) Check(c process.Command) error {
	if c.Args[0] == b.lacks {
		return errors.New("there is no program " + b.lacks)
	}
	return nil
}

// TestLateHost: a host that joins while a group runs counts when it can run something of it; otherwise it is told, and counts again
// when nothing runs any more.
func TestLateHost(t *testing.T) {
	var log journal
	w := newTown(t, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	scripts := actorstest.NewLauncher(t)
	w.settle("a", 2, scripts)
	rooms := make(chan process.Room, 10)
	team := w.pool.Join(0, func(r process.Room) { rooms <- r })
	<-rooms
	for rank, program := range []string{"x", "y"} {
		if _, err := team.Launch(process.ID{Rank: rank}, process.Command{Args: []string{program}, Host: "a"}, newWitness()); err != nil {
			t.Fatal(err)
		}
	}
	late := func(name string, l process.Launcher) {
		a := newAgent(w.system, AgentConfig{Join: w.system.Address(), Name: name, Reach: name + ".test", Slots: 2, Launcher: l}, w.system.Address())
		if err := a.open("agent-" + name); err != nil {
			t.Fatal(err)
		}
		w.reside(a)
	}
	late("b", bare{scripts, "x"}) // which can run y
	if r := w.room(rooms); r.Ranks != 4 || r.Why != "host b has joined" {
		t.Errorf("room %+v", r)
	}
	for range 2 {
		scripts.Next(w.ctx).Exit(process.Exit{})
	}
	team.Leave()

	team = w.pool.Join(0, func(r process.Room) { rooms <- r })
	<-rooms
	if _, err := team.Launch(process.ID{}, process.Command{Args: []string{"x"}, Host: "a"}, newWitness()); err != nil {
		t.Fatal(err)
	}
	late("c", bare{scripts, "x"})
	processtest.Eventually(t, "it is told", func() bool {
		return strings.Contains(log.String(), "host c is not used: it cannot run what runs now: there is no program x")
	})
	late("d", scripts)
	if r := w.room(rooms); r.Ranks != 6 || r.Why != "host d has joined" {
		t.Errorf("room %+v", r)
	}
	if err := w.pool.Preflight([]process.Command{{Args: []string{"x"}, Host: "c"}}); err != nil {
		t.Errorf("a host that does not count is asked: %v", err)
	}
	scripts.Next(w.ctx).Exit(process.Exit{})
	team.Leave()
	if n, err := w.pool.Await(w.ctx, 4, 0, 0); n != 4 {
		t.Errorf("%d hosts, %v", n, err)
	}
}

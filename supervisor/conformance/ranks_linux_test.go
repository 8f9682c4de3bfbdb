package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport"
)

// endings are the results of the ranks of a group that has ended.
func endings(x *trial) (said []string) {
	x.Helper()
	if err := x.end(); err != nil {
		x.Errorf("the end is %v", err)
	}
	for _, value := range x.group.Results() {
		var text string
		if value != nil {
			if err := transport.Unmarshal(value, &text); err != nil {
				x.Error(err)
			}
		}
		said = append(said, text)
	}
	return said
}

// running waits until the group has been running so often.
func (x *trial) running(n int) {
	x.Helper()
	x.await("running group", func() bool { return count(x.events, supervisor.EventRunning) == n })
}

// O-05, O-23: a rank is added to a running group. It knows of all, those that were there go on, and what cannot be run is
// refused before anything happens.
func TestO23Added(t *testing.T) {
	processtest.Check(t)
	g := newGate(t)
	verbs := []string{"wait " + g.path}
	x := beginWith(t, context.Background(), supervisor.Spec{Ranks: function.ranks(t, verbs, verbs)})
	x.running(1)
	if _, err := x.group.Add([]process.Command{{Args: []string{"no-such-program"}}}, ""); !errors.Is(err, supervisor.ErrSpec) || !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("a program that there is not: %v", err)
	}
	before := x.group.Report().Ranks
	if ranks, err := x.group.Add(function.ranks(t, verbs), "more work"); err != nil || !slices.Equal(ranks, []int{2}) {
		t.Fatalf("%v, %v", ranks, err)
	}
	x.running(2)
	x.lineOfAll(0, "here") // at the gate
	x.line(process.ID{Rank: 2, Generation: 1}, "here")
	for rank, now := range x.group.Report().Ranks[:2] {
		if now.PID != before[rank].PID || now.Outcome != supervisor.Running {
			t.Errorf("rank %d: %+v before, %+v now", rank, before[rank], now)
		}
	}
	g.open()
	want := []string{"rank 0 of 2 has ended well", "rank 1 of 2 has ended well", "rank 2 of 3 has ended well"}
	if got := endings(x); !slices.Equal(got, want) {
		t.Errorf("the results are %q", got)
	}
}

// O-10: one that is added fails in its start: the strategy decides, and the others have never been touched.
func TestO10AddedAndFails(t *testing.T) {
	processtest.Check(t)
	g := newGate(t)
	verbs := []string{"wait " + g.path}
	x := beginWith(t, context.Background(), supervisor.Spec{Strategy: supervisor.OneForOne{Restarts: 1}, Ranks: function.ranks(t, verbs)})
	x.running(1)
	before := x.group.Report().Ranks[0].PID
	if _, err := x.group.Add([]process.Command{sh(`[ "$MUSTER_GENERATION" = 2 ] || exit 3`)}, ""); err != nil {
		t.Fatal(err)
	}
	x.eventOf(supervisor.EventExited, process.ID{Rank: 1, Generation: 2})
	if now := x.group.Report().Ranks[0]; now.PID != before || now.Outcome != supervisor.Running {
		t.Errorf("rank 0 is %+v", now)
	}
	x.lineOfAll(0, "here")
	g.open()
	if got := endings(x); got[0] != "rank 0 of 1 has ended well" {
		t.Errorf("the results are %q", got)
	}
	if r := x.group.Report(); len(r.Failures) != 1 || r.Failures[0].Exit.Code != 3 || r.Restarts != 1 {
		t.Errorf("the report says %+v", r)
	}
}

// O-18, O-23: ranks are removed from a running group. One answers, one is killed after its grace; neither is a failure,
// nothing of them is left, and the group succeeds without them.
func TestO18Removed(t *testing.T) {
	processtest.Check(t)
	g := newGate(t)
	x := beginWith(t, context.Background(), supervisor.Spec{Grace: 100 * time.Millisecond, Ranks: command.ranks(t,
		[]string{"wait " + g.path}, []string{"say here", "hang"}, []string{"ignore", "say here", "hang"})})
	x.running(1)
	x.lineOfAll(0, "here")
	deaf := hold(t, x.group.Report().Ranks[2].PID)
	for _, rank := range []int{1, 2} {
		if err := x.group.Remove(rank, "too expensive"); err != nil {
			t.Fatal(err)
		}
	}
	x.event(supervisor.EventExited, 1)
	x.event(supervisor.EventExited, 2)
	if !deaf.gone(patience) {
		t.Error("rank 2 is there")
	}
	g.open()
	if err := x.end(); err != nil {
		t.Errorf("the end is %v", err)
	}
	r := x.group.Report()
	if len(r.Failures) > 0 || r.Ranks[0].Outcome != supervisor.Succeeded {
		t.Errorf("the report says %+v", r)
	}
	for rank, signal := range map[int]process.Signal{1: unix.SIGTERM, 2: unix.SIGKILL} {
		k := r.Ranks[rank]
		if k.Outcome != supervisor.Stopped || k.Removed != "removed: too expensive" || k.Exit.Signal != signal {
			t.Errorf("rank %d: %+v, %v", rank, k, k.Exit)
		}
	}
}

// TestResized: from four ranks to two and to three. No rank of the next size begins while one of the last lives (G-1,
// which the trial checks of all generations), each knows the new size, and no budget is used.
func TestResized(t *testing.T) {
	processtest.Check(t)
	g := newGate(t)
	verbs := []string{"wait " + g.path}
	x := beginWith(t, context.Background(), supervisor.Spec{Ranks: function.ranks(t, verbs, verbs, verbs, verbs)})
	x.running(1)
	if err := x.group.Resize(function.ranks(t, verbs, verbs), "two machines are gone"); err != nil {
		t.Fatal(err)
	}
	x.running(2)
	if err := x.group.Resize(function.ranks(t, verbs, verbs, verbs), "one is back"); err != nil {
		t.Fatal(err)
	}
	x.running(3)
	for rank := range 3 {
		x.line(process.ID{Rank: rank, Generation: 2}, "here")
	}
	g.open()
	want := []string{"rank 0 of 3 has ended well", "rank 1 of 3 has ended well", "rank 2 of 3 has ended well"}
	if got := endings(x); !slices.Equal(got, want) {
		t.Errorf("the results are %q", got)
	}
	var sizes []int
	r := x.group.Report()
	for _, generation := range r.Generations {
		sizes = append(sizes, generation.Size)
	}
	if !slices.Equal(sizes, []int{4, 2, 3}) || r.Generations[2].Reason != "resized from 2 to 3: one is back" || len(r.Failures) > 0 {
		t.Errorf("the report says %+v", r)
	}
}

// TestRestarted: O-24: one rank is started again because somebody wants it, and then all of them; who is not meant keeps its
// process, and no budget is used.
func TestRestarted(t *testing.T) {
	processtest.Check(t)
	g := newGate(t)
	verbs := []string{"wait " + g.path}
	x := beginWith(t, context.Background(), supervisor.Spec{Ranks: function.ranks(t, verbs, verbs, verbs)})
	x.running(1)
	before := x.group.Report().Ranks
	if err := x.group.Restart("new weights", 1); err != nil {
		t.Fatal(err)
	}
	x.running(2)
	r := x.group.Report()
	for rank, same := range []bool{true, false, true} {
		if (r.Ranks[rank].PID == before[rank].PID) != same {
			t.Errorf("rank %d had pid %d, and has %d", rank, before[rank].PID, r.Ranks[rank].PID)
		}
	}
	if why := r.Generations[1].Reason; why != "asked for: new weights" {
		t.Errorf("the reason is %q", why)
	}
	if err := x.group.Restart("there is none", 3); !errors.Is(err, supervisor.ErrSpec) {
		t.Errorf("rank 3 of 3: %v", err)
	}
	if err := x.group.Restart("all"); err != nil {
		t.Fatal(err)
	}
	x.running(3)
	x.lineOfAll(2, "here") // at the gate
	g.open()
	for rank, said := range endings(x) {
		if said != fmt.Sprintf("rank %d of 3 has ended well", rank) {
			t.Errorf("rank %d: %q", rank, said)
		}
	}
	if err := x.group.Restart("too late"); !errors.Is(err, supervisor.ErrStopped) {
		t.Errorf("after the end: %v", err)
	}
}

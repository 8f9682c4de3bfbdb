package supervisor_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-muster/muster/actors/actorstest"
	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
)

// beginOn starts a group on hosts, which the test has let join before.
func beginOn(t *testing.T, hosts *actorstest.Hosts, s supervisor.Spec, opts ...supervisor.Option) *play {
	t.Helper()
	p := begin(t, s, append([]supervisor.Option{supervisor.WithLauncher(hosts)}, opts...)...)
	p.launcher = hosts.Launcher
	return p
}

// found is what a rank finds in its environment, in the order of the names.
func found(rank *actorstest.Process, names ...string) string {
	var values []string
	for _, name := range names {
		i := slices.IndexFunc(rank.Command.Env, func(kv string) bool { return strings.HasPrefix(kv, name+"=") })
		values = append(values, strings.TrimPrefix(rank.Command.Env[i], name+"="))
	}
	return strings.Join(values, " ")
}

// TestPlaces: ranks find in their environment where they are, as torchrun has it, and everybody is told where they run.
func TestPlaces(t *testing.T) {
	processtest.Check(t)
	hosts := actorstest.NewHosts(t, time.Second)
	hosts.Add("a", 2)
	hosts.Add("b", 2)
	s := spec(3)
	s.GPUs = supervisor.GPUs{PerRank: 2}
	var journal bytes.Buffer
	p := beginOn(t, hosts, s, supervisor.WithJournal(&journal))
	want := []string{"a 0 0 2 0 2 a.test 20001 0,1", "a 1 1 2 0 2 a.test 20001 2,3", "b 2 0 1 1 2 a.test 20001 0,1"}
	ranks := []*actorstest.Process{p.rank(0, 0), p.rank(1, 0), p.rank(2, 0)}
	for i, rank := range ranks {
		got := rank.Command.Host + " " + found(rank, "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "NODE_RANK", "GROUP_WORLD_SIZE",
			"MASTER_ADDR", "MASTER_PORT", "CUDA_VISIBLE_DEVICES")
		if got != want[i] || found(rank, "GROUP_RANK") != found(rank, "NODE_RANK") {
			t.Errorf("rank %d has %s, want %s", i, got, want[i])
		}
	}
	p.events.await(supervisor.EventRunning, 1)
	ranks[0].Exit(process.Exit{})
	ranks[1].Exit(process.Exit{})
	ranks[2].Exit(process.Exit{Code: 1})
	var failure *supervisor.Failure
	if !errors.As(p.Wait(), &failure) || failure.Host != "b" {
		t.Errorf("the failure %v was on host %q", failure, failure.Host)
	}
	expectHosts(p, "a", "a", "b")
	j, err := supervisor.ReadJournal(&journal)
	if err != nil {
		t.Fatal(err)
	}
	for _, told := range [][]supervisor.Event{p.events.list(), j.Events} {
		for _, e := range told {
			if e.Kind == supervisor.EventStarted && e.Host != []string{"a", "a", "b"}[e.Rank] {
				t.Errorf("rank %d was started on host %q", e.Rank, e.Host)
			}
		}
	}
}

// expectHosts looks where the report has the ranks, and its JSON form.
func expectHosts(p *play, want ...string) {
	p.Helper()
	text, err := json.Marshal(p.Report())
	if err != nil {
		p.Fatal(err)
	}
	read, err := supervisor.ReadReport(bytes.NewReader(text))
	if err != nil {
		p.Fatal(err)
	}
	for _, r := range []supervisor.Report{p.Report(), read} {
		var got []string
		for _, rank := range r.Ranks {
			got = append(got, rank.Host)
		}
		if !slices.Equal(got, want) {
			p.Errorf("the ranks are on %v, want %v", got, want)
		}
	}
}

// TestPlacesKept: ranks that are started again beside others come back to where they were, and meet there; those that nobody is
// left of, may go elsewhere, and meet anew.
func TestPlacesKept(t *testing.T) {
	hosts := actorstest.NewHosts(t, time.Second)
	hosts.Add("a", 1)
	hosts.Add("b", 4)
	s := spec(3)
	s.Ranks[2].Host = "b" // whatever happens
	s.Strategy = supervisor.OneForOne{Restarts: 1}
	p := beginOn(t, hosts, s)
	p.rank(1, 0).Exit(process.Exit{Code: 1})
	again := p.rank(1, 1)
	if got := found(again, "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"); again.Command.Host != "b" || got != "0 a.test 20001" {
		t.Errorf("rank 1 came back on %s with %s", again.Command.Host, got)
	}
	p.events.await(supervisor.EventRunning, 2)
	hosts.Add("a", 2)
	if err := p.Restart("for the sake of it"); err != nil {
		t.Fatal(err)
	}
	for _, rank := range []*actorstest.Process{p.rank(0, 0), again, p.rank(2, 0)} {
		obey(rank)
	}
	p.events.await(supervisor.EventRunning, 3)
	expectHosts(p, "a", "a", "b")
	for rank := range 3 {
		last := p.rank(rank, 2)
		if got := found(last, "MASTER_PORT"); got != "20003" {
			t.Errorf("the new generation meets at port %s", got)
		}
		last.Exit(process.Exit{})
	}
	p.expectEnd(nil)
}

// TestNoPlace: ranks whose host is gone when they are to be started fail with that, and so does a place that is not there.
func TestNoPlace(t *testing.T) {
	hosts := actorstest.NewHosts(t, time.Second)
	hosts.Add("a", 2)
	hosts.Add("b", 2)
	hosts.Play(obey)
	hosts.Forget("b")
	p := beginOn(t, hosts, spec(3))
	p.expectEnd(process.ErrNoRoom)
	if r := p.Report(); r.Failures[0].Host != "" || r.Ranks[0].PID != 0 {
		t.Errorf("%+v", r.Ranks)
	}
}

// TestHostLost: one lost host is one failure, whose ranks are started again together where there is room (#25).
func TestHostLost(t *testing.T) {
	processtest.Check(t)
	hosts := actorstest.NewHosts(t, time.Second)
	hosts.Add("a", 1)
	hosts.Add("b", 2)
	hosts.Add("c", 2)
	s := spec(3)
	s.Strategy = supervisor.OneForOne{Restarts: 1}
	p := beginOn(t, hosts, s)
	p.events.await(supervisor.EventRunning, 1)
	hosts.Lose("b", "not heard of for 12s")
	first := p.rank(0, 0)
	for _, rank := range []*actorstest.Process{p.rank(1, 1), p.rank(2, 1)} {
		if rank.Command.Host != "c" {
			t.Errorf("rank %v is started again on %s", rank.ID, rank.Command.Host)
		}
		rank.Exit(process.Exit{})
	}
	first.Exit(process.Exit{})
	p.expectEnd(nil)
	r := p.Report()
	var origins int
	for _, f := range r.Failures {
		if f.Kind == supervisor.Origin {
			origins++
		}
		if f.Host != "b" || !errors.Is(f, process.ErrHostLost) {
			t.Errorf("%v on %s", f, f.Host)
		}
	}
	if len(r.Failures) != 2 || origins != 1 || r.Restarts != 1 {
		t.Errorf("%d failures, of which %d were decided upon, and %d restarts", len(r.Failures), origins, r.Restarts)
	}
}

// TestKilledOnLostHost: a rank that is killed on a host that nobody hears of ends with the host, and is not abandoned before.
func TestKilledOnLostHost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const patience = time.Minute
		hosts := actorstest.NewHosts(t, patience)
		hosts.Add("a", 1)
		p := beginOn(t, hosts, spec(1))
		p.Kill("at once")
		p.rank(0, 0)
		pass(patience)
		hosts.Lose("a", "not heard of for 1m0s")
		p.expectEnd(supervisor.ErrStopped)
		if strings.Contains(p.events.kinds(), string(supervisor.EventAbandon)) {
			t.Error("the rank was abandoned")
		}
	})
}

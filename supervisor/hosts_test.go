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
	p.events.await(supervisor.EventRunning, 1)
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
	s := spec(3)
	s.Strategy = supervisor.AllForOne{Restarts: 1}
	p := beginOn(t, hosts, s)
	ranks := []*actorstest.Process{p.rank(0, 0), p.rank(1, 0), p.rank(2, 0)}
	hosts.Forget("b")
	ranks[0].Exit(process.Exit{Code: 1})
	obey(ranks[1])
	obey(ranks[2])
	p.expectEnd(process.ErrNoRoom)
	if r := p.Report(); r.Generation != 1 || r.Ranks[0].Host != "" || r.Ranks[0].PID != 0 {
		t.Errorf("%+v", r.Ranks)
	}
}

// TestHostLost: one lost host is one failure, whose ranks are started again together where there is room (F-25).
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
		p.rank(0, 0)
		p.Kill("at once")
		pass(patience)
		hosts.Lose("a", "not heard of for 1m0s")
		p.expectEnd(supervisor.ErrStopped)
		if strings.Contains(p.events.kinds(), string(supervisor.EventAbandon)) {
			t.Error("the rank was abandoned")
		}
	})
}

// TestBadElastic: what cannot be elastic is not started.
func TestBadElastic(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*supervisor.Spec)
		says   string
	}{
		"no roles": {func(s *supervisor.Spec) { s.Ranks[1].Role = "evaluator" }, `rank 1 is "evaluator" beside ""`},
		"no wait":  {func(s *supervisor.Spec) { s.Elastic.Wait = -1 }, "negative"},
		"no fit":   {func(s *supervisor.Spec) { s.Elastic = supervisor.Elastic{Regrow: true} }, "Fit"},
		"no terms": {func(s *supervisor.Spec) { s.Success.Need = 2 }, "only 1 ranks can end well"},
	} {
		s := spec(2)
		s.Elastic.Fit = true
		c.change(&s)
		err := s.Check(actorstest.NewHosts(t, time.Second))
		if !errors.Is(err, supervisor.ErrSpec) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s := spec(2)
	s.Elastic = supervisor.Elastic{Wait: time.Minute}
	if err := s.Check(actorstest.NewLauncher(t)); !errors.Is(err, supervisor.ErrSpec) {
		t.Errorf("elastic on one host: %v", err)
	}
	if err := s.Check(actorstest.NewHosts(t, time.Second)); err != nil {
		t.Errorf("a wait of its own: %v", err)
	}
	s.Elastic.Fit = true
	if err := s.Check(actorstest.NewHosts(t, time.Second)); err != nil {
		t.Errorf("a size that may change: %v", err)
	}
}

// TestElastic: a group goes on with fewer hosts, and with more as soon as there are any, and its ranks find the size that they
// are (F-20).
func TestElastic(t *testing.T) {
	bubble(t, func(t *testing.T) {
		hosts := actorstest.NewHosts(t, time.Second)
		s := spec(3)
		s.Ranks[2].Args = []string{"train", "--verbose"}
		s.MaxRanks, s.Elastic = 6, supervisor.Elastic{Fit: true, Regrow: true}
		s.Strategy = supervisor.AllForOne{Restarts: 1}
		var journal bytes.Buffer
		p := beginOn(t, hosts, s, supervisor.WithJournal(&journal))
		p.events.await(supervisor.EventWaiting, 1)
		if r := p.Report(); r.Outcome != supervisor.Running || len(r.Ranks) != 3 {
			t.Errorf("while it waits for hosts: %+v", r)
		}
		hosts.Add("a", 2)
		hosts.Add("b", 3)
		pass(6 * time.Second)
		var ranks []*actorstest.Process
		for rank := range 5 {
			ranks = append(ranks, p.rank(rank, 0))
		}
		if got := found(ranks[4], "WORLD_SIZE", "LOCAL_RANK") + ranks[4].Command.String(); got != "5 2train --verbose" {
			t.Errorf("the last of five ranks has %s", got)
		}
		hosts.Lose("b", "not heard of for 12s")
		obey(ranks[0])
		obey(ranks[1])
		ranks = []*actorstest.Process{p.rank(0, 1), p.rank(1, 1)}
		if got := found(ranks[1], "WORLD_SIZE", "GROUP_WORLD_SIZE"); got != "2 1" {
			t.Errorf("with one host, the ranks have %s", got)
		}
		p.events.await(supervisor.EventRunning, 2)
		pass(time.Second)
		hosts.Add("c", 2)
		hosts.Add("d", 8)
		pass(6 * time.Second)
		obey(ranks[0])
		obey(ranks[1])
		for rank := range 6 {
			p.rank(rank, 2).Exit(process.Exit{})
		}
		p.expectEnd(nil)
		r := p.Report()
		want := []string{"resized from 3 to 5: host b has joined",
			"@0 failed; resized from 5 to 2: host b is lost: not heard of for 12s", "resized from 2 to 6: host d has joined"}
		for i, g := range r.Generations {
			if !strings.HasSuffix(g.Reason, want[i]) {
				t.Errorf("generation %d: %s", i, g.Reason)
			}
		}
		expectReplay(p, &journal)
	})
}

// expectReplay replays a journal under the strategy that the group had: it goes as it went.
func expectReplay(p *play, journal *bytes.Buffer) {
	p.Helper()
	j, err := supervisor.ReadJournal(journal)
	if err != nil {
		p.Fatal(err)
	}
	again, err := supervisor.Replay(j, supervisor.AllForOne{Restarts: 1})
	if err != nil || again.Err != nil {
		p.Fatalf("the replay: %v, %v", err, again.Err)
	}
	r := p.Report()
	for i, g := range again.Report.Generations {
		_, because, _ := strings.Cut(g.Reason, ";") // which of those that were lost together is told of first, is another matter
		if want := r.Generations[i]; g.Size != want.Size || !strings.HasSuffix(want.Reason, because) {
			p.Errorf("in the replay, generation %d has %d ranks (%s)", i, g.Size, g.Reason)
		}
	}
	if n := len(again.Report.Generations); n != len(r.Generations) || len(again.Report.Failures) != len(r.Failures) {
		p.Errorf("the replay has %d generations and %d failures", n, len(again.Report.Failures))
	}
}

// TestNoRoom: a group that waits for hosts in vain says so, with the failure before it; and answers meanwhile (G-9).
func TestNoRoom(t *testing.T) {
	bubble(t, func(t *testing.T) {
		hosts := actorstest.NewHosts(t, time.Second)
		hosts.Add("a", 1)
		hosts.Add("b", 1)
		s := spec(2)
		s.Strategy = supervisor.AllForOne{Restarts: 1}
		p := beginOn(t, hosts, s)
		first := p.rank(0, 0)
		p.rank(1, 0)
		hosts.Lose("b", "not heard of for 12s")
		obey(first)
		p.events.await(supervisor.EventWaiting, 1)
		if err := p.Resize(spec(2).Ranks, "no matter"); !errors.Is(err, supervisor.ErrNoRoom) {
			t.Errorf("a resize for which there is no room: %v", err)
		}
		pass(5 * time.Minute)
		p.expectEnd(supervisor.ErrNoRoom)
		if !errors.Is(p.Wait(), process.ErrHostLost) {
			t.Errorf("the end is %v", p.Wait())
		}
	})
}

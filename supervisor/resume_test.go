package supervisor_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-muster/muster/actors/actorstest"
	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/supervisor"
)

// TestResume: a journal says what was running where, and goes on with it: with the ranks that were added, the terms that were set
// and the next generation.
func TestResume(t *testing.T) {
	hosts := actorstest.NewHosts(t, time.Second)
	hosts.Add("a", 2)
	hosts.Add("b", 2)
	s := spec(2)
	s.Name, s.RunID, s.FirstGeneration, s.MaxResult = "train", "r1", 5, 1<<20
	s.Liveness.Heartbeat = time.Hour
	s.Elastic.Wait = time.Hour
	s.Ranks[1].Env = []string{"PART=second"}
	var journal bytes.Buffer
	p := beginOn(t, hosts, s, supervisor.WithJournal(&journal), supervisor.WithJournalNote(json.RawMessage(`{"args":["-n","2"]}`)))
	ranks := []*actorstest.Process{p.rank(0, 5), p.rank(1, 5)}
	if got := found(ranks[0], "TORCHELASTIC_RESTART_COUNT"); got != "5" {
		t.Errorf("the restart count is %s", got)
	}
	p.events.await(supervisor.EventRunning, 1)
	more := process.Command{Args: []string{"evaluate"}}
	if _, err := p.Add([]process.Command{more}, "one more"); err != nil {
		t.Fatal(err)
	}
	ranks = append(ranks, p.rank(2, 6))
	p.events.await(supervisor.EventRunning, 2)
	if err := p.SetTerms(supervisor.Terms{Success: supervisor.Success{Need: 3}}); err != nil {
		t.Fatal(err)
	}
	j, err := supervisor.ReadJournal(bytes.NewReader(bytes.Clone(journal.Bytes()))) // the supervisor is killed here
	for _, rank := range ranks {
		rank.Exit(process.Exit{})
	}
	p.expectEnd(nil)
	if r := p.Report(); r.Restarts != 0 || r.Generation != 6 {
		t.Errorf("%d restarts, generation %d", r.Restarts, r.Generation)
	}
	if err != nil {
		t.Fatal(err)
	}
	last, lives := j.Last()
	for rank, want := range []string{"0@5 a", "1@5 a", "2@6 b"} {
		if l := lives[rank]; l.ID.String()+" "+l.Host != want || l.PID == 0 || l.Ended {
			t.Errorf("rank %d was last %+v", rank, l)
		}
	}
	again, err := j.Resume()
	want := s
	want.Ranks = append(want.Ranks, more)
	want.Success.Need, want.FirstGeneration = 3, 7
	want.Grace, want.StartTimeout, want.Elastic.Settle = 30*time.Second, time.Minute, 5*time.Second // the defaults, as they are now
	if err != nil || last != 6 || !reflect.DeepEqual(again, want) {
		t.Errorf("after generation %d: %v\n%+v\nwant\n%+v", last, err, again, want)
	}
	if string(j.Note) != `{"args":["-n","2"]}` {
		t.Errorf("the note is %s", j.Note)
	}
}

// TestResumeResized: what a resize made of the group is what it goes on with.
func TestResumeResized(t *testing.T) {
	var journal bytes.Buffer
	p := begin(t, spec(3), supervisor.WithJournal(&journal))
	ranks := []*actorstest.Process{p.rank(0, 0), p.rank(1, 0), p.rank(2, 0)}
	p.events.await(supervisor.EventRunning, 1)
	if err := p.Resize(supervisor.Repeat(1, process.Command{Args: []string{"alone"}}), ""); err != nil {
		t.Fatal(err)
	}
	for _, rank := range ranks {
		obey(rank)
	}
	p.rank(0, 1).Exit(process.Exit{})
	p.expectEnd(nil)
	j, err := supervisor.ReadJournal(&journal)
	if err != nil {
		t.Fatal(err)
	}
	s, err := j.Resume()
	last, lives := j.Last()
	if err != nil || len(s.Ranks) != 1 || s.Ranks[0].Args[0] != "alone" || s.FirstGeneration != 2 || last != 1 || len(lives) != 1 || !lives[0].Ended {
		t.Errorf("%v: %+v after %d, %+v", err, s, last, lives)
	}
}

// TestNoResume: a journal without its commands is no journal to go on with; what is too long for a line leaves them out.
func TestNoResume(t *testing.T) {
	old, err := supervisor.ReadJournal(strings.NewReader(`{"journal":1,"run":"r","world_size":2,"time":"2026-01-01T00:00:00Z"}` + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.Resume(); !errors.Is(err, supervisor.ErrJournal) {
		t.Errorf("an old journal: %v", err)
	}
	s := spec(1)
	s.Ranks[0].Args = append(s.Ranks[0].Args, strings.Repeat("x", 2<<20))
	var journal bytes.Buffer
	p := begin(t, s, supervisor.WithJournal(&journal))
	p.rank(0, 0).Exit(process.Exit{})
	p.expectEnd(nil)
	long, err := supervisor.ReadJournal(&journal)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := long.Resume(); !errors.Is(err, supervisor.ErrJournal) || !strings.Contains(err.Error(), "too long") {
		t.Errorf("a journal of long commands: %v", err)
	}
	for _, wrong := range []string{
		`"commands":[{"count":3}]`, `"commands":[{"count":-1}]`, `"commands":[{"count":9999999}]`, `"spec":{"first_generation":-1}`,
	} {
		text := `{"journal":1,"run":"r","world_size":2,"time":"2026-01-01T00:00:00Z",` + wrong + "}\n"
		if _, err := supervisor.ReadJournal(strings.NewReader(text)); !errors.Is(err, supervisor.ErrJournal) {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}

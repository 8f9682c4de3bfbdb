package supervisor_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-muster/muster/actors"
	"github.com/go-muster/muster/actors/actorstest"
	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
)

// A book is where a journal is written to. It fails after some lines; negative means never.
type book struct {
	mu    sync.Mutex
	text  bytes.Buffer
	until int
}

func (b *book) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.until == 0 {
		return 0, errors.New("the disk is full")
	}
	b.until--
	return b.text.Write(line)
}

func (b *book) read(t *testing.T) supervisor.Journal {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	j, err := supervisor.ReadJournal(strings.NewReader(b.text.String()))
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// What an observer, a reader of the stream and the journal are told is the same; and the journal knew of each deed before
// it was done.
func TestJournal(t *testing.T) {
	processtest.Check(t)
	b := &book{until: -1}
	s := spec(2)
	s.Strategy = supervisor.AllForOne{Restarts: 1}
	s.Ranks[1].StopSignal = syscall.SIGINT
	p := begin(t, s, supervisor.WithJournal(b))
	other := p.rank(1, 0)
	p.rank(0, 0).Exit(process.Exit{Code: 3})
	p.expect(other, actors.Stop{Reason: "rank 0@0 failed", Grace: 30 * time.Second})
	j := b.read(t)
	if got := j.Decisions(); len(got) != 1 || got[0].Exit.Code != 3 || got[0].Directive.Action != supervisor.Restart {
		t.Errorf("at the stop: %+v", got)
	}
	if !slices.ContainsFunc(j.Events, func(e supervisor.Event) bool { return e.Kind == supervisor.EventStop && e.Rank == 1 }) {
		t.Error("a stop that is not in the journal")
	}
	other.Exit(terminated)
	p.rank(0, 1).Exit(process.Exit{})
	if last := b.read(t); !slices.ContainsFunc(last.Events, func(e supervisor.Event) bool {
		return e.Kind == supervisor.EventSpawn && e.Generation == 1
	}) {
		t.Error("a spawn that is not in the journal")
	}
	p.rank(1, 1).Exit(process.Exit{})
	p.expectEnd(nil)
	j = b.read(t)
	seen, streamed := p.events.list(), slices.Collect(p.Events())
	if len(j.Events) != len(seen) || len(streamed) != len(seen) {
		t.Fatalf("%d events, %d streamed, %d in the journal", len(seen), len(streamed), len(j.Events))
	}
	for i, e := range seen {
		k := j.Events[i]
		if streamed[i].Seq != e.Seq || k.Kind != e.Kind || k.Rank != e.Rank || k.Generation != e.Generation ||
			k.PID != e.PID || k.Reason != e.Reason || k.Signal != e.Signal || k.Kill != e.Kill || k.Action != e.Action ||
			(k.At.Sub(j.Events[0].At)-e.At.Sub(seen[0].At)).Abs() > time.Microsecond {
			t.Errorf("event %+v is in the journal as %+v", e, k)
		}
	}
	if text := b.text.String(); !strings.Contains(text, `"signal":"SIGINT"`) {
		t.Errorf("the signal is not in\n%s", text)
	}
}

// What somebody sends from outside is in the journal as what it was, before it is done, and a replay shows it so.
func TestJournalOfSignals(t *testing.T) {
	processtest.Check(t)
	b := &book{until: -1}
	p := begin(t, spec(2), supervisor.WithJournal(b))
	ranks := []*actorstest.Process{p.rank(0, 0), p.rank(1, 0)}
	p.events.await(supervisor.EventRunning, 1)
	orders := []any{
		actors.Signal{Signal: syscall.SIGHUP}, actors.Stop{Reason: "supervisor: stopped: once", Grace: 30 * time.Second}, actors.Kill{},
	}
	for i, send := range []func(){
		func() { p.Signal(syscall.SIGHUP) }, func() { p.Stop("once") }, func() { p.Kill("twice") },
	} {
		send()
		for _, rank := range ranks {
			p.expect(rank, orders[i])
		}
		if told := b.read(t).Outside(); len(told) != i+1 {
			t.Errorf("after %v: %+v", orders[i], told)
		}
	}
	for _, rank := range ranks {
		rank.Exit(terminated)
	}
	p.expectEnd(supervisor.ErrStopped)
	again, err := supervisor.Replay(b.read(t), supervisor.FailFast{})
	if err != nil || !errors.Is(again.Err, supervisor.ErrStopped) {
		t.Fatal(again.Err, err)
	}
	for _, events := range [][]supervisor.Event{b.read(t).Events, again.Events} {
		told := supervisor.Journal{Events: events}.Outside()
		if len(told) != 3 || told[0].Signal != syscall.SIGHUP || told[1].Kill || !told[2].Kill ||
			told[2].Reason != "supervisor: stopped: twice" || told[0].Rank != -1 {
			t.Errorf("%+v", told)
		}
	}
	if text := b.text.String(); !strings.Contains(text, `"event":"signal","generation":0,"signal":"SIGHUP"`) ||
		!strings.Contains(text, `"reason":"supervisor: stopped: twice","signal":"SIGKILL"`) {
		t.Error(text)
	}
}

// A journal that cannot be written ends with a notice, and the group does not mind.
func TestJournalFails(t *testing.T) {
	for _, until := range []int{0, 1, 4} {
		processtest.Check(t)
		b := &book{until: until}
		p := begin(t, spec(1), supervisor.WithJournal(b))
		p.events.await(supervisor.EventNotice, 1)
		p.rank(0, 0).Exit(process.Exit{})
		p.expectEnd(nil)
		notices := 0
		for _, e := range p.events.list() {
			if e.Kind == supervisor.EventNotice {
				notices++
				if !strings.Contains(e.Reason, "the journal ends before event") || !strings.Contains(e.Reason, "the disk is full") {
					t.Error(e.Reason)
				}
			}
		}
		if j := b.read(t); notices != 1 || len(j.Events) != max(0, until-1) {
			t.Errorf("%d notices, %d events", notices, len(j.Events))
		}
	}
}

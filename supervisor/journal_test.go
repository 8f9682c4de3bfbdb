package supervisor

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/transport"
)

// journalOf lives through a world and returns its machine and its journal. The strategy is one of ours that does not throw
// dice; false for a world of another one.
func journalOf(t *testing.T, seed uint64) (w *world, text []byte, ok bool) {
	t.Helper()
	w = newWorld(seed)
	switch w.strategy.(type) {
	case AllForOne, OneForOne, RestForOne, FailFast, IgnoreFailures:
	default:
		return nil, nil, false
	}
	w.punctual, w.config.random = true, func() float64 { return 0.5 }
	w.m = newMachine(w.config)
	s := Spec{
		RunID: fmt.Sprint(seed), Ranks: make([]process.Command, w.size), MinRanks: w.bounds.min, MaxRanks: w.bounds.max, Strategy: w.strategy, Ordered: w.ordered,
		RestartTypes: w.types, Success: w.success, Significant: w.significant, AutoShutdown: w.shutdown,
		Grace: w.grace, StartTimeout: w.startTimeout, Timeout: w.timeout, Lifetime: w.lifetime,
	}
	var b bytes.Buffer
	j := newJournal(&b, s, epoch)
	w.step = func(m *machine, now time.Time, ev event) []effect {
		if _, changes := ev.(evChange); changes {
			return nil
		}
		effects := m.step(now, ev)
		for _, e := range effects {
			switch e := e.(type) {
			case efEvent:
				j.write(e.event, func(text string) { t.Fatal(text) })
			case efAdd, efResize, efFit:
				j.setRanks(make([]process.Command, len(m.lives)))
			}
		}
		return effects
	}
	if err := w.run(); err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	return w, b.Bytes(), true
}

// TestJournalOfWorlds: what was written comes back, and under the same strategy everything is decided again as it was, at
// the same times.
func TestJournalOfWorlds(t *testing.T) {
	const worlds = 1500
	same, decided := 0, 0
	for seed := range uint64(worlds) {
		w, text, ok := journalOf(t, seed)
		if !ok {
			continue
		}
		j, err := ReadJournal(bytes.NewReader(text))
		if err != nil || j.Torn || j.Run != fmt.Sprint(seed) || len(j.Events) != w.seq {
			t.Fatalf("seed %d: %v, %d events of %d\n%s", seed, err, len(j.Events), w.seq, text)
		}
		if ended, err := j.End(); !ended || fmt.Sprint(err) != fmt.Sprint(w.result) {
			t.Fatalf("seed %d: the end is %v, and was %v", seed, err, w.result)
		}
		c := w.config
		c.terms = j.Spec.terms() // those of the start
		r := newReplayer(j, c)
		r.run()
		then, now := tellDecisions(j.Decisions(), epoch), tellDecisions(decisions(r.events), epoch)
		if then != now {
			t.Fatalf("seed %d: decided was\n%s and now\n%s\n%s\n%s", seed, then, now, replay(seed, (*machine).step), text)
		}
		decided += len(j.Decisions())
		same += one(r.m.outcome() == w.m.outcome())
		if r.m.outcome() != w.m.outcome() {
			t.Fatalf("seed %d: the outcome is %v, and was %v\n%s", seed, r.m.outcome(), w.m.outcome(), text)
		}
	}
	if t.Logf("%d decisions, %d outcomes", decided, same); decided < worlds/4 || same < worlds/4 {
		t.Error("the worlds are empty")
	}
}

func tellDecisions(decided []*Failure, start time.Time) string {
	var b strings.Builder
	for _, f := range decided {
		d := f.Directive
		fmt.Fprintf(&b, "%v: %v: %v %v, after %v, linger %v, free %v, %s\n", f.At.Sub(start), f, d.Action, d.Ranks, d.After,
			d.Linger, d.Free, d.Reason)
	}
	return b.String()
}

// TestTornJournal: a journal parses wherever it was cut off.
func TestTornJournal(t *testing.T) {
	var text []byte
	for seed := uint64(0); len(text) < 4000 || len(text) > 8_000; seed++ {
		_, text, _ = journalOf(t, seed)
	}
	first := bytes.IndexByte(text, '\n')
	for n := range text {
		j, err := ReadJournal(bytes.NewReader(text[:n]))
		lines := bytes.Count(text[:n], []byte("\n"))
		whole := n > 0 && text[n-1] == '\n' || n < len(text) && text[n] == '\n' // the end of a line is no loss
		if n < len(text) && text[n] == '\n' && n > 0 && text[n-1] != '\n' {
			lines++
		}
		if err != nil || j.Torn == whole || len(j.Events) != max(0, lines-1) {
			t.Fatalf("cut at %d: %v, torn %v, %d events of %d lines", n, err, j.Torn, len(j.Events), lines)
		}
		if _, err := Replay(j, AllForOne{Restarts: 1}); (err == nil) != (len(j.Events) > 0) {
			t.Fatalf("cut at %d: %v", n, err)
		}
		if n > first && n < first+50 && j.Spec.Grace != simGrace {
			t.Errorf("cut at %d: %+v", n, j.Spec)
		}
	}
}

const aHeader = `{"journal":1,"run":"r","world_size":2,"time":"2026-01-01T00:00:00Z"}` + "\n"

// TestBadJournals: what is wrong is told with its line.
func TestBadJournals(t *testing.T) {
	spawn := `{"seq":1,"event":"spawn","rank":0,"generation":0}` + "\n"
	failed := `{"seq":2,"event":"failed","rank":0,"failure":{"seq":1,"rank":0,"kind":"origin"}}` + "\n"
	for text, want := range map[string]string{
		"hello":                               "line 1: ",
		"hello\n":                             "line 1: ",
		"{}\n":                                "line 1: version 0 of the format: version 1 can be read",
		`{"journal":2}`:                       "line 1: version 2 of the format",
		`{"journal":1}`:                       "line 1: world_size is 0",
		`{"journal":1,"world_size":99999999}`: "line 1: world_size is 99999999",
		`{"journal":1,"world_size":1,"grace_s":-1}`:                                                                      "line 1: grace_s is -1",
		`{"journal":1,"world_size":1,"timeout_s":1e99}`:                                                                  "line 1: timeout_s is 1e+99",
		`{"journal":1,"world_size":1,"restart_types":["x"]}`:                                                             "line 1: RestartTypes: ",
		`{"journal":1,"world_size":1,"auto_shutdown":"x"}`:                                                               "line 1: ",
		`{"journal":1,"world_size":1,"significant":[1],"auto_shutdown":"any significant"}`:                               "line 1: Significant: ",
		aHeader + spawn + spawn:                                                                                          "line 3: seq is 1 after 1",
		aHeader + "{\"seq\":\n" + spawn:                                                                                  "line 2: ",
		aHeader + "\n":                                                                                                   "line 2: ",
		aHeader + "\x00\x00\n":                                                                                           "line 2: ",
		aHeader + `{"seq":1,"event":"spawn"}`:                                                                            `line 2: event "spawn": rank -1 of 2`,
		aHeader + `{"seq":1,"event":"spawn","rank":2}`:                                                                   `line 2: event "spawn": rank 2 of 2`,
		aHeader + `{"seq":1,"event":"running","rank":0}`:                                                                 `line 2: event "running": rank 0 of 2`,
		aHeader + `{"seq":1,"event":"exited","rank":0}`:                                                                  "it has no exit",
		aHeader + `{"seq":1,"event":"failed","rank":0}`:                                                                  "it has no failure",
		aHeader + `{"seq":1,"event":"failed","rank":0,"failure":{"rank":1,"kind":"origin"}}`:                             "its failure is that of rank 1@0",
		aHeader + `{"seq":1,"event":"failed","rank":0,"failure":{"kind":"x"}}`:                                           `kind "x" is none of`,
		aHeader + `{"seq":1,"event":"decided","rank":0,"action":"restart"}`:                                              "failure_seq 0 is no failure of rank 0",
		aHeader + spawn + failed + `{"seq":3,"event":"decided","rank":0,"failure_seq":1,"action":"x"}`:                   `there is no action "x"`,
		aHeader + spawn + failed + `{"seq":3,"event":"decided","rank":0,"failure_seq":1,"action":"restart","ranks":[2]}`: "names rank 2 of 2",
		aHeader + `{"seq":1,"event":"added","rank":3}`:                                                                   `line 2: event "added": rank 3 is added to 2`,
		aHeader + `{"seq":1,"event":"removed","rank":2}`:                                                                 `line 2: event "removed": rank 2 of 2`,
		aHeader + `{"seq":1,"event":"resized"}`:                                                                          `line 2: event "resized": size is 0: there are 1 to`,
		aHeader + `{"seq":1,"event":"resized","size":1000000000}`:                                                        `line 2: event "resized": size is 1000000000: there are 1 to`,
		aHeader + `{"seq":1,"event":"changed","terms":{"success":{"need":3}}}`:                                           `line 2: event "changed": Success.Need is 3`,
		aHeader + `{"seq":1,"event":"resized","size":1}` + "\n" + `{"seq":2,"event":"spawn","rank":0,"generation":1}` + "\n" +
			`{"seq":3,"event":"changed","terms":{"success":{"need":2}}}`: `line 4: event "changed": Success.Need is 2`,
		`{"journal":1,"world_size":1,"min_ranks":2}`:      "line 1: too few ranks (1)",
		aHeader + strings.Repeat(" ", journalMost) + "\n": "line 2: it is longer than 16 MiB",
	} {
		_, err := ReadJournal(strings.NewReader(text))
		if !errors.Is(err, ErrJournal) || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%.120q: %v, and not %s", text, err, want)
		}
	}
	j, err := ReadJournal(strings.NewReader(aHeader + spawn + `{"seq":2,"event":"from the future","colour":3}` + "\n" +
		`{"seq":3,"event":"running","colour":3}` + "\n"))
	if err != nil || len(j.Events) != 2 || j.Torn {
		t.Errorf("what is unknown: %v, %+v", err, j)
	}
}

// TestLongLine: a worker that says too much does not make a line that cannot be read.
func TestLongLine(t *testing.T) {
	var b bytes.Buffer
	j := newJournal(&b, Spec{Ranks: make([]process.Command, 1), Strategy: FailFast{}}, epoch)
	long := strings.Repeat("<\xff", journalLine)
	x := &transport.Exception{Type: "ValueError", Message: long, Traceback: long, Cause: &transport.Exception{Message: long}}
	f := &Failure{Seq: 1, Kind: Origin, Exception: x, Exit: &process.Exit{Code: 1, Stderr: []byte(long)}}
	j.write(Event{Seq: 1, Kind: EventFailed, Failure: f, At: epoch}, func(text string) { t.Error(text) })
	if b.Len() > journalLine || x.Message != long {
		t.Errorf("%d bytes", b.Len())
	}
	read, err := ReadJournal(&b)
	if err != nil || read.Events[0].Failure.Exception.Type != "ValueError" || !read.Events[0].Failure.Exception.Truncated {
		t.Errorf("%v, %+v", err, read)
	}
}

// TestReplayIsPure: the same journal and strategy give the same answer, also to two who ask at once.
func TestReplayIsPure(t *testing.T) {
	_, text, ok := journalOf(t, 0)
	for seed := uint64(1); !ok || len(text) < 10_000; seed++ {
		_, text, ok = journalOf(t, seed)
	}
	j, err := ReadJournal(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	strategy := OneForOne{Restarts: 4, Backoff: Backoff{Min: time.Second, Max: time.Minute}}
	want, err := Replay(j, strategy)
	if err != nil || len(want.Events) == 0 {
		t.Fatal(err)
	}
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			for range 50 {
				if got, _ := Replay(j, strategy); !reflect.DeepEqual(got, want) {
					t.Errorf("now it is %+v", got)
					return
				}
			}
		})
	}
	both.Wait()
}

// TestKindsAreRead: every kind of event that there is, is read.
func TestKindsAreRead(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "event.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	kinds := 0
	ast.Inspect(file, func(n ast.Node) bool {
		if v, is := n.(*ast.ValueSpec); is && len(v.Values) == 1 && strings.HasPrefix(v.Names[0].Name, "Event") {
			kind, _ := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			if kinds++; !EventKind(kind).known() {
				t.Errorf("ReadJournal does not know %q", kind)
			}
		}
		return true
	})
	if kinds < 15 {
		t.Errorf("%d kinds", kinds)
	}
}

// FuzzJournal: whatever is read can be replayed.
func FuzzJournal(f *testing.F) {
	text, err := os.ReadFile("testdata/journal.jsonl")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(aHeader))
	f.Add([]byte(aHeader + `{"seq":1,"event":"added","rank":2,"generation":-1}` + "\n" + `{"seq":2,"event":"removed","rank":2}` + "\n" +
		`{"seq":3,"event":"added","rank":3,"generation":-1}` + "\n" + `{"seq":4,"event":"added","rank":4,"generation":-1}` + "\n" +
		`{"seq":5,"event":"resized","size":1}` + "\n" + `{"seq":6,"event":"ghost","rank":4}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		large := func(e Event) bool { return e.Size >= 100 }
		if j, err := ReadJournal(bytes.NewReader(text)); err == nil && len(j.Spec.Ranks) < 100 && !slices.ContainsFunc(j.Events, large) {
			_, _ = Replay(j, AllForOne{Restarts: 2})
		}
	})
}

package supervisortest_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/supervisor/internal/bench"
	"github.com/go-muster/muster/supervisor/rules"
	"github.com/go-muster/muster/supervisor/supervisortest"
)

// careful is a strategy as users write them.
var careful = supervisor.StrategyFunc(func(s supervisor.State, f *supervisor.Failure) supervisor.Directive {
	if f.Exception != nil && f.Exception.Type == "ValueError" {
		return supervisor.Directive{Reason: "a mistake in the program"}
	}
	return supervisor.OneForOne{Restarts: 3, Backoff: supervisor.Backoff{Min: time.Second}}.Decide(s, f)
})

func TestTranscripts(t *testing.T) { supervisortest.Transcripts(t, "testdata", careful) }

// Strategies that keep the laws pass.
func TestSimulate(t *testing.T) {
	for name, s := range map[string]supervisor.Strategy{
		"careful": careful, "all-for-one": supervisor.AllForOne{Restarts: 3, Linger: time.Second},
		"ignore": supervisor.IgnoreFailures{},
		"rules": &rules.List{
			Rules:  []rules.Rule{{Do: rules.RestartRest}},
			Budget: &rules.Budget{Restarts: 3}, Else: supervisor.FailFast{},
		},
	} {
		t.Run(name, func(t *testing.T) { supervisortest.Simulation{Restarts: 3}.Simulate(t, s) })
	}
}

// A verdict is a test that may fail.
type verdict struct {
	testing.TB
	text string
}

func (v *verdict) Helper()                        {}
func (v *verdict) Logf(format string, a ...any)   { v.text += fmt.Sprintf(format, a...) + "\n" }
func (v *verdict) Fatalf(format string, a ...any) { v.Logf(format, a...); panic(v) }

// fails runs a simulation that is to fail and returns what it says.
func fails(t *testing.T, s supervisortest.Simulation, strategy supervisor.Strategy) string {
	t.Helper()
	v := &verdict{}
	func() {
		defer func() {
			if p := recover(); p != nil && p != any(v) {
				panic(p)
			}
		}()
		s.Simulate(v, strategy)
	}()
	if v.text == "" {
		t.Fatal("no world minds it")
	}
	return v.text
}

// Each law is one that a strategy can break, and is told about with a seed and a transcript.
func TestLaws(t *testing.T) {
	var calls atomic.Int64
	for what, s := range map[string]supervisor.Strategy{
		"it panicked: no idea": supervisor.StrategyFunc(func(supervisor.State, *supervisor.Failure) supervisor.Directive { panic("no idea") }),
		"rank 8 of ": supervisor.StrategyFunc(func(supervisor.State, *supervisor.Failure) supervisor.Directive {
			return supervisor.Directive{Action: supervisor.Restart, Ranks: []int{8}}
		}),
		"a negative wait": supervisor.StrategyFunc(func(supervisor.State, *supervisor.Failure) supervisor.Directive {
			return supervisor.Directive{Linger: -1}
		}),
		"asked twice": supervisor.StrategyFunc(func(supervisor.State, *supervisor.Failure) supervisor.Directive {
			return supervisor.Directive{Reason: fmt.Sprint(calls.Add(1))}
		}),
		"restart 3 of 2":  supervisor.AllForOne{Restarts: 9},
		"does not answer": supervisor.FromProtoactor(actor.DefaultSupervisorStrategy()),
	} {
		text := fails(t, supervisortest.Simulation{Restarts: 2}, s)
		if !strings.Contains(text, what) || !strings.HasPrefix(text, "seed ") || strings.Count(text, "seed=") > 1 {
			t.Errorf("no %q in\n%s", what, text)
		}
	}
}

// Every world of the supervisor's own simulation, with all of its strategies, is a transcript that says the same again.
func TestWorldsAsTranscripts(t *testing.T) {
	dir, asked := t.TempDir(), 0
	for seed := range uint64(300) {
		w := supervisor.Bench(bench.Key{}).World(nil, bench.Options{Seed: seed})
		if w.Err != nil {
			t.Fatalf("seed %d: %v", seed, w.Err)
		}
		asked += strings.Count(w.Transcript, "\nnext ") + strings.Count(w.Transcript, "\nanswer ")
		if err := os.WriteFile(fmt.Sprintf("%s/seed_%d.txt", dir, seed), []byte(w.Transcript), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if asked < 300 {
		t.Errorf("the strategies were asked %d times", asked)
	}
	supervisortest.Transcripts(t, dir, nil)
}

// A world that failed becomes a transcript, which says the same again.
func TestRewrite(t *testing.T) {
	dir := t.TempDir()
	rewrite := flag.Lookup("rewrite").Value
	if rewrite.String() == "true" {
		t.Skip("the flag is this test's to set")
	}
	strategy := supervisor.AllForOne{Restarts: 5, Backoff: supervisor.Backoff{Min: time.Second, Max: time.Minute}}
	for first := uint64(0); first < 4000; first += 200 {
		if err := rewrite.Set("true"); err != nil {
			t.Fatal(err)
		}
		text := fails(t, supervisortest.Simulation{First: first, Restarts: 1, Dir: dir}, strategy)
		if err := rewrite.Set("false"); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(text, "the transcript is in "+dir+"/seed_") {
			t.Fatal(text)
		}
	}
	files, _ := os.ReadDir(dir)
	if len(files) < 10 {
		t.Errorf("%d files", len(files))
	}
	supervisortest.Transcripts(t, dir, strategy)
}

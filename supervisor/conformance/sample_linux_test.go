package conformance_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport"
	"github.com/go-muster/muster/transport/worker"
)

// A scenario says what each life of each rank does. In each generation but the last one rank fails, when all are ready; what
// the others do until they are stopped, and whether they are told to, does not depend on who is faster.
type scenario struct {
	size     int
	strategy supervisor.Strategy
	fails    []int    // the rank that fails in each generation
	ends     []string // how: a verb of act
	lives    [][]part // of each rank
}

// A part is what a life does, which is born in a generation.
type part struct {
	born int
	does string
}

const (
	well = "well"
	hung = "hang"   // until it is asked to stop
	deaf = "ignore" // until it is killed
)

func newScenario(seed uint64, m mode) scenario {
	r := rand.New(rand.NewPCG(seed, 3))
	s := scenario{size: 1 + r.IntN(4)}
	failures, budget := r.IntN(4), r.IntN(3)
	who := r.IntN(s.size)
	kind := r.IntN(5)
	for range min(failures, budget+1) {
		if kind == 0 {
			who = r.IntN(s.size) // a restart of all lets anybody be next
		}
		end := fmt.Sprintf("exit %d", 1+r.IntN(5))
		if r.IntN(3) == 0 {
			end = "signal 9"
		} else if m.speaks && r.IntN(2) == 0 {
			end = "raise all is lost"
		}
		s.fails, s.ends = append(s.fails, who), append(s.ends, end)
	}
	s.strategy = []supervisor.Strategy{
		supervisor.AllForOne{Restarts: budget}, supervisor.OneForOne{Restarts: budget}, supervisor.RestForOne{Restarts: budget},
		supervisor.FailFast{}, supervisor.IgnoreFailures{},
	}[kind]
	if kind >= 3 {
		s.fails = s.fails[:min(1, len(s.fails))]
	}
	s.cast(kind, failures > budget, r)
	return s
}

// cast gives each life its part: who will be stopped because of a later failure waits for it, the others end well.
func (s *scenario) cast(kind int, gaveUp bool, r *rand.Rand) {
	for rank := range s.size {
		var lives []part
		stopped := func(failing int, last bool) bool {
			return kind == 0 || kind == 3 || kind == 2 && rank > failing || kind < 3 && last && gaveUp
		}
		next := 0 // the failure that the present life sees first
		for next <= len(s.fails) {
			p, until := part{next, well}, next
			for ; until < len(s.fails); until++ {
				if s.fails[until] == rank {
					p.does = s.ends[until]
					break
				}
				if stopped(s.fails[until], until == len(s.fails)-1) {
					p.does = []string{hung, hung, deaf}[r.IntN(3)]
					break
				}
			}
			if lives = append(lives, p); until == len(s.fails) {
				break
			}
			next = until + 1
		}
		s.lives = append(s.lives, lives)
	}
}

// journal is the scenario as a record of lives, for a replay: ready after 10 ms, failed after a second.
func (s *scenario) journal(m mode) supervisor.Journal {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	j := supervisor.Journal{Start: start, Spec: supervisor.Spec{Ranks: make([]process.Command, s.size), Grace: grace}}
	add := func(e supervisor.Event, at time.Duration) {
		e.Seq, e.At = len(j.Events)+1, start.Add(at)
		j.Events = append(j.Events, e)
	}
	for rank, lives := range s.lives {
		for _, p := range lives {
			e := supervisor.Event{Rank: rank, Generation: p.born}
			for at, kind := range []supervisor.EventKind{supervisor.EventSpawn, supervisor.EventStarted, supervisor.EventReady} {
				e.Kind = kind
				add(e, time.Duration(at)*10*time.Millisecond)
			}
			for _, e := range ending(e, m, p.does) {
				add(e, time.Second)
			}
		}
	}
	add(supervisor.Event{Kind: supervisor.EventNotice, Rank: -1}, time.Hour)
	return j
}

// ending is what the record has of a life's end.
func ending(e supervisor.Event, m mode, does string) []supervisor.Event {
	failed, exited, killed := e, e, e
	failed.Kind, exited.Kind, killed.Kind = supervisor.EventFailed, supervisor.EventExited, supervisor.EventKill
	exited.Exit = &process.Exit{}
	verb, rest, _ := strings.Cut(does, " ")
	switch verb {
	case "exit":
		exited.Exit = m.exit(number(rest))
	case "signal":
		exited.Exit.Code, exited.Exit.Signal = -1, process.Signal(number(rest))
	case "raise":
		failed.Failure = &supervisor.Failure{Exception: &transport.Exception{Message: rest}}
		exited.Exit.Code = 1
		return []supervisor.Event{failed, exited}
	case hung:
		return nil
	case deaf:
		exited.Exit = &process.Exit{Code: -1, Signal: 9, Stopped: true}
		return []supervisor.Event{killed, exited}
	}
	return []supervisor.Event{exited}
}

const grace = 50 * time.Millisecond

// commands are what the ranks run: each knows the parts of its lives.
func (s *scenario) commands(t *testing.T, m mode, gates string) (ranks []process.Command) {
	t.Helper()
	for _, lives := range s.lives {
		verbs := []string{"live " + gates}
		for _, p := range lives {
			verbs = append(verbs, fmt.Sprint(p.born), p.does)
		}
		ranks = append(ranks, m.command(t, verbs...))
	}
	return ranks
}

// actLife plays the part of the life that it is: who fails, does so when the gate of its generation opens.
func actLife(me worker.Info, gates string, parts []string) error {
	i := slices.Index(parts, fmt.Sprint(me.Generation))
	if i < 0 {
		return fmt.Errorf("nobody is born in generation %d", me.Generation)
	}
	switch does := parts[i+1]; does {
	case well:
		return nil
	case deaf:
		return act(me, []string{"ignore", hung})
	case hung:
		return act(me, []string{hung})
	default:
		return act(me, []string{fmt.Sprint("wait ", gates, me.Generation), does})
	}
}

// facts are what does not depend on who is faster.
type facts struct {
	Outcome  supervisor.Outcome
	Restarts int
	Origins  []int
	Ranks    []string
	Err      string
}

func factsOf(r supervisor.Report, err error) facts {
	f := facts{Outcome: r.Outcome, Restarts: r.Restarts}
	if err != nil {
		f.Err = err.Error()
	}
	for _, x := range r.Failures {
		if x.Kind != supervisor.Collateral {
			f.Origins = append(f.Origins, x.Rank)
		}
	}
	for _, k := range r.Ranks {
		text := fmt.Sprintf("%d@%d %s", k.Rank, k.Generation, k.Outcome)
		if k.Exit != nil && k.Outcome != supervisor.Stopped {
			text += ": " + k.Exit.Error()
		}
		f.Ranks = append(f.Ranks, text)
	}
	return f
}

// What the simulation says of a group is what becomes of one of real processes; and what became of it is what a replay of
// its journal says.
func TestSimulationIsReal(t *testing.T) {
	const seeds = 30
	failures := 0
	for seed := range uint64(seeds) {
		m := []mode{function, command}[seed%2]
		s := newScenario(seed, m)
		failures += len(s.fails)
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			processtest.Check(t)
			want, err := supervisor.Replay(s.journal(m), s.strategy)
			if err != nil {
				t.Fatal(err)
			}
			gates, prefix := gatesOf(t, len(s.fails)+1)
			var journal strings.Builder
			x := beginWith(t, context.Background(), supervisor.Spec{
				Strategy: s.strategy, Grace: grace, Ranks: s.commands(t, m, prefix),
			}, supervisor.WithJournal(&journal))
			for generation, rank := range s.fails {
				x.line(process.ID{Rank: rank, Generation: generation}, "here")
				x.await(fmt.Sprintf("generation %d to run", generation), func() bool {
					return slices.ContainsFunc(x.events, func(e supervisor.Event) bool {
						return e.Kind == supervisor.EventRunning && e.Generation == generation
					})
				})
				gates[generation].open()
			}
			runErr := x.end()
			predicted, got := factsOf(want.Report, want.Err), factsOf(x.group.Report(), runErr)
			if !reflect.DeepEqual(predicted, got) {
				t.Errorf("%T, %v:\npredicted %+v\nand it is %+v", s.strategy, s.lives, predicted, got)
			}
			j, err := supervisor.ReadJournal(strings.NewReader(journal.String()))
			if err != nil || j.Torn {
				t.Fatalf("%v, torn %v", err, j.Torn)
			}
			again, err := supervisor.Replay(j, s.strategy)
			if replayed := factsOf(again.Report, again.Err); err != nil || !reflect.DeepEqual(replayed, got) {
				t.Errorf("%v, replayed %+v\nand it was %+v", err, replayed, got)
			}
		})
	}
	if failures < seeds {
		t.Errorf("%d failures in %d scenarios are too few", failures, seeds)
	}
}

package supervisor

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	seeds = flag.Int("seeds", 10_000, "how many worlds the simulation runs through")
	first = flag.Uint64("seed", 0, "the seed of the first of them")
)

// TestSimulation runs the machine in random worlds and checks G-1 to G-4 and G-6 to G-9, that everybody has its full
// grace, and that every run ends. A failure prints its seed and all that happened, as a transcript: with -rewrite that becomes a
// file in testdata, which TestTranscripts holds the machine to. To soak, to see one seed again, and to keep it:
//
//	go test ./supervisor -run Simulation -seeds 5000000
//	go test ./supervisor -run Simulation -seeds 1 -seed 4711 -v
//	go test ./supervisor -run Simulation -seeds 1 -seed 4711 -rewrite
func TestSimulation(t *testing.T) {
	var total census
	for seed := *first; seed < *first+uint64(*seeds); seed++ {
		w := newWorld(seed)
		if err := w.run(); err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, keep(t, "testdata", seed, (*machine).step))
		}
		total.count(w)
	}
	t.Logf("%+v", total)
	if *seeds >= 10_000 {
		total.check(t)
	}
	if *seeds == 1 && testing.Verbose() {
		t.Log("\n" + replay(*first, (*machine).step))
	}
}

// keep makes a transcript of a world, and a file of it when -rewrite asks for one.
func keep(t *testing.T, dir string, seed uint64, step func(*machine, time.Time, event) []effect) string {
	t.Helper()
	w := newWorld(seed)
	w.step = step
	err := w.writeDown(seed)
	text := fmt.Sprintf("# World %d: %v\n\n%s", seed, err, w.script)
	if rewrite := flag.Lookup("rewrite"); rewrite != nil && rewrite.Value.String() == "true" {
		path := filepath.Join(dir, fmt.Sprintf("seed_%d.txt", seed))
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Error(err)
		}
	}
	return text
}

// A failing seed is told as a transcript, which is kept when -rewrite says so. That it says the same again, for any world, is
// tried in package supervisortest.
func TestFailingSeed(t *testing.T) {
	rewrite := flag.Lookup("rewrite").Value
	if rewrite.String() == "true" {
		t.Skip("the flag is this test's to set")
	}
	forgetful := func(m *machine, now time.Time, ev event) []effect {
		return slices.DeleteFunc(m.step(now, ev), func(e effect) bool { _, is := e.(efKill); return is })
	}
	dir, seed := t.TempDir(), uint64(0)
	for w := newWorld(seed); ; w = newWorld(seed) {
		if w.step = forgetful; w.run() != nil {
			break
		}
		seed++
	}
	if err := rewrite.Set("true"); err != nil {
		t.Fatal(err)
	}
	text := keep(t, dir, seed, forgetful)
	if err := rewrite.Set("false"); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(fmt.Sprintf("%s/seed_%d.txt", dir, seed))
	if want := fmt.Sprintf("# World %d: ", seed); err != nil || string(file) != text || !strings.HasPrefix(text, want) ||
		strings.HasPrefix(text, want+"<nil>") || !strings.Contains(text, "\n\nstart ranks=") || strings.Contains(text, "→ kill") {
		t.Errorf("%v\n%s", err, text)
	}
}

// replay runs one world again and writes down all that happens.
func replay(seed uint64, step func(*machine, time.Time, event) []effect) string {
	w := newWorld(seed)
	w.step, w.log = step, &strings.Builder{}
	w.note("%d ranks, %T, ordered %v, timeout %v, %+v, %+v",
		w.size, w.strategy, w.ordered, w.timeout, w.terms, w.mood)
	_ = w.run()
	return w.log.String()
}

// A census tells whether the worlds had all sorts of things in them.
type census struct {
	Worlds, Steps, Generations, Ghosts, Failures, Collateral, Abandoned, Killed, Succeeded, Stopped, Partial int
	Added, Removed, Resized, Again, Refused                                                                  int
	Placed, Lost, Folded, Waited, Barren, Fitted, Regrown                                                    int
}

func (c *census) count(w *world) {
	r := w.m.report()
	c.Worlds++
	c.Steps += w.steps
	c.Generations += len(r.Generations)
	c.Ghosts += r.Ghosts
	c.Failures += len(r.Failures)
	for _, f := range r.Failures {
		c.Collateral += len(f.Collateral)
	}
	partial := false
	for _, b := range w.lives {
		if b == nil {
			continue // it was never its turn
		}
		c.Abandoned += one(b.gaveUp)
		c.Killed += one(!b.killed.IsZero())
		partial = partial || b.id.Generation != r.Generation
	}
	c.Partial += one(partial)
	c.Added += w.additions
	c.Removed += w.removals
	c.Resized += w.resizes
	c.Again += w.again
	c.Refused += w.refusals
	c.Placed += one(w.placed)
	c.Lost += len(w.losses)
	c.Folded += w.folded
	c.Waited += w.waited
	c.Barren += one(w.barren)
	c.Fitted += w.fitted
	c.Regrown += w.regrown
	c.Succeeded += one(r.Outcome == Succeeded)
	c.Stopped += one(r.Outcome == Interrupted)
}

// check: a simulation in which nothing happens proves nothing.
func (c *census) check(t *testing.T) {
	for what, n := range map[string]int{
		"generations": c.Generations - c.Worlds, "ghosts": c.Ghosts, "failures": c.Failures, "collateral": c.Collateral,
		"abandoned": c.Abandoned, "killed": c.Killed, "succeeded": c.Succeeded, "stopped": c.Stopped, "partial": c.Partial,
		"added": c.Added, "removed": c.Removed, "resized": c.Resized, "restarted": c.Again, "refused": c.Refused,
		"lost": c.Lost, "folded": c.Folded, "waited": c.Waited, "barren": c.Barren, "fitted": c.Fitted, "regrown": 5 * c.Regrown,
	} {
		if n < c.Worlds/100 {
			t.Errorf("%d %s in %d worlds are too few", n, what, c.Worlds)
		}
	}
}

func ExampleStrategyFunc() {
	strategy := StrategyFunc(func(s State, f *Failure) Directive {
		if f.Exit != nil && f.Exit.Code == 2 {
			return Directive{Reason: "bad usage is final"} // terminate
		}
		return AllForOne{Restarts: 5, Backoff: Backoff{Min: time.Second}}.Decide(s, f)
	})
	d := strategy.Decide(State{Size: 4, Random: 0.5}, &Failure{Rank: 1})
	fmt.Println(d.Action, d.After, d.Reason)
	// Output: restart 750ms restart 1 of 5
}

package supervisortest

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/supervisor/internal/bench"
)

// A Simulation is a number of random worlds in which a strategy decides.
type Simulation struct {
	// Seeds is the number of worlds; 0 means 1000. First is the seed of the first one.
	Seeds int
	First uint64
	// Restarts is how many restarts the strategy may decide on in one world, which lasts at most 40 seconds, those that are
	// free included; a negative number means any.
	Restarts int
	// Dir is where the flag -rewrite puts the transcript of a world that failed. Empty means testdata.
	Dir string
}

// Simulate lets a strategy decide in random worlds: groups of one to eight ranks, which come and go, with all sorts of terms,
// processes that fail, hang, raise and do not listen, messages that are late, repeated and out of order; some on hosts that join, fall silent and are lost, with
// room that shrinks and grows, of fixed size or elastic. It checks
//
//   - the strategy: it does not panic, names no rank that is not there, asks for no negative wait, gives the same answer to
//     the same question, and comes to an end within its budget;
//   - the group under it: the invariants G-1 to G-4 and G-6 to G-9 of docs/design.md, and that every run ends.
//
// The first world that breaks a rule fails the test with its seed and all that happened in it, as a transcript. With the
// flag -rewrite that becomes the file seed_N.txt for [Transcripts]. Without a strategy the worlds are those of the supervisor's own
// tests, each with another one.
func (s Simulation) Simulate(t testing.TB, strategy supervisor.Strategy) {
	t.Helper()
	if s.Seeds == 0 {
		s.Seeds = 1000
	}
	for seed := s.First; seed < s.First+uint64(s.Seeds); seed++ {
		w := workbench.World(strategy, bench.Options{Seed: seed, Restarts: s.Restarts})
		if w.Err == nil {
			continue
		}
		text := fmt.Sprintf("# World %d: %s\n\n%s", seed, strings.ReplaceAll(w.Err.Error(), "\n", "\n# "), w.Transcript)
		if path := s.keep(t, seed, text); path != "" {
			t.Logf("the transcript is in %s", path)
		}
		t.Fatalf("seed %d: %v\n\n%s", seed, w.Err, text)
	}
}

// keep writes a transcript when -rewrite asks for it.
func (s Simulation) keep(t testing.TB, seed uint64, text string) (path string) {
	t.Helper()
	rewrite := flag.Lookup("rewrite") // of datadriven
	if rewrite == nil || rewrite.Value.String() != "true" {
		return ""
	}
	if s.Dir == "" {
		s.Dir = "testdata"
	}
	path = filepath.Join(s.Dir, fmt.Sprintf("seed_%d.txt", seed))
	err := os.MkdirAll(s.Dir, 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte(text), 0o644)
	}
	if err != nil {
		t.Errorf("-rewrite: %v", err)
	}
	return path
}

package supervisortest

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/supervisor/internal/bench"
)

var workbench = supervisor.Bench(bench.Key{})

// Transcripts holds a strategy to the conversations in dir/*.txt, each in a subtest. With the flag -rewrite the answers are
// written anew. Groups that name no strategy have the one that is given; nil is fail-fast.
func Transcripts(t *testing.T, dir string, strategy supervisor.Strategy) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("%s has no transcripts (*.txt): %v", dir, err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) { transcript(t, path, strategy) })
	}
}

func transcript(t *testing.T, path string, strategy supervisor.Strategy) {
	script := workbench.Script(strategy)
	datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
		c := bench.Command{Cmd: d.Cmd}
		for _, arg := range d.CmdArgs {
			c.CmdArgs = append(c.CmdArgs, bench.Arg{Key: arg.Key, Vals: arg.Vals})
		}
		answer, err := script(c)
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
		return answer
	})
}

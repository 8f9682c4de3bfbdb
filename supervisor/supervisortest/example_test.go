package supervisortest_test

import (
	"testing"

	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/supervisor/supervisortest"
)

func ExampleSimulation() {
	mine := supervisor.StrategyFunc(func(s supervisor.State, f *supervisor.Failure) supervisor.Directive {
		if f.Exit != nil && f.Exit.Code == 2 {
			return supervisor.Directive{Reason: "bad usage is final"}
		}
		return supervisor.AllForOne{Restarts: 5}.Decide(s, f)
	})
	_ = func(t *testing.T) { // in a file _test.go: func TestStrategy(t *testing.T)
		supervisortest.Simulation{Restarts: 5}.Simulate(t, mine)
		supervisortest.Transcripts(t, "testdata", mine)
	}
}

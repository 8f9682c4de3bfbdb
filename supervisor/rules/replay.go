package rules

import (
	"errors"
	"time"

	"github.com/go-muster/muster/supervisor"
)

// A Verdict is what a list would have decided about a failure of an earlier run.
type Verdict struct {
	Failure   *supervisor.Failure
	Rule      int // index of the rule that matched, -1 when Else decided
	Directive supervisor.Directive
}

// Replay asks the list about every failure of a report that was decided upon, oldest first, even where the group excused
// it without asking its strategy. What the list would have
// changed is not made up: the restarts of the run stand as they happened, only that those which the list calls free use
// no budget. Waits are shown at their longest.
func (l List) Replay(r supervisor.Report) []Verdict {
	var verdicts []Verdict
	var restarts []time.Time
	for _, f := range r.Failures {
		if f.Kind == supervisor.Collateral {
			continue
		}
		s, asked := stateAt(r, f.At), asked(f)
		s.Restarts = restarts
		v := Verdict{Failure: f, Rule: l.Match(s, asked), Directive: l.Decide(s, asked)}
		verdicts = append(verdicts, v)
		if f.Directive.Action == supervisor.Restart && !v.Directive.Free {
			restarts = append(restarts[:len(restarts):len(restarts)], f.At)
		}
	}
	return verdicts
}

// stateAt returns what a strategy was told at that moment, but for the restarts. A process that raised exits later: the
// machine is in the newest generation that had been started.
func stateAt(r supervisor.Report, at time.Time) supervisor.State {
	s := supervisor.State{Now: at, Size: len(r.Ranks), Starting: true, Random: 1}
	for _, g := range r.Generations {
		if !g.Started.After(at) {
			s.Generation = g.Generation
			if g.Size > 0 { // an old report does not say
				s.Size = g.Size
			}
			s.Starting = g.Ready.IsZero() || g.Ready.After(at)
		}
	}
	return s
}

// asked returns the failure as it was known when it was decided upon: of an exit that came later, nothing.
func asked(f *supervisor.Failure) *supervisor.Failure {
	known := *f
	byExit := f.Err == nil || errors.Is(f.Err, supervisor.ErrEnded) || f.Exit != nil && errors.Is(f.Exit.Err, f.Err)
	if f.Exception != nil || !byExit {
		known.Exit = nil
	}
	return &known
}

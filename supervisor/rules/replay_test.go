package rules

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/supervisor"
)

// run returns the report of a group of two whose generations became ready after a second, and failed after ten: the
// failures in order, each of rank 1 and followed by a restart but the last.
func run(failures ...*supervisor.Failure) supervisor.Report {
	r := supervisor.Report{Start: epoch, Outcome: supervisor.Failed, Ranks: make([]supervisor.RankReport, 2)}
	for i := range r.Ranks {
		r.Ranks[i].Rank = i
	}
	for i, f := range failures {
		began := epoch.Add(time.Duration(i) * 10 * time.Second)
		known := *f
		f = &known
		f.Seq, f.Kind, f.Rank, f.Generation = i+1, supervisor.Origin, 1, i
		if f.Uptime == 0 {
			f.Uptime = 9 * time.Second
		}
		f.At = began.Add(f.Uptime)
		if f.Directive.Action = supervisor.Restart; i == len(failures)-1 {
			f.Directive.Action = supervisor.Terminate
		}
		r.Failures = append(r.Failures, f)
		r.Generations = append(r.Generations, supervisor.GenerationReport{
			Generation: i, Started: began, Ready: began.Add(time.Second), Failed: f.At,
		})
	}
	return r
}

// verdicts writes what a list decides about a run, a line each.
func verdicts(l *List, r supervisor.Report) string {
	var b strings.Builder
	for _, v := range l.Replay(r) {
		fmt.Fprintf(&b, "%v: %d %v (%s)\n", v.Failure.ID(), v.Rule, v.Directive.Action, v.Directive.Reason)
	}
	return b.String()
}

func TestReplay(t *testing.T) {
	raisedThenExited := raised("ValueError", "")
	raisedThenExited.Exit = &process.Exit{Code: 1}
	lateThenKilled := &supervisor.Failure{Err: late.Err, Exit: &process.Exit{Code: -1, Signal: 9}}
	early := code(4)
	early.Uptime = time.Second / 2
	for _, test := range []struct {
		name, rules string
		run         supervisor.Report
		want        string
	}{
		{"restarts are counted as they happened", "budget: {restarts: 2}\nrules: [{do: restart group}]",
			run(code(1), code(1), code(1)), `
1@0: 0 restart (rule 1: restart 1 of 2)
1@1: 0 restart (rule 1: restart 2 of 2)
1@2: 0 terminate (rule 1: 2 of 2 restarts used)
`},
		{"in a window that moves", "budget: {restarts: 1, within: 9s}\nrules: [{do: restart group}]",
			run(code(1), code(1)), `
1@0: 0 restart (rule 1: restart 1 of 1)
1@1: 0 restart (rule 1: restart 1 of 1)
`},
		{"free ones are not", "budget: {restarts: 1}\nrules: [{when: {exit: 3}, do: restart group, free: true}, {do: restart rank}]",
			run(code(3), code(3), code(1), code(1)), `
1@0: 0 restart (rule 1: a restart that does not count)
1@1: 0 restart (rule 1: a restart that does not count)
1@2: 1 restart (rule 2: restart 1 of 1)
1@3: 1 terminate (rule 2: 1 of 1 restarts used)
`},
		{"what the run restarted and these rules would not counts, too", "budget: {restarts: 1}\nrules: [{when: {exit: 3}, do: fail}, {do: restart group}]",
			run(code(3), code(1)), `
1@0: 0 terminate (rule 1: fail)
1@1: 1 terminate (rule 2: 1 of 1 restarts used)
`},
		{"phases and generations", "rules: [{when: {phase: starting}, do: fail}, {when: {generation: 1}, do: ignore}]",
			run(early, code(4), code(4)), `
1@0: 0 terminate (rule 1: fail)
1@1: 1 ignore (rule 2: ignore)
1@2: -1 terminate (fail-fast)
`},
		{"an exit that came after the decision", "rules: [{when: {exit: 1}, do: ignore}, {when: {killed_by: stranger}, do: ignore}]",
			run(raisedThenExited, lateThenKilled, code(1), died(9)), `
1@0: -1 terminate (fail-fast)
1@1: -1 terminate (fail-fast)
1@2: 0 ignore (rule 1: ignore)
1@3: 1 ignore (rule 2: ignore)
`},
		{"an exit that was the failure, whatever its error", "rules: [{when: {exit: 0}, do: ignore}]", run(ended, lost), `
1@0: 0 ignore (rule 1: ignore)
1@1: -1 terminate (fail-fast)
`},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := list(t, test.rules)
			if got := "\n" + verdicts(l, test.run); got != test.want {
				t.Errorf("it decides%swant%s", got, test.want)
			}
			text, err := json.Marshal(test.run)
			if err != nil {
				t.Fatal(err)
			}
			read, err := supervisor.ReadReport(bytes.NewReader(text))
			if got := "\n" + verdicts(l, read); err != nil || got != test.want {
				t.Errorf("%v, of a report that was read it decides%swant%s", err, got, test.want)
			}
		})
	}
}

// TestReplayLeavesOut: nobody was asked about a collateral failure.
func TestReplayLeavesOut(t *testing.T) {
	r := run(code(1), code(2))
	r.Failures[0].Kind = supervisor.Collateral
	if got := verdicts(&List{}, r); got != "1@1: -1 terminate (fail-fast)\n" {
		t.Error(got)
	}
}

package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/supervisor/rules"
)

// decider is the strategy that the flags ask for: the rules of --rules, if any, before --strategy.
func (f *flags) decider() (supervisor.Strategy, error) {
	if err := f.checkDurations(); err != nil {
		return nil, err
	}
	strategy, err := f.chooseStrategy()
	switch {
	case err != nil:
		return nil, err
	case f.rules != "":
		list, err := f.readRules()
		if err != nil {
			return nil, err
		}
		return f.before(strategy, list), nil
	case f.inline != nil:
		return f.before(strategy, f.inline), nil
	}
	return strategy, nil
}

// before puts rules before a strategy. A budget that they do not have is that of the flags.
func (f *flags) before(otherwise supervisor.Strategy, list *rules.List) *rules.List {
	list.Else = otherwise
	if list.Budget == nil {
		backoff, _ := parseBackoff(f.backoff) // chooseStrategy has read it, too
		list.Budget = &rules.Budget{Restarts: f.maxRestarts, Within: f.within, Decay: f.decay, MinUptime: f.minUptime, Backoff: backoff}
	}
	return list
}

// maxRules is more than any file of rules has, in bytes: what a path leads to may have no end.
const maxRules = 1 << 20

// readRules reads the file of --rules.
func (f *flags) readRules() (*rules.List, error) {
	file, err := os.Open(f.rules)
	if err != nil {
		return nil, usage("--rules %s: cannot be read: %w", f.rules, reason(err))
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxRules))
	if err != nil {
		return nil, usage("--rules %s: cannot be read: %w", f.rules, reason(err))
	}
	list, err := rules.Parse(f.rules, text)
	if err != nil {
		return nil, &fileError{usage("%w", err), "rules"}
	}
	return list, nil
}

// replay prints what the rules would have decided about the failures of an earlier run.
func (f *flags) replay(w io.Writer, args []string) error {
	switch {
	case f.rules == "":
		return usage("--explain %s: say with --rules which rules to explain it by", f.explain)
	case len(args) > 0:
		return usage("--explain %s: it starts nothing: leave the command out", f.explain)
	}
	strategy, err := f.decider()
	if err != nil {
		return err
	}
	report, err := openReport(f.explain)
	if err != nil {
		return err
	}
	list := strategy.(*rules.List)
	verdicts := list.Replay(report)
	if len(verdicts) == 0 {
		fmt.Fprintln(w, "there was no failure to decide about")
	}
	for _, v := range verdicts {
		f.printVerdict(w, list, report.Start, v)
	}
	return nil
}

func openReport(path string) (supervisor.Report, error) {
	file, err := os.Open(path)
	if err != nil {
		return supervisor.Report{}, usage("--explain %s: cannot be read: %w", path, reason(err))
	}
	defer file.Close()
	r, err := supervisor.ReadReport(file)
	if err != nil {
		return r, usage("--explain %s: give a file that --report wrote: %w", path, err)
	}
	return r, nil
}

func (f *flags) printVerdict(w io.Writer, list *rules.List, start time.Time, v rules.Verdict) {
	x := v.Failure
	fmt.Fprintf(w, "failure %d, %v after the start: rank %v, up for %v: %s\n", x.Seq, rounded(x.At.Sub(start)), x.ID(),
		rounded(x.Uptime), headline(x))
	matched := "no rule: else " + supervisor.Describe(list.Else)
	if v.Rule >= 0 {
		matched = fmt.Sprintf("rule %d, %s:%d", v.Rule+1, f.rules, list.Rules[v.Rule].Line)
	}
	fmt.Fprintf(w, "    matches   %s\n", matched)
	fmt.Fprintf(w, "    decision  %s\n", describeDirective(v.Directive, "at most "))
	fmt.Fprintf(w, "    that run  %s\n", describeDirective(x.Directive, "at most "))
}

// describeDirective writes "restart rank 2 after at most 1s (why)"; atMost is "" for a wait that is certain.
func describeDirective(d supervisor.Directive, atMost string) string {
	text := d.Action.String()
	if len(d.Ranks) > 0 {
		text += " " + rankList(d.Ranks)
	}
	if d.After > 0 {
		text += fmt.Sprintf(" after %s%v", atMost, rounded(d.After))
	}
	if d.Linger > 0 {
		text += fmt.Sprintf(", with %v to end by themselves", d.Linger)
	}
	if d.Reason != "" {
		text += " (" + d.Reason + ")"
	}
	return text
}

func rounded(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

package rules

import (
	"fmt"
	"strings"
	"time"

	"github.com/go-muster/muster/supervisor"
)

// A List is a strategy: its rules in order, of which the first that matches decides, and what decides when none does.
// The zero List is FailFast.
type List struct {
	Rules []Rule
	// Else decides what no rule matches; nil means FailFast. One of supervisor.FromProtoactor may take its time.
	Else supervisor.Strategy
	// Budget bounds the restarts that count; nil means that there are none.
	Budget *Budget
}

// A Budget is what all rules that restart have in common. The fields mean what they do in supervisor.AllForOne.
type Budget struct {
	Restarts  int
	Within    time.Duration
	Decay     time.Duration
	MinUptime time.Duration
	Backoff   supervisor.Backoff
}

// A Rule says what to do about the failures that it matches. The zero Rule ends the group on any failure.
type Rule struct {
	Name string // for people
	When When
	Do   Action
	// Free is for a restart that uses no budget. It waits as long as if all restarts so far had counted.
	Free bool
	// Linger is how long the ranks may end by themselves before they are stopped.
	Linger time.Duration
	// Backoff is the wait before a restart; zero means the budget's.
	Backoff supervisor.Backoff
	// Reason is the directive's; empty means Name.
	Reason string
	// Line is where the rule stands in its file; 0 when it stands in none.
	Line int
}

// An Action is what a rule does.
type Action int

// The actions.
const (
	Fail         Action = iota // stop all ranks; the failure is the group's answer
	RestartGroup               // restart all ranks
	RestartRank                // restart the rank that failed
	RestartRest                // restart the rank that failed and those after it
	Ignore                     // take the failure for a good exit
	Drop                       // go on without the rank that failed
)

var actions = []string{"fail", "restart group", "restart rank", "restart rest", "ignore", "drop"}

// String returns the action as a file has it: "restart group".
func (a Action) String() string {
	if a < 0 || int(a) >= len(actions) {
		return fmt.Sprintf("action %d", int(a))
	}
	return actions[a]
}

func (a Action) restarts() bool { return a == RestartGroup || a == RestartRank || a == RestartRest }

// Delegate leaves to Else what no rule matches.
func (l List) Delegate(s supervisor.State, f *supervisor.Failure) supervisor.Strategy {
	if l.Match(s, f) >= 0 {
		return nil
	}
	return l.Else
}

// Decide asks the first rule that matches, or else Else. The reason of the directive names the rule.
func (l List) Decide(s supervisor.State, f *supervisor.Failure) supervisor.Directive {
	i := l.Match(s, f)
	switch {
	case i >= 0:
		d := l.Rules[i].decide(l.Budget, s, f)
		d.Reason = fmt.Sprintf("%s: %s", l.Rules[i].label(i), d.Reason)
		return d
	case l.Else != nil:
		return l.Else.Decide(s, f)
	}
	return supervisor.FailFast{}.Decide(s, f)
}

// String returns the list in a few words: "2 rules (3 restarts within 1h0m0s), else fail-fast".
func (l List) String() string {
	rules, budget := "1 rule", Budget{}
	if len(l.Rules) != 1 {
		rules = fmt.Sprintf("%d rules", len(l.Rules))
	}
	if l.Budget != nil {
		budget = *l.Budget
	}
	return fmt.Sprintf("%s (%v), else %s", rules, budget, supervisor.Describe(l.Else))
}

// String returns the budget in a few words: "3 restarts within 1h0m0s".
func (b Budget) String() string { return strings.TrimPrefix(b.strategy().String(), "all-for-one, ") }

// strategy is the one that everybody knows, with this budget.
func (b Budget) strategy() supervisor.AllForOne {
	return supervisor.AllForOne{
		Restarts: b.Restarts, Within: b.Within, Decay: b.Decay, MinUptime: b.MinUptime, Backoff: b.Backoff,
	}
}

// MaxRestarts returns the restarts of the budget: ranks find it in their environment.
func (l List) MaxRestarts() int {
	if l.Budget == nil {
		return 0
	}
	return l.Budget.Restarts
}

// Match returns the index of the first rule that matches, -1 when none does.
func (l List) Match(s supervisor.State, f *supervisor.Failure) int {
	for i := range l.Rules {
		if l.Rules[i].When.Matches(s, f) {
			return i
		}
	}
	return -1
}

// label names a rule by its place, which is all that is certain, and by what its author calls it.
func (r *Rule) label(i int) string {
	text := r.Reason
	if text == "" {
		text = r.Name
	}
	if text == "" {
		return fmt.Sprintf("rule %d", i+1)
	}
	return fmt.Sprintf("rule %d, %s", i+1, text)
}

func (r *Rule) decide(b *Budget, s supervisor.State, f *supervisor.Failure) supervisor.Directive {
	switch r.Do {
	case RestartGroup, RestartRank, RestartRest:
		d := r.restart(b, s, f)
		if d.Action == supervisor.Restart {
			d.Ranks = r.Do.scope(s, f)
		}
		return d
	case Ignore:
		return supervisor.Directive{Action: supervisor.Ignore, Reason: r.Do.String()}
	case Drop:
		return supervisor.Directive{Action: supervisor.Drop, Linger: r.Linger, Reason: r.Do.String()}
	}
	return supervisor.Directive{Action: supervisor.Terminate, Linger: r.Linger, Reason: Fail.String()}
}

// restart leaves the counting to the strategy that everybody knows.
func (r *Rule) restart(b *Budget, s supervisor.State, f *supervisor.Failure) supervisor.Directive {
	if b == nil {
		b = &Budget{}
	}
	backoff := b.Backoff
	if r.Backoff != (supervisor.Backoff{}) {
		backoff = r.Backoff
	}
	if r.Free {
		return supervisor.Directive{
			Action: supervisor.Restart, Linger: r.Linger, Free: true, Reason: "a restart that does not count",
			After: backoff.Delay(s.Generation, s.Random), // free restarts are known by the generations that they made
		}
	}
	all := b.strategy()
	all.Backoff, all.Linger = backoff, r.Linger
	return all.Decide(s, f)
}

// scope returns the ranks that a restart means; nil means all.
func (a Action) scope(s supervisor.State, f *supervisor.Failure) []int {
	switch a {
	case RestartRank:
		return []int{f.Rank}
	case RestartRest:
		return supervisor.RestForOne{Restarts: -1}.Decide(s, f).Ranks
	}
	return nil
}

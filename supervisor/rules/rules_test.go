package rules

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"testing/quick"
	"time"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport"
)

// list reads rules that are right.
func list(t testing.TB, text string) *List {
	t.Helper()
	l, err := Parse("rules.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func code(n int) *supervisor.Failure { return &supervisor.Failure{Exit: &process.Exit{Code: n}} }

func died(s process.Signal) *supervisor.Failure {
	return &supervisor.Failure{Exit: &process.Exit{Code: -1, Signal: s}}
}

func raised(name, message string, bases ...string) *supervisor.Failure {
	return &supervisor.Failure{Exception: &transport.Exception{Type: name, Module: "mypkg.errors", Message: message, Bases: bases}}
}

var (
	oom    = &supervisor.Failure{Exit: &process.Exit{Code: -1, Signal: syscall.SIGKILL, OOM: true}}
	late   = &supervisor.Failure{Err: fmt.Errorf("%w (1m0s): rank 0", supervisor.ErrStartTimeout)}
	away   = &supervisor.Failure{Exit: &process.Exit{Code: -1, Err: gone}, Err: gone}
	gone   = &process.HostLostError{Host: "b", Why: "not heard of"}
	ended  = &supervisor.Failure{Exit: &process.Exit{}, Err: supervisor.ErrEnded}
	lost   = &supervisor.Failure{Exit: &process.Exit{Code: -1, Err: errors.New("the link broke")}}
	torn   = raised("TornError", "shard 3 is torn", "builtins.OSError", "builtins.Exception")
	nested = raised("Outer.Torn", "")
	golang = &supervisor.Failure{Exception: &transport.Exception{
		Type: "*fmt.wrapError", Module: "fmt", Cause: &transport.Exception{Type: "*fs.PathError", Sentinel: "fs.ErrNotExist"},
	}}
	full = &supervisor.Failure{Exception: transport.FromError(fmt.Errorf("checkpoint: %w", &os.SyscallError{Syscall: "write", Err: syscall.ENOSPC}))}
	path = &supervisor.Failure{Exception: &transport.Exception{Type: "*fs.PathError", Module: "io/fs"}}
)

// of returns a failure of a rank in a generation after a while.
func of(rank, generation int, uptime time.Duration) *supervisor.Failure {
	return &supervisor.Failure{Rank: rank, Generation: generation, Uptime: uptime, Exit: &process.Exit{Code: 1}}
}

// TestWhen: every condition, with failures that it matches and that it does not (K-20: reason and message, alone and
// together, target contained or not).
func TestWhen(t *testing.T) {
	type failures = []*supervisor.Failure
	for when, test := range map[string]struct{ yes, no failures }{
		`{}`:                 {failures{code(1), died(9), oom, late, torn, {}}, nil},
		`{exit: 3}`:          {failures{code(3)}, failures{ended, code(2), code(4), died(3), lost, torn, late, {}}},
		`{exit: "1-127"}`:    {failures{code(1), code(127)}, failures{code(0), code(128), died(9), lost}},
		`{exit: 0}`:          {failures{ended}, failures{code(1), died(9), torn}},
		`{exit: "128-"}`:     {failures{code(128), code(255), code(0xc0000005)}, failures{code(127)}},
		`{exit: [3, "5,7"]}`: {failures{code(3), code(5), code(7)}, failures{code(4), code(6)}},
		`{exit: "!0"}`:       {failures{code(1), code(255)}, failures{code(0), died(9), lost, torn, late}},
		`{exit: "!3-5"}`:     {failures{code(2), code(6), ended}, failures{code(3), code(4), code(5)}},
		`{exit: "!0,3-5"}`:   {failures{code(2), code(6)}, failures{ended, code(3), code(5), died(9)}},

		`{signal: SIGSEGV}`:                      {failures{died(syscall.SIGSEGV)}, failures{died(9), code(11), torn, late}},
		`{signal: 9}`:                            {failures{died(9), oom}, failures{died(11), code(9), code(137)}},
		`{signal: [SIGHUP, 11]}`:                 {failures{died(1), died(11)}, failures{died(2)}},
		`{host_lost: true}`:                      {failures{away}, failures{code(1), died(9), oom, late, lost, torn}},
		`{oom: true}`:                            {failures{oom}, failures{died(9), code(137), torn, late}},
		`{killed_by: stranger}`:                  {failures{died(9), died(15)}, failures{oom, died(11), code(143), torn}},
		`{killed_by: oom}`:                       {failures{oom}, failures{died(9)}},
		`{killed_by: [stranger, oom]}`:           {failures{oom, died(9)}, failures{died(6)}},
		`{killed_by: stranger, signal: SIGTERM}`: {failures{died(15)}, failures{died(9), code(15)}},

		`{exception: TornError}`:              {failures{torn}, failures{code(1), died(9), late, raised("Torn", "")}},
		`{exception: mypkg.errors.TornError}`: {failures{torn}, failures{raised("Other", "")}},
		`{exception: errors.TornError}`:       {nil, failures{torn}},
		`{exception: OSError}`:                {failures{torn, raised("OSError", "")}, failures{nested}},
		`{exception: builtins.OSError}`:       {failures{torn}, failures{nested, raised("OSError", "")}},
		`{exception: [KeyError, Exception]}`:  {failures{torn, raised("KeyError", "")}, failures{raised("SystemExit", "")}},
		`{exception: Outer.Torn}`:             {failures{nested}, failures{torn}},
		`{exception: Torn}`:                   {failures{nested}, failures{torn}},
		`{exception: fs.ErrNotExist}`:         {failures{golang}, failures{path, torn}},
		`{exception: "*fs.PathError"}`:        {failures{path}, failures{golang, torn}},
		`{exception: PathError}`:              {failures{path}, failures{golang, torn}},
		`{exception: syscall.ENOSPC}`:         {failures{full}, failures{golang, path, torn}},
		`{exception: os.SyscallError}`:        {failures{full}, failures{golang, path}},
		`{exception: syscall.}`:               {nil, failures{full, golang}},

		`{message: torn}`:                       {failures{torn}, failures{nested, code(1)}},
		`{message: "^shard \\d+ is torn$"}`:     {failures{torn}, failures{raised("TornError", "shard x is torn")}},
		`{message: [lost, link]}`:               {failures{lost}, failures{torn}},
		`{message: "^exit status 3$"}`:          {failures{code(3)}, failures{code(33), died(3)}},
		`{message: SIGABRT}`:                    {failures{died(syscall.SIGABRT)}, failures{code(134)}},
		`{message: not ready}`:                  {failures{late}, failures{torn, {}}},
		`{exception: TornError, message: torn}`: {failures{torn}, failures{raised("TornError", "x"), raised("Other", "torn")}},

		`{rank: "0,3-5"}`:        {failures{of(0, 0, 0), of(3, 0, 0), of(5, 9, 9)}, failures{of(1, 0, 0), of(6, 0, 0)}},
		`{rank: "!0"}`:           {failures{of(1, 0, 0)}, failures{of(0, 1, 0)}},
		`{generation: 0}`:        {failures{of(1, 0, 0)}, failures{of(0, 1, 0)}},
		`{generation: "1-2,4-"}`: {failures{of(0, 1, 0), of(0, 2, 0), of(0, 99, 0)}, failures{of(1, 0, 0), of(1, 3, 0)}},

		`{uptime: {min: 10s}}`:          {failures{of(0, 0, 10*time.Second)}, failures{of(0, 0, 10*time.Second-1)}},
		`{uptime: {max: 10s}}`:          {failures{of(0, 0, 10*time.Second-1), {}}, failures{of(0, 0, 10*time.Second)}},
		`{uptime: {min: 1s, max: 10s}}`: {failures{of(0, 0, time.Second)}, failures{of(0, 0, time.Second-1), of(0, 0, time.Minute)}},

		`{start_timeout: true}`:                  {failures{late}, failures{lost, code(1), torn, {}}},
		`{start_timeout: true, phase: starting}`: {nil, failures{late}},
		`{phase: running}`:                       {failures{torn, code(1)}, nil},
		`{phase: starting}`:                      {nil, failures{torn, code(1)}},
	} {
		t.Run(when, func(t *testing.T) {
			l := list(t, "rules: [{do: ignore, when: "+when+"}]")
			for _, f := range test.yes {
				if l.Match(supervisor.State{}, f) != 0 {
					t.Errorf("it does not match %+v", f)
				}
			}
			for _, f := range test.no {
				if l.Match(supervisor.State{}, f) != -1 {
					t.Errorf("it matches %+v", f)
				}
			}
		})
	}
	starting := supervisor.State{Starting: true}
	if l := list(t, `rules: [{do: fail, when: {phase: starting, start_timeout: true}}]`); l.Match(starting, late) != 0 {
		t.Error("a start that took too long is none")
	}
	if l := list(t, `rules: [{do: fail, when: {phase: running}}]`); l.Match(starting, torn) != -1 {
		t.Error("a start is a run")
	}
}

// TestOrder: the first rule that matches decides, wherever a better one stands (K-20: rule order).
func TestOrder(t *testing.T) {
	for _, test := range []struct {
		name, rules string
		f           *supervisor.Failure
		want        int
	}{
		{"the first of two that match", `[{when: {exit: "!0"}, do: fail}, {when: {exit: 3}, do: ignore}]`, code(3), 0},
		{"the other way round", `[{when: {exit: 3}, do: ignore}, {when: {exit: "!0"}, do: fail}]`, code(3), 0},
		{"the second, where the first does not match", `[{when: {exit: 3}, do: ignore}, {do: fail}]`, code(4), 1},
		{"none", `[{when: {exit: 3}, do: ignore}, {when: {rank: 7}, do: fail}]`, code(4), -1},
	} {
		if got := list(t, "rules: "+test.rules).Match(supervisor.State{}, test.f); got != test.want {
			t.Errorf("%s: rule %d, want %d", test.name, got, test.want)
		}
	}
}

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// state is that of a group of four in its third generation, with restarts that many seconds ago.
func state(ago ...int) supervisor.State {
	s := supervisor.State{Now: epoch, Size: 4, Generation: 2, Random: 0.5}
	for _, seconds := range ago {
		s.Restarts = append(s.Restarts, epoch.Add(-time.Duration(seconds)*time.Second))
	}
	return s
}

// TestDecide: what becomes of each action and option (K-21: a budget that is spent, restarts that do not count).
func TestDecide(t *testing.T) {
	const budget = "budget: {restarts: 2, within: 10s, min_uptime: 2s, backoff: \"1s,1m\"}\n"
	second := time.Second
	for _, test := range []struct {
		rule  string
		state supervisor.State
		want  supervisor.Directive
	}{
		{`{do: fail}`, state(), supervisor.Directive{Reason: "rule 1: fail"}},
		{`{do: fail, linger: 5s, name: a mistake}`, state(), supervisor.Directive{Linger: 5 * second, Reason: "rule 1, a mistake: fail"}},
		{`{do: ignore, name: x, reason: no harm done}`, state(),
			supervisor.Directive{Action: supervisor.Ignore, Reason: "rule 1, no harm done: ignore"}},
		{`{do: drop, linger: 1s}`, state(), supervisor.Directive{Action: supervisor.Drop, Linger: second, Reason: "rule 1: drop"}},
		{`{do: restart group, linger: 1s}`, state(9), supervisor.Directive{
			Action: supervisor.Restart, After: 1500 * time.Millisecond, Linger: second, Reason: "rule 1: restart 2 of 2"}},
		{`{do: restart rank}`, state(), supervisor.Directive{
			Action: supervisor.Restart, Ranks: []int{2}, After: 750 * time.Millisecond, Reason: "rule 1: restart 1 of 2"}},
		{`{do: restart rest, backoff: 8s}`, state(11), supervisor.Directive{
			Action: supervisor.Restart, Ranks: []int{2, 3}, After: 6 * second, Reason: "rule 1: restart 1 of 2"}},
		{`{do: restart group, linger: 1s}`, state(9, 8), supervisor.Directive{
			Linger: second, Reason: "rule 1: 2 of 2 restarts used within 10s"}},
		{`{do: restart rank}`, state(9, 8), supervisor.Directive{Reason: "rule 1: 2 of 2 restarts used within 10s"}},
		{`{do: restart group, free: true}`, state(9, 8), supervisor.Directive{
			Action: supervisor.Restart, Free: true, After: 3 * second, Reason: "rule 1: a restart that does not count"}},
		{`{do: restart rank, free: true, backoff: "2s,1m", linger: 1s}`, state(), supervisor.Directive{
			Action: supervisor.Restart, Ranks: []int{2}, Free: true, After: 6 * second, Linger: second,
			Reason: "rule 1: a restart that does not count"}},
	} {
		f := of(2, 0, 2*second)
		got := list(t, budget+"rules: ["+test.rule+"]").Decide(test.state, f)
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %+v, want %+v", test.rule, got, test.want)
		}
	}
	restart := list(t, budget+"rules: [{do: restart group}]")
	if d := restart.Decide(state(), of(2, 0, second)); d.Action != supervisor.Terminate || !strings.Contains(d.Reason, "it lived 1s") {
		t.Errorf("a rank that lived too short: %+v", d)
	}
	restart.Budget = nil
	if d := restart.Decide(state(), of(2, 0, second)); d.Action != supervisor.Terminate || d.Reason != "rule 1: no restarts are allowed" {
		t.Errorf("without a budget: %+v", d)
	}
}

// TestElse: what no rule matches is another strategy's, whose restarts are counted with ours.
func TestElse(t *testing.T) {
	l := List{Rules: []Rule{{When: When{Exit: Numbers{Ranges: []Range{{3, 3}}}}, Do: RestartGroup}}, Budget: &Budget{Restarts: 1}}
	if got, want := l.Decide(state(), code(4)), (supervisor.FailFast{}).Decide(state(), code(4)); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	l.Else = supervisor.AllForOne{Restarts: 2}
	for _, s := range []supervisor.State{state(), state(1), state(2, 1)} {
		if got, want := l.Decide(s, code(4)), l.Else.Decide(s, code(4)); !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	if d := l.Decide(state(1), code(3)); d.Action != supervisor.Terminate {
		t.Errorf("a restart of the other strategy is not counted: %+v", d)
	}
	if d := (List{}).Decide(state(), code(3)); d.Action != supervisor.Terminate || d.Reason != "fail-fast" {
		t.Errorf("the empty list: %+v", d)
	}
}

// TestDelegate: what no rule matches is left to Else, which may take its time, and what one matches is not.
func TestDelegate(t *testing.T) {
	l := list(t, `rules: [{when: {exit: 3}, do: fail}]`)
	if by := l.Delegate(state(), code(4)); by != nil {
		t.Errorf("without Else: %v", by)
	}
	l.Else = supervisor.IgnoreFailures{}
	if by := l.Delegate(state(), code(4)); by != l.Else {
		t.Errorf("what no rule matches: %v", by)
	}
	if by := l.Delegate(state(), code(3)); by != nil {
		t.Errorf("what a rule matches: %v", by)
	}
}

// TestCheck: a list of a program's own is held to what a file is held to (O-15, O-28), all of it at once.
func TestCheck(t *testing.T) {
	second, no := time.Second, func(first, last int) Numbers { return Numbers{Ranges: []Range{{first, last}}} }
	for want, l := range map[string]List{
		"":                              {Rules: []Rule{{When: When{Exit: no(1, 3)}, Do: RestartRank, Free: true, Linger: second}, {Do: Drop}}, Else: supervisor.FailFast{}},
		"rule 1: there is no action 6":  {Rules: []Rule{{Do: Drop + 1}}},
		"rule 1: there is no action -1": {Rules: []Rule{{Do: -1}}},
		"rule 1: free and backoff are for rules that restart":         {Rules: []Rule{{Do: Drop, Free: true}}},
		"rule 2: linger is for rules that stop ranks":                 {Rules: []Rule{{When: When{OOM: true}}, {Do: Ignore, Linger: 1}}},
		"rule 1: Linger is negative (-1s)":                            {Rules: []Rule{{Linger: -second}}},
		"rule 1: the Backoff's Max (1s) is less":                      {Rules: []Rule{{Do: RestartGroup, Backoff: supervisor.Backoff{Min: 2 * second, Max: second}}}},
		"rule 1: nothing matches this: a rank that raises":            {Rules: []Rule{{When: When{Exit: no(1, 3), Exception: []string{"E"}}}}},
		"rule 1: Exit: there are no numbers from 3 to 1":              {Rules: []Rule{{When: When{Exit: no(3, 1)}}}},
		"rule 1: Rank: there are no numbers from -1 to 1":             {Rules: []Rule{{When: When{Rank: no(-1, 1)}}}},
		"rule 1: Message: an expression is nil":                       {Rules: []Rule{{When: When{Message: []*regexp.Regexp{nil}}}}},
		`rule 1: KilledBy: "me": choose stranger or oom`:              {Rules: []Rule{{When: When{KilledBy: []process.Killer{"me"}}}}},
		`rule 1: Phase: "done": choose starting or running`:           {Rules: []Rule{{When: When{Phase: "done"}}}},
		"rule 2 never matches: rule 1 matches everything":             {Rules: []Rule{{}, {Do: Ignore}}},
		"the Budget: Within is negative (-1s)":                        {Budget: &Budget{Within: -second}},
		"Else: MinUptime is negative (-1s)":                           {Else: supervisor.OneForOne{MinUptime: -second}},
		"rule 1: there is no action 9\nrule 2: there is no action 10": {Rules: []Rule{{Do: 9, When: When{OOM: true}}, {Do: 10}}},
	} {
		s := supervisor.Spec{Ranks: supervisor.Repeat(1, process.Command{Args: []string{"true"}}), Strategy: l}
		err := s.Check(process.Local())
		if want == "" {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		if !errors.Is(err, supervisor.ErrSpec) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// A pointer to no list is no strategy.
func TestNoList(t *testing.T) {
	_, err := supervisor.Start(t.Context(), supervisor.Spec{
		Ranks: supervisor.Repeat(1, process.Command{Args: []string{"true"}}), Strategy: (*List)(nil),
	})
	if !errors.Is(err, supervisor.ErrSpec) || !strings.Contains(err.Error(), "the Check of the strategy (*rules.List) panicked") {
		t.Error(err)
	}
}

// TestPure: the same question gets the same answer, and the question is not changed.
func TestPure(t *testing.T) {
	l := list(t, `
budget: {restarts: 3, decay: 1m, backoff: "1s,1m"}
rules:
  - {when: {exit: "3-9", generation: "0-3"}, do: restart rest, free: true}
  - {when: {signal: [9, 11], rank: "0-3"}, do: restart rank}
  - {when: {exception: [A, B], message: "a|b"}, do: restart group}
  - {when: {uptime: {max: 1s}}, do: ignore}`)
	ask := func(rank, generation, size, code, signal uint8, restarts []uint16, uptime int64, raises bool, message string) bool {
		question := func() (supervisor.State, *supervisor.Failure) {
			s := supervisor.State{Now: epoch, Size: int(rank) + int(size) + 1, Generation: int(generation), Random: 0.25}
			for _, ago := range restarts {
				s.Restarts = append(s.Restarts, epoch.Add(-time.Duration(ago)*time.Second))
			}
			f := &supervisor.Failure{Rank: int(rank), Generation: int(generation), Uptime: time.Duration(uptime)}
			if raises {
				f.Exception = &transport.Exception{Type: "A", Message: message, Bases: []string{"x.B"}}
			} else {
				f.Exit = &process.Exit{Code: int(code % 16), Signal: process.Signal(signal % 16)}
			}
			return s, f
		}
		s, f := question()
		sBefore, fBefore := question()
		first, second := l.Decide(s, f), l.Decide(s, f)
		return reflect.DeepEqual(first, second) && reflect.DeepEqual(s, sBefore) && reflect.DeepEqual(f, fBefore)
	}
	if err := quick.Check(ask, &quick.Config{MaxCount: 2000}); err != nil {
		t.Error(err)
	}
}

func TestParseNumbers(t *testing.T) {
	for text, want := range map[string]Numbers{
		"3": {[]Range{{3, 3}}, false}, "0,3-5": {[]Range{{0, 0}, {3, 5}}, false}, "1, 2": {[]Range{{1, 1}, {2, 2}}, false},
		"!0": {[]Range{{0, 0}}, true}, "!3-5,7": {[]Range{{3, 5}, {7, 7}}, true}, "": {}, "-": {}, "-1": {}, "1-2-3": {}, "5-3": {},
		"a": {}, "010": {}, "0x1": {}, "1.5": {}, "!": {}, "!!1": {}, "1,!2": {}, "1,": {}, "+1": {}, "99999999999999999999": {},
		"1 - 2": {},
	} {
		if got, err := ParseNumbers(text); !reflect.DeepEqual(got, want) || (err == nil) != want.asks() {
			t.Errorf("%q is %v, %v", text, got, err)
		}
	}
	for text, want := range map[string]bool{"0-": true, "1,0-": true, "1-": false, "!0-": false, "!0": false, "0-9": false} {
		if n, err := ParseNumbers(text); err != nil || n.all() != want {
			t.Errorf("%q is all numbers: %v, %v", text, n.all(), err)
		}
	}
}

func TestActionNames(t *testing.T) {
	for a, name := range map[Action]string{Fail: "fail", RestartRest: "restart rest", Ignore: "ignore", -1: "action -1", 99: "action 99"} {
		if got := a.String(); got != name {
			t.Errorf("%q, want %q", got, name)
		}
	}
}

func TestListInWords(t *testing.T) {
	budget := &Budget{Restarts: 3, Within: time.Hour, Backoff: supervisor.Backoff{Min: time.Second}}
	for want, l := range map[string]List{
		"0 rules (no restarts), else fail-fast": {},
		"1 rule (3 restarts within 1h0m0s, back-off 1s), else one-for-one, 2 restarts": {
			Rules: make([]Rule, 1), Budget: budget, Else: supervisor.OneForOne{Restarts: 2},
		},
	} {
		if got := supervisor.Describe(l); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if got := supervisor.Describe(&l); got != want {
			t.Errorf("of a pointer %q, want %q", got, want)
		}
	}
}

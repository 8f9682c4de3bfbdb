package rules

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/internal/yamlfile"
	"github.com/go-muster/muster/supervisor"
)

// A Problem is one thing that is wrong with a file, in File, Line and Column, which count from 1, and Text. Its error is
// "rules.yaml:3:5: …". The error of [Parse] joins all that there are.
type Problem = yamlfile.Problem

// A file of rules, as it is being read.
type file struct{ *yamlfile.File }

// Parse reads a list from YAML, of which JSON is a part. The name is the file's, for errors. Whatever is wrong is
// reported at once: the error joins a *Problem for each thing, in the order of the file. That includes rules that can
// never match. Else is left to the caller.
func Parse(name string, text []byte) (*List, error) {
	f := &file{yamlfile.New(name, "it must have the key rules")}
	l := &List{}
	if root := f.Tree(text); root != nil {
		f.readList(root, l)
	}
	if err := f.Err(); err != nil {
		return nil, err
	}
	return l, nil
}

func (f *file) readList(root ast.Node, l *List) {
	found := false
	f.Mapping(root, "the file", []yamlfile.Key{
		{Name: "budget", Read: func(n ast.Node) { l.Budget = f.readBudget(n) }},
		{Name: "rules", Read: func(n ast.Node) { found = true; l.Rules = f.readRules(n) }},
	})
	if !found && f.Problems() == 0 {
		f.Complain(yamlfile.Place(root), "the file has no key rules: write a list of rules under it")
	}
}

func (f *file) readBudget(n ast.Node) *Budget {
	b, before, told := &Budget{}, f.Problems(), false
	f.Mapping(n, "budget", []yamlfile.Key{
		{Name: "restarts", Read: func(n ast.Node) { told = true; f.Text("restarts", into(&b.Restarts, parseRestarts))(n) }},
		{Name: "within", Read: f.Text("within", into(&b.Within, parseDuration))},
		{Name: "decay", Read: f.Text("decay", into(&b.Decay, parseDuration))},
		{Name: "min_uptime", Read: f.Text("min_uptime", into(&b.MinUptime, parseDuration))},
		{Name: "backoff", Read: f.Text("backoff", into(&b.Backoff, parseBackoff))},
	})
	switch {
	case b.Within != 0 && b.Decay != 0:
		f.Complain(yamlfile.Place(n), "budget: within and decay are two ways to forget: choose one")
	case !told && f.Problems() == before:
		f.Complain(yamlfile.Place(n), "budget: write restarts, how many there may be; without a budget that of the caller is used")
	}
	return b
}

func (f *file) readRules(n ast.Node) []Rule {
	s, ok := n.(*ast.SequenceNode)
	if !ok || len(s.Values) == 0 {
		f.Complain(yamlfile.Place(n), "rules: write a list, each rule after a dash")
		return nil
	}
	rules := make([]Rule, len(s.Values))
	all := -1
	for i, v := range s.Values {
		before := f.Problems()
		f.readRule(v, &rules[i])
		switch {
		case all >= 0:
			f.Complain(yamlfile.Place(v), "this rule never matches: the one in line %d matches everything: put it last", rules[all].Line)
		case f.Problems() == before && rules[i].When.always(): // one that could not be read may only seem to
			all = i
		}
	}
	return rules
}

func (f *file) readRule(n ast.Node, r *Rule) {
	told, unread := false, false
	if at := yamlfile.Place(n); at != nil {
		r.Line = at.Line
	}
	keys := []yamlfile.Key{
		{Name: "name", Read: f.Text("name", into(&r.Name, parseText))},
		{Name: "when", Read: func(n ast.Node) { f.readWhen(n, &r.When) }},
		{Name: "do", Read: func(n ast.Node) {
			at := f.Problems()
			f.Text("do", into(&r.Do, parseAction))(n)
			told, unread = true, f.Problems() > at
		}},
		{Name: "free", Read: f.Text("free", into(&r.Free, parseBool))},
		{Name: "linger", Read: f.Text("linger", into(&r.Linger, parseDuration))},
		{Name: "backoff", Read: f.Text("backoff", into(&r.Backoff, parseBackoff))},
		{Name: "reason", Read: f.Text("reason", into(&r.Reason, parseText))},
	}
	f.Mapping(n, "a rule", keys)
	_, keyed := n.(*ast.MappingNode)
	switch {
	case !told && keyed:
		f.Complain(yamlfile.Place(n), "the rule does not say what to do: write do and one of %s", strings.Join(actions, ", "))
	case told && !unread:
		for _, text := range r.wrong() {
			f.Complain(yamlfile.Place(n), "%s", text)
		}
	}
}

func (f *file) readWhen(n ast.Node, w *When) {
	before := f.Problems()
	f.Mapping(n, "when", []yamlfile.Key{
		{Name: "exit", Read: f.List("exit", w.Exit.join)},
		{Name: "signal", Read: f.List("signal", add(&w.Signal, process.ParseSignal))},
		{Name: "oom", Read: f.Text("oom", into(&w.OOM, parseTrue))},
		{Name: "killed_by", Read: f.List("killed_by", add(&w.KilledBy, parseKiller))},
		{Name: "exception", Read: f.List("exception", add(&w.Exception, parseText))},
		{Name: "message", Read: f.List("message", add(&w.Message, parseExpression))},
		{Name: "rank", Read: f.List("rank", w.Rank.join)},
		{Name: "generation", Read: f.List("generation", w.Generation.join)},
		{Name: "uptime", Read: func(n ast.Node) { f.readUptime(n, &w.Uptime) }},
		{Name: "phase", Read: f.Text("phase", into(&w.Phase, parsePhase))},
		{Name: "start_timeout", Read: f.Text("start_timeout", into(&w.StartTimeout, parseTrue))},
		{Name: "host_lost", Read: f.Text("host_lost", into(&w.HostLost, parseTrue))},
	})
	if why := w.never(); why != "" && f.Problems() == before {
		f.Complain(yamlfile.Place(n), "when: nothing matches this: %s", why)
	}
}

func (f *file) readUptime(n ast.Node, u *Uptime) {
	f.Mapping(n, "uptime", []yamlfile.Key{
		{Name: "min", Read: f.Text("min", into(&u.Min, parseDuration))},
		{Name: "max", Read: f.Text("max", into(&u.Max, parseDuration))},
	})
}

// into stores what a text is parsed to.
func into[T any](place *T, parse func(string) (T, error)) func(string) error {
	return func(text string) (err error) {
		*place, err = parse(text)
		return err
	}
}

// add appends it.
func add[T any](list *[]T, parse func(string) (T, error)) func(string) error {
	return func(text string) error {
		v, err := parse(text)
		*list = append(*list, v)
		return err
	}
}

func parseText(text string) (string, error) {
	if text = strings.TrimSpace(text); text == "" {
		return "", errors.New("there are blanks and nothing else")
	}
	return text, nil
}

func parseAction(text string) (Action, error) {
	if i := slices.Index(actions, text); i >= 0 {
		return Action(i), nil
	}
	return Fail, fmt.Errorf("there is no action %q: choose one of %s", text, strings.Join(actions, ", "))
}

func parseBool(text string) (bool, error) {
	if text != "true" && text != "false" {
		return false, fmt.Errorf("%q is neither true nor false", text)
	}
	return text == "true", nil
}

func parseTrue(text string) (bool, error) {
	if text != "true" {
		return false, errors.New("it can only be true: leave it out where it is not asked for")
	}
	return true, nil
}

func parseRestarts(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < -1 {
		return 0, fmt.Errorf("%q: write 0 or more, or -1 for any number", text)
	}
	return n, nil
}

func parseDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q: write a time with its unit, such as 500ms, 30s or 1h", text)
	case d < 0:
		return 0, fmt.Errorf("%q: a time cannot be negative", text)
	}
	return d, nil
}

func parseBackoff(text string) (b supervisor.Backoff, err error) {
	low, high, two := strings.Cut(text, ",")
	if b.Min, err = parseDuration(low); err != nil || !two {
		return b, err
	}
	b.Max, err = parseDuration(strings.TrimSpace(high))
	if err == nil && b.Max < b.Min {
		err = fmt.Errorf("%q: the second time is the longest wait, and cannot be shorter than the first", text)
	}
	return b, err
}

func parseKiller(text string) (process.Killer, error) {
	switch k := process.Killer(text); k {
	case process.ByStranger, process.ByOOM:
		return k, nil
	}
	return "", fmt.Errorf("%q: choose %s or %s", text, process.ByStranger, process.ByOOM)
}

func parsePhase(text string) (Phase, error) {
	switch p := Phase(text); p {
	case Starting, Running:
		return p, nil
	}
	return "", fmt.Errorf("%q: choose %s or %s", text, Starting, Running)
}

func parseExpression(text string) (*regexp.Regexp, error) {
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, fmt.Errorf("%w (the syntax is RE2's)", err)
	}
	return re, nil
}

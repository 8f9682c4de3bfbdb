package rules

import (
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/supervisor"
)

// Check returns all that makes no sense in a list that was not read by [Parse]: rules that can never match, options that their
// action has no use for, negative times. It is asked before a group starts, or goes on, with the list.
func (l List) Check() error {
	var errs []error
	all := -1
	for i := range l.Rules {
		r := &l.Rules[i]
		for _, text := range append(r.wrong(), r.When.wrong()...) {
			errs = append(errs, fmt.Errorf("rule %d: %s", i+1, text))
		}
		if all >= 0 {
			errs = append(errs, fmt.Errorf("rule %d never matches: rule %d matches everything: put it last", i+1, all+1))
		} else if r.When.always() {
			all = i
		}
	}
	if l.Budget != nil {
		errs = append(errs, called("the Budget", l.Budget.strategy().Check()))
	}
	if c, is := l.Else.(supervisor.Checker); is {
		errs = append(errs, called("Else", c.Check()))
	}
	return errors.Join(errs...)
}

func called(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// wrong says what makes no sense in what a rule does.
func (r *Rule) wrong() (texts []string) {
	switch {
	case r.Do < Fail || int(r.Do) >= len(actions):
		texts = append(texts, fmt.Sprintf("there is no %v", r.Do))
	case (r.Free || r.Backoff != supervisor.Backoff{}) && !r.Do.restarts():
		texts = append(texts, "free and backoff are for rules that restart: leave them out")
	case r.Linger != 0 && r.Do == Ignore:
		texts = append(texts, "linger is for rules that stop ranks: leave it out")
	}
	if err := (supervisor.AllForOne{Linger: r.Linger, Backoff: r.Backoff}).Check(); err != nil {
		texts = append(texts, err.Error())
	}
	return texts
}

// wrong says what makes no sense in what a rule asks for.
func (w *When) wrong() (texts []string) {
	if why := w.never(); why != "" {
		texts = append(texts, "nothing matches this: "+why)
	}
	for _, set := range []struct {
		name string
		is   Numbers
	}{{"Exit", w.Exit}, {"Rank", w.Rank}, {"Generation", w.Generation}} {
		for _, r := range set.is.Ranges {
			if r.First < 0 || r.Last < r.First {
				texts = append(texts, fmt.Sprintf("%s: there are no numbers from %d to %d", set.name, r.First, r.Last))
			}
		}
	}
	if slices.Contains(w.Message, (*regexp.Regexp)(nil)) {
		texts = append(texts, "Message: an expression is nil")
	}
	for _, k := range w.KilledBy {
		if k != process.ByStranger && k != process.ByOOM {
			texts = append(texts, fmt.Sprintf("KilledBy: %q: choose %s or %s", k, process.ByStranger, process.ByOOM))
		}
	}
	if w.Phase != "" && w.Phase != Starting && w.Phase != Running {
		texts = append(texts, fmt.Sprintf("Phase: %q: choose %s or %s", w.Phase, Starting, Running))
	}
	return texts
}

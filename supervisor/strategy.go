package supervisor

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// A Strategy decides what happens to the group when a rank fails. It is called with values and answers with a value: no
// side effects, no waiting, no lock; the same question must get the same answer. It is called at most once for each
// generation of a rank that fails, one call at a time.
type Strategy interface {
	Decide(State, *Failure) Directive
}

// StrategyFunc makes a function a Strategy.
type StrategyFunc func(State, *Failure) Directive

// Decide calls the function.
func (f StrategyFunc) Decide(s State, x *Failure) Directive { return f(s, x) }

// Check returns an error for nil.
func (f StrategyFunc) Check() error {
	if f == nil {
		return errors.New("the StrategyFunc is nil: give a function")
	}
	return nil
}

// A Delegator is a Strategy that leaves some failures to another one. It may call that one's Decide itself, as long as this
// answers at once; one of [FromProtoactor], which takes its time, it has to name.
type Delegator interface {
	Strategy
	// Delegate returns the strategy that is to be asked in its place, nil when it decides itself. It is as pure as Decide.
	Delegate(State, *Failure) Strategy
}

// delegate finds the strategy that decides about a failure.
func delegate(from Strategy, s State, f *Failure) (by Strategy, err error) {
	defer func() {
		if p := recover(); p != nil {
			by, err = nil, panicked(p)
		}
	}()
	const deepest = 100
	by = from
	for range deepest {
		d, delegates := by.(Delegator)
		if !delegates {
			return by, nil
		}
		next := d.Delegate(copied(s, f))
		if next == nil {
			return by, nil
		}
		by = next
	}
	return nil, fmt.Errorf("%w: it delegates without end", ErrStrategy)
}

// State is what a Strategy may know of the group.
type State struct {
	Now        time.Time
	Generation int         // the newest generation, from 0
	Size       int         // the number of ranks, also of those that were dropped or removed
	Starting   bool        // some ranks of the generation are not ready yet
	Restarts   []time.Time // when restarts were decided, oldest first: the latest 10000 at least,
	Earlier    int         // and how many there were before these
	Random     float64     // a fresh number in [0, 1), for jitter: a strategy keeps no source of its own
}

// RestartsWithin returns how many restarts were decided in the window that ends now, as far as Restarts tells; 0 means since the
// beginning.
func (s State) RestartsWithin(window time.Duration) int {
	if window <= 0 {
		return s.Earlier + len(s.Restarts)
	}
	since := s.Now.Add(-window)
	i := slices.IndexFunc(s.Restarts, func(t time.Time) bool { return t.After(since) })
	if i < 0 {
		return 0
	}
	return len(s.Restarts) - i
}

// Decayed returns the restarts decided so far, each of which counts half as much after halfLife, a quarter after twice
// that, and so on. What is less than a hundredth of a restart counts nothing.
func (s State) Decayed(halfLife time.Duration) float64 {
	var sum float64
	for _, t := range s.Restarts {
		sum += math.Exp2(-s.Now.Sub(t).Seconds() / halfLife.Seconds())
	}
	return math.Floor(sum*100) / 100
}

// An Action is what a Directive does.
type Action int

// The actions. The zero Action ends the group, so that a strategy that says nothing is safe.
const (
	Terminate Action = iota // stop all ranks; the failure is the group's answer
	Restart                 // stop the directive's ranks and start them as a new generation
	Ignore                  // take the failure for a good exit
	Drop                    // stop the directive's ranks for good; the others go on without them
)

// String returns the action in lower case.
func (a Action) String() string {
	switch a {
	case Terminate:
		return "terminate"
	case Restart:
		return "restart"
	case Ignore:
		return "ignore"
	case Drop:
		return "drop"
	}
	return fmt.Sprintf("action %d", int(a))
}

// A Directive is a Strategy's answer. The zero Directive terminates the group.
type Directive struct {
	Action Action
	// Ranks are those that Restart means, where empty means all, or Drop, where empty means the one that failed. That is
	// always among them.
	Ranks []int
	// After is how long to wait between the end of the old processes and the start of the new.
	After time.Duration
	// Linger is how long the ranks may go on, and end by themselves, before they are asked to stop. torch calls this
	// the grace period of join.
	Linger time.Duration
	// Free is for a Restart that uses no budget: State.Restarts will not have it.
	Free bool
	// Reason is for people: it appears in events and reports.
	Reason string
}

// AllForOne restarts the whole group when a rank fails, and terminates it when its budget is used up. The budget belongs
// to the group, as in OTP: it does not matter which rank fails.
type AllForOne struct {
	// Restarts is how many restarts are allowed Within the window; a negative number means any.
	Restarts int
	// Within is the window of the budget; 0 means the group's whole life.
	Within time.Duration
	// Decay, in place of Within, lets a restart count half as much after this time, a quarter after twice that, and so on:
	// a group that has gone on well for long has its whole budget again.
	Decay time.Duration
	// MinUptime is how long a process has to have lived to be worth a restart: one that fails sooner, terminates the group.
	MinUptime time.Duration
	// Backoff is the wait before each restart.
	Backoff Backoff
	// Linger is how long the other ranks may end by themselves.
	Linger time.Duration
}

// Decide restarts all ranks while there is budget.
func (a AllForOne) Decide(s State, f *Failure) Directive {
	return a.budget().decide(s, f, Directive{Action: Restart, Linger: a.Linger})
}

func (a AllForOne) budget() budget {
	return budget{a.Restarts, a.Within, a.Decay, a.MinUptime, a.Backoff}
}

// OneForOne restarts the rank that failed and leaves the others alone: for ranks that do not depend on each other.
// Budget and back-off are the group's: the fields mean what they do in AllForOne.
type OneForOne struct {
	Restarts  int
	Within    time.Duration
	Decay     time.Duration
	MinUptime time.Duration
	Backoff   Backoff
}

// Decide restarts the failed rank while there is budget.
func (o OneForOne) Decide(s State, f *Failure) Directive {
	return o.budget().decide(s, f, Directive{Action: Restart, Ranks: []int{f.Rank}})
}

func (o OneForOne) budget() budget {
	return budget{o.Restarts, o.Within, o.Decay, o.MinUptime, o.Backoff}
}

// RestForOne restarts the rank that failed and all ranks after it: for a chain in which each rank uses those before it.
// Budget and back-off are the group's: the fields mean what they do in AllForOne.
type RestForOne struct {
	Restarts  int
	Within    time.Duration
	Decay     time.Duration
	MinUptime time.Duration
	Backoff   Backoff
}

// Decide restarts the failed rank and those after it while there is budget.
func (r RestForOne) Decide(s State, f *Failure) Directive {
	return r.budget().decide(s, f, Directive{Action: Restart, Ranks: s.from(f.Rank)})
}

func (r RestForOne) budget() budget { return OneForOne(r).budget() }

// from lists a rank and those after it.
func (s State) from(rank int) []int {
	ranks := make([]int, 0, max(0, s.Size-rank))
	for ; rank < s.Size; rank++ {
		ranks = append(ranks, rank)
	}
	return ranks
}

// FailFast terminates the group on the first failure.
type FailFast struct {
	// Linger is how long the other ranks may end by themselves.
	Linger time.Duration
}

// Decide terminates the group.
func (f FailFast) Decide(State, *Failure) Directive {
	return Directive{Action: Terminate, Linger: f.Linger, Reason: "fail-fast"}
}

// IgnoreFailures takes every failure for a good exit: the group succeeds when all ranks have ended somehow.
type IgnoreFailures struct{}

// Decide ignores the failure.
func (IgnoreFailures) Decide(State, *Failure) Directive {
	return Directive{Action: Ignore, Reason: "failures are ignored"}
}

// A Checker is a Strategy that can tell that it makes no sense, before a group is started with it, or goes on with it.
type Checker interface {
	Strategy
	// Check returns what is wrong, and what to write instead.
	Check() error
}

// Check returns an error for negative times, and for a budget that is both in a window and decaying.
func (a AllForOne) Check() error { return a.budget().check(a.Linger) }

// Check returns an error for negative times, and for a budget that is both in a window and decaying.
func (o OneForOne) Check() error { return o.budget().check(0) }

// Check returns an error for negative times, and for a budget that is both in a window and decaying.
func (r RestForOne) Check() error { return OneForOne(r).Check() }

// Check returns an error for a negative Linger.
func (f FailFast) Check() error { return budget{}.check(f.Linger) }

// checkStrategy asks a strategy whether it makes sense. One that cannot even say so, makes none.
func checkStrategy(s Strategy) (err error) {
	c, is := s.(Checker)
	if !is {
		return nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the Check of the strategy (%T) panicked: %v", s, p)
		}
	}()
	return c.Check()
}

// A budget is what the strategies that restart have in common.
type budget struct {
	restarts  int
	within    time.Duration
	decay     time.Duration
	minUptime time.Duration
	backoff   Backoff
}

func (b budget) check(linger time.Duration) error {
	var errs []error
	for _, d := range []struct {
		name string
		is   time.Duration
	}{
		{"Within", b.within}, {"Decay", b.decay}, {"MinUptime", b.minUptime}, {"Linger", linger}, {"Backoff.Min", b.backoff.Min},
	} {
		if d.is < 0 {
			errs = append(errs, fmt.Errorf("%s is negative (%v)", d.name, d.is))
		}
	}
	if b.backoff.Max != 0 && b.backoff.Max < b.backoff.Min {
		errs = append(errs, fmt.Errorf("the Backoff's Max (%v) is less than its Min (%v): use 0 for no growth", b.backoff.Max, b.backoff.Min))
	}
	if b.within > 0 && b.decay > 0 {
		errs = append(errs, errors.New("a budget is either Within a window or subject to Decay: leave one at 0"))
	}
	return errors.Join(errs...)
}

// decide answers with the restart when it is worth while and there is budget for it, else with the end.
func (b budget) decide(s State, f *Failure, d Directive) Directive {
	used := s.RestartsWithin(b.within)
	if b.decay > 0 {
		used = int(math.Ceil(s.Decayed(b.decay))) // what is left of a restart still counts
	}
	switch {
	case b.restarts >= 0 && used >= b.restarts:
		return Directive{Action: Terminate, Linger: d.Linger, Reason: b.spent(used)}
	case f.Uptime < b.minUptime:
		reason := fmt.Sprintf("it lived %v, and a restart is worth while after %v", f.Uptime, b.minUptime)
		return Directive{Action: Terminate, Linger: d.Linger, Reason: reason}
	}
	d.After = b.backoff.Delay(used, s.Random)
	d.Reason = fmt.Sprintf("restart %d", used+1)
	if b.restarts >= 0 {
		d.Reason += fmt.Sprintf(" of %d", b.restarts)
	}
	return d
}

func (b budget) spent(used int) string {
	switch {
	case b.restarts == 0:
		return "no restarts are allowed"
	case b.decay > 0:
		return fmt.Sprintf("%d of %d restarts used, each of which counts half after %v", used, b.restarts, b.decay)
	case b.within > 0:
		return fmt.Sprintf("%d of %d restarts used within %v", used, b.restarts, b.within)
	}
	return fmt.Sprintf("%d of %d restarts used", used, b.restarts)
}

// Backoff is an exponentially growing wait with jitter. The zero Backoff does not wait.
type Backoff struct {
	Min time.Duration // the first wait, doubled with each restart
	Max time.Duration // the cap; 0 means Min: the wait does not grow
}

// Delay returns the wait before restart n (from 0): a random time between half of it and all of it. Random is in [0, 1).
func (b Backoff) Delay(n int, random float64) time.Duration {
	if b.Min <= 0 {
		return 0
	}
	d, limit := b.Min, max(b.Min, b.Max)
	for ; n > 0 && d < limit; n-- {
		if d > limit/2 {
			d = limit // without overflow
		} else {
			d *= 2
		}
	}
	return min(d, d/2+time.Duration(random*float64(d-d/2))) // a float rounds up, too
}

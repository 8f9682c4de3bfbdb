package supervisor

import (
	"fmt"
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

// State is what a Strategy may know of the group.
type State struct {
	Now        time.Time
	Generation int         // the newest generation, from 0
	Size       int         // the number of ranks
	Starting   bool        // some ranks of the generation are not ready yet
	Restarts   []time.Time // when restarts were decided, oldest first
	Random     float64     // a fresh number in [0, 1), for jitter: a strategy keeps no source of its own
}

// RestartsWithin returns how many restarts were decided in the window that ends now; 0 means since the beginning.
func (s State) RestartsWithin(window time.Duration) int {
	if window <= 0 {
		return len(s.Restarts)
	}
	since := s.Now.Add(-window)
	i := slices.IndexFunc(s.Restarts, func(t time.Time) bool { return t.After(since) })
	if i < 0 {
		return 0
	}
	return len(s.Restarts) - i
}

// An Action is what a Directive does.
type Action int

// The actions. The zero Action ends the group, so that a strategy that says nothing is safe.
const (
	Terminate Action = iota // stop all ranks; the failure is the group's answer
	Restart                 // stop the directive's ranks and start them as a new generation
	Ignore                  // take the failure for a good exit
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
	}
	return fmt.Sprintf("action %d", int(a))
}

// A Directive is a Strategy's answer. The zero Directive terminates the group.
type Directive struct {
	Action Action
	// Ranks are those that Restart means; empty means all. The rank that failed is always among them.
	Ranks []int
	// After is how long to wait between the end of the old processes and the start of the new.
	After time.Duration
	// Linger is how long the ranks may go on, and end by themselves, before they are asked to stop. torch calls this
	// the grace period of join.
	Linger time.Duration
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
	// Backoff is the wait before each restart.
	Backoff Backoff
	// Linger is how long the other ranks may end by themselves.
	Linger time.Duration
}

// Decide restarts all ranks while there is budget.
func (a AllForOne) Decide(s State, _ *Failure) Directive {
	return budget(s, a.Restarts, a.Within, a.Backoff, Directive{Action: Restart, Linger: a.Linger})
}

// OneForOne restarts the rank that failed and leaves the others alone: for ranks that do not depend on each other.
// Budget and back-off are the group's, as in AllForOne.
type OneForOne struct {
	Restarts int
	Within   time.Duration
	Backoff  Backoff
}

// Decide restarts the failed rank while there is budget.
func (o OneForOne) Decide(s State, f *Failure) Directive {
	return budget(s, o.Restarts, o.Within, o.Backoff, Directive{Action: Restart, Ranks: []int{f.Rank}})
}

// RestForOne restarts the rank that failed and all ranks after it: for a chain in which each rank uses those before it.
// Budget and back-off are the group's, as in AllForOne.
type RestForOne struct {
	Restarts int
	Within   time.Duration
	Backoff  Backoff
}

// Decide restarts the failed rank and those after it while there is budget.
func (r RestForOne) Decide(s State, f *Failure) Directive {
	ranks := make([]int, 0, s.Size-f.Rank)
	for rank := f.Rank; rank < s.Size; rank++ {
		ranks = append(ranks, rank)
	}
	return budget(s, r.Restarts, r.Within, r.Backoff, Directive{Action: Restart, Ranks: ranks})
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

// budget answers with the restart when there is budget for it, else with the end.
func budget(s State, restarts int, within time.Duration, b Backoff, d Directive) Directive {
	used := s.RestartsWithin(within)
	if restarts >= 0 && used >= restarts {
		return Directive{Action: Terminate, Linger: d.Linger, Reason: spent(used, restarts, within)}
	}
	d.After = b.Delay(used, s.Random)
	d.Reason = fmt.Sprintf("restart %d", used+1)
	if restarts >= 0 {
		d.Reason += fmt.Sprintf(" of %d", restarts)
	}
	return d
}

func spent(used, restarts int, within time.Duration) string {
	switch {
	case restarts == 0:
		return "no restarts are allowed"
	case within > 0:
		return fmt.Sprintf("%d of %d restarts used within %v", used, restarts, within)
	}
	return fmt.Sprintf("%d of %d restarts used", used, restarts)
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

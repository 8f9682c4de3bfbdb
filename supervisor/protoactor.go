package supervisor

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/asynkron/protoactor-go/actor"
)

// FromProtoactor makes a supervision strategy of the engine's a Strategy: actor.NewOneForOneStrategy and the others that
// protoactor-go has, or one of a user's, unchanged. It is run against a supervisor that only writes down what it is asked
// for, which is then done with our barrier (G-1).
//
// The strategy sees each rank as a child with a PID that stays the same over restarts, and restart statistics of its own, until
// a [Group.Resize] makes another group of them; the reason for a failure is the *[Failure], the message is nil. What it asks
// for means
//
//   - RestartChildren: [Restart] of these ranks;
//   - StopChildren: [Terminate] when it means all ranks, otherwise [Drop];
//   - ResumeChildren: [Ignore], for a process that has failed cannot be resumed;
//   - EscalateFailure: [Terminate].
//
// It may act later, from a timer or a goroutine, within a minute; the group goes on meanwhile. It may act several times
// while it is called, but once only afterwards. A strategy that panics, does not act, asks for a restart and a stop of the
// same failure, or acts again, ends the group with an error that wraps [ErrStrategy].
//
// So it is behind a [Delegator], such as a list of rules. Behind a strategy that calls its Decide, it has to act while it is
// called.
func FromProtoactor(s actor.SupervisorStrategy) Strategy {
	return &engineStrategy{theirs: s, cast: newCast()}
}

type engineStrategy struct {
	theirs actor.SupervisorStrategy
	cast   *cast // for Decide; each group has its own
}

// deliberates lets the machine have us asked: see root.ask.
func (*engineStrategy) deliberates() {}

// Check returns an error for nil.
func (e *engineStrategy) Check() error {
	if e.theirs == nil {
		return errors.New("FromProtoactor: there is no strategy: give one of the engine's")
	}
	return nil
}

// String names the engine's strategy, by its own words or its type.
func (e *engineStrategy) String() string {
	if _, speaks := e.theirs.(fmt.Stringer); speaks {
		return fmt.Sprint("protoactor's ", e.theirs)
	}
	return fmt.Sprintf("protoactor's %T", e.theirs)
}

// Decide runs the strategy once, and takes what it asked for until it returned.
func (e *engineStrategy) Decide(s State, f *Failure) Directive {
	e.cast.Lock()
	defer e.cast.Unlock()
	r := newRecorder(sharedSystem(), "", s.from(0))
	e.theirs.HandleFailure(sharedSystem(), r, r.children[f.Rank], e.cast.of(f.Rank), f, nil)
	d, err := r.close(nil)
	switch {
	case err != nil:
		return Directive{Reason: err.Error()}
	case d == nil:
		return Directive{Reason: "it did not act at once, and who asked cannot wait"}
	}
	return *d
}

// ask runs the strategy for the machine. Whatever it does later is told as another answer.
func (e *engineStrategy) ask(system *actor.ActorSystem, name string, c *cast, q efAsk, answer func(Directive, error)) {
	defer func() {
		if p := recover(); p != nil {
			answer(Directive{}, panicked(p))
		}
	}()
	r := newRecorder(system, name, q.members)
	child := r.children[slices.Index(q.members, q.failure.Rank)]
	e.theirs.HandleFailure(system, r, child, c.of(q.failure.Rank), q.failure, nil)
	if d, err := r.close(answer); err != nil {
		answer(Directive{}, err)
	} else if d != nil {
		answer(*d, nil)
	}
}

// A cast is what a strategy keeps meeting: the ranks' restart statistics.
type cast struct {
	sync.Mutex // for Decide
	stats      map[int]*actor.RestartStatistics
}

func newCast() *cast { return &cast{stats: map[int]*actor.RestartStatistics{}} }

func (c *cast) of(rank int) *actor.RestartStatistics {
	if c.stats[rank] == nil {
		c.stats[rank] = actor.NewRestartStatistics()
	}
	return c.stats[rank]
}

// A recorder is the actor.Supervisor that a strategy gets to see.
type recorder struct {
	members  []int
	children []*actor.PID // their names for life: the actor of a rank is another one in each generation

	mu     sync.Mutex
	acts   []act
	answer func(Directive, error) // set once HandleFailure has returned
}

func newRecorder(system *actor.ActorSystem, parent string, members []int) *recorder {
	r := &recorder{members: members}
	for _, rank := range members {
		r.children = append(r.children, actor.NewPID(system.Address(), fmt.Sprintf("%s/rank/%d", parent, rank)))
	}
	return r
}

// An act is one thing that a strategy asked for.
type act struct {
	action Action
	pids   []*actor.PID
	all    bool // whatever it means, it means everybody
}

// Children returns the ranks that belong to the group, in order.
func (r *recorder) Children() []*actor.PID { return slices.Clone(r.children) }

// RestartChildren asks for a restart.
func (r *recorder) RestartChildren(pids ...*actor.PID) { r.record(act{action: Restart, pids: pids}) }

// StopChildren asks for the end of ranks.
func (r *recorder) StopChildren(pids ...*actor.PID) { r.record(act{action: Drop, pids: pids}) }

// ResumeChildren asks for nothing.
func (r *recorder) ResumeChildren(pids ...*actor.PID) { r.record(act{action: Ignore, pids: pids}) }

// EscalateFailure asks for the end of the group.
func (r *recorder) EscalateFailure(any, any) { r.record(act{action: Terminate, all: true}) }

func (r *recorder) record(a act) {
	if len(a.pids) == 0 && !a.all {
		return
	}
	a.pids = slices.Clone(a.pids)
	r.mu.Lock()
	r.acts = append(r.acts, a)
	answer := r.answer
	r.mu.Unlock()
	if answer != nil {
		answer(r.fold([]act{a}))
	}
}

// close returns what was asked for so far, nil for nothing; answer hears of whatever comes later.
func (r *recorder) close(answer func(Directive, error)) (*Directive, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
	if len(r.acts) == 0 {
		return nil, nil
	}
	d, err := r.fold(r.acts)
	return &d, err
}

// fold makes one directive of all that was asked for.
func (r *recorder) fold(acts []act) (d Directive, err error) {
	d.Action = acts[0].action
	for _, a := range acts {
		if a.action != d.Action {
			return Directive{}, fmt.Errorf("%w: it asks for %v and %v at once", ErrStrategy, d.Action, a.action)
		}
		ranks, err := r.ranks(a.pids)
		if err != nil {
			return Directive{}, err
		}
		d.Ranks = append(d.Ranks, ranks...)
	}
	slices.Sort(d.Ranks)
	d.Ranks = slices.Compact(d.Ranks)
	all := len(d.Ranks) == len(r.children)
	if d.Action == Drop && all {
		d.Action = Terminate
	}
	if all || d.Action == Terminate || d.Action == Ignore {
		d.Ranks = nil
	}
	return d, nil
}

func (r *recorder) ranks(pids []*actor.PID) (ranks []int, err error) {
	for _, pid := range pids {
		i := slices.IndexFunc(r.children, func(child *actor.PID) bool { return child.Equal(pid) })
		if i < 0 {
			return nil, fmt.Errorf("%w: it means %v, which is no rank of the group", ErrStrategy, pid)
		}
		ranks = append(ranks, r.members[i])
	}
	return ranks, nil
}

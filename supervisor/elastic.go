package supervisor

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-muster/muster/actors/process"
)

// Elastic says how a group gets on with the hosts that there are, where its launcher has several (a [process.Placer]). The zero
// value is for a group of fixed size.
type Elastic struct {
	// Fit lets each generation of the whole group have as many ranks as there is room for, at least the spec's MinRanks and at most
	// MaxRanks, where 0 means the number of Ranks, or what [Group.Resize] made of it. A rank that is added, removed or dropped
	// changes that number by one. A group that shrinks has the first of its commands, one that grows repeats the last one. When a
	// restart of some ranks does not find room for them, it becomes one of all, with fewer.
	Fit bool `json:"fit,omitempty"`
	// Wait is how long a generation waits for hosts when there is too little room; then the group ends with [ErrNoRoom]. 0 means 5
	// minutes.
	Wait time.Duration `json:"wait,omitempty"`
	// Regrow restarts a running group when there is room for more ranks, which uses no budget. It is left alone once a rank has
	// ended well. Without it the room is used at the next restart of all ranks.
	Regrow bool `json:"regrow,omitempty"`
	// Settle is for how long no host must have come or gone before the group regrows, or a start goes on with fewer ranks than it
	// might have. 0 means 5 seconds.
	Settle time.Duration `json:"settle,omitempty"`
}

const (
	defaultWait   = 5 * time.Minute
	defaultSettle = 5 * time.Second
)

// ErrNoRoom is the error of a group that waited in vain for hosts with room for it, and the condition of ranks that cannot be
// added for want of room.
var ErrNoRoom = process.ErrNoRoom

// check reports what makes no sense in a spec.
func (e Elastic) check(s *Spec, l process.Launcher) error {
	_, placed := l.(process.Placer)
	switch {
	case e == Elastic{}:
		return nil
	case e.Wait < 0 || e.Settle < 0:
		return fmt.Errorf("Elastic: a negative time (Wait %v, Settle %v): use 0 for the default", e.Wait, e.Settle)
	case !placed:
		return errors.New("Elastic is for a launcher with several hosts, and this one has one: leave it out")
	case !e.Fit && (e.Regrow || e.Settle > 0):
		return errors.New("Elastic: Regrow and Settle are for a group with Fit, whose size may change")
	case e.Fit:
		return e.checkFit(s)
	}
	return nil
}

func (s *Spec) checkElastic(l process.Launcher) error { return s.Elastic.check(s, l) }

func (e Elastic) checkFit(s *Spec) error {
	for rank, c := range s.Ranks {
		if c.Role != s.Ranks[0].Role {
			return fmt.Errorf("Elastic: a group with roles has a fixed size, and rank %d is %q beside %q: leave Fit out", rank, c.Role, s.Ranks[0].Role)
		}
	}
	least := s.bounds().least()
	terms := s.terms()
	if err := terms.cut(least).check(least); err != nil {
		return fmt.Errorf("Elastic: with the fewest ranks (MinRanks, %d): %w", least, err)
	}
	return nil
}

package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport"
)

// What may happen to a rank that trains. A registered error is the same error in the parent.
var (
	errMemory   = errors.New("CUDA out of memory")
	errPeer     = errors.New("lost a peer")
	errTooSlow  = errors.New("slower than the others")
	errMistaken = errors.New("a mistake in the program")
)

func init() {
	for name, err := range troubles {
		transport.RegisterError("customstrategy."+name, err)
	}
}

var troubles = map[string]error{"memory": errMemory, "peer": errPeer, "slow": errTooSlow, "mistake": errMistaken}

// training decides about a training run: a straggler is started again alone, who lost a peer takes all along, and
// whatever else happens is final. There are so many restarts in an hour, and no more.
type training struct{ perHour int }

// Decide is a pure function: whatever it has to know is in its arguments.
func (t training) Decide(s supervisor.State, f *supervisor.Failure) supervisor.Directive {
	d := supervisor.Directive{Action: supervisor.Restart}
	switch {
	case outOfMemory(f):
		return supervisor.Directive{Reason: "it will be out of memory the next time, too"} // the zero Action ends the group
	case errors.Is(f, errTooSlow):
		d.Ranks, d.Reason = []int{f.Rank}, "a straggler"
	case errors.Is(f, errPeer):
		d.Reason = "nobody can go on without the others" // no Ranks are all ranks
	default:
		return supervisor.Directive{Reason: "nobody knows what this is"}
	}
	used := s.RestartsWithin(time.Hour)
	if used >= t.perHour {
		return supervisor.Directive{Reason: fmt.Sprintf("%s, and %d restarts in an hour are enough", d.Reason, used)}
	}
	d.After = supervisor.Backoff{Min: 100 * time.Millisecond, Max: time.Minute}.Delay(used, s.Random)
	return d
}

// outOfMemory knows the error of a Go rank, the class of a Python one, and what the kernel does.
func outOfMemory(f *supervisor.Failure) bool {
	return errors.Is(f, errMemory) || f.Exception != nil && f.Exception.Type == "OutOfMemoryError" || f.Exit != nil && f.Exit.OOM
}

// Check makes nonsense an error before anything starts: supervisor.Checker has it.
func (t training) Check() error {
	if t.perHour < 0 {
		return fmt.Errorf("there cannot be %d restarts in an hour: use 0 for none", t.perHour)
	}
	return nil
}

package supervisor

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/transport"
)

// A Kind says what part a failure had in the end of its generation.
type Kind string

// The kinds of failure. Ranks that we stopped did not fail: see RankReport.
const (
	Origin     Kind = "origin"     // it came first, and was decided upon
	Collateral Kind = "collateral" // it came while the ranks were being stopped because of the origin
	Ignored    Kind = "ignored"    // the strategy took it for a good exit
)

// A Failure is what the supervisor makes of a rank that failed: its exception, its exit and the end of its standard error,
// as far as they are known. As the error of Run it is the failure that ended the group.
type Failure struct {
	Seq        int // order of arrival at the supervisor, from 1: the only order there is
	Kind       Kind
	Rank       int
	Generation int
	PID        int // 0 when there was no process
	// Host is where the rank ran, on one of several hosts; "" for a group on one. In a report that was read, it is there always.
	Host string
	At   time.Time
	// Uptime is how long the process had lived when it failed; 0 when there was none.
	Uptime time.Duration

	// Exception is what the worker raised, nil when it said nothing.
	Exception *transport.Exception
	// Exit is how the process ended, nil while it lives (an exception is a failure already).
	Exit *process.Exit
	// Err is a failure that is neither: the process could not be launched, was not ready in time, broke the protocol.
	Err error

	// Stacks are those of a rank that hangs, as its worker told them; "" when it could not.
	Stacks string
	// HealthyStacks are those of the rank Healthy, which was well at that time, to compare; "" when there was none.
	HealthyStacks string
	Healthy       int

	// Collateral are the failures that this one caused, as far as its ranks were being stopped when they came.
	Collateral []*Failure
	// Stopped are the ranks that were stopped because of this failure. They are no failures (G-6).
	Stopped []int
	// Directive is what was decided; zero in a collateral failure.
	Directive Directive

	seen time.Time // before At, by whoever watches the process; zero when nobody did
}

var (
	// ErrStopped is the error of a group that was stopped by Stop or Kill.
	ErrStopped = errors.New("supervisor: stopped")
	// ErrTimeout is the error of a group that ran longer than its Timeout.
	ErrTimeout = errors.New("supervisor: the group's time is up")
	// ErrStartTimeout is the condition of a rank that was not ready within the StartTimeout.
	ErrStartTimeout = errors.New("supervisor: not ready in time")
	// ErrLifetime is the condition of a rank that lived longer than its generation may.
	ErrLifetime = errors.New("supervisor: the generation's time is up")
	// ErrHung is the condition of a rank that gave no sign of life, or made no progress, for too long: see Liveness.
	ErrHung = errors.New("supervisor: hung")
	// ErrAbandoned is the condition of a process that was alive even some time after SIGKILL.
	ErrAbandoned = errors.New("supervisor: abandoned, the process does not die of SIGKILL")
	// ErrStrategy is the condition of a strategy that panicked or asked for something that makes no sense.
	ErrStrategy = errors.New("supervisor: the strategy is at fault")
)

// A GaveUpError is the error of a group that failed for good after it had been restarted. It wraps the failure that ended
// it, so that errors.As finds a *Failure, its exception and its exit.
type GaveUpError struct {
	// History holds the failures that were decided upon, oldest first, the latest 1000 at least; the last one ended the group.
	History []*Failure
	// Restarts is how many generations took the place of an earlier one: not those in which ranks were added.
	Restarts int
}

// Error returns the number of restarts and the last failure in one line.
func (e *GaveUpError) Error() string {
	if e.Restarts == 1 {
		return fmt.Sprintf("gave up after a restart: %v", e.last())
	}
	return fmt.Sprintf("gave up after %d restarts: %v", e.Restarts, e.last())
}

// Unwrap returns the failure that ended the group.
func (e *GaveUpError) Unwrap() error { return e.last() }

func (e *GaveUpError) last() *Failure { return e.History[len(e.History)-1] }

// ID returns the life that failed.
func (f *Failure) ID() process.ID { return process.ID{Rank: f.Rank, Generation: f.Generation} }

// Error returns who failed and why: "rank 2@0: ValueError: no learning rate". What the best evidence leaves out stands behind
// it: how a process ended that raised, unless by exit status 0 or 1; that a signal which ended it was not ours; and, of one
// that only has an exit status to show, the last line of its standard error that is not indented.
func (f *Failure) Error() string {
	text := fmt.Sprintf("rank %v: %v", f.ID(), f.cause())
	switch x := f.Exit; {
	case x == nil:
	case f.Exception != nil && !x.Stopped && (x.Code > 1 || x.Signal != 0):
		text += fmt.Sprintf(" (%v)", x)
	case f.cause() == error(x) && x.KilledBy() == process.ByStranger:
		text += ", not sent by us"
	case f.cause() == error(x) && x.Code > 0 && lastLine(x.Stderr) != "":
		text += fmt.Sprintf(", after %q", lastLine(x.Stderr))
	}
	return text
}

// lastLine returns the last line that is not empty, as it was left if it was written over, and as much of it as fits on one of a
// terminal. Lines that are indented belong to the one before them: the source of a warning, the stack under an error.
func lastLine(text []byte) string {
	lines := bytes.FieldsFunc(text, func(r rune) bool { return r == '\r' || r == '\n' })
	lines = slices.DeleteFunc(lines, func(line []byte) bool { return len(bytes.TrimSpace(line)) == 0 })
	if len(lines) == 0 {
		return ""
	}
	last := len(lines) - 1
	for at := last; at >= 0; at-- {
		if lines[at][0] != ' ' && lines[at][0] != '\t' {
			last = at
			break
		}
	}
	line := bytes.TrimSpace(lines[last])
	return string(line[:min(len(line), 160)])
}

// cause is the best evidence there is.
func (f *Failure) cause() error {
	switch {
	case f.Exception != nil:
		return f.Exception
	case f.Err != nil:
		return f.Err
	case f.Exit != nil:
		return f.Exit
	}
	return errors.New("unknown")
}

// Unwrap returns the exception, the other error and the exit: errors.As finds a *transport.Exception or a *process.Exit.
func (f *Failure) Unwrap() []error {
	var errs []error
	if f.Exception != nil {
		errs = append(errs, f.Exception)
	}
	if f.Err != nil {
		errs = append(errs, f.Err)
	}
	if f.Exit != nil {
		errs = append(errs, f.Exit)
	}
	return errs
}

// StderrTail returns the last lines of the rank's standard error, at most 8 KiB; "" while the process lives.
func (f *Failure) StderrTail() string {
	if f.Exit == nil {
		return ""
	}
	return string(f.Exit.Stderr)
}

// Dump returns what the rank said when it was asked for its stacks before it was killed (process.Command.DumpSignal), or
// what Python's faulthandler said of the fault it died of: at most 256 KiB and a mark for what was left out; "" while the
// process lives, and when it said nothing.
func (f *Failure) Dump() string {
	if f.Exit == nil {
		return ""
	}
	return string(f.Exit.Dump)
}

package rules

import (
	"errors"
	"regexp"
	"slices"
	"time"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport"
)

// When is what a rule asks of a failure. Every field that is set is required; of a field with several values any one
// will do. The zero When matches every failure.
//
// A failure is decided upon when it is known, so it is one of three: an exception (the process has not ended yet), an
// exit, or a start that took too long. A rule that asks for two of these matches nothing.
type When struct {
	Exit     Numbers          // exit codes; a process that a signal ended has none
	Signal   []process.Signal // that ended the process
	OOM      bool             // the kernel ended it, for memory
	KilledBy []process.Killer
	// Exception are classes, by qualified or bare name: of the exception, of its base classes; or what is registered in Go, anywhere
	// in what the error wraps: a sentinel, a type of errors, an error of the system such as syscall.ENOSPC.
	Exception []string
	// Message are expressions for the exception's message; without an exception, for the text of what else went wrong.
	Message    []*regexp.Regexp
	Rank       Numbers
	Generation Numbers // of the rank's life: 0 is the first
	Uptime     Uptime
	Phase      Phase
	// StartTimeout is for a rank that was not ready in time.
	StartTimeout bool
	// HostLost is for a rank whose host was lost, which is one failure with all ranks that it took along: see process.ErrHostLost.
	HostLost bool
}

// Uptime is how long the process had lived: Min or longer, and shorter than Max unless that is 0.
type Uptime struct{ Min, Max time.Duration }

// A Phase is what the group was doing.
type Phase string

// The phases. The zero Phase is any.
const (
	Starting Phase = "starting" // some ranks were not ready yet
	Running  Phase = "running"
)

// Matches reports whether the failure is what the rule asks for.
func (w *When) Matches(s supervisor.State, f *supervisor.Failure) bool {
	return w.matchesExit(f.Exit) && w.matchesException(f.Exception) && w.matchesMessage(f) &&
		w.Rank.has(f.Rank) && w.Generation.has(f.Generation) &&
		w.Uptime.Min <= f.Uptime && (w.Uptime.Max == 0 || f.Uptime < w.Uptime.Max) &&
		(w.Phase == "" || w.Phase == phaseOf(s)) &&
		(!w.StartTimeout || errors.Is(f.Err, supervisor.ErrStartTimeout)) &&
		(!w.HostLost || errors.Is(f.Err, process.ErrHostLost))
}

// asksExit reports whether the rule wants to know how the process ended.
func (w *When) asksExit() bool {
	return w.Exit.asks() || w.Signal != nil || w.OOM || w.KilledBy != nil
}

func (w *When) matchesExit(x *process.Exit) bool {
	if x == nil {
		return !w.asksExit()
	}
	return (!w.Exit.asks() || x.Code >= 0 && w.Exit.has(x.Code)) &&
		(w.Signal == nil || x.Signal != 0 && slices.Contains(w.Signal, x.Signal)) &&
		(!w.OOM || x.OOM) &&
		(w.KilledBy == nil || slices.Contains(w.KilledBy, x.KilledBy()))
}

func (w *When) matchesException(x *transport.Exception) bool {
	if w.Exception == nil {
		return true
	}
	return x != nil && slices.ContainsFunc(w.Exception, func(name string) bool { return named(x, name) || wraps(x, name) })
}

// named reports whether an except clause with this name would catch the exception.
func named(x *transport.Exception, name string) bool {
	is := func(qualified string) bool { return qualified == name || bare(qualified) == name }
	return x.Type == name || is(x.Module+"."+x.Type) || slices.ContainsFunc(x.Bases, is)
}

// bare returns the last part of a qualified name.
func bare(name string) string {
	for i := len(name) - 1; i >= 0; i-- {
		if name[i] == '.' {
			return name[i+1:]
		}
	}
	return name
}

// wraps reports whether the error is, or wraps, what is registered under a name: a sentinel, or an error of a type.
func wraps(x *transport.Exception, name string) bool {
	if name == x.Sentinel || name == x.Registered || name == errno(x) {
		return name != ""
	}
	for _, err := range x.Unwrap() {
		if inner, ok := err.(*transport.Exception); ok && wraps(inner, name) {
			return true
		}
	}
	return false
}

// errno returns the name of an error of the system, such as syscall.ENOSPC; "" for any other.
func errno(x *transport.Exception) string {
	var name string
	if x.Registered != "syscall.Errno" || transport.Unmarshal(x.Value, &name) != nil {
		return ""
	}
	return "syscall." + name
}

func (w *When) matchesMessage(f *supervisor.Failure) bool {
	if w.Message == nil {
		return true
	}
	text := message(f)
	return slices.ContainsFunc(w.Message, func(re *regexp.Regexp) bool { return re.MatchString(text) })
}

func message(f *supervisor.Failure) string {
	switch {
	case f.Exception != nil:
		return f.Exception.Message
	case f.Err != nil:
		return f.Err.Error()
	case f.Exit != nil:
		return f.Exit.Error()
	}
	return ""
}

func phaseOf(s supervisor.State) Phase {
	if s.Starting {
		return Starting
	}
	return Running
}

// always reports whether every failure matches.
func (w *When) always() bool {
	return !w.asksExit() && w.Exception == nil && w.Message == nil && w.Uptime == (Uptime{}) && w.Phase == "" &&
		!w.StartTimeout && w.Rank.all() && w.Generation.all()
}

// never says why no failure can match, "" when one can.
func (w *When) never() string {
	switch {
	case w.Exception != nil && w.asksExit():
		return "a rank that raises has not ended yet: ask for its exception, or for an exit without one"
	case w.StartTimeout && (w.asksExit() || w.Exception != nil):
		return "a rank that is late has neither ended nor raised anything: ask for start_timeout alone"
	case w.HostLost && (w.asksExit() || w.Exception != nil || w.StartTimeout):
		return "of a rank whose host is lost nobody knows how it ended: ask for host_lost alone"
	case w.StartTimeout && w.Phase == Running:
		return "a group with a rank that is late is starting: leave phase out"
	case w.Exit.asks() && (w.Signal != nil || w.OOM || w.KilledBy != nil):
		return "a process that a signal ended has no exit code: make it two rules"
	case w.Uptime.Max != 0 && w.Uptime.Max <= w.Uptime.Min:
		return "no uptime is both min or longer and shorter than max"
	}
	return ""
}

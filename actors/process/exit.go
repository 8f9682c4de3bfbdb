package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A Signal is a signal of the operating system.
type Signal = syscall.Signal

// An Exit says how a process ended. As an error it describes an exit that was no success; a process that ended well is
// no error, and nothing returns its Exit as one.
type Exit struct {
	Code   int    // exit code; -1 when a signal ended it, or when it is not known
	Signal Signal // the signal that ended it, 0 for none
	Core   bool   // it dumped core

	// Stopped says that our Stop or Kill reached the process while it was alive: its exit is an answer.
	Stopped bool
	// OOM says that the kernel's out-of-memory killer ended it.
	OOM bool
	// Silent says that a function ended its process with an exit code other than 0, and with no word: it called os.Exit.
	Silent bool
	// Err says why there is no exit code, or why it proves nothing: the process could not be launched, the link broke,
	// a function ended without its result, the process was abandoned.
	Err error
	// Ended is when the process itself was seen to end, by the monotonic clock; what it left behind may have taken longer. The
	// JSON form has it not. Zero means not known.
	Ended time.Time

	// MaxRSS is the largest resident size that was seen, in bytes: when the worker reported its end or was asked to stop, or
	// from the kernel's account when that is certain to be the process's own. 0 means not known.
	MaxRSS int64

	// Dump is what it said when it was asked for its stacks (Command.DumpSignal), or when Python's faulthandler told of the
	// fault it died of: at most 256 KiB and a mark.
	Dump []byte

	CPU    time.Duration // user and system time of the process and of those of its children that it waited for
	Stderr []byte        // the last lines of standard error, at most 8 KiB

	// Report is what it said of itself that could not be read, and why: the first 1 KiB of what is in its error file, or the first
	// message on its socket that was dropped, with their number; "" for none.
	Report string

	Left []Leftover // processes it left behind in its group or holding its streams, which were ended or cut off
}

// A Leftover is a process that outlived the rank that started it.
type Leftover struct {
	PID  int    `json:"pid"`
	Name string `json:"name"`
}

// Success reports whether the process ended well: exit code 0, and nothing that says otherwise.
func (e *Exit) Success() bool { return e.Code == 0 && e.Signal == 0 && e.Err == nil }

// Error says how the process ended: "exit status 3", "signal: aborted (SIGABRT, core dumped)".
func (e *Exit) Error() string {
	if e.Report != "" {
		return e.how() + ", and an " + e.Report
	}
	return e.how()
}

func (e *Exit) how() string {
	switch {
	case e.Err != nil:
		return e.Err.Error()
	case e.OOM:
		return fmt.Sprintf("signal: %v (%s) by the kernel, which ran out of memory", e.Signal, SignalName(e.Signal))
	case e.Signal != 0 && e.Core:
		return fmt.Sprintf("signal: %v (%s, core dumped)", e.Signal, SignalName(e.Signal))
	case e.Signal != 0:
		return fmt.Sprintf("signal: %v (%s)", e.Signal, SignalName(e.Signal))
	case e.Silent:
		return fmt.Sprintf("exit status %d without a report (os.Exit?)", e.Code)
	}
	return fmt.Sprintf("exit status %d", e.Code)
}

// Unwrap returns Err.
func (e *Exit) Unwrap() error { return e.Err }

// An exitDocument is the JSON form of an Exit.
type exitDocument struct {
	Code     int        `json:"code"`
	Signal   string     `json:"signal"`
	Core     bool       `json:"core"`
	OOM      bool       `json:"oom"`
	Silent   bool       `json:"silent,omitempty"`
	KilledBy Killer     `json:"killed_by"`
	Error    string     `json:"error,omitempty"`
	Report   string     `json:"report,omitempty"`
	Left     []Leftover `json:"left,omitempty"`
}

// MarshalJSON writes the exit as the report of docs/design.md §9 has it.
func (e Exit) MarshalJSON() ([]byte, error) {
	d := exitDocument{
		Code: e.Code, Signal: SignalName(e.Signal), Core: e.Core, OOM: e.OOM, Silent: e.Silent, KilledBy: e.KilledBy(),
		Left: e.Left, Report: e.Report,
	}
	if e.Err != nil {
		d.Error = e.Err.Error()
	}
	return json.Marshal(d)
}

// UnmarshalJSON reads what MarshalJSON wrote. The rest of the exit is zero: a report has it elsewhere.
func (e *Exit) UnmarshalJSON(text []byte) error {
	var d exitDocument
	if err := json.Unmarshal(text, &d); err != nil {
		return err
	}
	s, err := ParseSignal(d.Signal)
	if err != nil && d.Signal != "" {
		return err
	}
	*e = Exit{
		Code: d.Code, Signal: s, Core: d.Core, OOM: d.OOM, Silent: d.Silent, Stopped: d.KilledBy == BySupervisor, Left: d.Left,
		Report: d.Report,
	}
	if d.Error != "" {
		e.Err = errors.New(d.Error)
	}
	return nil
}

// A Killer is who ended a process.
type Killer string

// The killers.
const (
	ByNobody     Killer = ""           // it ended by itself, or of a fault of its own
	BySupervisor Killer = "supervisor" // our Stop or Kill reached it alive
	ByOOM        Killer = "oom"        // the kernel, for memory
	ByStranger   Killer = "stranger"   // a signal that programs do not send themselves, and that was not ours
)

// KilledBy tells who ended the process, as far as that can be known: the system does not say who sent a signal.
func (e *Exit) KilledBy() Killer {
	switch {
	case e.OOM:
		return ByOOM
	case e.Stopped:
		return BySupervisor
	case e.Signal == syscall.SIGKILL, e.Signal == syscall.SIGTERM, e.Signal == syscall.SIGINT, e.Signal == syscall.SIGHUP:
		return ByStranger
	}
	return ByNobody
}

// SignalName returns a signal's name, "SIGTERM", "" for 0 and "signal 99" for one without a name.
func SignalName(s Signal) string {
	if s == 0 {
		return ""
	}
	if name := signalName(s); name != "" {
		return name
	}
	return fmt.Sprintf("signal %d", int(s))
}

// ParseSignal returns the signal of a name, "SIGTERM", of a number, "15", or of what SignalName writes for one without a
// name, "signal 99". Its error says what can be written.
func ParseSignal(text string) (Signal, error) {
	if s := signalNamed(text); s != 0 {
		return s, nil
	}
	n, err := strconv.Atoi(strings.TrimPrefix(text, "signal "))
	if err != nil || n <= 0 || n > maxSignal {
		return 0, fmt.Errorf("there is no signal %q: write a name, such as SIGTERM, or a number from 1 to %d", text, maxSignal)
	}
	return Signal(n), nil
}

const maxSignal = 127 // the status of a process has no room for more

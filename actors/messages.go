package actors

import (
	"time"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/transport"
)

// What a rank actor tells its parent. Every life of a rank ends with one Exited, after which nothing comes.
type (
	// Started says that the process of a rank exists.
	Started struct {
		ID  process.ID
		PID int
	}
	// Hello says that a worker has come up: its interpreter or runtime, and the SDK in it. SDK names it: "go",
	// "python/3.12.1". Commands that do not speak tell none.
	Hello struct {
		ID  process.ID
		SDK string
	}
	// Probing says why a rank with a process.Probe is not ready yet, each time that it has another reason.
	Probing struct {
		ID  process.ID
		Err error
	}
	// Ready says that a rank is about to run user code, or that its process.Probe has found it ready. A command that does
	// not speak and has no probe is ready once it is started.
	Ready struct{ ID process.ID }
	// Beat says that a worker is alive. It comes at the interval of Config.Heartbeat, sometimes a little late, and not while
	// the worker cannot run beside its own work (a Python extension that holds the interpreter's lock).
	Beat struct {
		ID  process.ID
		Seq int
	}
	// Progress says how far a worker is, in its own measure: Count never becomes smaller.
	Progress struct {
		ID    process.ID
		Count uint64
		Text  string
	}
	// Dumped carries the stacks of a worker's goroutines or threads: it was asked for them.
	Dumped struct {
		ID   process.ID
		Text string
	}
	// Raised carries what went wrong in a rank, as its worker tells it: its first exception, which is to be its last word.
	// The process may live on for a while.
	Raised struct {
		ID        process.ID
		Exception *transport.Exception
		Seen      time.Time // when it was read from the link, by the monotonic clock
	}
	// Broken says that a worker broke the protocol: it can no longer tell what becomes of it, or (process.ErrNotReady) that
	// it is ready.
	Broken struct {
		ID   process.ID
		Err  error
		Seen time.Time // when that was noticed, by the monotonic clock
	}
	// Returned carries the result of a rank's work, nil for none, and for one that Config.Result has taken.
	Returned struct {
		ID    process.ID
		Value []byte
	}
	// Exited says that nothing is left of a rank's life, or that it was abandoned, or that it could not even begin:
	// Exit.Err tells.
	Exited struct {
		ID   process.ID
		PID  int
		Exit process.Exit
	}
)

// What a parent may ask of a rank actor. Stop, Kill and Abandon only begin the end; Exited is the end.
type (
	// Stop asks the process to end.
	Stop struct {
		Reason string
		Grace  time.Duration
	}
	// Kill ends the process.
	Kill struct{}
	// Abandon gives up on a process that survives even Kill: the actor tells Exited with Err and stops.
	Abandon struct{ Err error }
	// Dump asks the worker for its stacks, without harm to it: see Config.Dumps. Dumped is the answer; from a process that
	// does not speak, or cannot, none comes.
	Dump struct{}
	// Signal sends a signal to the process group. Sent is told when that is done, if it is not nil; it must have room.
	Signal struct {
		Signal process.Signal
		Sent   chan<- struct{}
	}
)

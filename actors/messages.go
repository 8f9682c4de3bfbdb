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
	// Ready says that a rank is about to run user code; a command that does not speak is ready once it is started.
	Ready struct{ ID process.ID }
	// Raised carries what went wrong in a rank, as its worker tells it: its first exception, which is to be its last word.
	// The process may live on for a while.
	Raised struct {
		ID        process.ID
		Exception *transport.Exception
	}
	// Broken says that a worker broke the protocol: it can no longer tell what becomes of it.
	Broken struct {
		ID  process.ID
		Err error
	}
	// Returned carries the result of a rank's work, nil for none.
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

// What a parent may ask of a rank actor. All of it only begins the end; Exited is the end.
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
	// Signal sends a signal to the process group.
	Signal struct{ Signal process.Signal }
)

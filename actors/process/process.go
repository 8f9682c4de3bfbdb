package process

import (
	"time"

	"github.com/go-muster/muster/transport"
)

// A Launcher starts processes, here or on another host.
type Launcher interface {
	// Check reports why a command could not be launched, without starting anything: [exec.ErrNotFound], fs.ErrNotExist,
	// fs.ErrPermission, stage.ErrSettings, ErrProbe, each with what to do about it. A nil error is no promise.
	Check(Command) error
	// Launch starts a process for one life of one rank. After an error nothing was started and the observer is never
	// called. Otherwise the observer hears of everything, and of the exit last.
	Launch(ID, Command, Observer) (Process, error)
	// Guard keeps up whatever protects the processes, until the returned function is called. Each process does so for
	// itself; a supervisor that calls it once spares its restarts the taking down and putting up. What happens to the
	// protection itself, and what the system gives less of than usual, is told to report, which may be nil, must not block and is not called after release returned.
	Guard(report func(string)) (release func())
	// Containment names the layers that end what the processes started, strongest first: "group+deathsig".
	Containment() string
}

// A Process is a started process. All methods may be called from any goroutine, at any time, any number of times; none
// waits for the process. Stop and Kill only begin the end: Observer.Exited is the end.
type Process interface {
	// PID returns the process id, which names the process until Observer.Exited was called.
	PID() int
	// Stop asks the process group to end: a Stop message to the worker, and the polite signal. Grace is how long the
	// caller will wait before Kill; it is information for the worker, Stop sets no timer.
	Stop(reason string, grace time.Duration)
	// Kill ends the process group without asking.
	Kill()
	// Dump asks the worker for its stacks, which come as a message, a transport.Dump: from Go functions, and from injected
	// Python scripts whose Command has Dumps or Heartbeat. Nothing comes from a process that does not speak, or cannot.
	Dump()
	// Post hands the worker a transport.Mail or transport.Credit, in order. What is posted and not yet sent is kept in memory:
	// the caller stays within the worker's credit, which comes as a message, a transport.Credit. The worker has 1 MiB of
	// credit (transport.MailWindow) once it said hello; the caller gives it back with a Credit for each Mail and Part that the
	// observer has heard and that is no longer in anybody's memory. Nothing happens to what is posted to a process that does not
	// speak. Observers call it from within Message, their own process's and others', and all of a group wait for it to return: it
	// calls nobody back.
	Post(transport.Message)
	// Signal sends one signal to the process group, such as SIGUSR1. Signals that end processes are Stop and Kill's.
	Signal(sig Signal) error
}

// A Stream is one of the two output streams of a process.
type Stream int

// The two streams.
const (
	Stdout Stream = 1
	Stderr Stream = 2
)

// String returns "stdout" or "stderr".
func (s Stream) String() string {
	if s == Stderr {
		return "stderr"
	}
	return "stdout"
}

// An Observer hears what a process does, from the process's own goroutines. A method that blocks holds back its stream,
// and in the end the process that writes to it; nothing is dropped.
type Observer interface {
	// Message is called for each message of the worker, in order, never concurrently with itself.
	Message(transport.Message)
	// Broken is called at most once, when the worker broke the protocol so that nothing more can be read from it, or closed
	// its readiness descriptor. The process may live on.
	Broken(error)
	// Probed is called for a command with a Probe, never concurrently with itself: with why it is not ready, whenever that
	// changes, and once, as the last, with nil when it is.
	Probed(error)
	// Output is called with one or more whole lines of a stream. A line that is written over, as progress is shown, comes in
	// pieces that end in a carriage return, and one longer than 1 MiB in pieces; of the others only the last call of a
	// stream may end without a newline. The two streams are independent of each other. The bytes belong to the caller again
	// when Output returns.
	Output(Stream, []byte)
	// Exited is called exactly once, after the last call of every other method.
	Exited(Exit)
}

package supervisor

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"sync"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/go-muster/muster/actors"
	"github.com/go-muster/muster/actors/process"
)

// An Option is plumbing: where a group's actors live, who starts its processes, who is told.
type Option func(*options)

type options struct {
	system   *actor.ActorSystem
	launcher process.Launcher
	observe  func(Event)
	output   func(process.ID, process.Stream, []byte)
	logger   *slog.Logger
	journal  io.Writer
	note     json.RawMessage // for the journal
	messages func(*Message)
	listener *actor.PID
	result   func(process.ID) (actors.ResultWriter, error)
}

// WithSystem puts the group's actors into the caller's actor system. Without it all groups of a program share one.
func WithSystem(system *actor.ActorSystem) Option { return func(o *options) { o.system = system } }

// WithLauncher lets something else than process.Local start the processes: another host, or a script in a test.
func WithLauncher(l process.Launcher) Option { return func(o *options) { o.launcher = l } }

// WithObserver tells of every event, in order, on the supervisor's own goroutine: the function must not block.
// It may be given more than once.
func WithObserver(observe func(Event)) Option {
	return func(o *options) {
		before := o.observe
		o.observe = func(e Event) {
			if before != nil {
				before(e)
			}
			observe(e)
		}
	}
}

// WithOutput takes the ranks' output: whole lines of one stream of one rank, the last one possibly without its newline. What is
// written over, as progress is shown, comes in pieces that end in a carriage return.
// It is called concurrently for different ranks and streams; a call that blocks holds back that stream only. Without it
// the lines go to the standard output and error of this process; nil discards them.
func WithOutput(output func(id process.ID, s process.Stream, lines []byte)) Option {
	return func(o *options) { o.output = output }
}

// WithMessages takes the messages of the ranks' user code (worker.Tell, worker.Request; muster.tell in Python), one at a time,
// each rank's in order, on a goroutine of its own. While it blocks, ranks that go on sending are held back. A request is
// answered with Reply or Fail, then or later. The group is over when all that was sent was taken: a function that never
// returns holds up Wait, but no process, no Report, and not [Group.Kill], which leaves it where it is. One that panics ends
// the group. Without it, and without [WithMessagesTo], requests are refused, and a notice tells of the first message.
func WithMessages(take func(*Message)) Option { return func(o *options) { o.messages = take } }

// WithMessagesTo sends the ranks' messages to an actor: each as a *[Message], a request with a sender, so that
// the actor's Respond answers it (with an error, refuses it; with nil, which the engine drops, does nothing). The actor's
// mailbox is its own to bound.
func WithMessagesTo(listener *actor.PID) Option { return func(o *options) { o.listener = listener } }

// WithLogger logs events. Without it nothing is logged.
func WithLogger(l *slog.Logger) Option { return func(o *options) { o.logger = l } }

func collect(opts []Option) options {
	o := options{launcher: process.Local(), output: passThrough()}
	for _, opt := range opts {
		opt(&o)
	}
	if o.system == nil {
		o.system = sharedSystem()
	}
	if o.logger != nil {
		WithObserver(func(e Event) { logEvent(o.logger, e) })(&o)
	}
	return o
}

// passThrough writes lines to our own streams, one call at a time: lines of different ranks never tear each other.
func passThrough() func(process.ID, process.Stream, []byte) {
	var mu sync.Mutex
	return func(_ process.ID, s process.Stream, lines []byte) {
		mu.Lock()
		defer mu.Unlock()
		out := os.Stdout
		if s == process.Stderr {
			out = os.Stderr
		}
		_, _ = out.Write(lines) // a closed terminal is no reason to stop reading the rank
	}
}

func logEvent(l *slog.Logger, e Event) {
	attrs := []any{"generation", e.Generation}
	if e.Rank >= 0 {
		attrs = append(attrs, "rank", e.Rank, "pid", e.PID)
	}
	if e.Reason != "" {
		attrs = append(attrs, "reason", e.Reason)
	}
	if e.Signal != 0 {
		attrs = append(attrs, "signal", process.SignalName(e.Signal))
	}
	if e.Failure != nil {
		attrs = append(attrs, "failure", e.Failure.Error())
	}
	if e.Exit != nil {
		attrs = append(attrs, "exit", e.Exit.Error())
	}
	level := slog.LevelDebug
	switch e.Kind {
	case EventFailed, EventKill, EventAbandon:
		level = slog.LevelWarn
	case EventDecided, EventStopping, EventSignal, EventRunning, EventDone:
		level = slog.LevelInfo
	}
	l.Log(context.Background(), level, string(e.Kind), attrs...)
}

// sharedSystem is one actor system for the program: each weighs 2.8 MiB, and it owns no goroutine while it is idle.
var sharedSystem = sync.OnceValue(func() *actor.ActorSystem {
	silent := func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }
	return actor.NewActorSystem(actor.WithLoggerFactory(silent))
})

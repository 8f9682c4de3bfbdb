package actors

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/transport"
)

const (
	// credits bounds the messages of one worker that wait for its actor; then its socket is no longer read.
	credits = 16
	// lastWait bounds how long an actor that is torn down from outside waits for its process to be gone.
	lastWait = 5 * time.Second
)

// Config says which life of which rank an actor owns.
type Config struct {
	ID       process.ID
	Command  process.Command
	Launcher process.Launcher
	// Heartbeat is the interval at which the worker is to send its heartbeats: see Beat. 0 leaves it at the command's.
	Heartbeat time.Duration
	// Dumps says that Dump may be sent. A worker with heartbeats always answers it.
	Dumps bool
	// Output takes the lines of the process: see process.Observer. Nil discards them.
	Output func(process.ID, process.Stream, []byte)
	// MaxResult is the largest result that is kept in memory, in bytes; a rank with a larger one is Broken. 0 stands for no
	// bound.
	MaxResult int
	// Result opens what the result is written to, where it is not to be kept in memory: Returned has none then, and comes once
	// all is written. It is called with the first piece of a result, on a goroutine of its own.
	Result func(process.ID) (ResultWriter, error)
	// Mail takes the user's messages. Nil leaves the worker's unread.
	Mail Mailroom
}

// errAgain is the end of an actor that the engine starts for a life that is over.
var errAgain = errors.New("actors: the actor of this rank failed, or its props were used twice")

// Rank returns the props of an actor that owns one process for its whole life. It launches the process when it starts,
// tells its parent Started, what it sees on the way (Hello, Probing, Ready, Beat, Progress, Dumped, Raised, Broken, Returned)
// and, last, Exited, and then stops itself.
//
// The props are for one actor. An actor that panicked ends its process; when its parent's strategy starts it again, it
// launches nothing and tells Exited, so that nothing the old process still says can be taken for the new one's (G-3).
func Rank(c Config) *actor.Props {
	if c.Heartbeat > 0 {
		c.Command.Heartbeat = c.Heartbeat
	}
	c.Command.Dumps = c.Command.Dumps || c.Dumps
	var begun atomic.Bool
	return actor.PropsFromProducer(func() actor.Actor {
		return &rank{
			Config: c, again: begun.Swap(true),
			beats: newPace(c.Command.Heartbeat/2 + 1), advance: advance{pace: newPace(progressPace)},
			credits: make(chan struct{}, credits), exited: make(chan struct{}), gone: make(chan struct{}),
		}
	})
}

type rank struct {
	Config
	again   bool // this life had an actor before
	process process.Process
	told    told
	dumps   int   // asked for and not answered
	probe   error // why it is not ready
	works   bool  // its user code runs
	beats   pace
	advance advance
	result  result
	outbox  outbox
	credits chan struct{} // one for each message on its way from the worker to the actor
	exited  chan struct{} // closed when the process is gone, by its own goroutine
	gone    chan struct{} // closed when the actor is gone: nobody gives credits back any more
}

// told is what the parent knows already: a worker that repeats itself without end is told of once.
type told struct{ hello, ready, raised, returned, broken, exited bool }

// exit travels from the process's goroutine to the actor.
type exit struct{ process.Exit }

// raised, broken and probed likewise.
type (
	raised struct {
		exception *transport.Exception
		seen      time.Time
	}
	broken struct {
		err  error
		seen time.Time
	}
	probed struct{ err error }
)

// Receive handles the parent's orders and the process's facts, one at a time.
func (r *rank) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		r.launch(ctx)
	case *parcel:
		r.parts(ctx, m)
	case transport.Message:
		<-r.credits
		r.heard(ctx, m)
	case *wrote:
		r.wrote(ctx, m)
	case *raised:
		<-r.credits
		r.advise(ctx)
		r.tell(ctx, &r.told.raised, &Raised{r.ID, m.exception, m.seen})
	case *broken:
		r.tell(ctx, &r.told.broken, &Broken{r.ID, m.err, m.seen})
	case *probed:
		r.probed(ctx, m.err)
	case *moment:
		r.advise(ctx)
	case *exit:
		r.conclude(ctx, m)
	case vigil:
		ctx.Send(ctx.Parent(), &Beat{ID: r.ID})
		r.watch(ctx)
	case late:
		r.end(ctx, r.result.exit.Exit)
	case *Abandon:
		r.end(ctx, process.Exit{Code: -1, Err: m.Err, Stopped: true})
	case *actor.Stopping, *actor.Restarting:
		r.tearDown()
	default:
		r.order(ctx, m)
	}
}

func (r *rank) launch(ctx actor.Context) {
	if r.again {
		r.end(ctx, process.Exit{Code: -1, Err: errAgain})
		return
	}
	p, err := r.Launcher.Launch(r.ID, r.Command, &observer{rank: r, root: ctx.ActorSystem().Root, self: ctx.Self()})
	if err != nil {
		r.end(ctx, process.Exit{Code: -1, Err: err})
		return
	}
	r.process = p
	r.outbox.open(p)
	ctx.Send(ctx.Parent(), &Started{r.ID, p.PID()})
	if !r.Command.Speaks && r.Command.Ready == nil {
		r.tell(ctx, &r.told.ready, &Ready{r.ID})
	}
}

func (r *rank) heard(ctx actor.Context, m transport.Message) {
	switch m := m.(type) {
	case *transport.Hello:
		r.tell(ctx, &r.told.hello, &Hello{r.ID, m.SDK})
	case *transport.Ready:
		if r.Command.Ready == nil {
			r.tell(ctx, &r.told.ready, &Ready{r.ID})
			return
		}
		r.works = true
		r.probing(ctx)
	case *transport.Heartbeat:
		if r.Command.Heartbeat > 0 && r.beats.pass(time.Now()) {
			ctx.Send(ctx.Parent(), &Beat{r.ID, m.Seq})
		}
	case *transport.Progress:
		r.advanced(ctx, m)
	case *transport.Dump:
		if r.dumps > 0 { // nobody wants what was not asked for, a quarter of a megabyte each
			r.dumps--
			ctx.Send(ctx.Parent(), &Dumped{r.ID, m.Text})
		}
	case *transport.Result:
		r.advise(ctx)
		r.returned(ctx, m.Value)
	}
}

// probed passes on what a probe has found.
func (r *rank) probed(ctx actor.Context, err error) {
	if err != nil {
		r.probe = err
		r.probing(ctx)
		return
	}
	r.tell(ctx, &r.told.ready, &Ready{r.ID})
}

// probing tells why the process is not ready, and that it was user code which kept it waiting since.
func (r *rank) probing(ctx actor.Context) {
	err := r.probe
	switch {
	case r.told.ready || err == nil:
		return
	case r.works:
		err = fmt.Errorf("its user code runs: %w", err)
	}
	ctx.Send(ctx.Parent(), &Probing{r.ID, err})
}

// tell tells the parent something that is told once.
func (r *rank) tell(ctx actor.Context, told *bool, fact any) {
	if !*told {
		*told = true
		ctx.Send(ctx.Parent(), fact)
	}
}

func (r *rank) order(ctx actor.Context, m any) {
	if r.process == nil {
		return
	}
	switch m := m.(type) {
	case *Stop:
		r.process.Stop(m.Reason, m.Grace)
	case *Kill:
		r.kill(ctx)
	case *Dump:
		r.dumps++
		r.process.Dump()
	case *Signal:
		_ = r.process.Signal(m.Signal) // a process that is gone needs none
		if m.Sent != nil {
			m.Sent <- struct{}{}
		}
	}
}

// end tells the exit and stops the actor.
func (r *rank) end(ctx actor.Context, e process.Exit) {
	r.advise(ctx)
	pid := 0
	if r.process != nil {
		pid = r.process.PID()
	}
	r.tell(ctx, &r.told.exited, &Exited{r.ID, pid, e})
	ctx.Stop(ctx.Self())
}

// tearDown is for an actor that ends before its process, because its parent is gone or because it panicked: the process
// must not outlive it. An abandoned process has been waited for long enough.
func (r *rank) tearDown() {
	close(r.gone)
	r.advance.stop()
	r.result.abandon()
	if r.process == nil || r.told.exited {
		return
	}
	defer r.awaitExit() // even if Kill panics
	r.process.Kill()
}

func (r *rank) awaitExit() {
	select {
	case <-r.exited:
	case <-time.After(lastWait):
	}
}

// An observer carries what the process's goroutines see into the actor's mailbox, and the user's messages into the mailroom.
type observer struct {
	rank   *rank
	root   *actor.RootContext
	self   *actor.PID
	opened bool    // the mailroom knows
	last   *parcel // that more may still join: nothing else has come since
}

// Message passes the worker's words on.
func (o *observer) Message(m transport.Message) {
	switch m := m.(type) {
	case *transport.Mail:
		o.mailed(m)
		return
	case *transport.Credit:
		o.credited(m.Bytes)
		return
	case *transport.Part:
		o.part(m)
		return
	case *transport.Hello:
		if o.rank.Mail != nil && !o.opened {
			o.opened = true
			o.rank.Mail.Opened(o.rank.ID, o.rank.outbox.post)
		}
	}
	o.last = nil
	o.tell(m)
}

// part passes on a piece of the result. It must not hold up what comes after it, and is bounded by the worker's own credit.
func (o *observer) part(p *transport.Part) {
	if o.last == nil || !o.last.add(p) {
		o.last = &parcel{parts: []*transport.Part{p}}
		o.root.Send(o.self, o.last)
	}
}

// tell waits for a credit, so that a worker cannot fill the mailbox: its socket fills up instead.
func (o *observer) tell(m transport.Message) {
	var heard any = m
	if x, is := m.(*transport.Exception); is {
		heard = &raised{x, time.Now()}
	}
	select {
	case o.rank.credits <- struct{}{}:
		o.root.Send(o.self, heard)
	case <-o.rank.gone:
	}
}

// Broken tells the actor.
func (o *observer) Broken(err error) { o.root.Send(o.self, &broken{err, time.Now()}) }

// Probed tells the actor.
func (o *observer) Probed(err error) { o.root.Send(o.self, &probed{err}) }

// Output goes past the actor: lines are not messages, and must never delay one.
func (o *observer) Output(s process.Stream, lines []byte) {
	if o.rank.Output != nil {
		o.rank.Output(o.rank.ID, s, lines)
	}
}

// Exited tells the actor, after all else.
func (o *observer) Exited(e process.Exit) {
	close(o.rank.exited)
	o.root.Send(o.self, &exit{e})
}

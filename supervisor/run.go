package supervisor

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/go-muster/muster/actors/process"
)

// Run starts the group and waits for it; when it returns, nothing of what it started is left.
//
// It returns nil when every rank of the last generation ended well. Otherwise it returns an error that is or wraps
//
//   - a *[Failure]: the one that ended the group; errors.As finds its *transport.Exception and *process.Exit. It is in
//     a *[GaveUpError], with those before it, when the group had been restarted;
//   - the context's cause, when the context ended first: that is a graceful stop;
//   - [ErrStopped], [ErrTimeout], [ErrStrategy] or [ErrAbandoned];
//   - [ErrSpec] when nothing was started at all.
func Run(ctx context.Context, s Spec, opts ...Option) error {
	g, err := Start(ctx, s, opts...)
	if err != nil {
		return err
	}
	return g.Wait()
}

// A Group is a running Spec. Its methods may be called from any goroutine, any number of times.
type Group struct {
	system   *actor.ActorSystem
	launcher process.Launcher
	pid      *actor.PID
	done     chan struct{} // closed when the root actor and all its ranks are gone

	// Written by the root actor before done is closed, read after.
	err    error
	final  Report
	values [][]byte

	runners *runners
	mail    atomic.Pointer[mailroom] // nil where no rank speaks
	stream  stream                   // of events, for their readers
	crash   atomic.Pointer[crash]    // the first panic of one of our actors: a bug
}

func newGroup(o options) *Group {
	done := make(chan struct{})
	return &Group{launcher: o.launcher, done: done, runners: newRunners(done)}
}

// Start starts the group and returns at once. The context ends the group gracefully; its cause is then what Wait returns.
// It returns an error that wraps [ErrSpec] when the spec cannot be run: nothing was started.
func Start(ctx context.Context, s Spec, opts ...Option) (*Group, error) {
	o := collect(opts)
	if err := s.Check(o.launcher); err != nil {
		return nil, err
	}
	s = s.withDefaults()
	g := newGroup(o)
	g.system = o.system
	g.pid = spawnRoot(g, newRoot(g, s, o))
	unhook := context.AfterFunc(ctx, func() { g.send(&stop{cause: context.Cause(ctx)}) })
	go func() { // ends with the group
		<-g.done
		unhook()
	}()
	return g, nil
}

// Wait waits for the end of the group and returns its error: see Run. Every call returns the same.
func (g *Group) Wait() error {
	<-g.done
	return g.err
}

// Done returns a channel that is closed when the group has ended.
func (g *Group) Done() <-chan struct{} { return g.done }

// Stop asks the group to end: every rank gets the polite signal, and the final one after the grace. It returns at once.
// Wait then returns an error that wraps [ErrStopped], unless the group was ending already.
func (g *Group) Stop(reason string) { g.send(&stop{cause: stopped(reason)}) }

// Kill is Stop without the grace.
func (g *Group) Kill(reason string) { g.send(&stop{cause: stopped(reason), kill: true}) }

func stopped(reason string) error {
	if reason == "" {
		return ErrStopped
	}
	return fmt.Errorf("%w: %s", ErrStopped, reason)
}

// Signal sends a signal to the process group of every rank, such as SIGUSR1, and tells so in an [EventSignal]. It returns
// at once.
func (g *Group) Signal(sig process.Signal) { g.send(&signal{sig}) }

// SetStrategy replaces the strategy of a running group, and with it its budget: it decides about the next failure. What was
// decided already is carried out. It returns an error that wraps [ErrSpec] for a strategy that is nil or makes no sense,
// and [ErrStopped] when the group has ended; the old strategy stays then.
func (g *Group) SetStrategy(s Strategy) error {
	if s == nil {
		return fmt.Errorf("%w: there is no strategy: give FailFast for the default", ErrSpec)
	}
	if err := checkStrategy(s); err != nil {
		return fmt.Errorf("%w: %w", ErrSpec, err)
	}
	_, err := g.change(evChange{s})
	return err
}

// SetTerms replaces what the end of each rank means to a running group, all of it: for ends still to come, and of those that
// have come for whether enough ranks have ended well, which may end the group at once. A rank that failed has failed, what
// was decided is carried out, and a group that has done its work is not called back. A significant rank ends the group only
// by an end that is still to come. It returns an error that wraps [ErrSpec] for terms that make no sense in the group as it
// is, without the ranks that were removed, or as it will be after a [Group.Resize]; and [ErrStopped] when the group has
// ended. The old terms stay then.
func (g *Group) SetTerms(t Terms) error {
	_, err := g.change(evTerms{t.clone()})
	return err
}

// clone returns a copy that nobody else writes into.
func (t Terms) clone() Terms {
	t.RestartTypes, t.Significant = slices.Clone(t.RestartTypes), slices.Clone(t.Significant)
	t.Success.Ranks = slices.Clone(t.Success.Ranks)
	return t
}

// Root returns the root actor, for people whose own actors watch it.
func (g *Group) Root() *actor.PID { return g.pid }

// Report returns what is known of the group now; after the end, what is known for good.
func (g *Group) Report() Report {
	answer := make(chan Report, 1)
	g.send(&inquiry{answer})
	select {
	case r := <-answer:
		return r
	case <-g.done:
		return g.final
	}
}

// Results waits for the end of the group and returns what each rank's work returned, as msgpack; nil for a rank without
// a result.
func (g *Group) Results() [][]byte {
	<-g.done
	return g.values
}

// send tells the root actor. Nobody is told after the end: a dead letter costs the engine a goroutine for a second.
func (g *Group) send(m any) { g.sendTo(g.system, g.pid, m) }

func (g *Group) sendTo(system *actor.ActorSystem, root *actor.PID, m any) {
	select {
	case <-g.done:
	default:
		system.Root.Send(root, m)
	}
}

func newRunID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

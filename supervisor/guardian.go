package supervisor

import (
	"fmt"
	"runtime/debug"

	"github.com/asynkron/protoactor-go/actor"
)

// A guardian stands above the root actors. What fails in an actor is a bug, never a rank's failure: the root is stopped,
// which kills its ranks, and the group's error is the bug. The engine's own default would start the root again, and with
// it all processes, ten times.
//
// There is one, for all groups of the program, because the engine keeps every guardian for ever. Its address is the
// engine's map key, so it must not be of size zero.
type guardian struct{ _ byte }

var theGuardian = &guardian{}

// HandleFailure stops the root.
func (*guardian) HandleFailure(_ *actor.ActorSystem, s actor.Supervisor, child *actor.PID, _ *actor.RestartStatistics,
	_, _ any,
) {
	s.StopChildren(child)
}

// escalate is the root's strategy for its rank actors: their panics are bugs, too.
type escalate struct{ _ byte }

var theEscalation = &escalate{}

// HandleFailure passes the failure on to the root, and so to the guardian.
func (*escalate) HandleFailure(_ *actor.ActorSystem, s actor.Supervisor, _ *actor.PID, _ *actor.RestartStatistics,
	reason, message any,
) {
	s.EscalateFailure(reason, message)
}

// props returns those of an actor of the group.
func (g *Group) props(produce actor.Producer, options ...actor.PropsOption) *actor.Props {
	return actor.PropsFromProducer(produce, append(options, g.common()...)...)
}

// common is what all actors of a group have.
func (g *Group) common() []actor.PropsOption {
	return []actor.PropsOption{actor.WithReceiverMiddleware(g.guarded), actor.WithDispatcher(g.runners)}
}

// guarded is around every actor of a group.
func (g *Group) guarded(receive actor.ReceiverFunc) actor.ReceiverFunc {
	return func(ctx actor.ReceiverContext, envelope *actor.MessageEnvelope) {
		defer g.guard(ctx.Self(), envelope.Message)
		receive(ctx, envelope)
	}
}

// guard is deferred by an actor of a group around a message, and notes its panic with the stack. An actor that panics
// while it is being stopped must come to its end all the same: the engine would leave it there, and its parent would wait
// for ever.
func (g *Group) guard(self *actor.PID, message any) {
	p := recover()
	if p == nil {
		return
	}
	c := &crash{self.Id, p, debug.Stack()}
	g.crashed(c)
	switch message.(type) {
	case *actor.Stopping, *actor.Stopped, *actor.Restarting:
	default:
		panic(c)
	}
}

// crashed keeps the first crash.
func (g *Group) crashed(c *crash) { g.crash.CompareAndSwap(nil, c) }

// A crash is a panic of one of our actors, or of what it called: a launcher, an observer.
type crash struct {
	actor string
	value any
	stack []byte
}

// Error returns the panic with its stack: it is a bug report.
func (c *crash) Error() string {
	return fmt.Sprintf("supervisor: internal error in actor %s: %v\n%s", c.actor, c.value, c.stack)
}

// Unwrap returns the error that was the panic's value, nil for another value.
func (c *crash) Unwrap() error {
	err, _ := c.value.(error)
	return err
}

// spawnRoot starts the root actor under the guardian.
func spawnRoot(g *Group, r *root) *actor.PID {
	return g.system.Root.Spawn(g.props(func() actor.Actor { return r }, actor.WithGuardian(theGuardian),
		actor.WithSupervisor(theEscalation)))
}

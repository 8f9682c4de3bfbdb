package supervisor

import (
	"errors"
	"fmt"
	"sync"

	"github.com/asynkron/protoactor-go/actor"
)

// A guardian stands above the root actors. What fails in an actor is a bug, never a rank's failure: the root is stopped,
// which kills its ranks, and the group's error is the bug. The engine's own default would start the root again, and with
// it all processes, ten times.
//
// There is one, for all groups of the program, because the engine keeps every guardian for ever. Its address is the
// engine's map key, so it must not be of size zero.
type guardian struct {
	groups sync.Map // *Group by id of the root actor
}

var theGuardian = &guardian{}

// HandleFailure is called on the goroutine of the actor that failed.
func (g *guardian) HandleFailure(_ *actor.ActorSystem, s actor.Supervisor, child *actor.PID, _ *actor.RestartStatistics,
	reason, _ any,
) {
	if group, ok := g.groups.Load(child.Id); ok {
		group.(*Group).fail(reason)
	}
	s.StopChildren(child)
}

// fail keeps the first reason.
func (g *Group) fail(reason any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.crash != nil {
		return
	}
	if err, ok := reason.(error); ok {
		g.crash = err
	} else {
		g.crash = fmt.Errorf("supervisor: internal error: %v", reason)
	}
}

func (g *Group) crashed() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.crash == nil {
		return fmt.Errorf("%w: the root actor was stopped from outside", ErrStopped)
	}
	return g.crash
}

// escalate is the root's strategy for its rank actors: their panics are bugs, too.
type escalate struct{ _ byte }

var theEscalation = &escalate{}

// HandleFailure passes the failure on to the root, and so to the guardian.
func (*escalate) HandleFailure(_ *actor.ActorSystem, s actor.Supervisor, child *actor.PID, _ *actor.RestartStatistics,
	reason, message any,
) {
	s.EscalateFailure(errors.Join(fmt.Errorf("supervisor: internal error in actor %v: %v", child, reason)), message)
}

// spawnRoot starts the root actor under the guardian.
func spawnRoot(g *Group, r *root) *actor.PID {
	props := actor.PropsFromProducer(func() actor.Actor { return r },
		actor.WithGuardian(theGuardian), actor.WithSupervisor(theEscalation),
		actor.WithOnInit(func(ctx actor.Context) { theGuardian.groups.Store(ctx.Self().Id, g) }))
	return g.system.Root.Spawn(props)
}

package supervisor

import (
	"github.com/asynkron/protoactor-go/actor"

	"github.com/go-muster/muster/actors/process"
)

// Props returns the props of a group that is an actor among the caller's own: spawned as a child, it starts its ranks,
// and when it has ended, however that was, it sends its parent *[Ended] and stops. It understands *[StopGroup],
// *[SignalGroup], *[ReportRequest] and *[GroupRequest].
//
// A parent that stops it, by the engine's Stop or Poison, kills its ranks, and hears Ended when they are gone; the
// engine's Terminated may overtake that, and tells no more than that the actor is no more. A parent whose strategy
// restarts it kills them too, and has the group anew from its beginning once nothing of the old one is left (G-1). What
// fails inside one of our actors is a bug, and fails the group's actor: the parent's strategy decides, and the reason is
// an error with the stack.
//
// The options that say where a group lives do not count: it lives where it is spawned. Props returns an error that wraps
// [ErrSpec] when the spec cannot be run. The props may be used for any number of groups.
func Props(s Spec, opts ...Option) (*actor.Props, error) {
	o := collect(opts)
	if err := s.Check(o.launcher); err != nil {
		return nil, err
	}
	// Each use of the props spawns an actor, and each of its restarts another instance of it.
	spawn := func(system *actor.ActorSystem, id string, props *actor.Props, parent actor.SpawnerContext) (*actor.PID, error) {
		var last *embedded
		own := actor.PropsFromProducer(func() actor.Actor {
			last = newEmbedded(s, o, last)
			return last
		}, actor.WithSupervisor(theEscalation))
		return actor.DefaultSpawner(system, id, own, parent)
	}
	return actor.PropsFromProducer(func() actor.Actor { return nil }, actor.WithSpawnFunc(spawn)), nil
}

// Messages between a group that was spawned from [Props] and the actors around it.
type (
	// Ended tells a group's parent how it ended: nothing of what it started is left.
	Ended struct {
		PID    *actor.PID
		Err    error // as of Run
		Report Report
	}
	// StopGroup asks a group to end: see [Group.Stop] and [Group.Kill].
	StopGroup struct {
		Reason string
		Kill   bool
	}
	// SignalGroup sends a signal to every rank: see [Group.Signal].
	SignalGroup struct{ Signal process.Signal }
	// ReportRequest is answered with a *[Report]. A group that has ended answers no more, as the engine has it: Ended has the
	// report then, and whoever asks does so with a timeout.
	ReportRequest struct{}
	// GroupRequest is answered with the *[Group], for all else that can be done with one: change its strategy or its ranks, talk
	// to them, watch its events. It is that group until its end: one that its parent's strategy restarts is another.
	GroupRequest struct{}
)

// An embedded group is a root actor with a parent.
type embedded struct {
	*root
	before *embedded // the instance that this one replaces
}

func newEmbedded(s Spec, o options, before *embedded) *embedded {
	s = s.withDefaults()
	return &embedded{newRoot(newGroup(o), s, o), before}
}

// Receive translates what only a parent says, and tells it the end.
func (e *embedded) Receive(ctx actor.Context) {
	defer e.group.guard(ctx.Self(), ctx.Message())
	switch m := ctx.Message().(type) {
	case *actor.Started:
		e.bury()
		e.group.system, e.group.pid = ctx.ActorSystem(), ctx.Self()
		e.root.Receive(ctx)
	case *actor.Restarting:
		e.closing = true // its ranks end now; whoever replaces it does the rest
	case *actor.Stopped:
		e.bury()
		e.stopped()
		ctx.Send(ctx.Parent(), &Ended{ctx.Self(), e.group.err, e.group.final})
	default:
		if !e.parental(ctx, m) {
			e.root.Receive(ctx)
		}
	}
}

// parental does what a parent asks for, and reports whether it was that.
func (e *embedded) parental(ctx actor.Context, message any) bool {
	switch m := message.(type) {
	case *StopGroup:
		if !e.closing {
			e.step(ctx, evStop{stopped(m.Reason), m.Kill})
		}
	case *SignalGroup:
		if !e.closing {
			e.step(ctx, evSignal{m.Signal})
		}
	case *ReportRequest:
		report := e.report()
		ctx.Respond(&report)
	case *GroupRequest:
		ctx.Respond(e.group)
	default:
		return false
	}
	return true
}

// bury ends the instance before this one, whose ranks are gone.
func (e *embedded) bury() {
	if e.before != nil {
		e.before.stopped()
		e.before = nil
	}
}

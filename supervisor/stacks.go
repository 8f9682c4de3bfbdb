package supervisor

import (
	"context"
	"errors"
	"fmt"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/go-muster/muster/actors"
	"github.com/go-muster/muster/actors/process"
)

// ErrNoStacks is the condition of a rank that cannot be asked for its stacks: its command does not speak, or its worker was
// not told that it would be asked (process.Command.Dumps, Spec.Liveness).
var ErrNoStacks = errors.New("supervisor: the rank cannot be asked for its stacks")

// Dump asks a rank for the stacks of all its goroutines or threads, without harm to it, and returns them as its language
// prints them. It waits until the context ends: a worker that is stuck in a way that keeps it from answering does not.
//
// Errors: *[MessageError], which wraps [ErrNoRank], [ErrRankEnded], [ErrNoStacks] or [ErrStopped]; the context's cause.
func (g *Group) Dump(ctx context.Context, rank int) (stacks string, err error) {
	answer := make(chan stacksOf, 1)
	g.send(&dumpRequest{rank, answer})
	select {
	case a := <-answer:
		return a.text, messageError(a.id, a.err)
	case <-ctx.Done():
		return "", context.Cause(ctx)
	case <-g.done:
		return "", messageError(process.ID{Rank: rank}, fmt.Errorf("%w: the group has ended", ErrStopped))
	}
}

type (
	dumpRequest struct {
		rank   int
		answer chan<- stacksOf
	}
	stacksOf struct {
		id   process.ID
		text string
		err  error
	}
)

// dump asks the rank, once for all who wait.
func (r *root) dump(ctx actor.Context, m *dumpRequest) {
	id := process.ID{Rank: m.rank}
	if m.rank < 0 || m.rank >= len(r.machine.lives) {
		m.answer <- stacksOf{id: id, err: fmt.Errorf("%w: it has ranks 0 to %d", ErrNoRank, len(r.machine.lives)-1)}
		return
	}
	l := &r.machine.lives[m.rank]
	id.Generation = l.generation
	switch c := r.spec.Ranks[m.rank]; {
	case !l.alive() || r.ranks[m.rank] == nil:
		m.answer <- stacksOf{id: id, err: ErrRankEnded}
		return
	case c.Entry == "" && !(c.Speaks && (c.Dumps || c.Heartbeat > 0 || r.spec.Liveness != Liveness{})):
		m.answer <- stacksOf{id: id, err: ErrNoStacks}
		return
	}
	if len(r.dumps[id]) == 0 {
		ctx.Send(r.ranks[m.rank], &actors.Dump{})
	}
	r.dumps[id] = append(r.dumps[id], m.answer)
}

// dumped answers those who wait for the stacks of a life.
func (r *root) dumped(a stacksOf) {
	for _, answer := range r.dumps[a.id] {
		answer <- a
	}
	delete(r.dumps, a.id)
}

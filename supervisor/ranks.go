package supervisor

import (
	"errors"
	"fmt"
	"slices"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/go-muster/muster/actors/process"
)

// Add starts one rank more for each command, with the numbers that follow the last one, and returns these numbers. It
// returns as soon as the group has agreed. The new ranks are a generation of their own, whose start is all or nothing, and
// what fails in it is decided about as any failure. The others go on as they are: the WORLD_SIZE that they were started
// with is the old one, until they are restarted. What the spec says of single ranks, such as RestartTypes, holds for their
// numbers: those beyond it are transient.
//
// It returns an error that wraps [ErrSpec] for commands that cannot be run, for none, and for more than the spec's
// MaxRanks; [ErrBusy] unless the group is running; and [ErrStopped] when it is ending. Nothing has changed then.
func (g *Group) Add(commands []process.Command, reason string) (ranks []int, err error) {
	if len(commands) == 0 {
		return nil, fmt.Errorf("%w: there is nothing to add: give at least one command", ErrSpec)
	}
	if err := g.check(commands, commands); err != nil {
		return nil, err
	}
	return g.change(evAdd{slices.Clone(commands), reason})
}

// Remove ends a rank for good, with the polite signal first as always, and returns as soon as the group has agreed. That is
// no failure: the others go on, keep their numbers and their WORLD_SIZE, and the group has succeeded when they have. The
// number stays in reports, and is not given again until a [Group.Resize]. A rank that waits for its restart is not
// restarted; one that has ended, or was removed before, is only taken out of the account.
//
// It returns an error that wraps [ErrSpec] for a rank that there is not, and when fewer would be left than the spec's
// MinRanks, one, or Success.Need; [ErrBusy] while the group is being started, decided about or stopped; and [ErrStopped]
// when it is ending. Nothing has changed then.
func (g *Group) Remove(rank int, reason string) error {
	_, err := g.change(evRemove{rank, reason})
	return err
}

// Restart ends ranks, with the polite signal first as always, and starts them again as the next generation, whose report has the
// reason; without ranks, all but those that are gone for good. It returns as soon as the group has agreed. The others go on.
// This uses no budget, and the strategy is not asked.
//
// It returns an error that wraps [ErrSpec] for a rank that there is not, or that is gone for good (it was removed, dropped, or
// is temporary and has ended); [ErrBusy] unless the group is running; and [ErrStopped]
// when the group is ending. Nothing has changed then.
func (g *Group) Restart(reason string, ranks ...int) error {
	_, err := g.change(evRestart{slices.Clone(ranks), reason})
	return err
}

// Resize ends all ranks, with the polite signal first as always, and then starts one for each command, numbered from 0, as
// the next generation, whose report has the reason. It returns as soon as the group has agreed. This uses no budget. All
// begin anew, also those that had ended well, or were removed or dropped. While the group waits for a restart, that takes
// the new ranks, and all of them.
//
// It returns an error that wraps [ErrSpec] for commands that cannot be run, and for a number that is out of the spec's
// bounds or does not fit what it says of ranks; [ErrBusy] while the group is being started, decided about or stopped;
// [ErrAbandoned] beside a process that does not die; and [ErrStopped] when the group is ending. Nothing has changed then.
func (g *Group) Resize(commands []process.Command, reason string) error {
	more := min(len(commands), len(g.Report().Ranks)) // the others have the room that those who end give back
	if err := g.check(commands, commands[more:]); err != nil {
		return err
	}
	_, err := g.change(evResize{slices.Clone(commands), reason})
	return err
}

// check looks at commands as Start does, and whether there is room for those that are more than before.
func (g *Group) check(commands, more []process.Command) error {
	s := Spec{Ranks: commands}
	err := s.checkCommands(g.launcher, "command") // nobody knows yet which ranks they will be
	if p, ok := g.launcher.(process.Preflighter); ok && len(more) > 0 {
		err = errors.Join(err, p.Preflight(Spec{Ranks: more}.asLaunched()))
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSpec, err)
	}
	return nil
}

// A change of the group, which somebody waits for.
type change struct {
	event  event
	answer chan<- agreement
}

// An agreement says what became of it.
type agreement struct {
	ranks []int // that were added
	err   error
}

func (g *Group) change(ev event) ([]int, error) {
	answer := make(chan agreement, 1)
	a, ok := ask(g, &change{ev, answer}, answer)
	if !ok {
		return nil, fmt.Errorf("%w: the group has ended", ErrStopped)
	}
	return a.ranks, a.err
}

// ask tells the root actor something and waits for the answer; false when there will be none, because the group has ended.
func ask[T any](g *Group, m any, answer <-chan T) (a T, ok bool) {
	g.send(m)
	select {
	case a := <-answer:
		return a, true
	case <-g.done:
	}
	select {
	case a := <-answer: // the end came after it
		return a, true
	default:
		return a, false
	}
}

// change changes the group, or says why not.
func (r *root) change(ctx actor.Context, c *change) {
	if r.closing {
		return // the end is the answer
	}
	before := len(r.machine.lives)
	a := agreement{err: r.checkGPUs(c.event)}
	if a.err == nil {
		r.refusal = nil
		r.step(ctx, c.event)
		a.err = r.refusal
	}
	switch ev := c.event.(type) {
	case evAdd:
		for i := 0; i < len(ev.commands) && a.err == nil; i++ {
			a.ranks = append(a.ranks, before+i)
		}
	case evChange:
		r.spec.Strategy = ev.strategy
	}
	c.answer <- a
}

func (r *root) checkGPUs(ev event) (err error) {
	if r.hosts != nil {
		return nil
	}
	switch ev := ev.(type) {
	case evAdd:
		err = r.spec.GPUs.check(len(r.machine.lives) + len(ev.commands))
	case evResize:
		err = r.spec.GPUs.check(len(ev.commands))
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSpec, err)
	}
	return nil
}

// setRanks replaces the commands. The new ones may be the first that can speak.
func (r *root) setRanks(ctx actor.Context, commands []process.Command) {
	r.spec.Ranks = commands
	r.journal.setRanks(commands)
	for rank := range r.ranks {
		if rank >= len(commands) {
			delete(r.ranks, rank)
		}
	}
	r.expectMail(ctx, commands)
}

package supervisor

import (
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/go-muster/muster/actors"
	"github.com/go-muster/muster/actors/process"
)

var (
	sigStop, noSigStop = process.ParseSignal("SIGSTOP") // an error where there is no such signal
	sigCont, _         = process.ParseSignal("SIGCONT")
)

// suspendTime bounds how long Suspend waits for ranks whose processes are just being started, or ended.
const suspendTime = time.Second

// Suspend stops every rank where it stands (SIGSTOP to its process group), as Ctrl-Z does, and returns when that is done. Until
// [Group.Resume] no time passes for the group: no deadline, grace or wait ends, and nobody counts as hung. A rank that is
// started meanwhile stands still, too; Stop, Kill and the end of the context resume the group first.
//
// It returns an error where the system has no such signal.
func (g *Group) Suspend() error {
	if noSigStop != nil {
		return fmt.Errorf("supervisor: ranks cannot be suspended on this system: %w", noSigStop)
	}
	answer := make(chan pausing, 1)
	p, ok := ask(g, &pause{answer}, answer)
	if !ok {
		return nil
	}
	late := time.After(suspendTime)
	for range p.ranks {
		select {
		case <-p.sent:
		case <-late:
			return nil
		case <-g.done:
			return nil
		}
	}
	return nil
}

// Resume lets every rank go on (SIGCONT to its process group), also one that somebody else has stopped.
func (g *Group) Resume() {
	answer := make(chan struct{})
	_, _ = ask(g, &unpause{answer}, answer)
}

type (
	pause   struct{ answer chan<- pausing }
	unpause struct{ answer chan struct{} }
	// pausing is how many ranks were told to stop; each says when it is done.
	pausing struct {
		ranks int
		sent  <-chan struct{}
	}
)

func (r *root) pause(ctx actor.Context, m *pause) {
	if r.paused.IsZero() {
		r.paused = time.Now()
	}
	ids := r.living()
	sent := make(chan struct{}, len(ids))
	r.tell(ctx, ids, &actors.Signal{Signal: sigStop, Sent: sent})
	m.answer <- pausing{len(ids), sent}
}

func (r *root) living() []process.ID {
	return r.machine.pick(func(_ int, l *life) bool { return l.alive() })
}

// unpause gives the group back the time in which it stood still.
func (r *root) unpause(ctx actor.Context) {
	if sigCont != 0 {
		r.tell(ctx, r.living(), &actors.Signal{Signal: sigCont})
	}
	if r.paused.IsZero() {
		return
	}
	now := time.Now()
	away := now.Sub(r.paused)
	r.paused = time.Time{}
	for _, e := range r.machine.forget(now, away) {
		r.perform(ctx, e)
	}
	r.step(ctx, evNotice{fmt.Sprintf("the group was suspended for %v", away.Round(time.Millisecond))})
}

// standsStill reports whether a message is not to be heard because the group is suspended: timers, which are set again by the
// resumption. Who wants the group to end wants it to go on.
func (r *root) standsStill(ctx actor.Context, m any) bool {
	if r.paused.IsZero() {
		return false
	}
	switch m.(type) {
	case *fired:
		return true
	case *stop:
		r.unpause(ctx)
	}
	return false
}

// forget moves all that is due, and all signs of life, by a time in which nothing could happen, and sets the timers again.
func (m *machine) forget(now time.Time, away time.Duration) []effect {
	m.now, m.out.effects = now, nil
	for rank := range m.lives {
		l := &m.lives[rank]
		for _, t := range []*time.Time{&l.due, &l.until, &l.beat, &l.advanced, &l.suspect} {
			if !t.IsZero() {
				*t = t.Add(away)
			}
		}
	}
	for t := range timers {
		if m.isSet(t) {
			m.arm(t, max(0, m.due[t].Add(away).Sub(now)))
		}
	}
	return m.out.effects
}

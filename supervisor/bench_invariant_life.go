package supervisor

import (
	"slices"
	"strings"
	"time"
)

func (w *world) checkRunning() {
	w.starting = false
	if w.scope != nil { // a restart is called off, because nobody is to come back
		w.require(w.restartOfNobody(), "the group is running without ranks %v, which were to be restarted", w.scope)
		w.settleScope()
		w.scope, w.decisions, w.spoke, w.awaits = nil, 0, w.now, time.Time{}
		return
	}
	w.require(len(w.line) == 0, "the group is running without ranks %v", w.line)
	for _, b := range w.lives {
		if b != nil {
			w.require(b.ready || b.ignored || !b.dropped.IsZero(), "the group is running without %v", b.id)
		}
	}
}

// restartOfNobody reports whether all that a restart was to bring back are gone for good.
func (w *world) restartOfNobody() bool {
	for rank := range w.scope {
		if b := w.lives[rank]; w.returns(rank) || b != nil && !b.told {
			return false
		}
	}
	return w.scope != nil && w.resizing == 0
}

func (w *world) everybody(is func(*body) bool) bool {
	for _, b := range w.lives {
		if b != nil && !is(b) {
			return false
		}
	}
	return true
}

// checkStopping: nobody outside stopped the group, so that it is the deadline, a strategy's fault, or success.
func (w *world) checkStopping(reason string) {
	w.outside()
	switch {
	case strings.HasPrefix(reason, ErrNoRoom.Error()):
		w.checkBarren()
	case strings.HasPrefix(reason, ErrStrategy.Error()):
	case !strings.HasPrefix(reason, ErrTimeout.Error()):
		w.relieved = true
		w.require(w.achieved, "the group was stopped, and nobody knows why")
	default:
		w.require(w.timeout > 0 && !w.now.Before(epoch.Add(w.timeout)), "the group was stopped before its time was up")
	}
}

func (w *world) checkSpawn(e efSpawn) {
	w.require(w.stops == 0 && !w.final && !w.achieved, "a spawn after the end was certain")
	w.require(!w.gaveUp, "G-1: a spawn beside an abandoned process")
	if len(w.line) == 0 {
		w.newGeneration()
		w.checkRoomFor()
	}
	want := w.line
	if w.require(len(want) > 0, "a spawn of nobody, or one too many"); len(want) == 0 {
		return
	}
	if w.ordered {
		want = w.line[:1]
		for _, b := range w.lives {
			late := b != nil && w.newborn(b) && !b.ready && !b.ignored && b.dropped.IsZero()
			w.require(!late, "rank %d is started before %v is ready", want[0], b)
		}
	}
	w.line = w.line[len(want):]
	var spawned []int
	for _, id := range e.ids {
		w.require(id.Generation == w.generation, "spawn of %v in generation %d", id, w.generation)
		spawned = append(spawned, id.Rank)
		if old := w.lives[id.Rank]; old != nil {
			w.require(!old.alive && old.told, "G-1: a spawn of rank %d while %v lives", id.Rank, old.id)
		}
	}
	w.require(slices.Equal(spawned, want), "ranks %v are started, and not %v", spawned, want)
}

// newGeneration finds out who is to be started now: all of the scope that may come back, when nothing of it lives (G-1).
func (w *world) newGeneration() {
	w.require(w.generation < 0 || w.scope != nil, "a spawn for no reason")
	w.require(w.generation < 0 || !w.now.Before(w.reaped.Add(w.wait)), "a spawn before the back-off is over")
	for rank, b := range w.lives {
		if w.generation >= 0 && !w.scope[rank] {
			continue
		}
		w.require(b == nil || b.told, "G-1: a new generation before the exit of rank %d", rank)
		if w.returns(rank) {
			w.require(b == nil || !b.alive, "G-1: a new generation while rank %d lives", rank)
			w.line = append(w.line, rank)
			if b != nil {
				b.replaced = true
			}
		}
	}
	w.settleScope()
	w.generation++
	w.decisions, w.scope, w.starting, w.began = 0, nil, true, w.now
}

func (w *world) settleScope() {
	for rank := range w.scope {
		if b := w.lives[rank]; b != nil {
			b.settled = true
		}
	}
}

func (w *world) checkAsk(e efStop) {
	for _, id := range e.ids {
		b := w.lives[id.Rank]
		w.require(b.id == id && !b.told, "%v, which is gone, was asked to stop", id)
		w.require(b.asked.IsZero(), "%v was asked twice", id)
		reason := w.stops > 0 || w.gaveUp || w.scope[id.Rank] || !b.dropped.IsZero() || w.stoppedForRoom()
		leaving := !b.raised.IsZero() && w.now.Before(b.raised.Add(simExitTime))
		lingers := w.stops == 0 && !w.gaveUp && !b.failed && b.dropped.IsZero() && w.now.Before(w.decided.Add(w.linger))
		w.require(!lingers, "%v was asked before the linger was over", b.id)
		_, waits := w.turn(b)
		w.require(!waits || w.kills > 0 || !b.raised.IsZero(), "%v was asked before its turn", b.id)
		w.require(!leaving || w.kills > 0, "%v was asked before its moment was over", id)
		w.require(reason, "%v was asked for no reason", id)
		b.asked = w.now
	}
}

// turn is when it was a life's turn to be asked, in an ordered stop; it waits as long as a later one is there.
func (w *world) turn(b *body) (since time.Time, waits bool) {
	if !w.ordered || !b.dropped.IsZero() {
		return since, false
	}
	for _, later := range w.lives[b.id.Rank+1:] {
		switch {
		case later == nil || w.stops == 0 && !w.gaveUp && !w.scope[later.id.Rank]:
		case !later.told:
			waits = true
		case later.toldAt.After(since):
			since = later.toldAt
		}
	}
	return since, waits
}

// newborn: a start is rolled back as a whole.
func (w *world) newborn(b *body) bool { return b != nil && b.id.Generation == w.generation }

func (w *world) checkKill(e efKill) {
	for _, id := range e.ids {
		b := w.lives[id.Rank]
		w.require(b.id == id && !b.told, "%v, which is gone, was killed", id)
		w.require(b.killed.IsZero(), "%v was killed twice", id)
		w.require(!b.asked.IsZero(), "%v was killed without having been asked", id)
		w.require(w.kills > 0 || !w.now.Before(b.asked.Add(simGrace)), "%v was killed %v after it was asked", id,
			w.now.Sub(b.asked))
		b.killed = w.now
	}
}

func (w *world) checkAbandon(e efAbandon) {
	for _, id := range e.ids {
		b := w.lives[id.Rank]
		w.gaveUp = w.gaveUp || b.dropped.IsZero()
		w.resizing = 0 // it is called off
		w.require(b.id == id && !b.told && !b.gaveUp, "%v, which is gone, was abandoned", id)
		w.require(!b.killed.IsZero() && !w.now.Before(b.killed.Add(w.killWait)), "%v was abandoned before its time", id)
		w.require(b.site == nil || !b.site.silent || b.killed.Before(b.site.fell), "%v was abandoned, and its host has not been heard of", b.id)
		b.gaveUp = true
	}
}

func (w *world) checkDone(e efDone) {
	w.require(w.everybody(func(b *body) bool { return b.told && (!b.alive || b.gaveUp) }), "G-4: done while somebody lives")
	w.done, w.result, w.ended = true, e.err, w.now
}

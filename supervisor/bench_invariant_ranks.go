package supervisor

import (
	"slices"
	"time"
)

// takes reports whether the group has to take a change of its ranks or terms.
func (w *world) takes(ev event) bool {
	if ev, is := ev.(evTerms); is {
		return w.takesTerms(ev.terms.terms())
	}
	if w.done || w.stops > 0 || w.final || w.gaveUp || w.generation < 0 && w.scope == nil || !w.question.IsZero() || w.starting && w.scope == nil {
		return false
	}
	for rank := range w.scope {
		if b := w.lives[rank]; b != nil && !b.told {
			return false // not a back-off
		}
	}
	left := len(w.lives) - len(w.removed)
	switch ev := ev.(type) {
	case evAdd:
		return w.scope == nil && !w.achieved && w.bounds.check(left+len(ev.commands)) == nil && w.hasRoom(len(w.lives)+len(ev.commands))
	case evRestart:
		ranks := ev.ranks
		for rank := range w.lives {
			if len(ev.ranks) == 0 && !w.gone(rank) {
				ranks = append(ranks, rank)
			}
		}
		return w.scope == nil && !w.achieved && len(ranks) > 0 && !slices.ContainsFunc(ranks, w.immovable)
	case evResize:
		n := len(ev.commands)
		return !w.achieved && !w.lingers() && w.bounds.check(n) == nil && w.terms.cut(n).check(n) == nil && w.hasRoom(n)
	case evRemove:
		known := ev.rank < len(w.lives)
		return known && w.resizing == 0 && (w.removed[ev.rank] || w.bounds.check(left-1) == nil && w.can(&w.terms, ev.rank) >= w.success.Need)
	}
	return false
}

// takesTerms, whatever it is doing, if they make sense in the group as it is, and as it will be.
func (w *world) takesTerms(t terms) bool {
	if w.resizing > 0 {
		return t.check(len(w.lives)) == nil && t.check(w.resizing) == nil && w.fitting(t)
	}
	return !w.done && t.check(len(w.lives)) == nil && w.can(&t, nobody) >= t.success.Need && w.fitting(t)
}

// hasRoom for so many ranks.
func (w *world) hasRoom(n int) bool { return !w.placed || n <= w.room.Ranks }

// fitting holds for terms that make sense in the group when it is smallest.
func (w *world) fitting(t terms) bool {
	least := w.bounds.least()
	return !w.elastic.Fit || t.cut(least).check(least) == nil
}

// lingers holds when a process does not die.
func (w *world) lingers() bool {
	return slices.ContainsFunc(w.lives, func(b *body) bool { return b != nil && b.gaveUp && (!b.told || b.left) })
}

// can is how many ranks may end well without one.
func (w *world) can(t *terms, without int) (n int) {
	for rank := range w.lives {
		if rank != without && !w.removed[rank] && t.counts(rank) && t.of(rank) != Permanent {
			n++
		}
	}
	return n
}

// checkAnswer: what a group can take is taken, and what it cannot take changes nothing (G-9).
func (w *world) checkAnswer(ev event, effects []effect) {
	switch ev.(type) {
	case evAdd, evRemove, evResize, evRestart, evTerms:
	default:
		return
	}
	refused := slices.ContainsFunc(effects, func(e effect) bool { _, is := e.(efRefuse); return is })
	w.require(refused == !w.takes(ev), "%v was answered with %v", describeInput(ev), render(effects))
	w.require(!refused || len(effects) == 1, "a refusal did %v", render(effects))
	if w.granted = !refused; refused {
		w.refusals++
	}
}

// immovable holds for a rank that cannot be restarted.
func (w *world) immovable(rank int) bool { return rank >= len(w.lives) || w.gone(rank) }

// restarted: ranks are stopped for a restart that nobody failed for, and that is the decision of this generation (G-2).
func (w *world) restarted(e Event) {
	w.require(w.stops == 0 && !w.achieved, "a restart after the end was certain")
	if w.scope == nil {
		w.final, w.decided, w.linger, w.wait, w.decisions, w.scope = false, w.now, 0, 0, 1, map[int]bool{}
	}
	w.scope[e.Rank] = true
	w.again++
}

// added: a rank with the next number is about to be started, in a generation of its own with those that come with it.
func (w *world) added(e Event) {
	w.require(e.Rank == len(w.lives), "rank %d was added to %d", e.Rank, len(w.lives))
	if len(w.line) == 0 {
		w.generation++
		w.decisions, w.starting, w.began = 0, true, w.now
	}
	w.require(e.Generation == w.generation, "rank %d was added to generation %d", e.Rank, w.generation)
	w.lives, w.line = append(w.lives, nil), append(w.line, e.Rank)
	w.most = max(w.most, len(w.lives))
	w.additions++
	w.raiseTarget()
}

// remove ends a rank as one that was dropped, but it is wanted no more.
func (w *world) remove(rank int) {
	w.require(!w.removed[rank], "rank %d was removed twice", rank)
	if b := w.lives[rank]; !w.banned[rank] && (b == nil || b.dropped.IsZero()) {
		w.target--
	}
	w.removed[rank], w.banned[rank] = true, true
	if b := w.lives[rank]; b != nil && b.dropped.IsZero() {
		b.dropped = w.now
	}
	w.removals++
	w.enough()
}

// resized: all are stopped, and that is the decision of this generation (G-2).
func (w *world) resized(e Event) {
	w.require(w.stops == 0 && !w.achieved, "a resize after the end was certain")
	if w.scope == nil {
		w.wait = 0
	}
	w.target, w.awaits = e.Size, time.Time{}
	w.resizing, w.final, w.decided, w.linger, w.decisions, w.scope = e.Size, false, w.now, 0, 1, map[int]bool{}
	for rank := range w.lives {
		w.scope[rank] = true
	}
}

// checkResize: nothing of the old ranks is there when new ones get their numbers (G-1).
func (w *world) checkResize(size int) {
	w.require(size == w.resizing, "a resize to %d, and not to %d", size, w.resizing)
	w.require(w.everybody(func(b *body) bool { return b.told && !b.alive }), "G-1: a resize while somebody lives")
	w.replaceAll(size)
	w.resizing = 0
	w.resizes++
}

// replaceAll gives all ranks new lives, or will.
func (w *world) replaceAll(size int) {
	w.lives, w.removed, w.banned = make([]*body, size), map[int]bool{}, map[int]bool{}
	w.scopeAll()
	w.most = max(w.most, size)
}

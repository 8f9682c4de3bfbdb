package supervisor

import (
	"errors"
	"slices"
	"time"
)

// checkFailed: a rank fails once, and for a reason; its failure joins what is going on.
func (w *world) checkFailed(b *body, f *Failure) {
	w.require(!b.failed, "%v failed twice", b.id)
	w.checkTimes(b, f)
	b.failed = true
	excused := f.Kind == Ignored
	if !w.question.IsZero() && b.dropped.IsZero() {
		w.held[f.Rank] = true
	}
	b.excused = w.of(f.Rank) == Temporary
	w.require(!excused || w.achieved || b.excused, "the failure of %v was ignored", b.id)
	if b.ignored = excused; w.scope != nil && !excused && !w.achieved && b.dropped.IsZero() {
		w.awaits = time.Time{} // until it has ended, too
		w.scope[f.Rank] = true
	}
	if f.ofLostHost() && !b.told && b.raised.IsZero() && b.asked.IsZero() {
		b.raised = w.now // it is about to end
	}
	if excused {
		w.look(f.Rank)
	}
}

// checkTimes: a failure for want of time has had it all.
func (w *world) checkTimes(b *body, f *Failure) {
	if errors.Is(f.Err, ErrStartTimeout) {
		w.require(!b.ready && !w.now.Before(b.born.Add(simStart)), "%v is not late", b.id)
	}
	if errors.Is(f.Err, ErrHung) {
		silent := !w.now.Before(b.heard.Add(10 * simBeat))
		stalls := w.liveness.Stall > 0 && !b.moved.IsZero() && !w.now.Before(b.moved.Add(w.liveness.Stall))
		w.require(!b.heard.IsZero() && (silent || stalls), "%v is not hung", b.id)
	}
	if errors.Is(f.Err, ErrLifetime) {
		w.require(!w.now.Before(w.began.Add(w.lifetime)), "%v has some time left", b.id)
	}
}

func (w *world) checkDecision(e Event) {
	b := w.lives[e.Rank]
	w.require(b.asked.IsZero(), "G-6: %v, which we stopped, was made the origin", b.id)
	w.require(w.stops == 0, "G-2: a decision after the group was stopped")
	w.require(w.decisions == 0 || w.achieved, "G-2: a second decision in generation %d", w.generation)
	excused := w.achieved || b.excused
	w.require(b.dropped.IsZero(), "%v was dropped, and is decided about", b.id)
	w.require(!excused || e.Action == Ignore, "the failure of %v matters to nobody, and led to %v", b.id, e.Action)
	if delete(w.held, e.Rank); !w.question.IsZero() && w.about == e.Rank {
		w.answered()
	}
	folded := e.Failure.Collateral // who was lost with its host
	if !excused {
		w.checkLoss(e.Failure)
	}
	switch e.Action {
	case Ignore:
		w.ignore(e.Rank)
		for _, c := range folded {
			w.ignore(c.Rank)
		}
		return
	case Drop:
		w.dropped(e)
		return
	}
	w.decisions++
	d := e.Failure.Directive
	w.final, w.decided, w.linger, w.wait = d.Action == Terminate, w.now, d.Linger, d.After
	w.spent += one(d.Action == Restart && !d.Free)
	w.means(e, folded)
}

// means notes whom a decision is about: those that it names, or all, and those that waited for it or could not go on without it.
func (w *world) means(e Event, folded []*Failure) {
	w.scope = w.held
	w.scope[e.Rank], w.held = true, map[int]bool{}
	for _, c := range folded {
		w.scope[c.Rank] = true
	}
	d := e.Failure.Directive
	for _, rank := range d.Ranks {
		w.scope[rank] = true
	}
	for rank := range w.lives {
		newborn := w.starting && (slices.Contains(w.line, rank) || w.newborn(w.lives[rank]))
		if len(d.Ranks) == 0 || w.final || newborn {
			w.scope[rank] = true
		}
	}
	w.line = nil
}

func (w *world) ignore(rank int) {
	w.lives[rank].ignored = true
	delete(w.held, rank)
	w.look(rank)
}

func (w *world) dropped(e Event) {
	for rank, b := range w.lives {
		switch {
		case rank != e.Rank && !slices.Contains(e.Failure.Directive.Ranks, rank) && !e.Failure.folded(rank):
		case slices.Contains(w.line, rank):
			w.banned[rank] = true
			w.target--
			w.line = slices.DeleteFunc(w.line, func(queued int) bool { return queued == rank })
		case b != nil && b.dropped.IsZero():
			b.dropped = w.now
			w.target--
			delete(w.held, rank)
		}
	}
}

// goodEnd is the end of a rank that did what it was there for.
func (w *world) goodEnd(b *body) bool {
	return b != nil && b.told && !b.answered && (b.well && !b.failed || b.ignored)
}

// look: the end of a rank that is not to be restarted may complete the group's work.
func (w *world) look(rank int) {
	if w.scope[rank] && (w.returns(rank) || w.resizing > 0) || !w.goodEnd(w.lives[rank]) {
		return
	}
	left := 0
	for rank, b := range w.lives {
		if over := w.goodEnd(b) || w.gone(rank); slices.Contains(w.significant, rank) && (!over || slices.Contains(w.line, rank)) {
			left++
		}
	}
	w.achieved = w.achieved || slices.Contains(w.significant, rank) && !w.removed[rank] && (w.shutdown == AnySignificant || left == 0)
	w.enough()
}

// enough ranks may have ended well.
func (w *world) enough() {
	good := 0
	for rank, b := range w.lives {
		if w.banned[rank] || b != nil && b.replaced {
			continue // it is to begin anew, or is wanted no more
		}
		if w.goodEnd(b) && w.counts(rank) && !(b.failed && w.of(rank) == Temporary) {
			good++
		}
	}
	if w.achieved = w.achieved || w.need() > 0 && good >= w.need(); w.achieved {
		w.line = nil
	}
}

// need is how many ranks have to end well.
func (w *world) need() (n int) {
	for rank := range w.lives {
		if w.counts(rank) && !w.removed[rank] {
			n++
		}
	}
	if w.success.Need > 0 {
		return w.success.Need
	}
	return n
}

// gone holds for a rank that was ended for good, whether that was an end of its own or not.
func (w *world) gone(rank int) bool {
	b := w.lives[rank]
	return w.banned[rank] || b != nil && (!b.dropped.IsZero() || b.told && !b.replaced && w.of(rank) == Temporary)
}

// returns reports whether a restart may bring a rank back.
func (w *world) returns(rank int) bool {
	b := w.lives[rank]
	return !w.banned[rank] && (b == nil || b.dropped.IsZero() && (b.replaced || w.of(rank) != Temporary))
}

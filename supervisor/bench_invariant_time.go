package supervisor

import (
	"errors"
	"time"
)

// checkTime: before the clock goes on, everybody must have been told what was due.
func (w *world) checkTime(next time.Time) {
	w.checkLifetime(next)
	w.checkPatience(next)
	w.require(w.question.IsZero() || !next.After(w.question.Add(simAnswer+simSlack)), "the strategy is waited for in vain")
	for _, b := range w.lives {
		if b == nil || b.told {
			continue
		}
		if !b.ready && !b.failed && b.dropped.IsZero() && w.scope == nil && w.stops == 0 && w.question.IsZero() {
			from := b.born.Add(simStart)
			if w.spoke.After(from) {
				from = w.spoke
			}
			w.require(!next.After(from.Add(simSlack)), "%v is late, and nobody cares", b.id)
		}
		w.checkSigns(b, next)
		if from, due := w.askedBy(b); due && b.asked.IsZero() {
			w.require(!next.After(from.Add(simSlack)), "%v was not asked to stop in time", b.id)
		}
		if !b.asked.IsZero() && b.killed.IsZero() {
			w.require(!next.After(b.asked.Add(simGrace+simSlack)), "%v was not killed in time", b.id)
		}
		if !b.killed.IsZero() && !b.gaveUp {
			w.require(!next.After(b.killed.Add(w.killWait+simSlack)), "%v was not abandoned in time", b.id)
		}
	}
}

// checkSigns: who gives none is found, if anybody may be found now.
func (w *world) checkSigns(b *body, next time.Time) {
	if w.liveness.Heartbeat == 0 || b.heard.IsZero() || b.failed || !b.asked.IsZero() || !b.dropped.IsZero() ||
		w.scope != nil || w.stops > 0 || !w.question.IsZero() || w.achieved {
		return
	}
	// At worst it fell silent when somebody else was just being looked at, after a time in which nobody could be.
	patience := 2*(10*simBeat+w.liveness.Stall) + 2*dumpTime + 4*simSlack
	from := b.heard
	for _, t := range []time.Time{w.spoke, w.reaped, w.began} {
		if t.After(from) {
			from = t
		}
	}
	w.require(!next.After(from.Add(patience)), "%v gives no sign of life, and nobody cares", b.id)
}

// checkLifetime: who lives when its generation's time is over, has failed, or been dropped. Nobody asks those who are
// started later, because the strategy ignored that.
func (w *world) checkLifetime(next time.Time) {
	if w.lifetime == 0 || w.scope != nil || w.stops > 0 || !w.question.IsZero() || w.achieved {
		return
	}
	end := w.began.Add(w.lifetime + simSlack)
	for _, b := range w.lives {
		if b != nil && !b.told && !b.failed && b.dropped.IsZero() && b.born.Before(w.began.Add(w.lifetime)) {
			w.require(!next.After(end) || !next.After(w.spoke.Add(simSlack)), "%v lives too long", b.id)
		}
	}
}

// askedBy is when a life must have been asked at the latest.
func (w *world) askedBy(b *body) (from time.Time, due bool) {
	switch {
	case !b.dropped.IsZero():
		from = b.dropped
	case w.stops > 0:
		from = w.stopped
	case w.scope[b.id.Rank]:
		from = w.decided.Add(w.linger + simSlack)
	default:
		return from, false
	}
	since, waits := w.turn(b)
	if waits && w.kills == 0 {
		return from, false
	}
	if leaving := b.raised.Add(simExitTime); !b.raised.IsZero() && leaving.After(from) {
		from = leaving
	}
	if since.After(from) {
		from = since
	}
	return from, true
}

// checkEnd holds what the group says of itself against what happened.
func (w *world) checkEnd() {
	if w.err != nil {
		return
	}
	w.require(w.done, "the run has not ended")
	if !w.done {
		return
	}
	each := simExitTime + simGrace + w.killWait + 2*simLatency + 4*simSlack
	limit := epoch.Add(simHorizon + each)
	if w.ordered {
		limit = epoch.Add(simHorizon + time.Duration(w.most)*each)
	}
	r := w.m.report()
	w.require(!w.barren || errors.Is(w.result, ErrNoRoom), "hosts were waited for in vain, and the group's end is %v", w.result)
	w.require(len(w.m.restarts)+w.m.forgotten == w.spent, "%d restarts were decided on, and %d are counted", w.spent, len(w.m.restarts)+w.m.forgotten)
	w.require(!w.ended.After(limit), "the end came late")
	bad := w.final || w.stops > 0 && !w.relieved || w.left || w.gaveUp && !w.relieved || !w.achieved && w.need() > 0
	w.require((w.result == nil) == !bad, "the group's end is %v", w.result)
	w.require((w.result == nil) == (r.Outcome == Succeeded), "%v, and yet %v", w.result, r.Outcome)
	if w.result == nil {
		proof := w.achieved || w.everybody(w.goodEnd)
		w.require(proof || w.need() == 0, "G-8: success without proof")
	}
	w.checkPhases(r)
	for i, f := range r.Failures {
		w.require(f.Seq == w.m.told-len(r.Failures)+i+1, "failure %d of %d has number %d", i+1, w.m.told, f.Seq)
	}
	var failure *Failure
	if errors.As(w.result, &failure) {
		w.require(failure.Kind == Origin, "the end was %v failure", failure.Kind)
	}
}

// checkPhases: the parts of each generation's time are all of it, and those of the generations all of the group's.
func (w *world) checkPhases(r Report) {
	word := time.Duration(simLatency + 1)
	if w.placed {
		word += simPatience
	}
	for i, g := range r.Generations {
		until := w.ended
		if i+1 < len(r.Generations) {
			until = r.Generations[i+1].Started
			w.require(!g.Reaped.After(until), "generation %d began before the one before was reaped", g.Generation+1)
		}
		var sum time.Duration
		for n, part := range g.parts(until) {
			w.require(part >= 0, "generation %d: %s is %v", g.Generation, phaseNames[n], part)
			sum += part
		}
		w.require(sum == until.Sub(g.Started), "the phases of generation %d take %v of %v", g.Generation, sum,
			until.Sub(g.Started))
		last := g.Started
		for _, point := range []time.Time{g.Seen, g.Failed, g.Decided, g.Asked, g.Stopped, g.Reaped} {
			if w.require(point.IsZero() || !point.Before(last), "generation %d went back in time: %+v", g.Generation, g); !point.IsZero() {
				last = point
			}
		}
		detect := g.Failed.Sub(g.Seen)
		w.require(0 <= detect && detect <= word, "generation %d: a failure was noticed after %v", g.Generation, detect)
	}
}

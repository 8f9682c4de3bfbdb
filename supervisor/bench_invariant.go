package supervisor

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-muster/muster/actors/process"
)

// simSlack is how late an order may come: the timer's own lateness.
const simSlack = 2 * simLate

// A watch knows what the machine was told and what it did, and nothing of how it thinks.
type watch struct {
	config
	space
	err        error
	steps      int
	seq        int
	generation int
	ghosts     int

	decisions int          // restarts and terminates since the last spawn
	began     time.Time    // the newest generation
	starting  bool         // not everybody is ready
	line      []int        // who is still to be started, in an ordered start
	banned    map[int]bool // who was dropped before that
	final     bool         // a terminate was among them
	left      bool         // somebody lives on
	removed   map[int]bool // who was removed; banned, too
	resizing  int          // how many ranks the restart that was decided will have; 0 for those that there are
	most      int          // ranks that there have been at a time

	granted                                       bool // the last wish for other ranks or terms
	additions, removals, resizes, again, refusals int

	gaveUp   bool      // somebody who had not been dropped was abandoned
	decided  time.Time // when the last decision was made
	linger   time.Duration
	wait     time.Duration // of the back-off,
	reaped   time.Time     // which begins here
	scope    map[int]bool  // that the last decision and what joined it meant; nil without one
	stops    int           // how often the group was stopped from outside
	stopped  time.Time     // when it first was
	kills    int
	question time.Time // when the strategy was asked; zero when it has answered
	about    int       // which rank
	spoke    time.Time // when it did
	held     map[int]bool
	achieved bool // the group has done its work, and nothing that comes is a failure
	relieved bool // it was stopped for that
	done     bool
	result   error
	ended    time.Time
}

// known is what the machine has been told of a life, and has done about it.
type known struct {
	told     bool // its exit
	toldAt   time.Time
	ready    bool      // or as good
	heard    time.Time // its last sign of life
	moved    time.Time // its last progress
	raised   time.Time // when its exception was told, before anybody asked it to stop
	failed   bool      // the machine said so
	ignored  bool
	excused  bool // when it failed, its failures mattered to nobody
	replaced bool // it was to begin anew
	settled  bool // a restart was decided on because of it, or of another one
	well     bool // the exit was a success of its own
	dropped  time.Time

	answered bool // the exit was the answer to our asking
	asked    time.Time
	killed   time.Time
	gaveUp   bool
	left     bool // it lives on
}

func (w *world) failf(format string, a ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format, a...)
		w.note("VIOLATION: %v", w.err)
	}
}

func (w *world) require(ok bool, format string, a ...any) {
	if !ok {
		w.failf(format, a...)
	}
}

// A frozen machine is what a ghost must not change.
type frozen struct {
	report Report
	phase  phase
	due    [timers]time.Time
	serial [timers]int
}

func (w *world) freeze(stale bool) (f frozen) {
	if !stale {
		return f
	}
	f = frozen{w.m.report(), w.m.phase, w.m.due, w.m.serial}
	f.report.Ghosts = 0
	return f
}

// checkStep looks at all that an event led to.
func (w *world) checkStep(ev event, b *body, stale bool, before frozen, effects []effect) {
	w.checkAnswer(ev, effects)
	effects = slices.DeleteFunc(slices.Clone(effects), func(e effect) bool { _, is := e.(efRefuse); return is })
	if w.done && len(effects) > 0 {
		w.failf("G-4: after done came %v", render(effects))
	}
	if stale {
		w.ghosts++
		w.require(reflect.DeepEqual(before, w.freeze(true)), "G-3: a ghost changed something")
		w.require(w.m.ghosts == w.ghosts, "G-3: %d ghosts were counted, there were %d", w.m.ghosts, w.ghosts)
	}
	var failedBefore bool
	if b != nil {
		failedBefore = b.failed
	}
	w.hear(ev, b, stale)
	for _, e := range effects {
		if w.done {
			w.failf("G-4: after done came %v", render([]effect{e}))
		}
		w.checkEffect(e, b, stale)
	}
	if !stale {
		w.checkWord(ev, b, failedBefore)
	}
	if stop, ok := ev.(evStop); ok && !w.done {
		w.checkStopped(stop)
	}
	w.checkSpace()
	w.checkEveryFailure()
	w.require(w.done || w.final || w.stops > 0 || w.achieved || !w.restartOfNobody(), "a restart of nobody is waited for")
}

// hear notes what the machine is told.
func (w *world) hear(ev event, b *body, stale bool) {
	if stale || w.done {
		return
	}
	switch ev := ev.(type) {
	case evReady:
		b.ready = true
	case evHello, evBeat:
		b.heard = w.now
	case evProgress:
		b.heard, b.moved = w.now, w.now
	case evRaised:
		if b.raised.IsZero() && b.asked.IsZero() && !b.failed && ev.exception != nil {
			b.raised = w.now
		}
	case evExited:
		b.told, b.ready, b.toldAt = true, true, w.now
		b.left = errors.Is(ev.exit.Err, ErrAbandoned)
		w.left = w.left || b.left
		b.answered = ev.exit.Stopped && !b.asked.IsZero() && !errors.Is(ev.exit.Err, process.ErrHostLost) // nobody knows what happened to it
		b.well = ev.exit.Success() && !b.answered && w.of(b.id.Rank) != Permanent
		w.look(b.id.Rank)
	case evRoom:
		w.hearRoom(ev.room)
	case evTerms:
		if w.granted {
			w.terms = ev.terms.terms()
			w.enough()
		}
	case evStop:
		w.outside()
		if ev.kill {
			w.kills++
		}
	}
}

// answered: whatever still comes is the answer to another question.
func (w *world) answered() { w.question, w.spoke = time.Time{}, w.now }

func (w *world) outside() {
	w.answered()
	w.resizing = 0 // it is called off
	if w.stops++; w.stops == 1 {
		w.stopped = w.now
	}
}

// checkWord: an exception and a bad exit are failures now (G-7, G-8), an answer is none (G-6).
func (w *world) checkWord(ev event, b *body, failedBefore bool) {
	switch ev.(type) {
	case evRaised:
		w.require(b.failed, "G-7: %v raised, and nobody took it for a failure", b.id)
	case evExited:
		switch {
		case failedBefore:
		case b.answered || b.well:
			w.require(!b.failed, "G-6: the exit of %v was taken for a failure", b.id)
		default:
			w.require(b.failed, "G-8: the bad exit of %v was taken for none", b.id)
		}
	}
}

// checkStopped: everybody is told at once (G-9), but for those that raised a moment ago.
func (w *world) checkStopped(stop evStop) {
	for _, b := range w.lives {
		if b == nil || b.told {
			continue
		}
		leaving := !b.raised.IsZero() && w.now.Before(b.raised.Add(simExitTime+simSlack)) && !stop.kill
		_, waits := w.turn(b)
		w.require(leaving || waits && !stop.kill || !b.asked.IsZero(), "G-9: %v was not asked when the group was stopped", b.id)
		w.require(!stop.kill || !b.killed.IsZero(), "G-9: %v was not killed when the group was", b.id)
	}
}

func (w *world) checkEffect(e effect, b *body, stale bool) {
	switch e := e.(type) {
	case efEvent:
		w.require(e.event.Seq == w.seq+1, "event %d came after event %d", e.event.Seq, w.seq)
		w.require(e.event.At.Equal(w.now), "event %d has another time", e.event.Seq)
		w.seq = e.event.Seq
		if stale {
			w.require(e.event.Kind == EventGhost && e.event.Rank == b.id.Rank, "G-3: a ghost led to %v", e.event.Kind)
			return
		}
		w.checkEvent(e.event)
	case efSpawn:
		w.checkSpawn(e)
		for _, id := range e.ids { // the next effect may mean them
			w.launch(id)
		}
	case efStop:
		w.checkAsk(e)
	case efKill:
		w.checkKill(e)
	case efAbandon:
		w.checkAbandon(e)
	case efResize:
		w.checkResize(len(e.commands))
	case efFit:
		w.checkFit(e.size)
	case efDump:
		for _, id := range e.ids {
			b := w.lives[id.Rank]
			w.require(b.id == id && !b.told && b.asked.IsZero(), "%v was asked for its stacks", id)
		}
	case efSignal:
		for _, id := range e.ids {
			b := w.lives[id.Rank]
			w.require(b.id == id && !b.told, "%v, which is gone, was sent a signal", id)
		}
	case efAsk:
		w.require(w.question.IsZero(), "G-2: the strategy is asked while it thinks")
		w.question, w.about = w.now, e.failure.Rank
	case efDone:
		w.checkDone(e)
	}
}

func (w *world) checkEvent(e Event) {
	switch e.Kind {
	case EventFailed:
		w.checkFailed(w.lives[e.Rank], e.Failure)
	case EventDecided:
		w.checkDecision(e)
	case EventRunning:
		w.checkRunning()
	case EventStopping:
		if w.stops == 0 {
			w.checkStopping(e.Reason)
		}
	case EventReaped:
		w.reaped = w.now
		if w.achieved && !w.final { // the restart is called off
			w.scope = nil
		}
	case EventAdded:
		w.added(e)
	case EventRemoved:
		w.remove(e.Rank)
	case EventResized:
		if e.Fit {
			w.fitsTo = e.Size
			return
		}
		w.resized(e)
	case EventWaiting:
		w.checkWaiting(e)
	case EventRestart:
		w.restarted(e)
	case EventGhost:
		w.failf("G-3: a living rank was taken for a ghost")
	case EventDone:
		w.require(w.everybody(func(b *body) bool { return b.told }), "G-4: done before the last exit")
	}
}

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

func (w *world) everybody(is func(*body) bool) bool {
	for _, b := range w.lives {
		if b != nil && !is(b) {
			return false
		}
	}
	return true
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
	w.scope = w.held
	w.scope[e.Rank], w.held = true, map[int]bool{}
	for _, c := range folded {
		w.scope[c.Rank] = true
	}
	w.spent += one(d.Action == Restart && !d.Free)
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

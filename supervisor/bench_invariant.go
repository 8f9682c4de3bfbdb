package supervisor

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
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
		if !w.elastic.Fit || w.reaped.Before(w.decided) { // after the back-off others may have to end, for want of room
			w.reaped = w.now
		}
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

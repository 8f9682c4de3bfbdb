package supervisor

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

func (m *machine) onStart(event) {
	m.scopeAll()
	if m.timeout > 0 {
		m.arm(deadlineTimer, m.timeout)
	}
	m.launch()
}

func (m *machine) scopeAll() {
	for rank := range m.scope {
		m.scope[rank] = true
	}
}

func (m *machine) onStarted(ev event) {
	e := ev.(evStarted)
	l := &m.lives[e.id.Rank]
	l.pid, l.began = e.pid, m.now
	if l.state == spawned {
		l.state = started
	}
	m.noteSpawned()
	m.emit(Event{Kind: EventStarted, Rank: e.id.Rank, Generation: e.id.Generation, PID: e.pid, Host: l.host})
}

func (m *machine) onReady(ev event) {
	e := ev.(evReady)
	l := &m.lives[e.id.Rank]
	l.state = ready
	m.emit(Event{Kind: EventReady, Rank: e.id.Rank, Generation: e.id.Generation, PID: l.pid})
	m.startBarrier()
}

func (m *machine) onReturned(ev event) {
	e := ev.(evReturned)
	l := &m.lives[e.id.Rank]
	l.value = e.value
	m.emit(Event{Kind: EventReturned, Rank: e.id.Rank, Generation: e.id.Generation, PID: l.pid})
}

// onRaised: an exception is a failure now, even if the process hangs in its exit (G-7).
func (m *machine) onRaised(ev event) {
	e := ev.(evRaised)
	switch l := &m.lives[e.id.Rank]; {
	case l.failure != nil:
		return // it was ignored, and so is all that follows from it
	case l.leaves():
		m.onRaisedLate(ev)
		return
	}
	m.decide(m.failRaised(e, Origin))
}

func (m *machine) failRaised(e evRaised, kind Kind) *Failure {
	f := m.fail(e.id, kind)
	f.Exception, f.Err, f.seen = e.exception, e.err, e.seen
	return f
}

// onRaisedLate: one voice. What fails while the scope is being stopped joins the failure that is being dealt with (G-2).
func (m *machine) onRaisedLate(ev event) {
	e := ev.(evRaised)
	if m.lives[e.id.Rank].failure != nil {
		return
	}
	m.join(m.failRaised(e, Collateral))
}

// join makes a failure collateral of the one that its rank is being ended for. A rank out of the directive's scope comes
// into it, for it failed; but not one whose failures are no reason for anything.
func (m *machine) join(f *Failure) {
	l := &m.lives[f.Rank]
	aside := !m.scope[f.Rank] && !l.leaves()
	if d, excused := m.excuse(f); excused && aside {
		f.Kind, f.Directive = Ignored, d
		m.emitFailed(f)
		return
	}
	m.attach(f)
	m.emitFailed(f)
	if !aside {
		return
	}
	m.scope[f.Rank] = true
	if m.phase == waiting {
		m.endWait()
		m.phase = stopping
	}
	if !m.isSet(lingerTimer) {
		m.askScope()
	}
}

// attach makes a failure part of the one that its rank is being ended for.
func (m *machine) attach(f *Failure) {
	if owner := m.ownerOf(&m.lives[f.Rank]); owner != nil {
		owner.Collateral = append(owner.Collateral, f)
	}
}

// ownerOf returns the failure because of which a life is being ended, nil for none.
func (m *machine) ownerOf(l *life) *Failure {
	if l.leaves() {
		return l.dropper
	}
	return m.origin
}

func (m *machine) onGoodExit(ev event) {
	e := ev.(evExited)
	m.end1(e)
	m.progress(e.id.Rank)
}

// end1 marks one life as ended.
func (m *machine) end1(e evExited) {
	l := &m.lives[e.id.Rank]
	m.noteStopped(l, e.id.Rank, e.exit.Ended)
	l.state, l.exit = ended, &e.exit
	m.missing-- // if it ended well: counting anew at each end would be too much
	if l.pid == 0 {
		l.pid = e.pid
	}
	if l.failure != nil {
		l.failure.Exit = l.exit
	}
	l.outcome = l.ending()
	if owner := m.ownerOf(l); l.outcome == Stopped && owner != nil {
		at, _ := slices.BinarySearch(owner.Stopped, e.id.Rank)
		owner.Stopped = slices.Insert(owner.Stopped, at, e.id.Rank)
	}
	m.emit(Event{Kind: EventExited, Rank: e.id.Rank, Generation: e.id.Generation, PID: l.pid, Exit: l.exit})
}

// ending makes an outcome of an exit.
func (l *life) ending() Outcome {
	switch {
	case errors.Is(l.exit.Err, ErrAbandoned):
		return Abandoned
	case l.failure != nil && l.failure.Kind != Ignored:
		return Failed
	case l.answers(l.exit):
		return Stopped
	case l.failure != nil:
		return Failed
	case l.exit.Success():
		return Succeeded
	}
	return Failed
}

// progress looks, after the end of a rank, whether the group is complete, or its start is.
func (m *machine) progress(rank int) {
	m.achieve(rank)
	m.complete()
}

func (m *machine) complete() {
	switch {
	case m.phase != starting && m.phase != running || len(m.held) > 0 || m.spawnNext():
	case !m.any(alive):
		m.finish()
	default:
		m.startBarrier()
	}
}

func (m *machine) onBadExit(ev event) {
	e := ev.(evExited)
	l := &m.lives[e.id.Rank]
	known := l.failure != nil
	m.end1(e)
	switch {
	case known: // it raised, and was ignored
		m.progress(e.id.Rank)
	case l.leaves():
		m.join(m.failExit(e, Collateral))
		m.progress(e.id.Rank)
	default:
		m.decide(m.failExit(e, Origin))
	}
}

func (m *machine) failExit(e evExited, kind Kind) *Failure {
	f := m.fail(e.id, kind)
	f.seen = e.exit.Ended
	if f.Exit, f.Err = &e.exit, e.exit.Err; e.exit.Success() {
		f.Err = ErrEnded
	}
	return f
}

func (m *machine) onExitStopping(ev event) {
	e := ev.(evExited)
	m.end1(e)
	m.aside(e.id.Rank)
	m.settle()
}

// aside: those that are not to be restarted go on with their work while others are, and may complete it. A resize leaves
// nobody aside.
func (m *machine) aside(rank int) {
	if m.resized != nil {
		return
	}
	if !m.scope[rank] || m.goneForGood(rank, &m.lives[rank]) {
		m.achieve(rank)
	}
}

// onBadExitLate tells an exit of its own from an answer to our signal: classify has looked (G-6).
func (m *machine) onBadExitLate(ev event) {
	e := ev.(evExited)
	known := m.lives[e.id.Rank].failure != nil
	m.end1(e)
	if !known {
		f := m.failExit(e, Collateral)
		m.join(f)
		m.joinLost(f)
	}
	m.aside(e.id.Rank)
	m.settle()
}

// decide asks the strategy about a failure, or lets it wait until the strategy has answered about another.
func (m *machine) decide(f *Failure) {
	d, excused := m.excuse(f)
	wait := m.phase == deciding && !excused
	if wait {
		f.Kind = Collateral
		m.held = append(m.held, f)
	}
	m.emitFailed(f)
	if !excused {
		m.fold(f)
	}
	switch {
	case excused:
		m.carryOut(f, d, nil)
	case !wait:
		m.consult(f)
	}
}

// consult asks the strategy, or the one that it leaves this failure to.
func (m *machine) consult(f *Failure) {
	s, d := m.state(), Directive{}
	by, err := delegate(m.strategy, s, f)
	if slow, is := by.(deliberator); is {
		m.deliberate(slow, s, f)
		return
	}
	if err == nil {
		d, err = try(by, s, f)
	}
	m.carryOut(f, d, err)
}

// carryOut begins to do what the strategy said. One that panicked, did not answer, or asks for what makes no sense, ends
// the group (G-2: it has spoken).
func (m *machine) carryOut(f *Failure, d Directive, err error) {
	if err == nil {
		err = m.check(d)
	}
	if err != nil {
		d = Directive{Reason: err.Error()}
	}
	f.Directive = d
	if d.Action == Ignore {
		f.Kind = Ignored
		f.ignoreFolded()
		m.missing = 0 // to be counted anew: they may have ended before
	}
	known := *f
	m.emit(Event{Kind: EventDecided, Rank: f.Rank, Generation: f.Generation, Action: d.Action, After: d.After,
		Reason: d.Reason, Failure: &known})
	switch d.Action {
	case Ignore:
		m.achieve(f.Rank)
		for _, c := range f.Collateral {
			m.achieve(c.Rank)
		}
		m.complete()
	case Drop:
		m.drop(f, d)
	default:
		m.endScope(f, d, err)
	}
}

// endScope begins a restart, or the end.
func (m *machine) endScope(f *Failure, d Directive, err error) {
	g := m.present()
	g.Seen, g.Failed, g.Decided = between(g.Started, f.seen, f.At), f.At, m.now
	m.origin, m.next, m.after, m.reason = f, d.Action, d.After, because(f)
	m.setScope(f, d)
	for _, f := range m.held {
		m.attach(f)
		m.widen(f)
	}
	m.held = nil
	switch {
	case err != nil:
		m.conclude(Failed, fmt.Errorf("%w, asked about %w", err, f))
	case d.Action == Terminate:
		m.conclude(Failed, m.givenUp(f))
	case !d.Free:
		m.noteRestart()
	}
	m.stopScope(d.Linger)
}

// noteRestart counts a restart for the budgets of strategies.
func (m *machine) noteRestart() {
	before := len(m.restarts)
	m.restarts = latest(m.restarts, keptRestarts)
	m.forgotten += before - len(m.restarts)
	m.restarts = append(m.restarts, m.now)
}

// givenUp is the error of a group that a failure ends: with all that led to it, if the group was ever restarted.
func (m *machine) givenUp(f *Failure) error {
	if m.restarted() == 0 {
		return f
	}
	e := &GaveUpError{Restarts: m.restarted()}
	for _, other := range m.failures {
		if other.Kind == Origin && other != f {
			e.History = append(e.History, other)
		}
	}
	e.History = append(e.History, f)
	return e
}

// restarted is how many generations have taken the place of another one.
func (m *machine) restarted() int { return max(0, m.generation-m.first-m.additions) }

// because is the reason that ranks are told when another one failed.
func because(f *Failure) string { return fmt.Sprintf("rank %v failed", f.ID()) }

// conclude says how the group will have ended, and what Run returns then.
func (m *machine) conclude(o Outcome, err error) { m.verdict, m.end = o, err }

// setScope: a start is all or nothing, so a failure during one takes the whole newborn generation along.
func (m *machine) setScope(f *Failure, d Directive) {
	all := d.Action == Terminate || len(d.Ranks) == 0
	for rank := range m.scope {
		l := &m.lives[rank]
		newborn := m.phase == starting && l.generation == m.generation
		m.scope[rank] = all || newborn
	}
	for _, rank := range d.Ranks {
		m.scope[rank] = true
	}
	m.widen(f)
}

// widen takes a rank that failed into the scope, and who was lost with it.
func (m *machine) widen(f *Failure) {
	m.scope[f.Rank] = true
	for _, c := range f.Collateral {
		m.scope[c.Rank] = true
	}
}

// drop ends ranks for good, beside everything else that goes on.
func (m *machine) drop(f *Failure, d Directive) {
	if m.dropped == nil {
		m.dropped = f
	}
	ids := m.pick(func(rank int, l *life) bool {
		return !l.leaves() && (rank == f.Rank || f.folded(rank) || slices.Contains(d.Ranks, rank))
	})
	for _, id := range ids {
		m.lives[id.Rank].dropper = f
		m.target--
	}
	m.unqueue(func(rank int) bool { return m.lives[rank].dropper == f })
	m.askAll(func(_ int, l *life) bool { return l.dropper == f }, false)
	m.progress(f.Rank)
}

func (m *machine) stopScope(linger time.Duration) {
	m.phase = stopping
	m.disarm(startTimer)
	m.unqueue(func(rank int) bool { return m.scope[rank] })
	if linger > 0 && m.any(m.scopeAlive) {
		m.arm(lingerTimer, linger)
	} else {
		m.askScope()
	}
	m.settle()
}

// settle goes on when nothing of the scope is left (G-1).
func (m *machine) settle() {
	if m.phase != stopping {
		return
	}
	if m.any(m.scopeAlive) {
		if m.ordered && !m.isSet(lingerTimer) {
			m.askScope()
		}
		return
	}
	m.disarm(lingerTimer)
	m.wakeAll() // who was dropped may be on the ladder still
	m.present().Reaped = m.now
	m.emitGroup(Event{Kind: EventReaped})
	switch {
	case m.next == Terminate:
		m.finish()
	case m.achieved: // while they were being stopped
		m.phase = running
		m.complete()
	case m.isForNobody():
		m.callOff()
		m.complete()
	case m.after > 0:
		m.phase = waiting
		m.emitGroup(Event{Kind: EventWaiting, After: m.after})
		m.arm(backoffTimer, m.after)
	default:
		m.launch()
	}
}

func (m *machine) onBackoff(event) { m.launch() }

func (m *machine) onNotice(ev event) {
	m.emitGroup(Event{Kind: EventNotice, Reason: ev.(evNotice).text})
}

func (m *machine) onSignal(ev event) {
	s := ev.(evSignal).signal
	m.emitGroup(Event{Kind: EventSignal, Signal: s})
	m.do(efSignal{m.pick(alive), s})
}

func (m *machine) onDeadline(event) {
	err := fmt.Errorf("%w (%v)", ErrTimeout, m.timeout)
	m.stopBecause(TimedOut, err.Error(), err)
}

func (m *machine) onStop(ev event) {
	e := ev.(evStop)
	m.emitGroup(Event{Kind: EventStopping, Reason: e.cause.Error(), Err: e.cause, Kill: e.kill})
	m.stopWith(Interrupted, e.cause.Error(), e.cause)
	if e.kill {
		m.killAll()
	}
}

// stopBecause ends the group, not because of a failure, and tells why.
func (m *machine) stopBecause(o Outcome, reason string, err error) {
	m.emitGroup(Event{Kind: EventStopping, Reason: reason, Err: err})
	m.stopWith(o, reason, err)
}

// stopWith ends the group. The end of one that was ending anyway stays what it was.
func (m *machine) stopWith(o Outcome, reason string, err error) {
	if m.phase != stopping || m.next != Terminate {
		m.origin, m.reason = nil, reason
		m.conclude(o, err)
	}
	m.terminate()
}

// terminate widens whatever is going on to the end of the group. Who was asked already is not asked again.
func (m *machine) terminate() {
	m.next, m.resized = Terminate, nil
	m.dismiss()
	m.scopeAll()
	m.endWait()
	if !m.any(alive) {
		m.finish()
		return
	}
	m.stopScope(0)
}

// finish ends the group, once (G-4): nothing is alive.
func (m *machine) finish() {
	m.unqueue(func(int) bool { return true })
	m.unawait()
	m.judge()
	m.phase = done
	for t := range timers {
		m.disarm(t)
	}
	if len(m.generations) > 0 && m.present().Reaped.IsZero() {
		m.present().Reaped = m.now
	}
	m.emitGroup(Event{Kind: EventDone, Err: m.end})
	m.do(efDone{m.end})
}

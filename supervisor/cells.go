package supervisor

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-muster/muster/actors/process"
)

func (m *machine) onStart(event) {
	m.scopeAll()
	if m.timeout > 0 {
		m.arm(deadlineTimer, m.timeout)
	}
	m.spawn("")
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
	m.emit(Event{Kind: EventStarted, Rank: e.id.Rank, Generation: e.id.Generation, PID: e.pid})
}

func (m *machine) onReady(ev event) {
	e := ev.(evReady)
	l := &m.lives[e.id.Rank]
	l.state = ready
	m.emit(Event{Kind: EventReady, Rank: e.id.Rank, Generation: e.id.Generation, PID: l.pid})
	m.startBarrier()
}

// startBarrier ends the start when nobody is missing. Who has ended meanwhile counts as done.
func (m *machine) startBarrier() {
	if m.phase != starting || m.any(unready) {
		return
	}
	m.disarm(startTimer)
	m.phase = running
	m.present().Ready = m.now
	m.emitGroup(Event{Kind: EventRunning})
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
	if m.lives[e.id.Rank].failure != nil {
		return // it was ignored, and so is all that follows from it
	}
	f := m.fail(e.id, Origin)
	f.Exception, f.Err = e.exception, e.err
	m.decide(f)
}

// onRaisedLate: one voice. What fails while the scope is being stopped joins the failure that is being dealt with (G-2).
func (m *machine) onRaisedLate(ev event) {
	e := ev.(evRaised)
	if m.lives[e.id.Rank].failure != nil {
		return
	}
	f := m.fail(e.id, Collateral)
	f.Exception, f.Err = e.exception, e.err
	m.join(f)
}

// join makes a failure collateral of the present one. A rank out of the directive's scope comes into it: it failed.
func (m *machine) join(f *Failure) {
	if m.origin != nil {
		m.origin.Collateral = append(m.origin.Collateral, f)
	}
	m.emitFailed(f)
	if m.scope[f.Rank] {
		return
	}
	m.scope[f.Rank] = true
	if m.phase == waiting {
		m.disarm(backoffTimer)
		m.phase = stopping
	}
	if !m.isSet(lingerTimer) {
		m.askScope()
	}
}

func (m *machine) onGoodExit(ev event) {
	e := ev.(evExited)
	m.end1(e)
	m.progress()
}

// end1 marks one life as ended.
func (m *machine) end1(e evExited) {
	l := &m.lives[e.id.Rank]
	l.state, l.exit = ended, &e.exit
	if l.pid == 0 {
		l.pid = e.pid
	}
	if l.failure != nil {
		l.failure.Exit = l.exit
	}
	l.outcome = l.ending()
	if l.outcome == Stopped && m.origin != nil {
		m.origin.Stopped = append(m.origin.Stopped, e.id.Rank)
		slices.Sort(m.origin.Stopped)
	}
	m.emit(Event{Kind: EventExited, Rank: e.id.Rank, Generation: e.id.Generation, PID: l.pid, Exit: l.exit})
}

// ending makes an outcome of an exit.
func (l *life) ending() Outcome {
	switch {
	case errors.Is(l.exit.Err, ErrAbandoned):
		return Abandoned
	case l.failure != nil:
		return Failed
	case l.answers(l.exit):
		return Stopped
	case l.exit.Success():
		return Succeeded
	}
	return Failed
}

// progress looks whether the group is complete, or its start is.
func (m *machine) progress() {
	if !m.any(alive) {
		m.finish()
		return
	}
	m.startBarrier()
}

func (m *machine) onBadExit(ev event) {
	e := ev.(evExited)
	known := m.lives[e.id.Rank].failure != nil
	m.end1(e)
	if known { // it raised, and was ignored
		m.progress()
		return
	}
	m.decide(m.failExit(e, Origin))
}

func (m *machine) failExit(e evExited, kind Kind) *Failure {
	f := m.fail(e.id, kind)
	f.Exit, f.Err = &e.exit, e.exit.Err
	return f
}

func (m *machine) onExitStopping(ev event) {
	m.end1(ev.(evExited))
	m.settle()
}

// onBadExitLate tells an exit of its own from an answer to our signal: classify has looked (G-6).
func (m *machine) onBadExitLate(ev event) {
	e := ev.(evExited)
	known := m.lives[e.id.Rank].failure != nil
	m.end1(e)
	if !known {
		m.join(m.failExit(e, Collateral))
	}
	m.settle()
}

// onStartTimeout: the ranks that are not ready fail, each with an error that names them all, until the strategy stops
// them. Those that it ignores are waited for no longer.
func (m *machine) onStartTimeout(event) {
	late := m.pick(unready)
	err := fmt.Errorf("%w (%v): %s", ErrStartTimeout, m.startTimeout, m.describe(late))
	for _, id := range late {
		if m.phase != starting {
			return
		}
		f := m.fail(id, Origin)
		f.Err = err
		m.decide(f)
	}
}

func (m *machine) describe(ids []process.ID) string {
	const most = 8
	var names []string
	for i, id := range ids {
		if i == most {
			names = append(names, fmt.Sprintf("%d more", len(ids)-most))
			break
		}
		step := "is being started"
		if l := &m.lives[id.Rank]; l.state == started {
			step = fmt.Sprintf("has a process (pid %d) that has not said Ready", l.pid)
		}
		names = append(names, fmt.Sprintf("rank %d %s", id.Rank, step))
	}
	return strings.Join(names, ", ")
}

// decide asks the strategy about the first failure of a generation and begins to carry the answer out.
func (m *machine) decide(f *Failure) {
	m.emitFailed(f)
	d, err := m.ask(f)
	f.Directive = d
	if d.Action == Ignore {
		f.Kind = Ignored
	}
	known := *f
	m.emit(Event{Kind: EventDecided, Rank: f.Rank, Generation: f.Generation, Action: d.Action, After: d.After,
		Reason: d.Reason, Failure: &known})
	if d.Action == Ignore {
		m.progress()
		return
	}
	m.present().Failed = m.now
	m.origin, m.next, m.after, m.reason = f, d.Action, d.After, fmt.Sprintf("rank %v failed", f.ID())
	m.setScope(f, d)
	switch {
	case err != nil:
		m.conclude(Failed, fmt.Errorf("%w, asked about %w", err, f))
	case d.Action == Terminate:
		m.conclude(Failed, m.givenUp(f))
	case !d.Free:
		m.restarts = append(m.restarts, m.now)
	}
	m.stopScope(d.Linger)
}

// givenUp is the error of a group that a failure ends: with all that led to it, if the group was ever restarted.
func (m *machine) givenUp(f *Failure) error {
	if m.generation == 0 {
		return f
	}
	e := &GaveUpError{Restarts: m.generation}
	for _, f := range m.failures {
		if f.Kind == Origin {
			e.History = append(e.History, f)
		}
	}
	return e
}

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
	m.scope[f.Rank] = true
}

func (m *machine) stopScope(linger time.Duration) {
	m.phase = stopping
	m.disarm(startTimer)
	if linger > 0 && m.any(m.scopeAlive) {
		m.arm(lingerTimer, linger)
	} else {
		m.askScope()
	}
	m.settle()
}

// settle goes on when nothing of the scope is left (G-1).
func (m *machine) settle() {
	if m.phase != stopping || m.any(m.scopeAlive) {
		return
	}
	for _, t := range []timer{lingerTimer, exitTimer, graceTimer, killTimer} {
		m.disarm(t)
	}
	m.present().Reaped = m.now
	m.emitGroup(Event{Kind: EventReaped})
	switch {
	case m.next == Terminate:
		m.finish()
	case m.after > 0:
		m.phase = waiting
		m.emitGroup(Event{Kind: EventWaiting, After: m.after})
		m.arm(backoffTimer, m.after)
	default:
		m.spawn(m.reason)
	}
}

func (m *machine) onBackoff(event) { m.spawn(m.reason) }

func (m *machine) onNotice(ev event) {
	m.emitGroup(Event{Kind: EventNotice, Reason: ev.(evNotice).text})
}

func (m *machine) onDeadline(event) {
	m.stopBecause(TimedOut, fmt.Errorf("%w (%v)", ErrTimeout, m.timeout))
}

func (m *machine) onStop(ev event) {
	e := ev.(evStop)
	m.stopBecause(Interrupted, e.cause)
	if e.kill {
		m.killAll()
	}
}

// stopBecause ends the group from outside. The error of a group that was ending anyway stays what it was.
func (m *machine) stopBecause(o Outcome, cause error) {
	m.emitGroup(Event{Kind: EventStopping, Reason: cause.Error()})
	if m.phase != stopping || m.next != Terminate {
		m.origin, m.reason = nil, cause.Error()
		m.conclude(o, cause)
	}
	m.terminate()
}

// terminate widens whatever is going on to the end of the group. Who was asked already is not asked again.
func (m *machine) terminate() {
	m.next = Terminate
	m.scopeAll()
	m.disarm(backoffTimer)
	if !m.any(alive) {
		m.finish()
		return
	}
	m.stopScope(0)
}

// finish ends the group, once (G-4): nothing is alive.
func (m *machine) finish() {
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

// abort ends a machine whose shell can go on no longer: whoever lived has been killed.
func (m *machine) abort(o Outcome, err error) {
	for rank := range m.lives {
		if l := &m.lives[rank]; l.state != ended {
			l.state, l.outcome = ended, Stopped
		}
	}
	m.conclude(o, err)
	m.phase = done
}

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
	l.pid = e.pid
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
	l.value, l.returned = e.value, true
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
	m.askScope()
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
	switch {
	case l.failure != nil:
		l.failure.Exit = l.exit
	case errors.Is(e.exit.Err, ErrAbandoned):
		l.outcome = Abandoned
	case e.exit.Stopped:
		l.outcome = Stopped
		if m.origin != nil {
			m.origin.Stopped = append(m.origin.Stopped, e.id.Rank)
			slices.Sort(m.origin.Stopped)
		}
	case e.exit.Success():
		l.outcome = Succeeded
	}
	m.emit(Event{Kind: EventExited, Rank: e.id.Rank, Generation: e.id.Generation, PID: l.pid, Exit: l.exit})
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

// onStartTimeout: the ranks that are not ready fail together, as one failure that names them.
func (m *machine) onStartTimeout(event) {
	late := m.pick(unready)
	f := m.fail(late[0], Origin)
	f.Err = fmt.Errorf("%w (%v): %s", ErrStartTimeout, m.startTimeout, m.describe(late))
	m.decide(f)
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
	known := *f
	m.emit(Event{Kind: EventDecided, Rank: f.Rank, Generation: f.Generation, Action: d.Action, After: d.After,
		Reason: d.Reason, Failure: &known})
	if d.Action == Ignore {
		f.Kind = Ignored
		m.progress()
		return
	}
	m.origin, m.next, m.after, m.reason = f, d.Action, d.After, fmt.Sprintf("rank %v failed", f.ID())
	m.setScope(f, d)
	if d.Action == Restart {
		m.restarts = append(m.restarts, m.now)
	} else {
		m.end = f
	}
	if err != nil {
		m.end = fmt.Errorf("%w, asked about %w", err, f)
	}
	m.stopScope(d.Linger)
}

// setScope: a start is all or nothing, so a failure during one takes everybody along that has not been ready yet.
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

func (m *machine) onLinger(event) { m.askScope() }

// askScope asks those of the scope to stop that were not asked yet, all at once. A rank that raised is on its way out: it
// gets a moment to end by itself, with its own exit status and its exit handlers run, before it is asked too.
func (m *machine) askScope() {
	m.disarm(lingerTimer)
	if m.any(func(rank int, l *life) bool { return m.scopeAlive(rank, l) && !l.asked && l.failure != nil }) {
		m.arm(exitTimer, m.exitTime)
	}
	m.askThose(func(l *life) bool { return l.failure == nil })
}

func (m *machine) onExitTime(event) { m.askAll() }

func (m *machine) askAll() { m.askThose(func(*life) bool { return true }) }

// askThose asks ranks of the scope, once each. The grace begins anew, so that each of them has all of it.
func (m *machine) askThose(who func(*life) bool) {
	ids := m.pick(func(rank int, l *life) bool { return m.scopeAlive(rank, l) && !l.asked && who(l) })
	if len(ids) == 0 {
		return
	}
	for _, id := range ids {
		l := &m.lives[id.Rank]
		l.asked = true
		m.emit(Event{Kind: EventStop, Rank: id.Rank, Generation: id.Generation, PID: l.pid, Reason: m.reason})
	}
	m.do(efStop{ids, m.reason})
	m.arm(graceTimer, m.grace)
}

func (m *machine) onGrace(event) {
	ids := m.pick(func(rank int, l *life) bool { return m.scopeAlive(rank, l) && l.asked })
	for _, id := range ids {
		m.emit(Event{Kind: EventKill, Rank: id.Rank, Generation: id.Generation, PID: m.lives[id.Rank].pid})
	}
	m.disarm(graceTimer)
	m.do(efKill{ids})
	m.arm(killTimer, m.killWait)
}

// onKillWait gives up on processes that not even SIGKILL ends. Nothing may be started beside them (G-1).
func (m *machine) onKillWait(event) {
	ids := m.pick(m.scopeAlive)
	for _, id := range ids {
		m.emit(Event{Kind: EventAbandon, Rank: id.Rank, Generation: id.Generation, PID: m.lives[id.Rank].pid})
	}
	if m.next == Restart {
		m.end = fmt.Errorf("%w: %s", ErrAbandoned, m.reason)
	}
	m.terminate()
	m.do(efAbandon{ids})
}

// settle goes on when nothing of the scope is left (G-1).
func (m *machine) settle() {
	if m.phase != stopping || m.any(m.scopeAlive) {
		return
	}
	for _, t := range []timer{lingerTimer, exitTimer, graceTimer, killTimer} {
		m.disarm(t)
	}
	if len(m.generations) > 0 {
		m.present().Reaped = m.now
	}
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

func (m *machine) onDeadline(ev event) {
	m.stopBecause(fmt.Errorf("%w (%v)", ErrTimeout, m.timeout), false)
}

func (m *machine) onStop(ev event) {
	e := ev.(evStop)
	m.stopBecause(e.cause, e.kill)
}

// onStopAgain: who is being stopped already is not asked twice; a stop in earnest is a kill.
func (m *machine) onStopAgain(ev event) {
	e := ev.(evStop)
	m.stopBecause(e.cause, e.kill)
}

// stopBecause ends the group from outside. The error of a group that was ending anyway stays what it was.
func (m *machine) stopBecause(cause error, kill bool) {
	m.emitGroup(Event{Kind: EventStopping, Reason: cause.Error()})
	if m.phase != stopping || m.next != Terminate {
		m.origin, m.reason, m.end = nil, cause.Error(), cause
	}
	m.terminate()
	if kill && m.phase == stopping && m.any(alive) {
		m.askAll()
		m.onGrace(nil)
	}
}

// terminate widens whatever is going on to the end of the group.
func (m *machine) terminate() {
	m.next = Terminate
	m.scopeAll()
	m.disarm(backoffTimer)
	m.stopScope(0)
}

// finish ends the group, once (G-4): nothing is alive.
func (m *machine) finish() {
	m.phase = done
	for t := range timers {
		m.disarm(t)
	}
	if len(m.generations) > 0 {
		m.present().Reaped = m.now
	}
	m.emitGroup(Event{Kind: EventDone, Err: m.end})
	m.do(efDone{m.end})
}

package supervisor

import (
	"fmt"
	"slices"
	"time"

	"github.com/go-muster/muster/actors/process"
)

// A rung says how far a life has come on the ladder by which we end it. Every life climbs by itself and has all of its
// time on each rung, whatever becomes of the group meanwhile: nobody's grace is cut short or drawn out by another's.
type rung int

const (
	unasked   rung = iota
	leaving        // it raised: for a moment it may end by itself
	asked          // it has its grace
	killed         // it has killWait
	abandoned      // its last word is about to come
)

// The timers of the rungs on which a life has a time.
var rungTimer = map[rung]timer{leaving: exitTimer, asked: graceTimer, killed: killTimer}

// wakeAll sets the timers of all rungs.
func (m *machine) wakeAll() {
	for r := leaving; r <= killed; r++ {
		m.wake(r)
	}
}

// climb moves lives to a rung, where they have until then.
func (m *machine) climb(ids []process.ID, to rung, until time.Time) {
	for _, id := range ids {
		l := &m.lives[id.Rank]
		l.rung, l.until = to, until
	}
}

// overdue returns the lives whose time on a rung is over.
func (m *machine) overdue(r rung) []process.ID {
	return m.pick(func(_ int, l *life) bool { return l.alive() && l.rung == r && !l.until.After(m.now) })
}

// wake sets the timer of a rung for the first life whose time on it ends.
func (m *machine) wake(r rung) {
	var first time.Time
	for _, id := range m.pick(func(_ int, l *life) bool { return l.alive() && l.rung == r }) {
		if until := m.lives[id.Rank].until; first.IsZero() || until.Before(first) {
			first = until
		}
	}
	switch t := rungTimer[r]; {
	case first.IsZero():
		m.disarm(t)
	case !first.Equal(m.due[t]):
		m.arm(t, first.Sub(m.now))
	}
}

// askScope asks those of the scope that were not asked yet, all at once. A rank that raised is on its way out: it gets a
// moment from then to end by itself, with its own exit status and its exit handlers run, before it is asked too.
func (m *machine) askScope() {
	m.disarm(lingerTimer)
	m.askAll(m.scopeAlive, m.ordered)
}

// askAll asks those of some lives that are alive and were not asked yet; in reverse order that is the last one, when its
// turn has come.
func (m *machine) askAll(those func(rank int, l *life) bool, reverse bool) {
	var now []process.ID
	alive := m.pick(func(rank int, l *life) bool { return l.alive() && those(rank, l) })
	for i, id := range alive {
		l, last := &m.lives[id.Rank], i == len(alive)-1
		if l.rung != unasked {
			continue
		}
		if until := l.excusedUntil(m.exitTime); until.After(m.now) {
			m.climb([]process.ID{id}, leaving, until)
		} else if !reverse || last {
			now = append(now, id)
		}
	}
	m.askThose(now)
	m.wake(leaving)
}

// excusedUntil is zero for a life that raised nothing, and was not lost with its host.
func (l *life) excusedUntil(exitTime time.Duration) time.Time {
	if l.failure == nil || l.failure.Exception == nil && !l.failure.ofLostHost() {
		return time.Time{}
	}
	return l.failure.At.Add(exitTime)
}

func (m *machine) askThose(ids []process.ID) {
	if len(ids) == 0 {
		return
	}
	reason := m.reason
	if l := &m.lives[ids[0].Rank]; l.leaves() {
		reason = l.removed
		if l.dropper != nil {
			reason = because(l.dropper)
		}
	}
	for _, id := range ids {
		m.emit(Event{Kind: EventStop, Rank: id.Rank, Generation: id.Generation, PID: m.lives[id.Rank].pid, Reason: reason})
	}
	m.do(efStop{ids, reason})
	if g := m.present(); m.phase == stopping && g.Asked.IsZero() {
		g.Asked = m.now
	}
	m.climb(ids, asked, m.now.Add(m.grace))
	m.wake(asked)
}

// noteStopped notes when the last of those that are to be stopped had ended, or was killed.
func (m *machine) noteStopped(l *life, rank int, at time.Time) {
	if m.phase != stopping || !m.scope[rank] || l.rung >= killed {
		return
	}
	g := m.present()
	since := slices.MaxFunc([]time.Time{g.Started, g.Decided, g.Asked, g.Stopped}, time.Time.Compare)
	g.Stopped = between(since, at, m.now)
}

func (m *machine) killThose(ids []process.ID, reason string) {
	if len(ids) == 0 {
		return
	}
	for _, id := range ids {
		m.emit(Event{Kind: EventKill, Rank: id.Rank, Generation: id.Generation, PID: m.lives[id.Rank].pid,
			Reason: reason})
	}
	m.do(efKill{ids})
	for _, id := range ids {
		m.noteStopped(&m.lives[id.Rank], id.Rank, m.now)
	}
	m.climb(ids, killed, m.now.Add(m.killWait))
	m.wake(killed)
}

// killAll goes up the ladder in one go.
func (m *machine) killAll() {
	m.askThose(m.pick(func(_ int, l *life) bool { return l.alive() && l.rung < asked }))
	m.killThose(m.pick(func(_ int, l *life) bool { return l.alive() && l.rung < killed }), "was not given more time")
	m.wake(leaving)
	m.wake(asked)
}

func (m *machine) onLinger(event) { m.askScope() }

func (m *machine) onExitTime(event) {
	for _, id := range m.overdue(leaving) { // each for its own reason
		m.askThose([]process.ID{id})
	}
	m.wake(leaving)
}

func (m *machine) onGrace(event) {
	m.killThose(m.overdue(asked), fmt.Sprintf("has not stopped in its grace (%v)", m.grace))
	m.wake(asked)
}

// onKillWait gives up on processes that not even SIGKILL ends. Nothing may be started beside them (G-1).
func (m *machine) onKillWait(event) {
	ids := m.overdue(killed)
	m.climb(ids, abandoned, time.Time{})
	m.wake(killed)
	if len(ids) == 0 {
		return // it died of it, in the meantime
	}
	for _, id := range ids {
		m.emit(Event{Kind: EventAbandon, Rank: id.Rank, Generation: id.Generation, PID: m.lives[id.Rank].pid})
	}
	m.do(efAbandon{ids})
	if m.resized == nil && !slices.ContainsFunc(ids, func(id process.ID) bool { return !m.lives[id.Rank].leaves() }) {
		return // nothing is started in the place of who leaves
	}
	switch {
	case m.next != Restart:
	case m.origin != nil:
		m.conclude(Failed, fmt.Errorf("%w, after %w", ErrAbandoned, m.origin))
	default: // a resize
		m.conclude(Failed, fmt.Errorf("%w: rank %v, when the group was %s", ErrAbandoned, ids[0], m.reason))
	}
	m.terminate()
}

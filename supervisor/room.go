package supervisor

import (
	"fmt"

	"github.com/go-muster/muster/actors/process"
)

// least is how many ranks there have to be.
func (b bounds) least() int { return max(1, b.min) }

// launch begins the next generation when there is room for it; else the group waits.
func (m *machine) launch() {
	m.renumber()
	if n := m.fitting(); n == 0 || m.generation < m.first && m.hopes(n) && m.room.Since < m.elastic.Settle {
		m.awaitRoom(n)
	} else {
		m.launchWith(n)
	}
}

// launchWith begins it with so many ranks.
func (m *machine) launchWith(n int) {
	switch {
	case n == len(m.lives):
		m.spawn(m.reason)
	case m.any(alive): // a restart of some becomes one of all
		m.scopeAll()
		m.after = 0
		m.stopScope(0)
	default:
		m.fit(n)
		m.spawn(m.reason)
	}
}

// fitting is how many ranks the next generation can have, 0 for none: all that there are, fewer if there is no room for them, or
// more if nobody is left.
func (m *machine) fitting() int {
	n, want := len(m.lives), m.want()
	if m.placed && (m.room.Ranks < n || want > n && m.whole()) {
		return want
	}
	return n
}

// want is how many ranks the group would have with the room that there is; 0 for too few, and where its size is fixed, as it is
// beside a process that does not die (G-1).
func (m *machine) want() int {
	n := min(m.room.Ranks, max(m.target, m.bounds.least()))
	if !m.elastic.Fit || n < m.bounds.least() || len(m.lingering()) > 0 {
		return 0
	}
	return n
}

// raise lets the group want more ranks.
func (m *machine) raise(n int) {
	if m.target += n; m.bounds.max > 0 {
		m.target = min(m.target, m.bounds.max)
	}
}

// hopes reports whether more hosts would make more ranks, which they do not in a restart of some.
func (m *machine) hopes(n int) bool {
	return m.elastic.Fit && n < m.target && (n < len(m.lives) || m.whole())
}

// whole holds when all ranks begin anew.
func (m *machine) whole() bool {
	return !m.any(func(rank int, _ *life) bool { return !m.scope[rank] })
}

// lingering are the lives whose processes do not die.
func (m *machine) lingering() []process.ID {
	return m.pick(func(_ int, l *life) bool { return l.outcome == Abandoned || l.alive() && l.rung == abandoned })
}

// awaitRoom waits for hosts. With too few to begin that has an end; with enough, it is for those that come at the same time.
func (m *machine) awaitRoom(n int) {
	m.phase = waiting
	for rank := range m.lives {
		if l := &m.lives[rank]; l.state == unborn {
			l.outcome = Running // it has not ended
		}
	}
	wait := m.elastic.Wait
	if n > 0 {
		wait = min(wait, m.elastic.Settle-m.room.Since)
	}
	m.emitGroup(Event{Kind: EventWaiting, After: wait, Reason: "waits for hosts: " + m.lack(n)})
	m.arm(roomTimer, m.elastic.Wait)
	if n > 0 {
		m.arm(settleTimer, wait)
	}
}

// unawait: who was waited for will not be born.
func (m *machine) unawait() {
	for rank := range m.lives {
		if l := &m.lives[rank]; l.state == unborn && l.outcome == Running {
			l.outcome = Stopped
		}
	}
}

// lack says what there is, and what there is not.
func (m *machine) lack(n int) string {
	there := fmt.Sprintf("room for %s on %s", counted(m.room.Ranks, "rank"), counted(m.room.Hosts, "host"))
	switch {
	case n > 0:
		return fmt.Sprintf("%s, %d wanted", there, m.target)
	case len(m.lingering()) > 0:
		return fmt.Sprintf("%s, %d needed, and no fewer because rank %v does not die", there, len(m.lives), m.lingering()[0])
	case m.elastic.Fit:
		return fmt.Sprintf("%s, %d needed", there, m.bounds.least())
	}
	return fmt.Sprintf("%s, %d needed", there, len(m.lives))
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// awaitsRoom holds while hosts are waited for, and not the end of a back-off.
func (m *machine) awaitsRoom() bool { return m.isSet(roomTimer) }

// endWait ends either wait.
func (m *machine) endWait() {
	m.disarm(backoffTimer)
	m.disarm(roomTimer)
}

// fewer ends the wait for hosts, when there is room for all that are left.
func (m *machine) fewer() {
	if n := m.fitting(); m.awaitsRoom() && n > 0 && !m.hopes(n) {
		m.goOn()
	}
}

// goOn ends the wait for hosts, when there is room for as few as it takes.
func (m *machine) goOn() {
	m.endWait()
	m.renumber()
	m.launchWith(m.fitting())
}

// fit gives the group, of which nothing is alive, another size, and all of its ranks new lives.
func (m *machine) fit(n int) {
	why := m.becauseOfRoom(n)
	switch m.reason {
	case "":
		m.reason = why
	case why:
	default:
		m.reason += "; " + why
	}
	m.emitGroup(Event{Kind: EventResized, Size: n, Reason: m.room.Why, Fit: true})
	m.replace(n)
	m.do(efFit{n})
}

func (m *machine) becauseOfRoom(n int) string {
	return becauseOf(fmt.Sprintf("resized from %d to %d", len(m.lives), n), m.room.Why)
}

// noteRoom notes how much room there is.
func (m *machine) noteRoom(ev event) {
	m.room = ev.(evRoom).room
	m.emitGroup(Event{Kind: EventRoom, Size: m.room.Ranks, Hosts: m.room.Hosts, Reason: m.room.Why, After: m.room.Since})
}

// onRoom looks whether the group may grow. Hosts that join one after the other make one restart.
func (m *machine) onRoom(ev event) {
	m.noteRoom(ev)
	m.watchRoom()
}

func (m *machine) watchRoom() {
	if m.grows() {
		m.arm(settleTimer, m.elastic.Settle)
	} else {
		m.disarm(settleTimer)
	}
}

// recallRoom sets the timer again for a group that runs, if it went off while the group could not be restarted.
func (m *machine) recallRoom() {
	if m.phase == running && !m.isSet(settleTimer) {
		m.watchRoom()
	}
}

// grows reports whether a running group is to be restarted for more room. One that is about to end well is left alone.
func (m *machine) grows() bool {
	over := func(_ int, l *life) bool { return l.over() }
	return m.elastic.Regrow && m.want() > len(m.lives) && !m.achieved && !m.any(over)
}

// onSettle restarts the group, of its own accord, with more ranks. When all of them leave it is about to end.
func (m *machine) onSettle(event) {
	if !m.grows() || !m.any(func(_ int, l *life) bool { return l.alive() && !l.leaves() }) {
		return
	}
	m.scopeAll()
	m.origin, m.next, m.after, m.reason = nil, Restart, 0, m.becauseOfRoom(m.want())
	m.stopScope(0)
}

// onRoomWaiting looks whether that is what was waited for. During a back-off it is used when that is over.
func (m *machine) onRoomWaiting(ev event) {
	m.noteRoom(ev)
	if !m.awaitsRoom() {
		m.watchRoom()
		return
	}
	switch n := m.fitting(); {
	case n == 0:
		m.disarm(settleTimer)
	case m.hopes(n):
		m.arm(settleTimer, m.elastic.Settle)
	default:
		m.goOn()
	}
}

// onSettleWaiting goes on with who is there.
func (m *machine) onSettleWaiting(event) {
	if m.awaitsRoom() {
		m.goOn()
	}
}

// onRoomTime ends a group for which no hosts have come.
func (m *machine) onRoomTime(event) {
	if m.fitting() > 0 {
		m.goOn()
		return
	}
	err := fmt.Errorf("%w: %s, after a wait of %v", ErrNoRoom, m.lack(0), m.elastic.Wait)
	if m.origin != nil {
		err = fmt.Errorf("%w, because %w", err, m.origin)
	}
	m.stopBecause(Failed, err.Error(), err)
}

// checkRoom refuses ranks that there is no room for.
func (m *machine) checkRoom(n int) error {
	if m.placed && n > m.room.Ranks {
		return fmt.Errorf("%w: room for %s on %s, %d needed", ErrNoRoom, counted(m.room.Ranks, "rank"), counted(m.room.Hosts, "host"), n)
	}
	return nil
}

// checkFit reports what terms would make no sense in the group when it is smallest.
func (m *machine) checkFit(t terms) error {
	if least := m.bounds.least(); m.elastic.Fit {
		return t.cut(least).check(least)
	}
	return nil
}

// Events and effects.
type (
	evRoom struct{ room process.Room }
	efFit  struct{ size int }
)

func (evRoom) row() row { return roomRow }

func (efFit) effect() {}

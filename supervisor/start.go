package supervisor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-muster/muster/actors/process"
)

// spawn begins a generation for the ranks in scope. It is called at the start, and then only when nothing of the scope
// is alive (G-1).
func (m *machine) spawn(reason string) {
	m.generation++
	m.generations = append(latest(m.generations, m.history), GenerationReport{
		Generation: m.generation, Reason: reason, Size: len(m.lives), Started: m.now,
	})
	m.phase = starting
	ids := m.pick(m.returns)
	for i := range ids {
		ids[i].Generation = m.generation
		m.lives[ids[i].Rank] = life{generation: m.generation, state: queued, outcome: Running}
	}
	m.watchLifetime()
	if m.ordered {
		m.spawnNext()
		return
	}
	m.spawnThose(ids)
}

// watchLifetime sets the timer for the end of a generation's time.
func (m *machine) watchLifetime() {
	if m.lifetime > 0 {
		m.arm(lifetimeTimer, max(0, m.present().Started.Add(m.lifetime).Sub(m.now)))
	}
}

// recallLifetime sets the timer again, if it went off while nobody could be asked about it.
func (m *machine) recallLifetime() {
	if !m.isSet(lifetimeTimer) {
		m.watchLifetime()
	}
}

// onLifetime: a generation that has not ended in its time has failed, all of it, until the strategy has stopped it.
func (m *machine) onLifetime(event) {
	late := m.pick(func(_ int, l *life) bool { return l.alive() && l.failure == nil && !l.leaves() })
	m.failThose(late, fmt.Errorf("%w (%v)", ErrLifetime, m.lifetime), func(id process.ID) bool {
		l := &m.lives[id.Rank]
		return m.phase != starting && m.phase != running || l.leaves()
	})
}

// failThose lets ranks fail one by one, but for those whom what became of the ones before them has spared.
func (m *machine) failThose(ids []process.ID, err error, spared func(process.ID) bool) {
	for _, id := range ids {
		if !spared(id) {
			f := m.fail(id, Origin)
			f.Err = err
			m.decide(f)
		}
	}
}

func (m *machine) spawnThose(ids []process.ID) {
	for _, id := range ids {
		l := &m.lives[id.Rank]
		l.state, l.due = spawned, m.now.Add(m.startTimeout)
		m.emit(Event{Kind: EventSpawn, Rank: id.Rank, Generation: id.Generation})
	}
	m.do(efSpawn{ids})
	m.watchStart()
}

// spawnNext goes on with an ordered start when the one before is ready, and reports whether it did.
func (m *machine) spawnNext() bool {
	if m.phase != starting || m.any(func(rank int, l *life) bool { return l.state != queued && unready(rank, l) }) {
		return false
	}
	ids := m.pick(func(_ int, l *life) bool { return l.state == queued })
	if len(ids) > 0 {
		m.spawnThose(ids[:1])
	}
	return len(ids) > 0
}

// noteSpawned notes when the last process of a generation exists.
func (m *machine) noteSpawned() {
	missing := func(_ int, l *life) bool { return l.state == queued || l.state == spawned }
	if g := m.present(); g.Spawned.IsZero() && !m.any(missing) {
		g.Spawned = m.now
	}
}

// unqueue takes ranks out of an ordered start that has not come to them.
func (m *machine) unqueue(those func(rank int) bool) {
	for rank := range m.lives {
		if l := &m.lives[rank]; l.state == queued && those(rank) {
			l.state, l.outcome = unborn, Stopped
		}
	}
}

// watchStart sets the timer for the first rank that has to be ready.
func (m *machine) watchStart() {
	var first time.Time
	for rank := range m.lives {
		if l := &m.lives[rank]; unready(rank, l) && l.state != queued && (first.IsZero() || l.due.Before(first)) {
			first = l.due
		}
	}
	switch {
	case first.IsZero():
		m.disarm(startTimer)
	case !first.Equal(m.due[startTimer]):
		m.arm(startTimer, max(0, first.Sub(m.now)))
	}
}

// startBarrier ends the start when nobody is missing. Who has ended meanwhile counts as done.
func (m *machine) startBarrier() {
	if m.phase != starting || m.spawnNext() || m.any(unready) {
		return
	}
	m.disarm(startTimer)
	m.phase = running
	m.present().Ready = m.now
	m.emitGroup(Event{Kind: EventRunning})
	m.recallRoom()
}

// onStartTimeout: the ranks that are not ready fail, the slowest first, each with an error that names them all, until the
// strategy stops them. Those that it ignores are waited for no longer.
func (m *machine) onStartTimeout(event) {
	late := m.pick(func(rank int, l *life) bool {
		return unready(rank, l) && l.state != queued && !l.due.After(m.now)
	})
	slices.SortStableFunc(late, func(a, b process.ID) int { return m.lives[a.Rank].steps() - m.lives[b.Rank].steps() })
	err := fmt.Errorf("%w (%v): %s", ErrStartTimeout, m.startTimeout, m.describe(late))
	m.failThose(late, err, func(id process.ID) bool {
		return m.phase != starting || !unready(id.Rank, &m.lives[id.Rank])
	})
	if m.phase == starting {
		m.watchStart()
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
		names = append(names, fmt.Sprintf("rank %d %s", id.Rank, m.lives[id.Rank].step()))
	}
	return strings.Join(names, ", ")
}

// steps is how many steps of the start a life has behind it.
func (l *life) steps() int {
	switch {
	case l.state != started:
		return 0
	case l.sdk == "" && l.probe == "":
		return 1
	case l.probe == "":
		return 2
	}
	return 3
}

// step says which step of the start a life is in.
func (l *life) step() string {
	switch l.steps() {
	case 0:
		return "has no process yet"
	case 1:
		return fmt.Sprintf("has a process (pid %d) and has not said Hello: its worker is not up", l.pid)
	case 2:
		return fmt.Sprintf("has said Hello (%s, pid %d) and not Ready: its user code has not begun", l.sdk, l.pid)
	default:
		return fmt.Sprintf("is not ready (pid %d): %s", l.pid, l.probe)
	}
}

package supervisor

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-muster/muster/actors/process"
)

// ErrBusy is the condition of a group that cannot take a change of its ranks now: it is being started, decided about or
// stopped. It can be asked again, for instance after the next [EventRunning].
var ErrBusy = errors.New("supervisor: the group is busy")

// bounds are those of the number of ranks that were not removed.
type bounds struct{ min, max int } // of each, 0 for none

func (b bounds) check(ranks int) error {
	switch {
	case b.min < 0 || b.max < 0:
		return fmt.Errorf("MinRanks is %d and MaxRanks %d: use 0 for no bound", b.min, b.max)
	case b.max > 0 && b.max < b.min:
		return fmt.Errorf("MaxRanks (%d) is less than MinRanks (%d)", b.max, b.min)
	case ranks < max(1, b.min):
		return fmt.Errorf("too few ranks (%d): the group has at least %d", ranks, max(1, b.min))
	case b.max > 0 && ranks > b.max:
		return fmt.Errorf("too many ranks (%d): MaxRanks is %d", ranks, b.max)
	}
	return nil
}

// becauseOf is what people read of a change: what it does, and why if somebody said so.
func becauseOf(what, why string) string {
	if why == "" {
		return what
	}
	return what + ": " + why
}

// leaves holds for a life that is ended for good beside everything else: it was dropped, or removed.
func (l *life) leaves() bool { return l.dropper != nil || l.removed != "" }

// remaining is how many ranks were not removed.
func (m *machine) remaining() (n int) {
	for rank := range m.lives {
		if m.lives[rank].removed == "" {
			n++
		}
	}
	return n
}

// takeStock finds out whose good end counts towards success, and how many it takes.
func (m *machine) takeStock() {
	m.counted, m.needed, m.missing = make([]bool, len(m.lives)), 0, 0
	for rank := range m.lives {
		if m.counts(rank) && m.lives[rank].removed == "" {
			m.counted[rank] = true
			m.needed++
		}
	}
	if m.success.Need > 0 {
		m.needed = m.success.Need
	}
}

// refuse answers whoever wants to change the ranks: nothing has happened.
func (m *machine) refuse(err error) { m.do(efRefuse{err}) }

func (m *machine) onBusy(event) { m.refuse(m.busy()) }

// busy says why the ranks of a group cannot be changed now.
func (m *machine) busy() error {
	if m.phase == done || m.achieved || m.phase == stopping && m.next == Terminate {
		return fmt.Errorf("%w: the group is ending, or has ended", ErrStopped)
	}
	return fmt.Errorf("%w: it is %v, ask again when it is running", ErrBusy, m.phase)
}

// onAdd starts ranks with the next numbers, as a generation of their own: all or nothing, like any start.
func (m *machine) onAdd(ev event) {
	e := ev.(evAdd)
	if err := m.checkAdd(len(e.commands)); err != nil {
		m.refuse(err)
		return
	}
	size := len(m.lives)
	m.lives = append(m.lives, make([]life, len(e.commands))...)
	m.scope = slices.Concat(make([]bool, size), slices.Repeat([]bool{true}, len(e.commands)))
	m.takeStock()
	m.additions++
	m.raise(len(e.commands))
	m.do(efAdd{e.commands})
	for rank := size; rank < len(m.lives); rank++ {
		m.emit(Event{Kind: EventAdded, Rank: rank, Generation: m.generation + 1, Reason: e.reason})
	}
	m.spawn(becauseOf(fmt.Sprintf("added %s", theRanks(size, len(m.lives)-1)), e.reason))
}

func (m *machine) checkAdd(n int) error {
	if m.achieved {
		return m.busy()
	}
	if err := errors.Join(m.bounds.check(m.remaining()+n), m.checkRoom(len(m.lives)+n)); err != nil {
		return fmt.Errorf("%w: %w", ErrSpec, err)
	}
	return nil
}

func theRanks(first, last int) string {
	if first == last {
		return fmt.Sprintf("rank %d", first)
	}
	return fmt.Sprintf("ranks %d to %d", first, last)
}

// onRemove ends a rank for good, which is no failure. The group's success is that of the others, who may have ended well
// already. Again, it does nothing.
func (m *machine) onRemove(ev event) {
	e := ev.(evRemove)
	if err := m.checkRemove(e.rank); err != nil {
		m.refuse(err)
		return
	}
	l := &m.lives[e.rank]
	if l.removed != "" {
		return
	}
	if l.dropper == nil {
		m.target--
	}
	l.removed = becauseOf("removed", e.reason)
	m.takeStock()
	m.emit(Event{Kind: EventRemoved, Rank: e.rank, Generation: l.generation, PID: l.pid, Reason: e.reason})
	m.askAll(func(rank int, _ *life) bool { return rank == e.rank }, false)
	m.enough()
	m.restartNobody()
	m.complete()
	m.fewer()
}

func (m *machine) checkRemove(rank int) (err error) {
	switch {
	case m.resized != nil:
		return m.busy()
	case rank < 0 || rank >= len(m.lives):
		err = fmt.Errorf("there is no rank %d in a group of %d", rank, len(m.lives))
	case m.lives[rank].removed != "":
		return nil
	default:
		err = errors.Join(m.bounds.check(m.remaining()-1), m.checkNeed(&m.terms, rank))
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSpec, err)
	}
	return nil
}

// checkNeed reports that without those that were removed, and perhaps another one, too few are left of those that have to
// end well.
func (m *machine) checkNeed(t *terms, without int) error {
	can := 0
	for rank := range m.lives {
		if m.lives[rank].removed == "" && rank != without && t.counts(rank) && t.of(rank) != Permanent {
			can++
		}
	}
	switch {
	case t.success.Need <= can:
		return nil
	case without == nobody:
		return fmt.Errorf("Success.Need is %d, and of those that were not removed only %d ranks can end well", t.success.Need, can)
	}
	return fmt.Errorf("Success.Need is %d, and without rank %d only %d ranks can end well", t.success.Need, without, can)
}

// nobody is no rank.
const nobody = -1

// restartNobody calls a restart off that has nobody left to bring back.
func (m *machine) restartNobody() {
	if m.phase == waiting && m.isForNobody() {
		m.endWait()
		m.callOff()
	}
}

// isForNobody holds for a restart whose ranks are all gone for good: they were removed, or are temporary since they ended.
func (m *machine) isForNobody() bool { return m.resized == nil && !m.any(m.returns) }

// callOff goes on with the generation, as if nothing had been decided.
func (m *machine) callOff() {
	g := m.present()
	g.Seen, g.Failed, g.Decided, g.Asked, g.Stopped, g.Reaped = time.Time{}, time.Time{}, time.Time{}, time.Time{}, time.Time{}, time.Time{}
	m.phase = running
	m.recallLifetime()
	m.emitGroup(Event{Kind: EventRunning})
	m.recallRoom()
}

// returns holds for those that a restart brings back.
func (m *machine) returns(rank int, l *life) bool { return m.scope[rank] && !m.goneForGood(rank, l) }

// onRestart ends ranks to start them again, as somebody outside wants it: a restart that nobody failed for.
func (m *machine) onRestart(ev event) {
	e := ev.(evRestart)
	ranks := e.ranks
	if len(ranks) == 0 {
		for _, id := range m.pick(func(rank int, l *life) bool { return !m.goneForGood(rank, l) }) {
			ranks = append(ranks, id.Rank)
		}
	}
	if err := m.checkRestart(ranks); err != nil {
		m.refuse(err)
		return
	}
	m.scope = make([]bool, len(m.lives))
	for _, rank := range ranks {
		m.scope[rank] = true
	}
	for _, id := range m.pick(func(rank int, _ *life) bool { return m.scope[rank] }) {
		m.emit(Event{Kind: EventRestart, Rank: id.Rank, Generation: id.Generation, PID: m.lives[id.Rank].pid, Reason: e.reason})
	}
	m.origin, m.next, m.after, m.reason = nil, Restart, 0, becauseOf("asked for", e.reason)
	m.stopScope(0)
}

// checkRestart: a rank that is gone for good is brought back by nobody.
func (m *machine) checkRestart(ranks []int) (err error) {
	switch {
	case m.achieved:
		return m.busy()
	case len(ranks) == 0:
		return fmt.Errorf("%w: there is nobody left to restart", ErrSpec)
	}
	for _, rank := range ranks {
		switch {
		case rank < 0 || rank >= len(m.lives):
			return fmt.Errorf("%w: there is no rank %d in a group of %d", ErrSpec, rank, len(m.lives))
		case m.goneForGood(rank, &m.lives[rank]):
			return fmt.Errorf("%w: rank %d is gone for good: it was removed, dropped, or is temporary and has ended", ErrSpec, rank)
		}
	}
	return nil
}

// onResize ends all ranks to start others in their place. A restart that waits takes the new ranks, and everybody that it
// would have left alone.
func (m *machine) onResize(ev event) {
	e := ev.(evResize)
	if err := m.checkResize(len(e.commands)); err != nil {
		m.refuse(err)
		return
	}
	why := becauseOf(fmt.Sprintf("resized from %d to %d", len(m.lives), len(e.commands)), e.reason)
	m.resized, m.target = e.commands, len(e.commands)
	m.emitGroup(Event{Kind: EventResized, Size: len(e.commands), Reason: e.reason})
	if m.phase == waiting && m.origin != nil {
		m.reason = because(m.origin) + "; " + why
	} else {
		m.origin, m.next, m.after, m.reason = nil, Restart, 0, why
	}
	m.scopeAll()
	switch {
	case m.any(alive):
		m.endWait()
		m.stopScope(0)
	case m.awaitsRoom():
		m.goOn()
	}
}

// checkResize: beside a process that does not die nothing may be started (G-1), though it belongs to nobody any more.
func (m *machine) checkResize(n int) error {
	left := m.lingering()
	switch {
	case m.achieved:
		return m.busy()
	case len(left) > 0:
		return fmt.Errorf("%w: rank %v", ErrAbandoned, left[0])
	}
	if err := errors.Join(m.bounds.check(n), m.terms.cut(n).check(n), m.checkRoom(n)); err != nil {
		return fmt.Errorf("%w: %w", ErrSpec, err)
	}
	return nil
}

// cut returns the terms of a group of that size: what there is too much of, are types.
func (t terms) cut(size int) *terms {
	t.types = t.types[:min(size, len(t.types))]
	return &t
}

// renumber makes the ranks of a resize those of the group. Nothing of the old ones is alive (G-1).
func (m *machine) renumber() {
	if m.resized == nil {
		return
	}
	m.replace(len(m.resized))
	m.do(efResize{m.resized})
	m.resized = nil
}

// replace makes room for the lives of as many ranks as there will be.
func (m *machine) replace(n int) {
	m.lives, m.scope, m.dropped = make([]life, n), make([]bool, n), nil
	m.scopeAll()
	m.takeStock()
}

// Events and effects.
type (
	evAdd struct {
		commands []process.Command
		reason   string
	}
	evRemove struct {
		rank   int
		reason string
	}
	evResize struct {
		commands []process.Command
		reason   string
	}
	evRestart struct {
		ranks  []int // none: all
		reason string
	}
	efRefuse struct{ err error }
	efAdd    struct{ commands []process.Command } // ranks after the last one
	efResize struct{ commands []process.Command } // in place of all ranks
)

func (evAdd) row() row     { return addRow }
func (evRemove) row() row  { return removeRow }
func (evResize) row() row  { return resizeRow }
func (evRestart) row() row { return restartRow }

func (efRefuse) effect() {}
func (efAdd) effect()    {}
func (efResize) effect() {}

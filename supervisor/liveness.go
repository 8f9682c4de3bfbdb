package supervisor

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/go-muster/muster/actors/process"
)

// A Liveness says when a rank that has not ended counts as hung. Workers with an SDK send heartbeats from beside the user's
// code: one that is busy is not dead. What does not speak is never hung.
//
// Before anything is killed, the stuck ranks and one that is well are asked for their stacks, which the failure keeps.
// Then the strategy is asked about the stuck ones, one by one, as about any failure; the error wraps [ErrHung].
type Liveness struct {
	// Heartbeat is how often a worker has to say that it is alive; 0 means never, at least 1 ms.
	Heartbeat time.Duration `json:"heartbeat,omitempty"`
	// Silence is how long a worker may say nothing. 0 means ten heartbeats.
	Silence time.Duration `json:"silence,omitempty"`
	// Stall is how long a rank that has told progress may tell none; 0 means for ever.
	Stall time.Duration `json:"stall,omitempty"`
	// Lag is by how much the count of a rank's progress may be less than the greatest before it is told as a straggler
	// ([EventStraggler]), which is no failure; 0 means by any.
	Lag uint64 `json:"lag,omitempty"`
}

// dumpTime is how long the stacks of hung ranks are waited for.
const dumpTime = 2 * time.Second

func (l Liveness) check() error {
	for _, d := range []struct {
		name string
		is   time.Duration
	}{{"Heartbeat", l.Heartbeat}, {"Silence", l.Silence}, {"Stall", l.Stall}} {
		if d.is < 0 {
			return fmt.Errorf("the Liveness's %s is negative (%v): use 0 for none", d.name, d.is)
		}
	}
	switch {
	case l.Heartbeat > 0 && l.Heartbeat < time.Millisecond:
		return fmt.Errorf("the Liveness's Heartbeat is %v: give at least 1ms", l.Heartbeat)
	case l.Silence > 0 && l.Silence <= l.Heartbeat:
		return fmt.Errorf("the Liveness's Silence (%v) is no longer than its Heartbeat (%v)", l.Silence, l.Heartbeat)
	case l.Silence > 0 && l.Heartbeat == 0:
		return fmt.Errorf("the Liveness has a Silence (%v) and no Heartbeat that could break it", l.Silence)
	}
	return nil
}

// silence returns how long a worker may say nothing, 0 for ever.
func (l Liveness) silence() time.Duration { return cmp.Or(l.Silence, 10*l.Heartbeat) }

// signs are what is known of a life while it lives.
type signs struct {
	sdk      string    // it said Hello
	beat     time.Time // its last sign of life; zero when it does not speak
	advanced time.Time // its last progress; zero when it tells none
	count    uint64
	lags     bool
	probe    string    // why it is not ready
	suspect  time.Time // it is thought to be hung since
	stacks   string
}

func (m *machine) onHello(ev event) {
	e := ev.(evHello)
	s := &m.lives[e.id.Rank].signs
	s.sdk, s.beat = e.sdk, m.now
	m.emit(Event{Kind: EventHello, Rank: e.id.Rank, Generation: e.id.Generation, PID: m.lives[e.id.Rank].pid, Reason: e.sdk})
	m.watchLife(&m.lives[e.id.Rank])
}

func (m *machine) onBeat(ev event) { m.lives[ev.(evBeat).id.Rank].beat = m.now }

func (m *machine) onProbing(ev event) {
	e := ev.(evProbing)
	l := &m.lives[e.id.Rank]
	l.probe = e.err.Error()
	m.emit(Event{Kind: EventProbing, Rank: e.id.Rank, Generation: e.id.Generation, PID: l.pid, Reason: l.probe})
}

func (m *machine) onProgress(ev event) {
	e := ev.(evProgress)
	l := &m.lives[e.id.Rank]
	first := l.advanced.IsZero()
	l.beat, l.advanced, l.count = m.now, m.now, max(l.count, e.count)
	if first {
		m.watchLife(l)
	}
	m.compare()
}

// compare tells who lags behind, once, until it has caught up.
func (m *machine) compare() {
	if m.liveness.Lag == 0 || m.now.Before(m.compared.Add(time.Second)) {
		return
	}
	m.compared = m.now
	var most uint64
	told := func(_ int, l *life) bool { return l.alive() && !l.advanced.IsZero() }
	for _, id := range m.pick(told) {
		most = max(most, m.lives[id.Rank].count)
	}
	for _, id := range m.pick(told) {
		l := &m.lives[id.Rank]
		lags := l.count+m.liveness.Lag < most
		if lags && !l.lags {
			m.emit(Event{Kind: EventStraggler, Rank: id.Rank, Generation: id.Generation, PID: l.pid,
				Reason: fmt.Sprintf("its progress is %d, the greatest is %d", l.count, most)})
		}
		l.lags = lags
	}
}

// deadline returns when a life counts as hung, zero for never, and why.
func (m *machine) deadline(l *life) (at time.Time, why string) {
	if !l.alive() || l.failure != nil || l.leaves() || l.rung != unasked || l.beat.IsZero() {
		return at, ""
	}
	if silence := m.liveness.silence(); silence > 0 {
		at, why = l.beat.Add(silence), fmt.Sprintf("no sign of life for %v", silence)
	}
	if stall := m.liveness.Stall; stall > 0 && !l.advanced.IsZero() {
		if until := l.advanced.Add(stall); at.IsZero() || until.Before(at) {
			at, why = until, fmt.Sprintf("no progress for %v, from %d", stall, l.count)
		}
	}
	return at, why
}

// overdueNow holds for those who should have given a sign by now.
func (m *machine) overdueNow(_ int, l *life) bool {
	at, _ := m.deadline(l)
	return !at.IsZero() && !at.After(m.now)
}

// watchLiveness sets the timer for the first that may be hung. A sign of life costs nothing: the timer goes off, and is
// set again.
func (m *machine) watchLiveness() {
	var first time.Time
	for rank := range m.lives {
		if at, _ := m.deadline(&m.lives[rank]); !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	if first.IsZero() {
		m.disarm(livenessTimer)
	} else {
		m.arm(livenessTimer, max(0, first.Sub(m.now)))
	}
}

// watchLife sets the timer for one that is watched from now on.
func (m *machine) watchLife(l *life) {
	at, _ := m.deadline(l)
	if at.IsZero() || m.isSet(dumpTimer) {
		return
	}
	if !m.isSet(livenessTimer) || at.Before(m.due[livenessTimer]) {
		m.arm(livenessTimer, max(0, at.Sub(m.now)))
	}
}

// onLiveness asks those that seem to be hung for their stacks, and one that is well, to compare.
func (m *machine) onLiveness(event) {
	hung := m.pick(m.overdueNow)
	if len(hung) == 0 {
		m.watchLiveness()
		return
	}
	for _, id := range hung {
		l := &m.lives[id.Rank]
		l.suspect, l.stacks = m.now, ""
		_, why := m.deadline(l)
		m.emit(Event{Kind: EventHung, Rank: id.Rank, Generation: id.Generation, PID: l.pid, Reason: why})
	}
	m.well = m.healthy()
	if m.well.Rank >= 0 {
		m.lives[m.well.Rank].stacks = ""
		hung = append(hung, m.well)
	}
	m.do(efDump{hung})
	m.arm(dumpTimer, dumpTime)
}

// healthy returns the life with the latest sign of it, among those that are not suspected; rank -1 for none.
func (m *machine) healthy() process.ID {
	ids := m.pick(func(rank int, l *life) bool {
		at, _ := m.deadline(l)
		return l.state == ready && !at.IsZero() && at.After(m.now)
	})
	if len(ids) == 0 {
		return process.ID{Rank: -1}
	}
	return slices.MaxFunc(ids, func(a, b process.ID) int {
		return m.lives[a.Rank].beat.Compare(m.lives[b.Rank].beat)
	})
}

func (m *machine) onDumped(ev event) {
	e := ev.(evDumped)
	m.lives[e.id.Rank].stacks = e.text
	missing := m.any(func(rank int, l *life) bool {
		asked := !l.suspect.IsZero() || m.well == (process.ID{Rank: rank, Generation: l.generation})
		return l.alive() && asked && l.stacks == ""
	})
	if m.isSet(dumpTimer) && !missing {
		m.disarm(dumpTimer)
		m.onDumpTime(nil)
	}
}

// onDumpTime: who is still silent has failed. One that has given a sign meanwhile was only slow.
func (m *machine) onDumpTime(event) {
	hung := m.pick(func(rank int, l *life) bool { return !l.suspect.IsZero() && m.overdueNow(rank, l) })
	m.unsuspect()
	for _, id := range hung {
		l := &m.lives[id.Rank]
		if m.phase != starting && m.phase != running || !m.overdueNow(id.Rank, l) {
			continue
		}
		_, why := m.deadline(l)
		f := m.fail(id, Origin)
		f.Err = fmt.Errorf("%w: %s", ErrHung, why)
		f.Stacks = l.stacks
		if m.well.Rank >= 0 {
			f.Healthy, f.HealthyStacks = m.well.Rank, m.lives[m.well.Rank].stacks
		}
		m.decide(f)
	}
	m.watchLiveness()
}

func (m *machine) unsuspect() {
	for rank := range m.lives {
		m.lives[rank].suspect = time.Time{}
	}
}

// lookAgain is for a time in which nobody can be found hung, because the strategy could not be asked about it.
func (m *machine) lookAgain(event) {
	m.unsuspect()
	m.arm(livenessTimer, m.liveness.silence()+m.liveness.Stall)
}

package supervisor

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/transport"
)

// The machine is the supervisor's brain: events in, effects out. It has no goroutine, no clock and no process, and is
// called by one goroutine. The root actor turns messages into events and effects into messages; docs/states.md shows
// the table.
//
// Its invariants are those of docs/design.md §5, named where they are kept: G-1 barrier, G-2 one voice, G-3 no ghosts,
// G-4 last out, G-6 an answer is no failure, G-7 first evidence, G-8 no proof, no success, G-9 always answers. (G-5, word
// before death, is actors/process's.)
type machine struct {
	config
	phase       phase
	generation  int // the newest
	lives       []life
	restarts    []time.Time // the latest of them,
	forgotten   int         // and how many there were before
	told        int         // failures
	failures    []*Failure  // the latest of them
	dropped     *Failure    // the first for which a rank was dropped
	generations []GenerationReport
	additions   int // generations that were no restart
	room        process.Room
	target      int // how many ranks an elastic group would like to have
	ghosts      int

	// of the directive that is being carried out
	origin *Failure // nil when the group was stopped from outside
	scope  []bool   // the ranks it means
	next   Action   // Terminate or Restart
	after  time.Duration
	reason string
	// The ranks that a restart takes in place of all there are; nil for none.
	resized []process.Command

	witness  int    // of the last answer to any that was yes
	counted  []bool // whose good end counts towards success,
	needed   int    // and how many it takes,
	missing  int    // of which so many have not come, or more: they are counted when it is none
	achieved bool   // the group has done its work, whatever still comes

	// of the question that the strategy has not answered yet
	asked    *Failure
	held     []*Failure // that have come since
	resume   phase      // where it was asked
	question int        // its number
	replied  int        // that of the last answer

	compared time.Time  // when stragglers were last looked for
	well     process.ID // who was asked for its stacks to compare those of the hung with

	verdict Outcome // how the group ends, once that is certain; zero means well
	end     error   // what Run returns then
	out     struct {
		effects []effect
		events  int
	}
	now    time.Time
	serial [timers]int
	due    [timers]time.Time // zero for a timer that is not set
}

// config is what does not change.
type config struct {
	terms
	size         int // at the start
	bounds       bounds
	first        int  // the number of the first generation
	placed       bool // the ranks run where there is room
	elastic      Elastic
	strategy     Strategy
	grace        time.Duration // between Stop and Kill
	exitTime     time.Duration // what a rank that raised has to end by itself before it is asked to
	startTimeout time.Duration // from spawn to ready, for each rank
	ordered      bool          // one after the other
	timeout      time.Duration // of the whole group; 0 for none
	lifetime     time.Duration // of a generation; 0 for none
	liveness     Liveness
	killWait     time.Duration // between Kill and Abandon
	history      int           // how many failures and generations are kept at least; 0 for all
	answerTime   time.Duration // what a strategy may take to answer
	random       func() float64
}

type phase int

const (
	idle phase = iota
	starting
	running
	deciding
	stopping
	waiting
	done
	phases
)

func (p phase) String() string {
	return [phases]string{"idle", "starting", "running", "deciding", "stopping", "waiting", "done"}[p]
}

// A life is one generation of one rank.
type life struct {
	signs
	generation int
	state      lifeState
	pid        int
	host       string    // where it runs, on one of several; it decides nothing
	due        time.Time // when it has to be ready
	began      time.Time // when its process was there
	rung       rung      // how far we have gone to end it
	until      time.Time // how long it may stay there
	failure    *Failure
	dropper    *Failure // the failure for which it was dropped; nil for who belongs to the group
	removed    string   // why it was removed, by somebody outside; "" for who belongs to the group
	exit       *process.Exit
	outcome    Outcome
	value      []byte
}

type lifeState int

const (
	unborn lifeState = iota
	queued           // for those before it in an ordered start
	spawned
	started
	ready
	ended
)

func (l *life) alive() bool { return l.state > queued && l.state != ended }

// answers reports whether an exit is the answer to our asking. What happened to a rank that was lost with its host, nobody knows (G-8).
func (l *life) answers(x *process.Exit) bool {
	return x.Stopped && l.rung >= asked && !errors.Is(x.Err, process.ErrHostLost)
}

type timer int

const (
	startTimer timer = iota
	lingerTimer
	exitTimer
	graceTimer
	killTimer
	backoffTimer
	deadlineTimer
	answerTimer
	lifetimeTimer
	livenessTimer
	dumpTimer
	roomTimer
	settleTimer
	timers
)

func (t timer) String() string {
	return [timers]string{"start", "linger", "exit", "grace", "kill", "backoff", "deadline", "answer", "lifetime",
		"liveness", "dump", "room", "settle"}[t]
}

// Events.
type (
	event     interface{ row() row }
	evStart   struct{}
	evStarted struct {
		id  process.ID
		pid int
	}
	evReady    struct{ id process.ID }
	evReturned struct {
		id    process.ID
		value []byte
	}
	evRaised struct {
		id        process.ID
		exception *transport.Exception
		err       error // of a broken link, in place of an exception
		seen      time.Time
	}
	evExited struct {
		id   process.ID
		pid  int
		exit process.Exit
	}
	evTimer struct {
		timer  timer
		serial int
	}
	evStop struct {
		cause error
		kill  bool
	}
	evNotice struct{ text string }
	evSignal struct{ signal process.Signal }
	evChange struct{ strategy Strategy }
	evTerms  struct{ terms Terms }
	evHello  struct {
		id  process.ID
		sdk string
	}
	evBeat     struct{ id process.ID }
	evProgress struct {
		id    process.ID
		count uint64
	}
	evProbing struct {
		id  process.ID
		err error
	}
	evDumped struct {
		id   process.ID
		text string
	}
	evAnswer struct {
		question  int
		directive Directive
		err       error // in place of a directive
	}
)

// Effects.
type (
	effect  interface{ effect() }
	efSpawn struct{ ids []process.ID }
	efStop  struct {
		ids    []process.ID
		reason string
	}
	efKill    struct{ ids []process.ID }
	efAbandon struct{ ids []process.ID }
	efTimer   struct {
		timer  timer
		after  time.Duration
		serial int
	}
	efAsk struct {
		question int
		strategy deliberator
		state    State
		failure  *Failure
		members  []int // the ranks that a restart would bring back, and the one that failed
	}
	efDump   struct{ ids []process.ID }
	efSignal struct {
		ids    []process.ID
		signal process.Signal
	}
	efEvent struct{ event Event }
	efDone  struct{ err error }
)

func (efSpawn) effect()   {}
func (efStop) effect()    {}
func (efKill) effect()    {}
func (efAbandon) effect() {}
func (efTimer) effect()   {}
func (efAsk) effect()     {}
func (efDump) effect()    {}
func (efSignal) effect()  {}
func (efEvent) effect()   {}
func (efDone) effect()    {}

func newMachine(c config) *machine {
	m := &machine{config: c, generation: c.first - 1, target: c.size, lives: make([]life, c.size), scope: make([]bool, c.size)}
	if c.bounds.max > 0 {
		m.target = c.bounds.max
	}
	m.takeStock()
	return m
}

// step takes one event and returns what is to be done about it, in order.
func (m *machine) step(now time.Time, ev event) []effect {
	m.now, m.out.effects = now, nil
	if m.ghost(ev) {
		return m.out.effects
	}
	if t, ok := ev.(evTimer); ok {
		m.disarm(t.timer) // it has fired
	}
	table[m.phase][m.classify(ev)].do(m, ev)
	return m.out.effects
}

// ghost drops what an older generation, or a life that has ended, still says (G-3), and timers that were set again. After
// the end it does so in silence: done is the last event.
func (m *machine) ghost(ev event) bool {
	if t, ok := ev.(evTimer); ok {
		return !m.isSet(t.timer) || m.serial[t.timer] != t.serial
	}
	id, of := lifeOf(ev)
	if !of {
		return false
	}
	if id.Rank < len(m.lives) {
		if l := &m.lives[id.Rank]; l.generation == id.Generation && l.alive() {
			return false
		}
	}
	m.ghosts++
	if m.phase == done {
		return true
	}
	what := ev.row().String()
	if _, exited := ev.(evExited); exited {
		what = "exited"
	}
	m.emit(Event{Kind: EventGhost, Rank: id.Rank, Generation: id.Generation, Reason: what})
	return true
}

func lifeOf(ev event) (id process.ID, ok bool) {
	switch ev := ev.(type) {
	case evStarted:
		return ev.id, true
	case evReady:
		return ev.id, true
	case evReturned:
		return ev.id, true
	case evRaised:
		return ev.id, true
	case evExited:
		return ev.id, true
	case evHello:
		return ev.id, true
	case evBeat:
		return ev.id, true
	case evProgress:
		return ev.id, true
	case evProbing:
		return ev.id, true
	case evDumped:
		return ev.id, true
	}
	return process.ID{}, false
}

// classify tells a good exit from a bad one. A rank that ends because we asked it to ends as it was told (G-6); that its
// process was signalled by somebody else's stop is no excuse. A permanent rank has no good exit of its own.
func (m *machine) classify(ev event) row {
	x, ok := ev.(evExited)
	if !ok {
		return ev.row()
	}
	good := x.exit.Success() && m.of(x.id.Rank) != Permanent
	if good || m.lives[x.id.Rank].answers(&x.exit) {
		return goodExitRow
	}
	return badExitRow
}

// Small verbs.

func (m *machine) do(e effect) { m.out.effects = append(m.out.effects, e) }

func (m *machine) emit(e Event) {
	m.out.events++
	e.Seq, e.At = m.out.events, m.now
	m.do(efEvent{e})
}

// emitGroup emits an event of the group as a whole.
func (m *machine) emitGroup(e Event) {
	e.Rank, e.Generation = -1, max(m.first, m.generation)
	m.emit(e)
}

func (m *machine) arm(t timer, after time.Duration) {
	m.serial[t]++
	m.due[t] = m.now.Add(after)
	m.do(efTimer{t, after, m.serial[t]})
}

// disarm makes the timer that is set a ghost.
func (m *machine) disarm(t timer) { m.due[t] = time.Time{} }

func (m *machine) isSet(t timer) bool { return !m.due[t].IsZero() }

// pick returns the lives that a predicate holds for, by rank.
func (m *machine) pick(keep func(rank int, l *life) bool) []process.ID {
	var ids []process.ID
	for rank := range m.lives {
		if keep(rank, &m.lives[rank]) {
			ids = append(ids, process.ID{Rank: rank, Generation: m.lives[rank].generation})
		}
	}
	return ids
}

// any reports whether a predicate holds for a life. It begins where one held the last time: as the ranks of a group end one by
// one, and each time it is asked whether there are others, it looks at each of them once, and not at all of them each time.
func (m *machine) any(is func(rank int, l *life) bool) bool {
	size := len(m.lives)
	for i := range size {
		if rank := (m.witness + i) % size; is(rank, &m.lives[rank]) {
			m.witness = rank
			return true
		}
	}
	return false
}

func alive(_ int, l *life) bool { return l.alive() }

// unready holds for those that a start waits for. Who failed and was ignored, or leaves, is waited for no longer.
func unready(_ int, l *life) bool {
	return queued <= l.state && l.state <= started && l.failure == nil && !l.leaves()
}

func (m *machine) scopeAlive(rank int, l *life) bool { return m.scope[rank] && l.alive() }

// goneForGood holds for those that no restart brings back.
func (m *machine) goneForGood(rank int, l *life) bool {
	return l.leaves() || m.of(rank) == Temporary && l.state == ended
}

// latest returns what is kept of a record: at least that many, and less than twice as many. A service that restarts for
// years must not grow with every restart.
func latest[T any](all []T, history int) []T {
	if history == 0 || len(all) < 2*history {
		return all
	}
	return slices.Clone(all[len(all)-history:])
}

// present returns the record of the newest generation.
func (m *machine) present() *GenerationReport { return &m.generations[len(m.generations)-1] }

// fail records that a rank failed, in the order of arrival.
func (m *machine) fail(id process.ID, kind Kind) *Failure {
	l := &m.lives[id.Rank]
	m.told++
	f := &Failure{Seq: m.told, Kind: kind, Rank: id.Rank, Generation: id.Generation, PID: l.pid, Host: l.host, At: m.now}
	if !l.began.IsZero() {
		f.Uptime = m.now.Sub(l.began)
	}
	m.failures = append(latest(m.failures, m.history), f)
	l.failure, l.outcome = f, Failed
	return f
}

func (m *machine) emitFailed(f *Failure) {
	known := *f
	m.emit(Event{Kind: EventFailed, Rank: f.Rank, Generation: f.Generation, PID: f.PID, Failure: &known})
}

// state is what the strategy may know, with a new random number.
func (m *machine) state() State {
	return State{
		Now: m.now, Generation: m.generation, Size: len(m.lives), Starting: m.phase == starting,
		Restarts: m.restarts, Earlier: m.forgotten, Random: m.random(),
	}
}

// copied gives a strategy what it cannot spoil for us, or for whoever is asked next.
func copied(s State, f *Failure) (State, *Failure) {
	known := *f
	s.Restarts = slices.Clone(s.Restarts)
	return s, &known
}

// try asks a strategy that answers at once.
func try(by Strategy, s State, f *Failure) (d Directive, err error) {
	defer func() {
		if p := recover(); p != nil {
			d, err = Directive{}, panicked(p)
		}
	}()
	return by.Decide(copied(s, f)), nil
}

func panicked(value any) error { return fmt.Errorf("%w: it panicked: %v", ErrStrategy, value) }

func (m *machine) check(d Directive) error {
	switch {
	case d.Action < Terminate || d.Action > Drop:
		return fmt.Errorf("%w: %v is no action", ErrStrategy, d.Action)
	case d.After < 0 || d.Linger < 0:
		return fmt.Errorf("%w: a negative wait (%v, %v)", ErrStrategy, d.After, d.Linger)
	}
	for _, rank := range d.Ranks {
		if rank < 0 || rank >= len(m.lives) {
			return fmt.Errorf("%w: rank %d of %d", ErrStrategy, rank, len(m.lives))
		}
	}
	return nil
}

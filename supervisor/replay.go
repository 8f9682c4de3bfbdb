package supervisor

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/go-muster/muster/actors/process"
)

// A Replayed is how a group would have gone under another strategy.
type Replayed struct {
	Events []Event
	Report Report
	Err    error // as of Run
}

// Decisions returns the failures that were decided upon, in order, each with its directive.
func (r Replayed) Decisions() []*Failure { return decisions(r.Events) }

// Replay lets the group of a journal run again under a strategy, without processes and in no time. The machine is the one
// that runs groups; the processes do what the record has of them:
//
//   - The first life of a rank does what the first one of the record did, as long after its start; and so on. How it
//     answered our signals, it answers them again; one that was never asked to stop, stops at once.
//   - What the record does not tell goes well: a life that it saw cut off works on until the record's end, and then ends
//     well. So does a life of which it has none, which is ready at once. A permanent rank goes on.
//   - A stop or a kill from outside comes when it came; so does a signal to all ranks, which is told, and to which nobody
//     answers otherwise than in the record. If the group lives on when the record is over and nothing is left to happen, it
//     is stopped.
//   - Ranks are added and removed, the group is resized and gets other terms, one after the other, when that was, or as soon
//     after as the group can take it; what it will never take is left out.
//
// State.Random is always 0.5. The same journal and the same pure strategy give the same answer; one of [FromProtoactor] is
// answered for by what it does at once, and counts by the clock on the wall.
//
// The error wraps [ErrJournal] when nothing has happened in the journal, and [ErrSpec] when the strategy makes no sense.
func Replay(j Journal, s Strategy) (Replayed, error) {
	if len(j.Events) == 0 {
		return Replayed{}, fmt.Errorf("%w: nothing has happened in it", ErrJournal)
	}
	spec := j.Spec
	if spec.Strategy = s; s == nil {
		spec.Strategy = FailFast{}
	}
	if err := checkStrategy(spec.Strategy); err != nil {
		return Replayed{}, fmt.Errorf("%w: %w", ErrSpec, err)
	}
	spec = spec.withDefaults()
	c := spec.config()
	c.placed = j.Placed
	r := newReplayer(j, c)
	r.run()
	result := Replayed{Events: r.events, Report: r.m.report(), Err: r.m.end}
	result.Report.Run, result.Report.Name, result.Report.Start = j.Run, j.Name, j.Start
	result.Report.Seconds = r.now.Sub(j.Start).Seconds()
	return result, nil
}

// A course is what a life did: of its own, after it was asked to stop, and after it was killed.
type course struct {
	words [3][]word
	rung  int           // how far we went to end it, as an index of words
	cut   time.Duration // how long it went its own way
	late  bool          // it was not ready in time
	ended bool          // the record has its end
}

// outlived reports whether the end of a life was heard although it had been given up: its host was lost.
func (c *course) outlived() bool {
	return slices.ContainsFunc(c.words[2], func(w word) bool {
		_, exited := w.say(process.ID{}).(evExited)
		return exited
	})
}

// lostWith reports whether the record has a life end with a host.
func (c *course) lostWith(host string) bool {
	for _, w := range slices.Concat(c.words[:]...) {
		var lost *process.HostLostError
		if x, exited := w.say(process.ID{}).(evExited); exited && errors.As(x.exit.Err, &lost) && lost.Host == host {
			return true
		}
	}
	return false
}

// A word is something that a life tells, a time after the beginning of that part of its course.
type word struct {
	after time.Duration
	say   func(process.ID) event
	seq   int // of the event in the record
}

// A hearing is a course of which more may come.
type hearing struct {
	*course
	since [3]time.Time // when each part began
}

// courses collects what is known of each rank's lives, in order.
func courses(j Journal) [][]*course {
	all := make([][]*course, len(j.Spec.Ranks))
	open := map[process.ID]*hearing{}
	for _, e := range j.Events {
		if e.Rank < 0 {
			continue
		}
		all = grown(all, e.Rank)
		id := process.ID{Rank: e.Rank, Generation: e.Generation}
		if e.Kind == EventSpawn {
			h := &hearing{course: &course{}}
			h.since[0] = e.At
			open[id], all[e.Rank] = h, append(all[e.Rank], h.course)
		}
		if h := open[id]; h != nil {
			h.hear(e)
		}
	}
	over := j.Events[len(j.Events)-1].At
	for _, h := range open {
		if h.rung == 0 {
			h.cut = over.Sub(h.since[0])
		}
		h.complete()
	}
	return all
}

// grown makes room for a rank.
func grown[T any](of []T, rank int) []T {
	return append(of, make([]T, max(0, rank+1-len(of)))...)
}

// hear adds an event of the record.
func (h *hearing) hear(e Event) {
	part := h.rung
	switch e.Kind {
	case EventStop:
		h.begin(1, e.At)
	case EventKill:
		h.begin(2, e.At)
	case EventFailed:
		h.late = h.late || e.Failure != nil && errors.Is(e.Failure.Err, ErrStartTimeout)
	case EventExited:
		h.ended = true
	case EventStarted, EventHello, EventProbing, EventReady, EventReturned:
		part = 0 // it was on its way
	}
	if say := saying(e); say != nil {
		h.words[part] = append(h.words[part], word{max(0, e.At.Sub(h.since[part])), say, e.Seq})
	}
}

func (h *hearing) begin(part int, at time.Time) {
	if h.rung == 0 {
		h.cut = at.Sub(h.since[0])
	}
	h.rung, h.since[part] = part, at
}

// saying is what a life told when that event came of it; nil when it told nothing.
func saying(e Event) func(process.ID) event {
	switch f := e.Failure; e.Kind {
	case EventStarted:
		return func(id process.ID) event { return evStarted{id, e.PID} }
	case EventHello:
		return func(id process.ID) event { return evHello{id, e.Reason} }
	case EventProbing:
		return func(id process.ID) event { return evProbing{id, errors.New(e.Reason)} }
	case EventReady:
		return func(id process.ID) event { return evReady{id} }
	case EventReturned:
		return func(id process.ID) event { return evReturned{id: id} }
	case EventFailed:
		ours := f != nil && (errors.Is(f.Err, ErrStartTimeout) || errors.Is(f.Err, ErrLifetime))
		if f == nil || f.Exit != nil || f.ofLostHost() || f.Exception == nil && ours {
			return nil // the exit is told, and the time is ours
		}
		return func(id process.ID) event { return evRaised{id: id, exception: f.Exception, err: f.Err} }
	case EventExited:
		if e.Exit == nil || errors.Is(e.Exit, ErrAbandoned) {
			return nil
		}
		return func(id process.ID) event { return evExited{id, e.PID, *e.Exit} }
	}
	return nil
}

// complete lets a life that was cut off before it was ready have been about to be, the moment after.
func (c *course) complete() {
	if c.late || c.rung == 0 && c.ended {
		return
	}
	started, ready := false, false
	for _, w := range c.words[0] {
		switch w.say(process.ID{}).(type) {
		case evStarted:
			started = true
		case evReady, evRaised:
			ready = true
		}
	}
	if !started {
		c.words[0] = append(c.words[0], word{after: c.cut + 1, say: func(id process.ID) event { return evStarted{id: id} }})
	}
	if !ready {
		c.words[0] = append(c.words[0], word{after: c.cut + 1, say: func(id process.ID) event { return evReady{id} }})
	}
}

// A replayer is the shell of a machine whose processes are courses.
type replayer struct {
	m       *machine
	now     time.Time
	over    time.Time // when the record ends
	queue   queue
	items   uint64
	courses [][]*course // that are still to come
	changes []event     // of its ranks and terms, that the group is to take
	refusal error       // of the last one
	lives   []*played
	lost    []loss // of this moment
	events  []Event
}

// A loss is the exit of a life whose host was lost. All of a host come at one moment: who is first in the record is the origin of
// the failure, and is to be so again.
type loss struct {
	seq int
	*played
	event
}

// A played life is one of the newest of each rank.
type played struct {
	id    process.ID
	alive bool
	reach bool // our signal met it alive
	*course
}

func newReplayer(j Journal, c config) *replayer {
	c.random = func() float64 { return 0.5 }
	c.liveness = Liveness{} // signs of life are not recorded, but who was found without them
	r := &replayer{
		m: newMachine(c), now: j.Events[0].At, over: j.Events[len(j.Events)-1].At, courses: courses(j),
		lives: make([]*played, c.size),
	}
	r.begin(j)
	for _, e := range j.Outside() {
		r.at(e.At, func() {
			switch e.Kind {
			case EventSignal:
				r.tell(evSignal{e.Signal})
			case EventStopping:
				r.tell(evStop{cause: e.Err, kill: e.Kill})
			}
		})
	}
	for _, c := range changes(j) {
		r.at(c.at, func() { r.changes = append(r.changes, c.event); r.change() })
	}
	return r
}

// begin starts the group, with the room there was then; what came later comes later.
func (r *replayer) begin(j Journal) {
	start := slices.IndexFunc(j.Events, func(e Event) bool { return e.Kind != EventRoom })
	if start < 0 {
		return // it never began
	}
	for _, e := range j.Events[:start] {
		r.at(e.At, func() { r.tell(roomOf(e)) })
	}
	r.after(0, func() { r.tell(evStart{}) })
	r.rooms(j.Events[start:])
}

// rooms tells of the next change of the room and, once that has come, of those after it: of two facts of one moment the older one is
// told first.
func (r *replayer) rooms(events []Event) {
	next := slices.IndexFunc(events, func(e Event) bool { return e.Kind == EventRoom })
	if next < 0 {
		return
	}
	r.at(events[next].At, func() {
		r.tell(roomOf(events[next]))
		r.rooms(events[next+1:])
	})
}

func roomOf(e Event) evRoom {
	return evRoom{process.Room{Ranks: e.Size, Hosts: e.Hosts, Why: e.Reason, Since: e.After}}
}

// A changed group is one whose ranks or terms somebody changed from outside.
type changed struct {
	at    time.Time
	event event
}

// changes are those of the record, in order: terms may be about ranks that come before them. Ranks that were added together stand there together, as one generation.
func changes(j Journal) (all []changed) {
	var blank []process.Command
	for i, e := range j.Events {
		switch e.Kind {
		case EventAdded:
			add := evAdd{make([]process.Command, 1), e.Reason}
			if i > 0 && j.Events[i-1].Kind == EventAdded && j.Events[i-1].Generation == e.Generation {
				add.commands = append(add.commands, all[len(all)-1].event.(evAdd).commands...)
				all = all[:len(all)-1]
			}
			all = append(all, changed{e.At, add})
		case EventChanged:
			if e.Terms != nil {
				all = append(all, changed{e.At, evTerms{*e.Terms}})
			}
		case EventRemoved:
			all = append(all, changed{e.At, evRemove{e.Rank, e.Reason}})
		case EventRestart:
			again := evRestart{[]int{e.Rank}, e.Reason}
			if i > 0 && j.Events[i-1].Kind == EventRestart {
				again.ranks = append(all[len(all)-1].event.(evRestart).ranks, e.Rank)
				all = all[:len(all)-1]
			}
			all = append(all, changed{e.At, again})
		case EventResized:
			if e.Fit {
				break
			}
			blank = grown(blank, e.Size-1) // one for all of them
			all = append(all, changed{e.At, evResize{blank[:e.Size], e.Reason}})
		}
	}
	return all
}

// change lets the group take what it can of the changes whose time has come. What it refuses for another reason than that
// it is busy, it will never take.
func (r *replayer) change() {
	for len(r.changes) > 0 {
		r.refusal = nil
		r.step(r.changes[0])
		if errors.Is(r.refusal, ErrBusy) {
			return
		}
		r.changes = r.changes[1:]
	}
}

func (r *replayer) at(t time.Time, do func()) {
	if t.Before(r.now) {
		t = r.now
	}
	r.add(t, func() { r.now = t; do() })
}

func (r *replayer) add(t time.Time, do func()) {
	r.items++
	r.queue.add(item{t, r.items, do})
}

func (r *replayer) after(d time.Duration, do func()) { r.at(r.now.Add(d), do) }

// arm sets a timer. One that is set again, or is needed no longer, does not move the clock.
func (r *replayer) arm(e efTimer) {
	t := r.now.Add(e.after)
	r.add(t, func() {
		if ev := (evTimer{e.timer, e.serial}); !r.m.ghost(ev) {
			r.now = t
			r.tell(ev)
		}
	})
}

// run lives until the end of the group.
func (r *replayer) run() {
	for r.m.phase != done {
		if len(r.queue) == 0 {
			r.after(0, func() { r.tell(evStop{cause: stopped("the record is over")}) })
		}
		next := r.queue.next()
		next.do()
	}
}

// tell tells the machine something, after which it may be ready for what it was too busy for.
func (r *replayer) tell(ev event) {
	r.step(ev)
	r.change()
}

func (r *replayer) step(ev event) {
	for _, e := range r.m.step(r.now, ev) {
		r.perform(e)
	}
}

// perform does what the shell and the rank actors do.
func (r *replayer) perform(e effect) {
	switch e := e.(type) {
	case efSpawn:
		for _, id := range e.ids {
			r.launch(id)
		}
	case efStop:
		for _, id := range e.ids {
			r.signal(id, 1, syscall.SIGTERM)
		}
	case efKill:
		for _, id := range e.ids {
			r.signal(id, 2, syscall.SIGKILL)
		}
	case efAbandon:
		for _, id := range e.ids {
			if p := r.lives[id.Rank]; !p.outlived() {
				r.after(0, func() { r.say(p, abandonedExit(id), 0) })
			}
		}
	case efTimer:
		r.arm(e)
	case efAsk:
		r.after(0, func() { r.tell(answerNow(e)) })
	case efRefuse:
		r.refusal = e.err
	case efEvent:
		r.events = append(r.events, e.event)
	}
}

func abandonedExit(id process.ID) event {
	return evExited{id: id, exit: process.Exit{Code: -1, Err: ErrAbandoned, Stopped: true}}
}

// answerNow has a strategy that takes its time answer at once.
func answerNow(e efAsk) (a evAnswer) {
	a.question = e.question
	defer func() {
		if p := recover(); p != nil {
			a.err = panicked(p)
		}
	}()
	a.directive = e.strategy.Decide(e.state, e.failure)
	return a
}

// launch begins the next life of a rank.
func (r *replayer) launch(id process.ID) {
	c := &course{}
	r.courses = grown(r.courses, id.Rank)
	if lives := r.courses[id.Rank]; len(lives) > 0 {
		c, r.courses[id.Rank] = lives[0], lives[1:]
	} else {
		c.complete()
	}
	p := &played{id: id, alive: true, course: c}
	r.lives = grown(r.lives, id.Rank)
	r.lives[id.Rank] = p
	last := r.now
	for _, w := range c.words[0] {
		at := r.now.Add(w.after)
		if at.After(last) {
			last = at
		}
		r.at(at, func() { r.end(p, w.say(id), w.seq) })
	}
	if r.m.of(id.Rank) == Permanent || c.rung == 0 && c.ended {
		return
	}
	if r.over.After(last) {
		last = r.over
	}
	r.at(last.Add(1), func() { r.end(p, evExited{id: id}, 0) })
}

func (r *replayer) speak(p *played, words []word) {
	for _, w := range words {
		r.after(w.after, func() { r.say(p, w.say(p.id), w.seq) })
	}
}

// say tells something of a life that has not ended.
func (r *replayer) say(p *played, ev event, seq int) {
	x, exited := ev.(evExited)
	switch {
	case !p.alive:
	case exited && errors.Is(x.exit.Err, process.ErrHostLost):
		if r.lost = append(r.lost, loss{seq, p, ev}); len(r.lost) == 1 {
			r.after(0, r.lose) // when all have come that come now
		}
	default:
		p.alive = !exited
		r.tell(ev)
	}
}

// lose tells the exits with a lost host, in the order of the record.
func (r *replayer) lose() {
	lost := r.lost
	r.lost = nil
	slices.SortStableFunc(lost, func(a, b loss) int { return cmp.Compare(a.seq, b.seq) })
	for _, l := range lost {
		if l.alive {
			l.alive = false
			r.tell(r.together(l.event.(evExited)))
		}
	}
}

// together has a rank lost with its host and with those who are there now of the ranks that were lost with it: of one that was another
// life then, and has a new one elsewhere, the record says so.
func (r *replayer) together(x evExited) evExited {
	var lost *process.HostLostError
	if !errors.As(x.exit.Err, &lost) {
		return x
	}
	now := *lost
	now.Lives = nil
	for _, id := range lost.Lives {
		id.Generation = -1 // no life that is there, unless
		if id.Rank < len(r.lives) && r.lives[id.Rank] != nil && r.lives[id.Rank].lostWith(lost.Host) {
			id = r.lives[id.Rank].id
		}
		now.Lives = append(now.Lives, id)
	}
	x.exit.Err = &now
	return x
}

// end is the exit that a life has of its own. A signal that met it alive makes it an answer.
func (r *replayer) end(p *played, ev event, seq int) {
	if x, is := ev.(evExited); is {
		x.exit.Stopped = p.reach && x.exit.Err == nil
		ev = x
	}
	r.say(p, ev, seq)
}

// signal is one of ours at a process: it does what it did then, or else what the signal does.
func (r *replayer) signal(id process.ID, rung int, s process.Signal) {
	p := r.lives[id.Rank]
	if !p.alive {
		return
	}
	p.reach = true
	if p.rung >= rung && p.ended {
		r.speak(p, p.words[rung])
		return
	}
	exit := process.Exit{Code: -1, Signal: s, Stopped: true}
	r.after(0, func() { r.say(p, evExited{id: id, exit: exit}, 0) })
}

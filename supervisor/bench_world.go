package supervisor

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/transport"
)

// A world is a virtual machine room: a clock, processes with minds of their own, and messages that take their time. It
// drives one machine from a seed and checks all that it does (see bench_invariant.go). Everything a process tells may be
// late, out of order, told twice, or told again long after; only the exit is always the last first telling of a life, as
// a rank actor guarantees.
type world struct {
	watch
	*rand.Rand
	m    *machine
	step func(*machine, time.Time, event) []effect // (*machine).step, or a mutant of it

	now    time.Time
	queue  queue
	armed  [timers]int // the serial of the timer that the shell has set
	lives  []*body     // the newest of each rank
	log    *strings.Builder
	script *strings.Builder // the same as a transcript; nil when nobody wants one
	said   []string         // in a transcript: what the strategy has answered in this step
	trial  bool             // of a user's strategy, which is to stay
	land
	opening  string // of the transcript: what the machine does about the room that it begins with
	mood     mood
	punctual bool // timers are never late
}

// A mood is what the processes of one world are like.
type mood struct {
	fail, hang, rude, quirk float64 // how likely
	span                    time.Duration
}

const (
	simGrace    = 2 * time.Second
	simExitTime = time.Second
	simKillWait = 500 * time.Millisecond
	simStart    = 5 * time.Second
	simAnswer   = 4 * time.Second
	simBeat     = 300 * time.Millisecond
	simHorizon  = 40 * time.Second // then somebody stops the group
	simLatency  = 40 * time.Millisecond
	simLate     = 3 * time.Millisecond // of timers
)

// A body is a process in truth, and what the checks know of its life.
type body struct {
	id    process.ID
	alive bool // in truth, its process tree included
	born  time.Time
	last  time.Time // when the last that it told will be heard
	reach bool      // our signal met it alive
	ended bool      // its exit is on the way
	site  *site     // where it runs; nil for here
	known           // to the machine
}

func newWorld(seed uint64) *world {
	w := &world{Rand: rand.New(rand.NewPCG(seed, 1)), now: epoch, step: (*machine).step}
	w.mood = mood{
		fail: w.pick(0, 0.2, 0.5, 0.8), hang: w.pick(0, 0.05, 0.3), rude: w.pick(0, 0.2, 0.6), quirk: w.pick(0, 0.2),
		span: time.Duration(w.pick(0.001, 1, 8, 20) * float64(time.Second)),
	}
	c := config{
		size: 1 + w.IntN(8), grace: simGrace, exitTime: simExitTime, killWait: simKillWait, startTimeout: simStart,
		random: w.Float64,
	}
	if w.chance(0.2) {
		c.timeout = w.upTo(30 * time.Second)
	}
	c.strategy = w.randomStrategy(c.size)
	if w.chance(0.5) {
		c.terms = w.randomTerms(c.size)
	}
	if w.chance(0.2) {
		c.liveness = Liveness{Heartbeat: simBeat, Stall: 6 * time.Second * time.Duration(w.IntN(2)), Lag: 3}
	}
	if c.ordered = w.chance(0.25); w.chance(0.1) {
		c.lifetime = w.upTo(20*time.Second) + time.Second
	}
	if w.chance(0.1) {
		c.history = 1 + w.IntN(3)
	}
	if w.chance(0.3) {
		c.bounds = bounds{1 + w.IntN(c.size), c.size + w.IntN(4)}
	}
	if c.answerTime = simAnswer; w.chance(0.3) {
		c.strategy = slow{c.strategy}
	}
	w.settleHosts(seed, &c)
	w.config = c
	w.m = newMachine(c)
	w.target = w.m.target
	w.lives = make([]*body, c.size)
	w.generation, w.most, w.held, w.banned, w.removed = -1, c.size, map[int]bool{}, map[int]bool{}, map[int]bool{}
	return w
}

func (w *world) chance(p float64) bool              { return w.Float64() < p }
func (w *world) pick(of ...float64) float64         { return of[w.IntN(len(of))] }
func (w *world) upTo(d time.Duration) time.Duration { return time.Duration(w.Int64N(int64(d) + 1)) }
func (w *world) after(d time.Duration, do func())   { w.at(w.now.Add(d), do) }
func (w *world) at(t time.Time, do func())          { w.queue.add(item{t, w.Uint64(), do}) }
func (w *world) latency() time.Duration             { return w.upTo(simLatency) }
func (w *world) note(format string, a ...any) {
	if w.log != nil {
		fmt.Fprintf(w.log, "%8.3fs  %s\n", w.now.Sub(epoch).Seconds(), fmt.Sprintf(format, a...))
	}
}

func (w *world) noteEffects(effects []effect) {
	const margin = "            "
	if len(effects) > 0 {
		w.log.WriteString(margin + strings.ReplaceAll(render(effects), "\n", "\n"+margin) + "\n")
	}
}

// randomTerms are random, and make sense.
func (w *world) randomTerms(size int) (t terms) {
	for range w.IntN(size + 1) {
		t.types = append(t.types, RestartType(w.IntN(3)))
	}
	for rank := range size {
		if t.of(rank) != Permanent && w.chance(0.4) {
			t.success.Ranks = append(t.success.Ranks, rank)
		}
		if t.of(rank) != Permanent && w.chance(0.2) {
			t.significant = append(t.significant, rank)
		}
	}
	if n := len(t.success.Ranks); n > 0 {
		t.success.Need = w.IntN(n + 1)
	}
	if len(t.significant) > 0 {
		t.shutdown = AnySignificant + Shutdown(w.IntN(2))
	}
	t.success.Await = w.chance(0.3)
	return t
}

// randomStrategy is one of ours, or one that answers at random. All have a budget, so that a run has an end worth waiting for.
func (w *world) randomStrategy(size int) Strategy {
	restarts, within := w.IntN(6), time.Duration(w.pick(0, float64(10*time.Second)))
	decay, uptime := time.Duration(w.pick(0, 0, float64(5*time.Second))), w.upTo(time.Second)*time.Duration(w.IntN(2))
	b := Backoff{Min: w.upTo(2*time.Second) * time.Duration(w.IntN(2)), Max: 4 * time.Second}
	linger := w.upTo(3*time.Second) * time.Duration(w.IntN(2))
	if within > 0 || decay > 0 {
		restarts = min(restarts, 2)
	}
	switch w.IntN(8) {
	case 0:
		return AllForOne{restarts, within, decay, uptime, b, linger}
	case 1, 2:
		return OneForOne{restarts, within, decay, uptime, b}
	case 3:
		return RestForOne{restarts, within, decay, uptime, b}
	case 4:
		return FailFast{linger}
	}
	fault := w.pick(0, 0, 0, 0.1)
	return StrategyFunc(func(s State, f *Failure) Directive { return w.whim(s, fault, restarts) })
}

func (w *world) whim(s State, fault float64, restarts int) Directive {
	d := Directive{Action: Action(w.IntN(4)), Free: w.chance(0.1), Reason: "a whim"}
	switch {
	case w.chance(fault):
		panic("a whim")
	case w.chance(fault):
		d.Ranks = []int{s.Size}
	case d.Action == Restart && len(s.Restarts) >= restarts:
		d.Action = Terminate
	}
	d.After = w.upTo(time.Second) * time.Duration(w.IntN(2))
	d.Linger = w.upTo(2*time.Second) * time.Duration(w.IntN(2))
	for rank := range s.Size {
		if w.chance(0.3) {
			d.Ranks = append(d.Ranks, rank)
		}
	}
	return d
}

// run lives until nothing is left to happen.
func (w *world) run() error {
	w.after(0, w.begin)
	for range w.IntN(3) {
		if w.chance(0.4) {
			w.after(w.upTo(simHorizon), func() { w.stop(w.chance(0.3)) })
		}
	}
	for range w.IntN(4) {
		w.after(w.upTo(w.mood.span+100*time.Millisecond), w.changeGroup)
	}
	w.after(w.upTo(simHorizon), func() {
		w.tell(evNotice{"the watchdog is back"}, nil)
		w.tell(evSignal{syscall.SIGHUP}, nil)
	})
	if w.chance(0.2) && !w.trial {
		w.after(w.upTo(simHorizon), func() { w.tell(evChange{w.written(w.randomStrategy(len(w.lives)))}, nil) })
	}
	w.after(simHorizon, func() { w.stop(false) })
	for w.err == nil && len(w.queue) > 0 {
		next := w.queue.next()
		w.checkTime(next.at)
		w.now = next.at
		next.do()
		if w.steps > 50_000 {
			w.failf("no end in sight")
		}
	}
	w.checkEnd()
	return w.err
}

func (w *world) stop(kill bool) {
	w.tell(evStop{cause: fmt.Errorf("%w: no. %d", ErrStopped, w.stops), kill: kill}, nil)
}

// changeGroup is somebody's wish for other ranks or terms, which may make no sense, and is told again when it cannot be granted yet.
func (w *world) changeGroup() {
	var wish event
	switch w.IntN(5) {
	case 0:
		wish = evAdd{make([]process.Command, 1+w.IntN(2)), "a wish"}
	case 1:
		wish = evRemove{w.IntN(len(w.lives) + 1), "a wish"}
	case 2:
		t := w.randomTerms(max(1, len(w.lives)+w.IntN(3)-1))
		wish = evTerms{Terms{t.types, t.success, t.significant, t.shutdown}}
	case 3:
		wish = evRestart{w.Perm(len(w.lives) + 1)[:w.IntN(3)], "a wish"}
	default:
		wish = evResize{make([]process.Command, 1+w.IntN(8)), "a wish"}
	}
	w.wish(wish)
}

// removeFlapping is the wish to be rid of a rank that a restart is to bring back.
func (w *world) removeFlapping() {
	ranks := slices.Sorted(maps.Keys(w.scope))
	if len(ranks) == 0 || w.chance(0.3) {
		w.changeGroup()
		return
	}
	w.wish(evRemove{ranks[w.IntN(len(ranks))], "a wish"})
}

func (w *world) wish(ev event) {
	if w.tell(ev, nil); !w.granted && w.chance(0.7) {
		w.after(w.upTo(time.Second), func() { w.wish(ev) })
	}
}

// tell gives the machine an event, performs what it asks for, and checks it.
func (w *world) tell(ev event, b *body) {
	w.steps++
	stale := b != nil && (b.told || b.id.Rank >= len(w.lives) || w.lives[b.id.Rank] != b)
	before := w.freeze(stale)
	line, was := "", w.m.phase
	if w.script != nil {
		line = w.m.inputLine(ev)
	}
	w.said = nil
	effects := w.step(w.m, w.now, ev)
	w.transcribe(line, w.open(was, ev)+transcribe(effects, was, w.m.phase))
	if w.log != nil {
		w.note("%s", describeInput(ev))
		w.noteEffects(effects)
	}
	w.checkStep(ev, b, stale, before, effects)
	for _, e := range effects {
		w.perform(e)
	}
}

// transcribe writes a command and its answer into the transcript. Start is there already.
func (w *world) transcribe(line, answer string) {
	if line == "" {
		return
	}
	for _, next := range w.said {
		fmt.Fprintf(w.script, "\n%s\n----\n", next)
	}
	if line != "" && !strings.HasPrefix(line, "start ") {
		fmt.Fprintf(w.script, "\n%s at=%v\n", line, w.now.Sub(epoch))
	}
	if strings.Contains(answer, "\n\n") {
		fmt.Fprintf(w.script, "----\n----\n%s\n----\n----\n", answer)
		return
	}
	fmt.Fprintf(w.script, "----\n%s\n", answer)
}

func describeInput(ev event) string {
	id, _ := lifeOf(ev)
	switch ev := ev.(type) {
	case evTimer:
		return fmt.Sprintf("%v timer", ev.timer)
	case evStop:
		return fmt.Sprintf("stop, kill %v", ev.kill)
	case evSignal:
		return fmt.Sprintf("signal %v", ev.signal)
	case evExited:
		return fmt.Sprintf("%v exited: %s", id, describeExit(&ev.exit))
	case evAdd:
		return fmt.Sprintf("add %d", len(ev.commands))
	case evRemove:
		return fmt.Sprintf("remove %d", ev.rank)
	case evResize:
		return fmt.Sprintf("resize to %d", len(ev.commands))
	case evRestart:
		return fmt.Sprintf("restart %v", ev.ranks)
	case evTerms:
		t := ev.terms.terms()
		return "terms" + t.words()
	case evRaised:
		if ev.err != nil {
			return fmt.Sprintf("%v broke: %v", id, ev.err)
		}
		return fmt.Sprintf("%v raised %v", id, ev.exception)
	}
	if room, is := ev.(evRoom); is {
		return roomWords(room.room)
	}
	return fmt.Sprintf("%v %v", ev.row(), id)
}

// perform does what the shell and the rank actors do; the launches are done already.
func (w *world) perform(e effect) {
	switch e := e.(type) {
	case efStop:
		for _, id := range e.ids {
			b := w.lives[id.Rank]
			w.after(w.latency(), func() { w.asked(b) })
		}
	case efKill:
		for _, id := range e.ids {
			b := w.lives[id.Rank]
			w.after(w.latency(), func() { w.killed(b) })
		}
	case efAbandon:
		for _, id := range e.ids {
			b := w.lives[id.Rank]
			w.after(w.latency(), func() { w.exit(b, process.Exit{Code: -1, Err: ErrAbandoned, Stopped: true}) })
		}
	case efTimer:
		w.arm(e)
	case efDump:
		for _, id := range e.ids {
			b := w.lives[id.Rank]
			if w.chance(0.7) {
				w.after(w.upTo(3*time.Second), func() { w.say(b, evDumped{id, "stacks"}) })
			}
		}
	case efAsk:
		w.ponder(e)
	}
}

// A slow strategy answers later.
type slow struct{ Strategy }

func (slow) deliberates() {}

// ponder answers some time; or never, or twice.
func (w *world) ponder(e efAsk) {
	answer := answerNow(e)
	if !w.chance(0.02) {
		w.after(w.upTo(3*time.Second), func() { w.tell(answer, nil) })
	}
	if w.chance(0.02) {
		w.after(w.upTo(6*time.Second), func() { w.tell(answer, nil) })
	}
}

// arm sets a timer. One that was set before is stopped, which sometimes comes too late.
func (w *world) arm(e efTimer) {
	w.armed[e.timer] = e.serial
	if e.timer == backoffTimer && w.chance(0.1) {
		w.after(w.upTo(e.after), func() { w.stop(w.chance(0.3)) })
	}
	if e.timer == backoffTimer && w.chance(0.5) {
		w.after(w.upTo(e.after), w.removeFlapping)
	}
	if e.timer == roomTimer && w.chance(0.1) {
		w.after(w.upTo(e.after), func() { w.stop(w.chance(0.3)) })
	}
	if e.timer == roomTimer && w.chance(0.5) {
		w.after(w.upTo(e.after), w.removeFlapping)
	}
	deaf, late := w.chance(0.3), w.upTo(simLate)
	if w.punctual {
		late = 0
	}
	w.after(e.after+late, func() {
		if deaf || w.armed[e.timer] == e.serial {
			w.fire(e)
		}
	})
}

// fire lets a timer go off. What begins then for more room may not show yet: the only rank that is to be stopped has to wait for one
// that leaves anyway.
func (w *world) fire(e efTimer) {
	grows := e.timer == settleTimer && w.armed[e.timer] == e.serial && w.mayGrow()
	w.tell(evTimer{e.timer, e.serial}, nil)
	if grows && w.armed[e.timer] == e.serial && w.mayGrow() {
		w.stoppedForRoom()
		w.grows = time.Time{}
	}
}

// launch begins a life, and says how it will go if nobody meddles.
func (w *world) launch(id process.ID) {
	b, before := &body{id: id, last: w.now, born: w.now}, w.lives[id.Rank]
	if w.placed {
		b.site = w.place(before)
	}
	w.lives[id.Rank] = b
	if w.placed && b.site == nil || w.chance(w.mood.fail*0.1) {
		w.after(w.latency(), func() { w.exit(b, process.Exit{Code: -1, Err: errFork}) })
		return
	}
	b.alive = true
	w.say(b, evStarted{id, pid(id)})
	if !w.chance(w.mood.hang * 0.2) {
		w.after(w.upTo(w.mood.span/2+time.Millisecond), func() { w.say(b, evReady{id}) })
	}
	if w.liveness.Heartbeat > 0 && w.chance(0.8) {
		w.say(b, evHello{id, "python/3.12"})
		w.beat(b, 0)
	}
	w.after(w.upTo(w.mood.span), func() { w.work(b) })
}

// beat tells that a process lives, and makes progress, until it falls silent.
func (w *world) beat(b *body, count uint64) {
	w.after(w.upTo(2*simBeat), func() {
		if w.chance(w.mood.hang * 0.2) {
			return
		}
		if w.say(b, evBeat{b.id}); w.chance(0.3) {
			count++
			w.say(b, evProgress{b.id, count})
		}
		if b.alive && !b.told {
			w.beat(b, count)
		}
	})
}

// work is the end that a process has in mind.
func (w *world) work(b *body) {
	switch {
	case w.chance(w.mood.hang):
	case !w.chance(w.mood.fail):
		if w.chance(0.5) {
			w.say(b, evReturned{b.id, []byte{1}})
		}
		w.die(b, process.Exit{})
	case w.chance(0.5):
		w.raise(b)
	case w.chance(0.2):
		w.say(b, evRaised{id: b.id, err: process.ErrLink, seen: w.now})
		w.after(w.upTo(time.Second), func() { w.die(b, process.Exit{Err: process.ErrLink}) })
	default:
		w.die(b, w.badExit())
	}
}

// raise tells an exception and, unless the process hangs in its exit, ends; now and then even with code 0.
func (w *world) raise(b *body) {
	w.say(b, evRaised{id: b.id, exception: &transport.Exception{Type: "ValueError", Message: "boom"}, seen: w.now})
	if w.chance(0.3) {
		return
	}
	exit := process.Exit{Code: w.IntN(2)}
	w.after(w.upTo(w.mood.span+simExitTime), func() { w.die(b, exit) })
}

func (w *world) badExit() process.Exit {
	switch w.IntN(3) {
	case 0:
		return process.Exit{Code: 1 + w.IntN(3)}
	case 1:
		return process.Exit{Code: -1, Signal: syscall.SIGSEGV}
	}
	return process.Exit{Code: -1, Err: errLost}
}

// asked is the polite signal at the process.
func (w *world) asked(b *body) {
	if !b.alive || w.outOfReach(b, func() { w.asked(b) }) {
		return
	}
	b.reach = true
	switch {
	case w.chance(w.mood.rude): // it has better things to do
	case w.chance(w.mood.fail * 0.3):
		w.raise(b)
	default:
		exit := process.Exit{Code: -1, Signal: syscall.SIGTERM}
		if w.chance(0.3) {
			exit = process.Exit{Code: w.IntN(2)}
		}
		w.after(w.upTo(time.Duration(w.pick(1, 1, 2))*simGrace/2), func() { w.die(b, exit) })
	}
}

func (w *world) killed(b *body) {
	if !b.alive || w.outOfReach(b, func() { w.killed(b) }) {
		return
	}
	b.reach = true
	if !w.chance(w.mood.rude * 0.1) {
		w.after(w.latency(), func() { w.die(b, process.Exit{Code: -1, Signal: syscall.SIGKILL}) })
	}
}

// die ends a process in truth. What it was told to do does not matter if the status got lost.
func (w *world) die(b *body, exit process.Exit) {
	if !b.alive {
		return
	}
	b.alive = false
	exit.Stopped, exit.Ended = b.reach && exit.Err == nil, w.now
	w.exit(b, exit)
}

// say tells something of a life, some time; perhaps twice, perhaps again when nobody wants to hear it.
func (w *world) say(b *body, ev event) {
	held, heard := b.silence(w.now)
	if !b.alive || !heard {
		return
	}
	times := []time.Duration{held + w.latency()}
	if w.chance(w.mood.quirk) {
		times = append(times, held+w.latency())
	}
	if w.chance(w.mood.quirk) {
		w.after(w.upTo(20*time.Second), func() {
			if b.told {
				w.tell(ev, b)
			}
		})
	}
	for _, d := range times {
		if t := w.now.Add(d); t.After(b.last) {
			b.last = t
		}
		w.after(d, func() {
			if !b.told {
				w.tell(ev, b)
			}
		})
	}
}

// exit tells the exit, after all else, once; perhaps it echoes.
func (w *world) exit(b *body, exit process.Exit) {
	held, heard := b.silence(w.now)
	if b.ended || !heard {
		return
	}
	b.ended = true
	ev := evExited{b.id, pid(b.id), exit}
	if errors.Is(exit.Err, errFork) {
		ev.pid = 0
	}
	at := w.now.Add(held + w.latency())
	if at.Before(b.last) {
		at = b.last
	}
	w.at(at.Add(1), func() { w.tell(ev, b) })
	if w.chance(w.mood.quirk) {
		w.at(at.Add(2+w.upTo(10*time.Second)), func() { w.tell(ev, b) })
	}
}

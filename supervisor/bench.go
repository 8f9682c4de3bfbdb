package supervisor

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"syscall"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/supervisor/internal/bench"
)

// Bench gives package supervisortest what it needs of the machine's insides. Nobody else has a key: see
// docs/adr/0006-a-bench-for-strategies.md.
func Bench(bench.Key) bench.Bench[Strategy] {
	return bench.Bench[Strategy]{Script: newScript, World: liveThrough}
}

// liveThrough lives through one world with a user's strategy, which is held to the laws of strategies meanwhile; without one, as
// TestSimulation does.
func liveThrough(s Strategy, o bench.Options) bench.World {
	w := newWorld(o.Seed)
	if s == nil {
		err := w.writeDown(o.Seed)
		return bench.World{Err: err, Transcript: w.script.String(), Restarts: len(w.m.restarts)}
	}
	w.trial = true
	c := w.config
	c.random = rand.New(rand.NewPCG(o.Seed, 2)).Float64
	c.strategy = &lawful{Strategy: s, world: w, most: o.Restarts}
	if _, slow := s.(deliberator); slow {
		return bench.World{Err: fmt.Errorf("%T acts by itself, and does not answer: it cannot be tried on a bench", s)}
	}
	w.config, w.m = c, newMachine(c)
	w.script = &strings.Builder{}
	fmt.Fprintf(w.script, "%s\n", w.startLine(o.Seed))
	err := w.run()
	return bench.World{Err: err, Transcript: w.script.String(), Restarts: len(w.m.restarts)}
}

// writeDown lives through a world as a transcript, which tells the machine what its strategies answered.
func (w *world) writeDown(seed uint64) error {
	w.script = &strings.Builder{}
	strategy := "told"
	if _, later := w.strategy.(slow); later {
		strategy = "slow"
	}
	fmt.Fprintf(w.script, "%s strategy=%s\n", w.startLine(seed), strategy)
	w.m.strategy = w.written(w.strategy)
	return w.run()
}

// written is a strategy whose answers can be written down, and are, if there is a transcript. What a slow one answers, is told in
// any case.
func (w *world) written(s Strategy) Strategy {
	if w.script == nil {
		return s
	}
	later, is := s.(slow)
	if is {
		s = later.Strategy
	}
	answer := func(state State, f *Failure) Directive {
		d, err := try(s, state, f)
		d.Reason = strings.ReplaceAll(d.Reason, ",", ";")
		if !is {
			w.said = append(w.said, "next "+answerWords(d, err))
		}
		if err != nil {
			panic("no idea")
		}
		return d
	}
	if is {
		return slow{StrategyFunc(answer)}
	}
	return &told{answer}
}

// A told strategy answers what somebody else has said before.
type told struct{ StrategyFunc }

// String is the same for all of them.
func (*told) String() string { return "as told" }

// answerWords is the inverse of script.directive.
func answerWords(d Directive, err error) string {
	if err != nil {
		return "panic"
	}
	words := fmt.Sprintf("%v after=%v linger=%v", d.Action, d.After, d.Linger) + inBrackets(" scope", d.Ranks)
	if d.Free {
		words += " free"
	}
	if d.Reason != "" {
		words += fmt.Sprintf(" text=(%s)", d.Reason)
	}
	return words
}

// A lawful strategy is one that is watched: it answers, always the same, and what it says can be done.
type lawful struct {
	Strategy
	world *world
	most  int
	all   int // restarts
}

// Decide asks twice.
func (l *lawful) Decide(s State, f *Failure) Directive {
	d, err := try(l.Strategy, s, f)
	again, _ := try(l.Strategy, s, f)
	if err == nil {
		err = l.world.m.check(d)
	}
	if d.Action == Restart {
		l.all++
	}
	switch {
	case err != nil:
		l.world.failf("asked about %v: %v", f, err)
	case !reflect.DeepEqual(d, again):
		l.world.failf("%v: asked twice about %v, it says %+v and then %+v", ErrStrategy, f, d, again)
	case l.most >= 0 && l.all > l.most:
		l.world.failf("%v: restart %d of %d", ErrStrategy, l.all, l.most)
	}
	return d
}

// startLine is the command that makes a machine like that, with the strategy that the script has.
func (w *world) startLine(seed uint64) string {
	c := w.config
	line := fmt.Sprintf("start ranks=%d grace=%v start-timeout=%v kill-wait=%v seed=%d", c.size, c.grace, c.startTimeout,
		c.killWait, seed)
	if c.ordered {
		line += " ordered"
	}
	if c.bounds.min > 0 {
		line += fmt.Sprintf(" min-ranks=%d", c.bounds.min)
	}
	if c.bounds.max > 0 {
		line += fmt.Sprintf(" max-ranks=%d", c.bounds.max)
	}
	if c.history > 0 {
		line += fmt.Sprintf(" history=%d", c.history)
	}
	line += fmt.Sprintf(" answer-time=%v", c.answerTime)
	if c.timeout > 0 {
		line += fmt.Sprintf(" timeout=%v", c.timeout)
	}
	if c.lifetime > 0 {
		line += fmt.Sprintf(" lifetime=%v", c.lifetime)
	}
	if l := c.liveness; l.Heartbeat > 0 {
		line += fmt.Sprintf(" heartbeat=%v stall=%v lag=%d", l.Heartbeat, l.Stall, l.Lag)
	}
	return line + w.hostWords() + c.words()
}

// words is the inverse of setTerms.
func (t *terms) words() string {
	var types []string
	for _, is := range t.types {
		types = append(types, is.String())
	}
	line := inBrackets(" types", types) + inBrackets(" count", t.success.Ranks) + inBrackets(" significant", t.significant)
	if t.success.Need > 0 {
		line += fmt.Sprintf(" need=%d", t.success.Need)
	}
	if t.success.Await {
		line += " await=yes"
	}
	switch t.shutdown {
	case AnySignificant:
		line += " shutdown=any"
	case AllSignificant:
		line += " shutdown=all"
	}
	return line
}

// inBrackets writes key=(a,b), nothing for nothing.
func inBrackets[T any](key string, all []T) string {
	if len(all) == 0 {
		return ""
	}
	return key + "=(" + strings.ReplaceAll(strings.Trim(fmt.Sprint(all), "[]"), " ", ",") + ")"
}

// inputLine is the command that tells a machine an event, "" for one that none needs: a timer that was set again.
func (m *machine) inputLine(ev event) string {
	id, _ := lifeOf(ev)
	switch ev := ev.(type) {
	case evTimer:
		if m.ghost(ev) {
			return ""
		}
		return fmt.Sprintf("timer %v", ev.timer)
	case evRoom:
		if m.phase == idle {
			return "" // start tells it
		}
		return roomWords(ev.room)
	case evAnswer:
		return fmt.Sprintf("answer %s question=%d", answerWords(ev.directive, ev.err), ev.question)
	case evNotice:
		return fmt.Sprintf("notice text=(%s)", ev.text)
	case evReturned:
		return fmt.Sprintf("returned %v value=%s", id, ev.value)
	case evBeat:
		return fmt.Sprintf("beat %v", id)
	case evProgress:
		return fmt.Sprintf("progress %v count=%d", id, ev.count)
	case evDumped:
		return fmt.Sprintf("dumped %v text=%s", id, ev.text)
	case evRaised:
		if ev.exception == nil {
			return fmt.Sprintf("broken %v", id)
		}
		return fmt.Sprintf("raised %v type=%s", id, ev.exception.Type)
	case evExited:
		return fmt.Sprintf("exited %v %s", id, exitWords(id, &ev.exit))
	}
	if wish := wishLine(ev); wish != "" {
		return wish
	}
	return fmt.Sprintf("%v %v", ev.row(), id)
}

// wishLine is inputLine for what comes from outside, "" for any other event.
func wishLine(ev event) string {
	switch ev := ev.(type) {
	case evStop:
		verb := "stop"
		if ev.kill {
			verb = "kill"
		}
		return verb + strings.TrimPrefix(ev.cause.Error(), ErrStopped.Error()+":")
	case evChange:
		if _, later := ev.strategy.(slow); later {
			return "change strategy=slow"
		}
		return "change strategy=told"
	case evAdd:
		return fmt.Sprintf("add %d text=(%s)", len(ev.commands), ev.reason)
	case evRemove:
		return fmt.Sprintf("remove %d text=(%s)", ev.rank, ev.reason)
	case evRestart:
		return strings.TrimSpace(fmt.Sprintf("restart %s text=(%s)", strings.Trim(fmt.Sprint(ev.ranks), "[]"), ev.reason))
	case evResize:
		return fmt.Sprintf("resize %d text=(%s)", len(ev.commands), ev.reason)
	case evTerms:
		t := ev.terms.terms()
		return "terms" + t.words()
	case evSignal:
		return "signal " + strings.TrimPrefix(process.SignalName(ev.signal), "SIG")
	}
	return ""
}

// exitWords is the inverse of exitOf.
func exitWords(id process.ID, x *process.Exit) string {
	var lost *process.HostLostError
	names := map[process.Signal]string{
		syscall.SIGTERM: "TERM", syscall.SIGKILL: "KILL", syscall.SIGSEGV: "SEGV",
	}
	words := fmt.Sprintf("code=%d", x.Code)
	switch {
	case x.Err == ErrAbandoned:
		return "abandoned"
	case x.Err == errFork:
		return "unlaunched"
	case x.Err == errLost:
		words = "lost"
	case x.Err == process.ErrLink:
		words = "link"
	case errors.As(x.Err, &lost):
		words = lostWords(id, lost)
	case x.Signal != 0:
		words = "signal=" + names[x.Signal]
	}
	if x.Stopped {
		words += " stopped"
	}
	return words
}

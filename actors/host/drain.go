package host

import (
	"cmp"
	"slices"
	"time"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/transport"
)

// An agent that is told to leave asks its ranks to end, and gives them the grace that their groups give, as on one machine. It
// tells its root first, which places nothing there any more; and it keeps to its lease meanwhile, so that whatever it waits for,
// nothing of it is alive when the root may start it elsewhere (G-3).
//
// What its ranks write in their grace is passed on. How they end is not, unless the root has asked for that itself: it is no failure
// of theirs, but one of the host, which the root hears of when all have ended, or from its lease.

// defaultGrace is that of ranks whose root says nothing of it: as a supervisor's.
const defaultGrace = 30 * time.Second

// A farewell is what such an agent still waits for. It is pure.
type farewell struct {
	until map[uint64]time.Time // who is killed then
	held  map[uint64]*exited   // who has ended, and was not asked to by the root
}

func newFarewell() *farewell {
	return &farewell{until: map[uint64]time.Time{}, held: map[uint64]*exited{}}
}

// graceOf is how long a rank has, of what its group gives and its host at the most; 0 means that they do not say.
func graceOf(group, most time.Duration) time.Duration {
	grace := cmp.Or(group, defaultGrace)
	if most > 0 {
		grace = min(grace, most)
	}
	return grace
}

// ask notes that a life was asked to end.
func (f *farewell) ask(life uint64, grace time.Duration, now time.Time) {
	f.until[life] = now.Add(grace)
}

// overdue takes those whose grace is over.
func (f *farewell) overdue(now time.Time) (lives []uint64) {
	for life, until := range f.until {
		if !now.Before(until) {
			lives = append(lives, life)
			delete(f.until, life)
		}
	}
	slices.Sort(lives)
	return lives
}

// next is when the next grace is over, at the latest at a given time.
func (f *farewell) next(latest time.Time) time.Time {
	for _, until := range f.until {
		if until.Before(latest) {
			latest = until
		}
	}
	return latest
}

// end takes the end of a life. It reports whether the root is to hear of it now.
func (f *farewell) end(x *exited, asked bool) bool {
	delete(f.until, x.Life)
	if !asked {
		f.held[x.Life] = x
	}
	return asked
}

// answer takes the end of a life that the root asks to end; nil when it has not ended.
func (f *farewell) answer(life uint64) *exited {
	x := f.held[life]
	delete(f.held, life)
	return x
}

// blames reports whether a message would make a failure of its rank's own.
func blames(code code, m any) bool {
	said, is := m.(*said)
	return code == codeBroken || is && said.Kind == transport.KindException
}

// drain begins to leave the root.
func (a *agent) drain(now time.Time) {
	a.state, a.why, a.farewell = draining, stoppedAgent, newFarewell()
	for _, t := range a.tenants {
		if !t.started { // it never begins
			delete(a.tenants, t.number)
			continue
		}
		grace := graceOf(t.grace, a.Grace)
		a.farewell.ask(t.number, grace, now)
		if !t.asked {
			a.order(t.number, func(p process.Process) { p.Stop(a.why, grace) })
		}
	}
	if n := len(a.tenants); n > 0 { // else all is said when it has left, which is now
		a.session.send(control, encode(codeDeparting, &departing{a.why}))
		a.log("the root is left when the ranks have ended", "ranks", n)
	}
	a.timer.Reset(0)
}

// press kills those whose grace is over.
func (a *agent) press(now time.Time) {
	if a.state != draining {
		return
	}
	for _, life := range a.farewell.overdue(now) {
		a.order(life, process.Process.Kill)
	}
	a.timer.Reset(min(interval(a.tenure.lease), a.farewell.next(a.tenure.until).Sub(now)))
}

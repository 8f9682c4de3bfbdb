package supervisor

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/go-muster/muster/actors/process"
)

// Some worlds have hosts: they join, fall silent, are lost with all that runs on them, and come back as others; and what they
// have room for changes under everybody's feet.

const (
	simPatience = 3 * time.Second // for how long a silent host is not lost
	simMargin   = simKillWait     // that the word of its loss may take
)

// A site is a host in truth.
type site struct {
	name   string // "" while it is gone
	slots  int
	silent bool
	fell   time.Time // when it fell silent
	heals  time.Time // when it is heard of again; zero for never
}

// A land is the hosts in truth, and how far the word of them has got.
type land struct {
	sites []*site
	names int
	told  time.Time // when the last word of them will have been heard
}

// A space is what the checks know of the room.
type space struct {
	room                            process.Room
	heard                           time.Time // when it was last told
	target                          int       // how many ranks an elastic group would like to have
	fitsTo                          int       // what the group is about to have, for want of room or because there is more; 0 for no change
	awaits                          time.Time // since when hosts are waited for; zero when they are not
	rooms                           time.Time // since when it has not had to
	grows                           time.Time // since when a running group might have more ranks
	barren                          bool      // hosts were waited for in vain
	spent                           int       // restarts that were decided on, and not free
	fitted, waited, regrown, folded int
	losses                          map[string]int
}

// settleHosts makes a world one with hosts. What other worlds are like does not depend on it.
func (w *world) settleHosts(seed uint64, c *config) {
	r := rand.New(rand.NewPCG(seed, 3))
	if w.losses = map[string]int{}; r.Float64() > 0.3 {
		return
	}
	c.placed, c.killWait = true, simPatience+simMargin
	c.elastic.Wait = time.Second + time.Duration(r.Int64N(int64(15*time.Second)))
	if r.IntN(3) > 0 {
		c.elastic.Fit, c.elastic.Regrow = true, r.IntN(3) > 0
		c.elastic.Settle = 1 + time.Duration(r.Int64N(int64(2*time.Second)))
		c.bounds.max = max(c.bounds.max, c.size+r.IntN(8))
		if r.IntN(2) == 0 {
			c.terms = w.randomTerms(c.bounds.least())
		} else {
			c.terms = terms{}
		}
	}
	if r.IntN(2) == 0 { // long enough for something to happen to the hosts
		w.mood.span, w.mood.fail = 30*time.Second, w.mood.fail/4
	}
	for range 1 + r.IntN(4) {
		w.sites = append(w.sites, &site{slots: 1 + r.IntN(3)})
	}
	for _, s := range w.sites {
		if r.IntN(4) > 0 {
			w.name(s)
		}
	}
	w.room = w.truly("")
}

// name gives a host that joins a name that nobody had.
func (w *world) name(s *site) {
	w.names++
	s.name = fmt.Sprintf("h%d", w.names)
}

// truly is the room that there is.
func (w *world) truly(why string) process.Room {
	room := process.Room{Why: why}
	for _, s := range w.sites {
		if s.name != "" {
			room.Ranks, room.Hosts = room.Ranks+s.slots, room.Hosts+1
		}
	}
	return room
}

// announce tells how much room there is: late, perhaps twice, but in order.
func (w *world) announce(why string) {
	room := w.truly(why)
	times := 1
	if w.chance(w.mood.quirk) {
		times++
	}
	for range times {
		at := w.now.Add(w.latency())
		if !at.After(w.told) {
			at = w.told.Add(1)
		}
		w.told = at
		w.at(at, func() { w.tell(evRoom{room}, nil) })
	}
}

// begin starts the machine, which is told of the hosts first.
func (w *world) begin() {
	if w.placed {
		w.tell(evRoom{w.room}, nil)
	}
	w.tell(evStart{}, nil)
	for _, s := range w.sites {
		w.liveOn(s)
	}
}

// liveOn lets something happen to a host, some time.
func (w *world) liveOn(s *site) {
	if w.done {
		return
	}
	wait := w.upTo(8 * time.Second)
	switch {
	case s.name == "":
		w.after(w.upTo(8*time.Second), func() { w.joins(s) })
	case w.chance(0.2):
		w.after(wait, func() { w.falls(s, true) })
	case w.chance(0.7):
		w.after(wait, func() { w.falls(s, false) })
	default:
		w.after(wait, func() {
			s.slots = 1 + w.IntN(4)
			w.announce("others have gone")
			w.liveOn(s)
		})
	}
}

func (w *world) joins(s *site) {
	w.name(s)
	w.announce("host " + s.name + " has joined")
	w.liveOn(s)
}

// falls silences a host: it is heard of again before anybody's patience is over, or lost.
func (w *world) falls(s *site, heals bool) {
	wait := w.upTo(simPatience) * time.Duration(w.IntN(2))
	s.fell = w.now
	if s.silent = true; heals {
		s.heals = w.now.Add(wait)
		w.after(wait, func() {
			s.silent, s.heals = false, time.Time{}
			w.liveOn(s)
		})
		return
	}
	w.after(wait, func() { w.lose(s) })
}

// lose ends all that runs on a host, and tells so: first that it is gone, then all exits.
func (w *world) lose(s *site) {
	lost := &process.HostLostError{Host: s.name, Why: "not heard of"}
	var gone []*body
	for _, b := range w.lives {
		if b != nil && b.site == s && !b.ended {
			gone, lost.Lives = append(gone, b), append(lost.Lives, b.id)
		}
	}
	s.name, s.silent = "", false
	w.announce("host " + lost.Host + " is lost")
	for _, b := range gone {
		b.alive, b.last = false, later(b.last, w.told)
		w.exit(b, process.Exit{Code: -1, Err: lost, Stopped: b.reach && w.chance(0.5)})
	}
	if w.chance(0.8) {
		w.liveOn(s)
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// place finds a host with a place, where the rank was before if it has one; nil for none.
func (w *world) place(before *body) (found *site) {
	for _, s := range w.sites {
		free := s.slots
		for _, b := range w.lives {
			if b != nil && b.site == s && b.alive {
				free--
			}
		}
		if s.name != "" && free > 0 && (found == nil || before != nil && before.site == s) {
			found = s
		}
	}
	return found
}

// outOfReach does what somebody wants of a process when its host is heard of again, if it is.
func (w *world) outOfReach(b *body, again func()) bool {
	if b.site == nil || !b.site.silent {
		return false
	}
	if !b.site.heals.IsZero() {
		w.at(b.site.heals.Add(1), again)
	}
	return true
}

// silence is how long what a process says is held up; false for ever.
func (b *body) silence(now time.Time) (time.Duration, bool) {
	switch {
	case b.site == nil || !b.site.silent:
		return 0, true
	case b.site.heals.IsZero():
		return 0, false
	}
	return b.site.heals.Sub(now), true
}

// Checks.

// want is how many ranks an elastic group should have, 0 for none.
func (w *world) want() int {
	n := min(w.room.Ranks, max(w.target, w.bounds.least()))
	if !w.elastic.Fit || n < w.bounds.least() || w.lingers() {
		return 0
	}
	return n
}

// raiseTarget lets an elastic group want more ranks.
func (w *world) raiseTarget() {
	if w.target++; w.bounds.max > 0 {
		w.target = min(w.target, w.bounds.max)
	}
}

// hearRoom notes what the machine was told.
func (w *world) hearRoom(room process.Room) { w.room, w.heard = room, w.now }

// checkWaiting: nobody waits for hosts who has them.
func (w *world) checkWaiting(e Event) {
	if e.Reason == "" {
		return // a back-off
	}
	w.require(w.placed && w.stops == 0 && !w.final && !w.achieved, "hosts are waited for, and the end is certain")
	little := w.room.Ranks < len(w.lives) || w.generation < 0 && w.elastic.Fit && w.room.Ranks < w.target
	w.require(little, "hosts are waited for, with room for %d", w.room.Ranks)
	if w.generation < 0 {
		w.scopeAll()
	}
	w.waited++
	w.awaits, w.rooms = w.now, time.Time{}
}

func (w *world) scopeAll() {
	w.scope = map[int]bool{}
	for rank := range w.lives {
		w.scope[rank] = true
	}
}

// checkSpace looks, after each step, for how long hosts will be waited for.
func (w *world) checkSpace() {
	if w.stops > 0 || w.achieved || w.done {
		w.awaits = time.Time{}
	}
	if !w.placed {
		return
	}
	fits, all := w.room.Ranks >= len(w.lives) || w.want() > 0, max(len(w.lives), w.bounds.least())
	if w.elastic.Fit {
		all = max(all, w.target)
	}
	noteSince(&w.rooms, fits && !w.awaits.IsZero(), w.now)
	noteSince(&w.grows, w.mayGrow(), w.now)
	w.require(w.awaits.IsZero() || w.room.Ranks < all, "hosts are waited for, and there is room for %d", w.room.Ranks)
}

// noteSince notes since when something holds.
func noteSince(t *time.Time, holds bool, now time.Time) {
	if !holds {
		*t = time.Time{}
	} else if t.IsZero() {
		*t = now
	}
}

// mayGrow holds for a group that is to be restarted for more room, when that has settled.
func (w *world) mayGrow() bool {
	return w.elastic.Regrow && w.want() > len(w.lives) && w.generation >= 0 && w.scope == nil && w.stops == 0 && !w.starting && !w.done &&
		w.question.IsZero() && !w.achieved && w.everybody(func(b *body) bool { return !w.goodEnd(b) }) &&
		!w.everybody(func(b *body) bool { return b.told || !b.dropped.IsZero() })
}

// checkPatience: a wait for hosts ends, and so does that of a group which might grow.
func (w *world) checkPatience(next time.Time) {
	if !w.awaits.IsZero() {
		w.require(!next.After(w.awaits.Add(w.elastic.Wait+simSlack)), "hosts are waited for too long")
	}
	if !w.rooms.IsZero() {
		w.require(!next.After(later(w.rooms, w.heard).Add(w.elastic.Settle+simSlack)), "hosts are waited for, with room for some")
	}
	if !w.grows.IsZero() {
		w.require(!next.After(later(w.grows, w.heard).Add(2*w.elastic.Settle+2*simSlack)), "there is more room, and nobody cares")
	}
}

// checkBarren: hosts were waited for, all the time that there was.
func (w *world) checkBarren() {
	w.require(!w.awaits.IsZero() && !w.now.Before(w.awaits.Add(w.elastic.Wait)), "there was time left to wait for hosts")
	w.require(w.room.Ranks < len(w.lives) && w.want() == 0, "there is no room, and yet it is for %d", w.room.Ranks)
	w.barren = true
}

// stoppedForRoom reports whether ranks are stopped that nothing has happened to, because the group will have another size: more
// ranks, when room for them has settled, or fewer, when a restart of some has no room.
func (w *world) stoppedForRoom() bool {
	switch n := w.want(); {
	case w.mayGrow():
		w.require(!w.now.Before(w.heard.Add(w.elastic.Settle)), "the group is to grow, and its room has not settled")
		w.decisions, w.final = 1, false
		w.regrown++
	case n == 0 || n >= len(w.lives) || w.scope == nil || w.final || w.stops > 0 || w.now.Before(w.reaped.Add(w.wait)):
		return false
	}
	w.scopeAll()
	w.decided, w.linger, w.wait, w.awaits = w.now, 0, 0, time.Time{}
	return true
}

// checkFit: the ranks get other numbers when nothing of them is alive (G-1), and are as many as there is room for, within bounds.
func (w *world) checkFit(size int) {
	w.require(size == w.fitsTo && w.elastic.Fit, "a fit to %d, and not to %d", size, w.fitsTo)
	w.require(size >= w.bounds.least() && (w.bounds.max == 0 || size <= w.bounds.max), "%d ranks are out of bounds", size)
	w.require(size == w.want() && size <= w.room.Ranks, "%d ranks, and there is room for %d, of %d", size, w.room.Ranks, w.target)
	w.fitsTo = 0
	w.replaceAll(size)
	w.fitted++
}

// checkRoomFor: a generation begins only with room for all of it.
func (w *world) checkRoomFor() {
	w.require(!w.placed || len(w.lives) <= w.room.Ranks, "%d ranks are started, and there is room for %d", len(w.lives), w.room.Ranks)
	w.awaits = time.Time{}
}

// checkLoss: a host that is lost is one failure.
func (w *world) checkLoss(f *Failure) {
	var lost *process.HostLostError
	if errors.As(f.Err, &lost) {
		w.losses[lost.Host]++
		w.folded += one(len(f.Collateral) > 0)
		w.require(w.losses[lost.Host] == 1, "%d decisions about host %s, which was lost once", w.losses[lost.Host], lost.Host)
	}
}

// checkEveryFailure: whoever failed is decided about, or part of what was (G-7).
func (w *world) checkEveryFailure() {
	if w.done || w.scope != nil || w.stops > 0 || w.achieved || !w.question.IsZero() || w.gaveUp {
		return
	}
	for _, b := range w.lives {
		if b != nil && b.failed && !b.settled && !w.gone(b.id.Rank) {
			w.require(b.ignored || b.excused, "G-7: %v failed, and nobody decided about it", b.id)
		}
	}
}

// hostWords is the config of a group on hosts, and the room they begin with.
func (w *world) hostWords() string {
	if !w.placed {
		return ""
	}
	e := w.elastic
	line := fmt.Sprintf(" room=%d hosts=%d wait=%v settle=%v", w.room.Ranks, w.room.Hosts, e.Wait, e.Settle)
	if e.Fit {
		line += " fit"
	}
	if e.Regrow {
		line += " regrow"
	}
	return line
}

// lostWords is the inverse of script.lose.
func lostWords(id process.ID, lost *process.HostLostError) string {
	var with []string
	for _, other := range lost.Lives {
		if other != id {
			with = append(with, other.String())
		}
	}
	return "host=" + lost.Host + inBrackets(" with", with)
}

// roomWords is the inverse of script.room.
func roomWords(r process.Room) string {
	return fmt.Sprintf("room %d hosts=%d text=(%s)", r.Ranks, r.Hosts, r.Why)
}

// open keeps what the machine does about the first word of its room, for the transcript's start to say.
func (w *world) open(was phase, ev event) (before string) {
	if room, is := ev.(evRoom); is && was == idle {
		w.opening = render([]effect{efEvent{Event{Kind: EventRoom, Rank: -1, Size: room.room.Ranks, Hosts: room.room.Hosts}}}) + "\n"
		return ""
	}
	before, w.opening = w.opening, ""
	return before
}

func one(is bool) int {
	if is {
		return 1
	}
	return 0
}

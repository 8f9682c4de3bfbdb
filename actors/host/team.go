package host

import (
	"fmt"
	"slices"
	"time"

	"github.com/go-muster/muster/actors/process"
)

// A team is one group's part of a pool.
type team struct {
	pool   *Pool
	report func(process.Room)
	grace  time.Duration   // that the group gives its ranks
	lives  map[int]*life   // by rank: the newest
	places []process.Place // of the last plan
	left   bool
}

// Join opens the part of one group.
func (p *Pool) Join(grace time.Duration, report func(process.Room)) process.Team {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := &team{pool: p, report: report, grace: grace, lives: map[int]*life{}}
	p.teams = append(p.teams, t)
	var since time.Duration
	if !p.moved.IsZero() {
		since = time.Since(p.moved)
	}
	t.tellSince("", since)
	return t
}

// tell tells the group of its room. Called with the pool's mu held: so it hears of everything in order.
func (t *team) tell(why string) { t.tellSince(why, 0) }

func (t *team) tellSince(why string, since time.Duration) {
	room := process.Room{Why: why, Since: since}
	for _, b := range t.berths() {
		room.Ranks += b.slots
		room.Hosts++
	}
	if t.report != nil {
		t.report(room)
	}
}

// berths are the hosts that the team may use, those first that it uses, then in the order in which they joined: spares come
// last, and are left out where there are enough. Called with mu held.
func (t *team) berths() (all []berth) {
	uses := map[string]bool{}
	for _, p := range t.places {
		uses[p.Host] = true
	}
	for _, want := range []bool{true, false} {
		for _, l := range t.pool.links {
			if slots := t.pool.slots(l) - t.pool.busy(l, t); uses[l.joined.Name] == want && slots > 0 {
				all = append(all, berth{l.joined.Name, l.joined.Reach, slots})
			}
		}
	}
	if most := t.pool.MaxHosts; most > 0 && len(all) > most {
		all = all[:most]
	}
	return all
}

// Place finds a place for each rank.
func (t *team) Place(size int, keep []string) (process.Plan, error) {
	p := t.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	keep = t.settled(keep)
	places, err := arrange(append(t.berths(), t.departing(keep)...), size, keep, t.places, p.Spread)
	if err != nil {
		return process.Plan{}, fmt.Errorf("host: %w", err)
	}
	t.places = places
	for _, other := range p.teams {
		if other != t {
			other.tell("another group of this pool has taken its places")
		}
	}
	plan := process.Plan{Places: places, Release: func() {}}
	hosts := map[string]bool{}
	for _, place := range places {
		hosts[place.Host] = true
	}
	plan.Hosts = len(hosts)
	if l := p.named(places[0].Host); l != nil {
		plan.Port, plan.Release = p.takePort(l)
	}
	return plan, nil
}

// settled is where ranks stay: none stays on a host that leaves, but those that live there still. Called with the pool's mu held.
func (t *team) settled(keep []string) []string {
	keep = slices.Clone(keep)
	for rank, name := range keep {
		l := t.pool.named(name)
		if n := t.lives[rank]; l != nil && l.leaves && (n == nil || n.link != l || n.ended()) {
			keep[rank] = ""
		}
	}
	return keep
}

// departing are the hosts that leave and on which ranks stay until then. They have room for nobody else. Called with the pool's mu
// held.
func (t *team) departing(keep []string) (all []berth) {
	for _, l := range t.pool.links {
		if l.leaves && slices.Contains(keep, l.joined.Name) {
			all = append(all, berth{l.joined.Name, l.joined.Reach, 0})
		}
	}
	return all
}

// Launch launches on the host that the command names. It returns a *process.HostLostError when that is not there, or is lost
// before it answers; and what went wrong there, in its words.
func (t *team) Launch(id process.ID, c process.Command, o process.Observer) (process.Process, error) {
	t.pool.mu.Lock()
	l := t.pool.named(c.Host)
	t.pool.numbers++
	n := &life{
		number: t.pool.numbers, id: id, team: t, link: l, command: c, observer: o, argument: c.Argument, grace: t.grace, begun: make(chan struct{}),
	}
	n.command.Argument = nil
	t.lives[id.Rank] = n
	t.pool.mu.Unlock()
	if l == nil {
		return nil, &process.HostLostError{Host: c.Host, Why: "it is not there", Lives: []process.ID{id}}
	}
	l.tell(&birth{n})
	select {
	case <-n.begun:
	case <-l.done: // unless it has begun, it never will
		n.begin(0, &process.HostLostError{Host: c.Host, Why: "it was lost before it answered", Lives: []process.ID{id}})
	}
	if n.err != nil {
		return nil, n.err
	}
	return n, nil
}

// Check, Containment and Guard are the pool's.
func (t *team) Check(c process.Command) error { return t.pool.Check(c) }

// Containment names what protects the processes of each host.
func (t *team) Containment() string { return t.pool.Containment() }

// Guard passes on what happens to the protections of the hosts.
func (t *team) Guard(report func(string)) (release func()) { return t.pool.Guard(report) }

// Patience is how long the end of a rank on a host that nobody hears of may take to be told.
func (t *team) Patience() time.Duration { return t.pool.lease + fence(t.pool.lease) }

// Leave gives the places back.
func (t *team) Leave() {
	p := t.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	if t.left {
		return
	}
	t.left, t.places, t.report = true, nil, nil
	clear(t.lives)
	for i, other := range p.teams {
		if other == t {
			p.teams = append(p.teams[:i:i], p.teams[i+1:]...)
			break
		}
	}
	for _, other := range p.teams {
		other.tell("another group of this pool has ended")
	}
	if len(p.teams) == 0 {
		p.readmit()
	}
}

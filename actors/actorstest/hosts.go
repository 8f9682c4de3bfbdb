package actorstest

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-muster/muster/actors/process"
)

// Hosts is a [process.Placer] for one test: a Launcher whose processes run on hosts that the test lets come and go. Ranks fill
// one host after the other, in the order in which they joined. Its methods may be called from any goroutine.
type Hosts struct {
	*Launcher
	patience time.Duration

	mu    sync.Mutex
	hosts []*host // that are there, in the order in which they joined
	teams []*team // that have not left
	ports int     // promised so far
}

type host struct {
	name  string
	slots int
}

// NewHosts returns Hosts, of which none has joined. When the test is over it fails as [NewLauncher] does, and if a group holds
// its part still, or a port. Patience is what it answers for [process.Team.Patience].
func NewHosts(t testing.TB, patience time.Duration) *Hosts {
	h := &Hosts{Launcher: NewLauncher(t), patience: patience}
	t.Cleanup(func() {
		for _, team := range h.guests() {
			t.Errorf("actorstest: a group holds its part of the hosts after the test, and %d ports", team.held())
		}
	})
	return h
}

func (h *Hosts) guests() []*team {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.teams)
}

// Add lets a host join, with places for so many ranks, or gives one that is there so many.
func (h *Hosts) Add(name string, slots int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if old := h.find(name); old != nil {
		old.slots = slots
	} else {
		h.hosts = append(h.hosts, &host{name, slots})
	}
	h.report(fmt.Sprintf("host %s has joined", name))
}

// Lose lets a host be lost: its groups are told of the room that is left, and then of the exit of each process that ran there.
// What a script lets such a process do after that has no effect.
func (h *Hosts) Lose(name, why string) {
	for _, lost := range h.drop(name, why) {
		lost.process.end(process.Exit{Code: -1, Err: lost.err, Ended: time.Now()})
	}
}

type loss struct {
	process *Process
	err     *process.HostLostError
}

// drop takes a host away, and its processes.
func (h *Hosts) drop(name, why string) (lost []loss) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hosts = slices.DeleteFunc(h.hosts, func(x *host) bool { return x.name == name })
	err := &process.HostLostError{Host: name, Why: why}
	h.report(err.Error())
	for _, t := range h.teams {
		one := *err
		of := h.bereave(t, name)
		for _, p := range of {
			one.Lives = append(one.Lives, p.ID)
			lost = append(lost, loss{p, &one})
		}
	}
	return lost
}

// bereave takes the processes of a group that run on a host.
func (h *Hosts) bereave(t *team, name string) (of []*Process) {
	l := h.Launcher
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range l.living {
		if p.team == t && p.Command.Host == name {
			of, p.lost = append(of, p), true
			delete(l.living, p)
		}
	}
	slices.SortFunc(of, func(a, b *Process) int { return cmp.Compare(a.ID.Rank, b.ID.Rank) })
	return of
}

// Forget lets a host be gone without anybody being told, so that who is started there fails.
func (h *Hosts) Forget(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hosts = slices.DeleteFunc(h.hosts, func(x *host) bool { return x.name == name })
}

func (h *Hosts) find(name string) *host {
	i := slices.IndexFunc(h.hosts, func(x *host) bool { return x.name == name })
	if i < 0 {
		return nil
	}
	return h.hosts[i]
}

// Join opens a part for a group.
func (h *Hosts) Join(_ time.Duration, report func(process.Room)) process.Team {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := &team{Launcher: h.Launcher, hosts: h, tell: report, ports: map[int]bool{}}
	h.teams = append(h.teams, t)
	t.tell(h.room(t, ""))
	return t
}

// report tells every group of the room that there is.
func (h *Hosts) report(why string) {
	for _, t := range h.teams {
		t.tell(h.room(t, why))
	}
}

func (h *Hosts) room(t *team, why string) process.Room {
	r := process.Room{Why: why}
	for _, x := range h.hosts {
		if free := h.free(t, x); free > 0 {
			r.Ranks += free
			r.Hosts++
		}
	}
	return r
}

// free is how many places a host has for a group: those of other groups are theirs.
func (h *Hosts) free(t *team, x *host) int {
	free := x.slots
	for _, other := range h.teams {
		if other != t {
			free -= other.on(x.name)
		}
	}
	return max(0, free)
}

// A team is one group's part.
type team struct {
	*Launcher
	hosts  *Hosts
	tell   func(process.Room)
	places []process.Place // of its ranks; guarded by the hosts' lock, as are its ports
	ports  map[int]bool
}

func (t *team) on(name string) (n int) {
	for _, p := range t.places {
		if p.Host == name {
			n++
		}
	}
	return n
}

func (t *team) held() int {
	t.hosts.mu.Lock()
	defer t.hosts.mu.Unlock()
	return len(t.ports)
}

// Launch makes a process on a host that is there.
func (t *team) Launch(id process.ID, c process.Command, o process.Observer) (process.Process, error) {
	t.hosts.mu.Lock()
	defer t.hosts.mu.Unlock()
	if t.hosts.find(c.Host) == nil {
		return nil, &process.HostLostError{Host: c.Host, Why: "it is not there", Lives: []process.ID{id}}
	}
	return t.Launcher.launch(t, id, c, o)
}

// Place fills one host after the other.
func (t *team) Place(size int, keep []string) (process.Plan, error) {
	h := t.hosts
	h.mu.Lock()
	defer h.mu.Unlock()
	t.places = nil
	free := map[string]int{}
	for _, x := range h.hosts {
		free[x.name] = h.free(t, x)
	}
	places := make([]process.Place, size)
	for rank, name := range keep[:min(size, len(keep))] {
		if free[name] > 0 {
			free[name]--
			places[rank].Host = name
		}
	}
	for rank := range places {
		i := slices.IndexFunc(h.hosts, func(x *host) bool { return free[x.name] > 0 })
		switch {
		case places[rank].Host != "":
		case i < 0:
			return process.Plan{}, fmt.Errorf("%w: rank %d of %d", process.ErrNoRoom, rank, size)
		default:
			free[h.hosts[i].name]--
			places[rank].Host = h.hosts[i].name
		}
	}
	t.places = places
	return t.plan(), nil
}

// plan numbers the hosts and the ranks on each, and promises a port.
func (t *team) plan() process.Plan {
	var nodes []string
	for i := range t.places {
		p := &t.places[i]
		if !slices.Contains(nodes, p.Host) {
			nodes = append(nodes, p.Host)
		}
		p.Addr, p.Node, p.Locals = p.Host+".test", slices.Index(nodes, p.Host), t.on(p.Host)
		for _, before := range t.places[:i] {
			if before.Host == p.Host {
				p.Local++
			}
		}
	}
	t.hosts.ports++
	port := firstPort + t.hosts.ports
	t.ports[port] = true
	return process.Plan{Places: slices.Clone(t.places), Hosts: len(nodes), Port: port, Release: func() {
		t.hosts.mu.Lock()
		defer t.hosts.mu.Unlock()
		delete(t.ports, port)
	}}
}

// firstPort is where the numbers of ports start. Nobody listens there.
const firstPort = 20_000

// Patience returns what the test has said.
func (t *team) Patience() time.Duration { return t.hosts.patience }

// Leave gives all places back. A port that is held still is a mistake of whoever leaves.
func (t *team) Leave() {
	if n := t.held(); n > 0 {
		t.t.Errorf("actorstest: a group leaves its hosts and holds %d ports", n)
	}
	h := t.hosts
	h.mu.Lock()
	defer h.mu.Unlock()
	h.teams = slices.DeleteFunc(h.teams, func(x *team) bool { return x == t })
	h.report("another group has ended")
}

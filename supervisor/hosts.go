package supervisor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/go-muster/muster/actors/process"
)

// hosts are those that a group's ranks run on, where its launcher has several: a [process.Placer].
type hosts struct {
	team       process.Team
	plan       process.Plan // the newest
	generation int          // that it was made for
	err        error        // why there is none for it
}

// killMargin is what the word of a lost host may take to reach us, beside the launcher's own patience.
const killMargin = 5 * time.Second

// join takes the group's part of a launcher with several hosts. A rank that is killed while nobody hears of its host is not
// abandoned before the host is lost, which ends it.
func (r *root) join(ctx actor.Context) {
	r.launcher = r.options.launcher
	placer, is := r.options.launcher.(process.Placer)
	if !is {
		return
	}
	r.journal.place()
	system, self := ctx.ActorSystem(), ctx.Self()
	r.hosts = &hosts{team: placer.Join(r.spec.Grace, func(room process.Room) {
		r.group.sendTo(system, self, &roomed{room})
	}), generation: -1}
	r.launcher = r.hosts.team
	r.machine.killWait = max(r.machine.killWait, r.hosts.team.Patience()+killMargin)
}

// leave gives the group's part back. Nothing of it is alive.
func (h *hosts) leave() {
	if h != nil {
		h.forget()
		h.team.Leave()
	}
}

// forget lets the next generation meet elsewhere.
func (h *hosts) forget() {
	if h != nil && h.plan.Release != nil {
		h.plan.Release()
	}
	if h != nil {
		h.plan = process.Plan{}
	}
}

// find finds a place for every rank, once for each generation. What lives on stays where it is, and who is started again beside
// it, where it was: if there is a rank 0 to meet, it is where it was met before.
func (h *hosts) find(m *machine, commands []process.Command, generation int) error {
	if h.generation == generation {
		return h.err
	}
	before := h.plan
	lives := func(rank int, l *life) bool { return l.alive() && l.generation != generation }
	partial := m.any(lives)
	keep := make([]string, len(commands))
	for rank := range keep {
		if keep[rank] = commands[rank].Host; rank < len(before.Places) && (lives(rank, &m.lives[rank]) || partial && keep[rank] == "") {
			keep[rank] = before.Places[rank].Host
		}
	}
	plan, err := h.team.Place(len(commands), keep)
	if h.generation, h.err = generation, err; err != nil {
		return err
	}
	for rank := range plan.Places {
		if lives(rank, &m.lives[rank]) {
			plan.Places[rank] = before.Places[rank] // which it was told
		}
	}
	if partial && plan.Places[0].Host == before.Places[0].Host {
		plan.Release()
		plan.Port, plan.Release = before.Port, before.Release
	} else {
		h.forget()
	}
	h.plan = plan
	return nil
}

// place returns where a rank runs; false for nowhere, or here.
func (h *hosts) place(rank int) (process.Place, bool) {
	if h == nil || rank >= len(h.plan.Places) {
		return process.Place{}, false
	}
	return h.plan.Places[rank], true
}

// A nowhere launches ranks for which there is no place.
type nowhere struct {
	process.Launcher
	err error
}

// Launch says why.
func (n nowhere) Launch(process.ID, process.Command, process.Observer) (process.Process, error) {
	return nil, n.err
}

// meet finds out where a new generation meets, and where its ranks run: it returns what launches them. A generation of the
// whole group meets at a new port, so that nobody can meet a process of the old one there.
func (r *root) meet(ids []process.ID) process.Launcher {
	if r.hosts == nil {
		if r.port == nil || len(ids) == len(r.spec.Ranks) {
			r.port.Release()
			r.port, _ = process.HoldPort() // without one MASTER_PORT is 0, and who wants it will say so
		}
		return r.launcher
	}
	if err := r.hosts.find(r.machine, r.spec.Ranks, ids[0].Generation); err != nil {
		return nowhere{r.launcher, err} // a host is gone that was there a moment ago
	}
	for _, id := range ids {
		r.machine.lives[id.Rank].host = r.hosts.plan.Places[id.Rank].Host
	}
	return r.launcher
}

// renew replaces all ranks. Nobody is to meet the old ones.
func (r *root) renew(ctx actor.Context, commands []process.Command) {
	r.port.Release()
	r.port, r.ended, r.cast = nil, nil, newCast() // nor is one to answer for them
	r.hosts.forget()
	r.setRanks(ctx, commands)
}

// cutOrRepeat has the first of some commands, and the last one for all that follow.
func cutOrRepeat(commands []process.Command, n int) []process.Command {
	fit := slices.Clone(commands[:min(n, len(commands))])
	for len(fit) < n {
		fit = append(fit, commands[len(commands)-1])
	}
	return fit
}

// environment is what a rank finds around it.
func (r *root) environment(id process.ID, role RoleRank) rankEnvironment {
	e := rankEnvironment{
		id: id, role: role, size: len(r.spec.Ranks), maxRestarts: maxRestarts(r.spec.Strategy), run: r.spec.RunID,
		place: process.Place{Addr: here, Local: id.Rank, Locals: len(r.spec.Ranks)}, hosts: 1,
		gpus: r.spec.GPUs.environment(id.Rank), // on one host the rank is the local rank
	}
	if place, far := r.hosts.place(id.Rank); far {
		e.place, e.hosts, e.port = place, r.hosts.plan.Hosts, r.hosts.plan.Port
		e.place.Addr = r.hosts.plan.Places[0].Addr
		e.gpus = r.spec.GPUs.elsewhere(place.Local)
	} else if r.port != nil {
		e.port = r.port.Number()
	}
	return e
}

// conditions are those that a rank runs under.
func (r *root) conditions(rank int) []string {
	if place, far := r.hosts.place(rank); far {
		return append(r.spec.Ranks[rank].Conditions(), r.spec.GPUs.elsewhere(place.Local)...)
	}
	return r.spec.Conditions(rank)
}

// begin starts the machine, on several hosts when it has heard of those that are there.
func (r *root) begin(ctx actor.Context) {
	if r.hosts == nil {
		r.step(ctx, evStart{})
	} else {
		ctx.Send(ctx.Self(), &begun{})
	}
}

// Messages to the root actor.
type (
	roomed struct{ room process.Room }
	begun  struct{} // after what was sent before
)

// recallLost is the inverse of HostLostError.Error: nil for another text. It does not know the generations of the lives.
func recallLost(text string) *process.HostLostError {
	name, why, is := strings.Cut(strings.TrimPrefix(text, "host "), " is lost: ")
	if !is || !strings.HasPrefix(text, "host ") {
		return nil
	}
	lost := &process.HostLostError{Host: name, Why: why}
	const with = " (with ranks "
	at := strings.LastIndex(why, with)
	if at < 0 || !strings.HasSuffix(why, ")") {
		return lost
	}
	for _, run := range strings.Split(why[at+len(with):len(why)-1], ", ") {
		var first, last int
		if n, err := fmt.Sscanf(run, "%d-%d", &first, &last); n == 1 {
			last = first
		} else if err != nil {
			return lost
		}
		if first < 0 || last-first > journalRanks-len(lost.Lives) {
			return lost
		}
		for rank := first; rank <= last; rank++ {
			lost.Lives = append(lost.Lives, process.ID{Rank: rank})
		}
	}
	lost.Why = why[:at]
	return lost
}

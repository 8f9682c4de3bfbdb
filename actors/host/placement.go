package host

import (
	"fmt"
	"slices"

	"github.com/go-muster/muster/actors/process"
)

// A berth is a host as placement sees it.
type berth struct {
	name  string
	addr  string
	slots int // ranks of this group that it takes
}

// arrange finds a place for each rank. It is pure. A rank whose host stands in keep stays there, with the local rank that it
// had before; the others fill the hosts in their order: each as far as it goes, or all evenly. So the ranks of a host are
// contiguous, in a generation that begins anew.
func arrange(hosts []berth, size int, keep []string, before []process.Place, spread bool) ([]process.Place, error) {
	a := arrangement{hosts: hosts, places: make([]process.Place, size), load: make([]int, len(hosts))}
	var free []int
	for rank := range size {
		if i := a.kept(rank, keep); i >= 0 {
			a.put(rank, i)
		} else {
			free = append(free, rank)
		}
	}
	room := 0
	for i, h := range hosts {
		room += max(0, h.slots-a.load[i])
	}
	if len(free) > room {
		return nil, fmt.Errorf("%w: %d ranks, %d places on %d hosts", process.ErrNoRoom, size, size-len(free)+room, len(hosts))
	}
	quota := a.quota(len(free), spread)
	host := 0
	for _, rank := range free {
		for quota[host] == 0 {
			host++
		}
		quota[host]--
		a.put(rank, host)
	}
	a.number(keep, before)
	return a.places, nil
}

type arrangement struct {
	hosts  []berth
	places []process.Place
	load   []int
}

// kept returns the host that a rank stays on, -1 for none.
func (a *arrangement) kept(rank int, keep []string) int {
	if rank >= len(keep) || keep[rank] == "" {
		return -1
	}
	return slices.IndexFunc(a.hosts, func(h berth) bool { return h.name == keep[rank] })
}

func (a *arrangement) put(rank, host int) {
	h := a.hosts[host]
	a.places[rank] = process.Place{Host: h.name, Addr: h.addr}
	a.load[host]++
}

// quota says how many of n ranks each host takes.
func (a *arrangement) quota(n int, spread bool) []int {
	quota := make([]int, len(a.hosts))
	if !spread {
		for i, h := range a.hosts {
			quota[i] = min(n, max(0, h.slots-a.load[i]))
			n -= quota[i]
		}
		return quota
	}
	for ; n > 0; n-- { // to whoever has least
		least := -1
		for i, h := range a.hosts {
			if a.load[i]+quota[i] < h.slots && (least < 0 || a.load[i]+quota[i] < a.load[least]+quota[least]) {
				least = i
			}
		}
		quota[least]++
	}
	return quota
}

// number gives hosts and ranks their numbers. Who stays keeps his own; the others take the lowest that are free.
func (a *arrangement) number(keep []string, before []process.Place) {
	nodes, locals := map[string]int{}, map[string]map[int]bool{}
	stays := make([]bool, len(a.places))
	for rank := range a.places {
		p := &a.places[rank]
		if locals[p.Host] == nil {
			locals[p.Host] = map[int]bool{}
		}
		if stays[rank] = a.kept(rank, keep) >= 0 && rank < len(before) && before[rank].Host == p.Host; stays[rank] {
			p.Node, p.Local = before[rank].Node, before[rank].Local
			nodes[p.Host], locals[p.Host][p.Local] = p.Node, true
		}
	}
	taken := map[int]bool{}
	for _, n := range nodes {
		taken[n] = true
	}
	for rank := range a.places {
		p := &a.places[rank]
		if _, numbered := nodes[p.Host]; !numbered {
			nodes[p.Host] = lowest(taken)
		}
		p.Node = nodes[p.Host]
		if !stays[rank] {
			p.Local = lowest(locals[p.Host])
		}
	}
	for rank := range a.places {
		a.places[rank].Locals = len(locals[a.places[rank].Host])
	}
}

// lowest takes the lowest number that is not taken.
func lowest(taken map[int]bool) int {
	n := 0
	for taken[n] {
		n++
	}
	taken[n] = true
	return n
}

package process

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Placer is a Launcher with several hosts. A group that is started with one asks it, for each generation, where its ranks
// are to run.
type Placer interface {
	Launcher
	// Join opens the part of one group. Grace is how long its ranks have from the polite to the final signal when a host leaves
	// of its own accord. Report is told of the room there is, at once and whenever it changes; it must not block, and is not called
	// after [Team.Leave] returned.
	Join(grace time.Duration, report func(Room)) Team
}

// A Team is one group's part of a [Placer]: it launches on the host that a command names (Command.Host).
type Team interface {
	Launcher
	// Place finds a place for each rank of a group of that size, without waiting for any host. Ranks whose host stands in
	// keep, by rank, stay there: they are running, or are started again where they were; "" leaves the choice to the team, and
	// so does a host that is lost. A keep that is too short leaves the choice for the rest. It returns [ErrNoRoom] when there are
	// not enough places.
	Place(size int, keep []string) (Plan, error)
	// Patience is how long, at most, the end of a process that was killed may take to be told when its host is lost.
	Patience() time.Duration
	// Leave gives all places back. Nothing of the group is alive any more.
	Leave()
}

// Room says how many ranks the hosts of a [Placer] can run for a group, those that it runs included.
type Room struct {
	Ranks int    // how many places there are; a multiple of the places of a host where ranks must fill their hosts
	Hosts int    // on how many hosts
	Why   string // what has changed: "host b has joined", "host c is lost: …"
	// Since is for how long no host had come or gone when a group joined: as long as that it need not wait for others. 0 means that
	// one just has, or that it is not known.
	Since time.Duration
}

// A Plan says where the ranks of a generation run, and where they meet.
type Plan struct {
	Places []Place // by rank
	Hosts  int     // how many hosts there are in Places: GROUP_WORLD_SIZE
	Port   int     // a TCP port on the host of rank 0 that nobody else is promised until Release; 0 for none
	// Release gives the port back. It may be called more than once.
	Release func()
}

// A Place is where one rank runs.
type Place struct {
	Host   string // the host's name, for Command.Host
	Addr   string // where other hosts reach it, for MASTER_ADDR: a host name or an IP address
	Node   int    // the host's number in the group: GROUP_RANK, NODE_RANK
	Local  int    // LOCAL_RANK
	Locals int    // LOCAL_WORLD_SIZE
}

var (
	// ErrHostLost is the condition of a rank whose host was lost. Nothing of it is alive: the host was heard to end it, or has
	// had to end it by now since nobody heard of it. See [HostLostError].
	ErrHostLost = errors.New("process: its host is lost")
	// ErrNoRoom is the condition of ranks for which the hosts have no place.
	ErrNoRoom = errors.New("process: there is no room on the hosts")
)

// A HostLostError is the Err of the exits of all ranks that one host took along.
type HostLostError struct {
	Host  string // its name
	Why   string // such as "not heard of for 12s"
	Lives []ID   // all lives of the group that it took along, in order: one failure, with its ranks folded
}

// Error names the host, says why it is lost, and how many ranks it took along.
func (e *HostLostError) Error() string {
	text := fmt.Sprintf("host %s is lost: %s", e.Host, e.Why)
	if len(e.Lives) > 1 {
		text += fmt.Sprintf(" (with ranks %s)", e.ranks())
	}
	return text
}

// ranks lists the ranks as runs: "4-7, 9".
func (e *HostLostError) ranks() string {
	var ranks []int
	for _, id := range e.Lives {
		ranks = append(ranks, id.Rank)
	}
	slices.Sort(ranks)
	var runs []string
	for i := 0; i < len(ranks); {
		j := i
		for j+1 < len(ranks) && ranks[j+1] <= ranks[j]+1 {
			j++
		}
		if run := fmt.Sprint(ranks[i]); ranks[j] > ranks[i] {
			runs = append(runs, fmt.Sprintf("%s-%d", run, ranks[j]))
		} else {
			runs = append(runs, run)
		}
		i = j + 1
	}
	return strings.Join(runs, ", ")
}

// Is reports whether target is [ErrHostLost].
func (e *HostLostError) Is(target error) bool { return target == ErrHostLost }

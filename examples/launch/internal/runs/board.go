package runs

import (
	"sync"
	"time"

	"github.com/go-muster/muster/supervisor"
)

// A Board shows how far a group is. It is made of the group's events alone, so that it can be read whatever the group waits
// for.
type Board struct {
	mu       sync.Mutex
	info     Info
	roles    []string // by rank, nil for none
	state    string
	top      int // the newest generation
	restarts int
	added    bool // the next generation is of ranks that are added, and no restart
	members  []place
}

// A place is what is known of a rank.
type place struct {
	Member
	lives int
	began time.Time // zero when there is no process
}

// NewBoard returns a board of a group that is about to be started. Roles are what the ranks are beside their numbers.
func NewBoard(info Info, ranks int, roles ...string) *Board {
	b := &Board{info: info, roles: roles, state: "starting", top: -1}
	b.resize(ranks)
	return b
}

// Await shows a group that waits for hosts before it can begin.
func (b *Board) Await() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.state = "waiting"
	for i := range b.members {
		b.members[i].State = b.state
	}
}

// Observe takes an event, in order: it is for supervisor.WithObserver.
func (b *Board) Observe(e supervisor.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if state := groupState(e); state != "" {
		b.state = state
	}
	switch e.Kind {
	case supervisor.EventSpawn:
		b.spawn(e)
	case supervisor.EventResized:
		b.resize(e.Size)
	case supervisor.EventRunning:
		for i := range b.members {
			if m := &b.members[i]; m.State == "ready" {
				m.State = "running" // ready, in a group that runs: as the status line has it
			}
		}
	case supervisor.EventAdded:
		b.added = true
		b.resize(max(len(b.members), e.Rank+1))
	}
	if e.Rank >= 0 && e.Rank < len(b.members) {
		b.members[e.Rank].observe(e)
	}
}

// groupState is the state that an event begins, "" for none.
func groupState(e supervisor.Event) string {
	switch e.Kind {
	case supervisor.EventSpawn:
		return "starting"
	case supervisor.EventRunning:
		return "running"
	case supervisor.EventStopping, supervisor.EventResized:
		return "stopping"
	case supervisor.EventWaiting:
		return "waiting"
	case supervisor.EventDone:
		return "done"
	case supervisor.EventDecided:
		if e.Action == supervisor.Restart || e.Action == supervisor.Terminate {
			return "stopping"
		}
	}
	return ""
}

func (b *Board) spawn(e supervisor.Event) {
	if e.Generation > b.top {
		if b.top >= 0 && !b.added {
			b.restarts++
		}
		b.top, b.added = e.Generation, false
	}
}

func (b *Board) resize(size int) {
	for rank := len(b.members); rank < size; rank++ {
		m := Member{Rank: rank, State: "starting"}
		if rank < len(b.roles) {
			m.Role = b.roles[rank]
		}
		b.members = append(b.members, place{Member: m})
	}
	b.members = b.members[:size]
}

func (p *place) observe(e supervisor.Event) {
	switch e.Kind {
	case supervisor.EventSpawn:
		p.State, p.Generation, p.PID, p.Restarts, p.began = "starting", e.Generation, 0, p.lives, time.Time{}
		p.Host = ""
		p.lives++
	case supervisor.EventStarted:
		p.State, p.PID, p.began, p.Host = "started", e.PID, e.At, e.Host
	case supervisor.EventReady:
		p.State = "ready"
	case supervisor.EventHung:
		p.State = "hung"
	case supervisor.EventFailed:
		p.State = "failed"
	case supervisor.EventStop, supervisor.EventKill:
		if p.State != "failed" {
			p.State = "stopping"
		}
	case supervisor.EventRemoved:
		p.State = "removed"
	case supervisor.EventExited:
		p.end(e)
	}
}

func (p *place) end(e supervisor.Event) {
	p.began = time.Time{}
	switch {
	case p.State == "failed", p.State == "removed":
	case e.Exit.Success():
		p.State = "succeeded"
	case e.Exit.Stopped:
		p.State = "stopped"
	default:
		p.State = "failed"
	}
}

// Status returns what the board shows now.
func (b *Board) Status() Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	s := Status{
		Info: b.info, State: b.state, Size: len(b.members), Generation: max(0, b.top), Restarts: b.restarts,
		Uptime: now.Sub(b.info.Start).Seconds(),
	}
	for _, p := range b.members {
		if !p.began.IsZero() {
			p.Uptime = now.Sub(p.began).Seconds()
		}
		s.Members = append(s.Members, p.Member)
	}
	return s
}

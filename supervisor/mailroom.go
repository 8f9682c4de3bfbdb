package supervisor

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/supervisor/internal/desk"
	"github.com/go-muster/muster/transport"
)

// A mailroom is the desk and its lock, and no actor: a message takes no more turns of goroutines than it must (docs/adr/0012). Whoever has
// something for the desk, a caller, the goroutine that reads from a process, the root, takes a step at it; none of them waits for
// more than others' steps, which are short, so that no amount of messages holds up control (G-9).
type mailroom struct {
	group  *Group
	reader *reader         // calls the user's function
	errand backlog[func()] // at other people's actors

	listener *actor.PID                // the user's actor; nil without
	porter   atomic.Pointer[actor.PID] // speaks with it; the root starts it before there are lives

	mu     sync.Mutex // held for a step; never while anything of the user's runs
	desk   *desk.Desk
	notice bool // that nobody listens has been said
}

// newMailroom returns the mailroom of a group of that many ranks.
func newMailroom(g *Group, o options, size int) *mailroom {
	m := &mailroom{group: g, listener: o.listener}
	m.reader = newReader(o.messages, m.taken, m.tell)
	m.errand.work = m.runErrands
	m.desk = desk.New(m)
	m.desk.Expect(size)
	return m
}

// at takes a step at the desk. A panic there is a bug of ours, which ends the group and not whose goroutine it was: see guardian.
func (m *mailroom) at(step func(*desk.Desk)) {
	defer m.guard("at its desk")
	m.mu.Lock()
	defer m.mu.Unlock()
	step(m.desk)
}

func (m *mailroom) guard(where string) {
	if p := recover(); p != nil {
		m.tell(&crash{"mail, " + where, p, debug.Stack()})
	}
}

// runErrands does what a step must leave to others: who is told may be anybody's actor, in whose mailbox or dispatcher anything may
// happen, and who listens to dead letters may ask the group, which waits for the root (G-9).
func (m *mailroom) runErrands(errands []func()) {
	for _, run := range errands {
		func() {
			defer m.guard("on an errand")
			run()
		}()
	}
}

func (m *mailroom) tell(message any) {
	if porter := m.porter.Load(); porter != nil {
		m.group.sendTo(m.group.system, porter, message)
	}
}

// Opened is what the process of a life says first: see actors.Mailroom.
func (m *mailroom) Opened(id process.ID, post func(transport.Message)) {
	m.at(func(d *desk.Desk) { d.Opened(id, post) })
}

// Mailed is a message of a rank.
func (m *mailroom) Mailed(id process.ID, mail *transport.Mail) {
	m.at(func(d *desk.Desk) { d.Mailed(id, mail) })
}

// Credited says that a rank takes more.
func (m *mailroom) Credited(id process.ID, bytes int) {
	m.at(func(d *desk.Desk) { d.Credited(id, bytes) })
}

func (m *mailroom) taken(id process.ID, cost int) {
	m.at(func(d *desk.Desk) { d.Taken(id, cost) })
}

// Present brings a rank's message to the user, in a step.
func (m *mailroom) Present(id process.ID, mail *transport.Mail) {
	msg := &Message{From: id, Topic: mail.Topic, Value: mail.Value}
	if mail.ID != 0 {
		msg.reply = func(value []byte, err error) {
			m.at(func(d *desk.Desk) { d.Replied(id, mail.ID, value, err) })
		}
	}
	switch {
	case m.reader.take != nil:
		m.reader.put(incoming{msg, mail.Cost()})
		return
	case m.listener != nil:
		m.tell(&presented{msg, mail.ID, mail.Cost()})
		return
	case mail.ID != 0:
		m.desk.Replied(id, mail.ID, nil, errUnheard)
	case !m.notice:
		m.notice = true
		m.tell(&notice{fmt.Sprintf("rank %d sends messages (%q), and nobody takes them: see WithMessages", id.Rank, msg.Topic)})
	}
	m.desk.Taken(id, mail.Cost())
}

var errUnheard = errors.New("nobody takes the messages of this group: see supervisor.WithMessages")

// Closed lets go of who waits for the answer to a rank's request, in a step.
func (m *mailroom) Closed(id process.ID, number int) {
	if m.listener != nil {
		m.tell(&closed{id, number})
	}
}

// speaks reports whether there is a rank among them that could.
func speaks(commands []process.Command) bool {
	return slices.ContainsFunc(commands, func(c process.Command) bool { return !c.Plain })
}

// expectMail has the mailroom, where a rank could speak, know how many ranks there are to be.
func (r *root) expectMail(ctx actor.Context, commands []process.Command) {
	room := r.group.mail.Load()
	if room == nil && speaks(commands) {
		room = newMailroom(r.group, r.options, len(commands))
		room.at(r.introduce)
		r.group.mail.Store(room)
		r.startPorter(ctx)
	}
	r.desk(func(d *desk.Desk) { d.Expect(len(commands)) })
}

// introduce tells the desk, of which there was none before, of the lives that are not of the generation that is about to begin.
func (r *root) introduce(d *desk.Desk) {
	lives := r.machine.lives
	for rank := range lives {
		switch l := &lives[rank]; {
		case l.isStillborn():
			d.Removed(rank)
			d.Gone(rank)
		case l.state == unborn || l.generation == r.machine.generation:
		default:
			id := process.ID{Rank: rank, Generation: l.generation}
			d.Born([]process.ID{id}, len(lives))
			if l.state == ended {
				d.Ended(id)
				d.Gone(rank)
			}
		}
	}
}

// startPorter starts the actor of the mailroom, if there is one.
func (r *root) startPorter(ctx actor.Context) {
	room := r.group.mail.Load()
	if room == nil {
		return
	}
	props := r.group.props(func() actor.Actor {
		return &porter{room: room, addrs: map[int]*actor.PID{}, waiters: map[process.ID]map[int]*actor.PID{}}
	}, actor.WithSupervisor(theEscalation))
	pid, err := ctx.SpawnNamed(props, "mail")
	if err != nil {
		panic(err) // nobody else names children of the root
	}
	room.porter.Store(pid)
}

// desk takes a step at the desk, where there is a mailroom.
func (r *root) desk(step func(*desk.Desk)) {
	if room := r.group.mail.Load(); room != nil {
		room.at(step)
	}
}

// closeMail lets the user have what the ranks said before they ended: then the root stops, when it has answered what was asked
// before that. A function that does not return keeps it, until somebody kills the group.
func (r *root) closeMail(ctx actor.Context) {
	if room := r.group.mail.Load(); room != nil {
		room.tell(&lastMail{}) // after all that ranks have said, whose exits came later
		return
	}
	ctx.Poison(ctx.Self())
}

// askAddress passes on who wants to know a rank's address. Without a mailroom there is nobody behind it.
func (r *root) askAddress(ctx actor.Context, m *addressRequest) {
	if room := r.group.mail.Load(); room != nil {
		room.tell(m)
		return
	}
	m.answer <- actor.NewPID(ctx.Self().Address, fmt.Sprintf("%s/mail/rank-%d", ctx.Self().Id, m.rank))
}

// tellDesk tells the desk that a life is over, or that a rank will have none.
func (r *root) tellDesk(e Event) {
	switch e.Kind {
	case EventExited:
		r.desk(func(d *desk.Desk) { d.Ended(process.ID{Rank: e.Rank, Generation: e.Generation}) })
		r.ended = append(r.ended, e.Rank)
	case EventRemoved, EventDecided:
		for rank := range r.machine.lives {
			if r.machine.lives[rank].isStillborn() {
				r.desk(func(d *desk.Desk) { d.Removed(rank) })
				r.ended = append(r.ended, rank)
			}
		}
	}
}

// isStillborn holds for a rank that was removed or dropped before it had a life.
func (l *life) isStillborn() bool { return l.state == unborn && l.leaves() }

// tellGone tells the desk which ranks have no life, once it is clear that they are not about to be given another one.
func (r *root) tellGone() {
	if len(r.ended) == 0 || r.machine.phase != starting && r.machine.phase != running {
		return
	}
	for _, rank := range r.ended {
		if l := &r.machine.lives[rank]; l.state == ended || l.isStillborn() {
			r.desk(func(d *desk.Desk) { d.Gone(rank) })
		}
	}
	r.ended = r.ended[:0]
}

package host

import (
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/go-muster/muster/actors/host/internal/engine"
)

// The names of the two actors that anybody with a certificate may send to.
const (
	doorName  = "muster"
	agentName = "muster-agent"
)

// sparePorts is how many ports an agent holds for whoever will meet on its host.
const sparePorts = 3

// The door is the root's actor that all agents send to. It lets them in, and passes on what belongs to a session, whose number
// nobody else knows.
type door struct{ pool *Pool }

// Receive handles one message. Anything else than our frames is dropped.
func (d *door) Receive(ctx actor.Context) {
	m, ours := ctx.Message().(*wrapperspb.BytesValue)
	if !ours {
		return
	}
	d.pool.frames.Add(1)
	h, body, err := parseFrame(m.GetValue())
	switch {
	case err != nil:
		d.pool.log("a frame was dropped", "error", err)
	case h.session != 0:
		d.pass(ctx, h, body)
	default:
		d.outside(ctx, body)
	}
}

// pass hands a frame to its link. A session that is no more is one whose ranks may not live any more.
func (d *door) pass(ctx actor.Context, h header, body []byte) {
	d.pool.mu.Lock()
	l := d.pool.sessions[h.session]
	d.pool.mu.Unlock()
	if l != nil {
		if l.peer == engine.Peer(ctx) {
			l.tell(&frame{h, body})
		}
		return
	}
	if ctx.Sender() != nil {
		d.pool.send(ctx.Sender(), header{session: h.session}.append(nil, encode(codeGone, &gone{})))
	}
}

func (d *door) outside(ctx actor.Context, body []byte) {
	m, err := decode(body)
	j, is := m.(*join)
	if err != nil || !is {
		d.pool.log("a message was dropped", "error", err)
		return
	}
	agent := actor.NewPID(j.Addr, j.Actor)
	d.pool.mu.Lock()
	same := d.pool.agents[j.Agent]
	d.pool.mu.Unlock()
	switch {
	case same != nil && same.joined.Nonce == j.Nonce: // our answer was lost
		d.welcome(same)
		return
	case same != nil && (same.joined.Life >= j.Life || same.peer != engine.Peer(ctx)): // of the past, or of a stranger
		return
	case same != nil:
		same.tell(&loss{"its agent has lost us, ended all and come back"})
		<-same.done
	}
	if final, err := d.admit(j, engine.Peer(ctx)); err != nil {
		d.refuse(agent, j, final, err)
		return
	}
	d.open(ctx, agent, j)
}

// admit returns why an agent is not let in, and whether it is no use to ask again.
func (d *door) admit(j *join, peer string) (final bool, err error) {
	if theirs, ours := (span{j.Min, j.Max}), d.pool.speaks; theirs.min > ours.max || theirs.max < ours.min {
		return true, fmt.Errorf("it speaks %v, this root %v: use the same release of Muster on both (%s there)", theirs, ours, j.Muster)
	}
	if j.Name == "" || len(j.Name) > maxName || j.Addr == "" || j.Reach == "" || j.Capacity.Slots <= 0 || len(j.Ports) > sparePorts {
		return true, fmt.Errorf("it says too little of itself: name %q, address %q, %d slots", j.Name, j.Addr, j.Capacity.Slots)
	}
	if peer != "" && peer != j.Name {
		return true, fmt.Errorf("it says that it is %s, and its certificate that it is %s: give each host a certificate of its own, and that name", j.Name, peer)
	}
	if d.pool.Admit != nil {
		if err := d.pool.Admit(j.Name, j.Token); err != nil {
			return true, err
		}
	}
	d.pool.mu.Lock()
	defer d.pool.mu.Unlock()
	if d.pool.closed {
		return false, errClosed
	}
	if l := d.pool.named(j.Name); l != nil {
		return false, fmt.Errorf("there is a host %s already, from %s: if that agent is gone, it counts until its lease is over; if not, choose another name", j.Name, l.joined.Addr)
	}
	return false, nil
}

const maxName = 256 // bytes of a host's name

func (d *door) refuse(agent *actor.PID, j *join, final bool, err error) {
	text := fmt.Sprintf("host %s (%s) was refused: %v", j.Name, j.Addr, err)
	d.pool.mu.Lock()
	told := d.pool.refused == text
	d.pool.refused = text
	d.pool.mu.Unlock()
	if !told {
		d.pool.log(text)
	}
	d.pool.send(agent, outside(codeRefused, &refused{j.Nonce, err.Error(), final}))
}

// open begins a session. From the moment of the answer the host has its lease; but it is one of ours only when it has asked for the
// next one: after a partition all the joins come at once that an agent has sent meanwhile, and it means the last.
func (d *door) open(ctx actor.Context, agent *actor.PID, j *join) {
	l := &link{
		pool: d.pool, agent: agent, joined: *j, session: newSession(newSessionID()), lives: map[uint64]*life{},
		asks: map[uint64]chan<- error{}, done: make(chan struct{}),
		until: time.Now().Add(d.pool.lease + fence(d.pool.lease)), peer: engine.Peer(ctx),
	}
	l.joined.Token = ""
	name := fmt.Sprintf("%x", l.session.id)
	l.self = actor.NewPID(ctx.Self().Address, ctx.Self().Id+"/"+name)
	if _, err := ctx.SpawnNamed(actor.PropsFromProducer(func() actor.Actor { return l }), name); err != nil {
		panic(err) // a number among 2^64
	}
	d.pool.mu.Lock()
	d.pool.sessions[l.session.id], d.pool.agents[j.Agent] = l, l
	d.pool.mu.Unlock()
	d.welcome(l)
}

func (d *door) welcome(l *link) {
	d.pool.send(l.agent, outside(codeWelcome, &welcome{
		Version: min(l.joined.Max, d.pool.speaks.max), Session: l.session.id, Nonce: l.joined.Nonce, Lease: d.pool.lease, Root: d.pool.id,
	}))
}

package supervisor

import (
	"errors"
	"fmt"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/supervisor/internal/desk"
)

// A porter is the actor through which the mailroom speaks with the user's: a child of the root, beside those of the ranks.
type porter struct {
	room    *mailroom
	addrs   map[int]*actor.PID
	waiters map[process.ID]map[int]*actor.PID // for the answers of the user's actor, by request
}

// Messages to the porter.
type (
	presented struct {
		message *Message
		number  int // of a request
		cost    int
	}
	closed struct {
		id     process.ID
		number int
	}
	addressRequest struct {
		rank   int
		answer chan<- *actor.PID
	}
	lastMail struct{} // all ranks have ended
	mailRead struct{} // and what they had said was taken
)

// Receive handles one message.
func (p *porter) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Stopping:
		p.room.at((*desk.Desk).End)
		p.room.reader.stop()
	case *lastMail:
		p.room.at((*desk.Desk).End)
		p.room.reader.put(incoming{})
	case *mailRead, *notice:
		ctx.Send(ctx.Parent(), m)
	case *crash: // of the user's function, or of the desk
		p.room.group.crashed(m)
		panic(m)
	case *presented:
		p.forward(ctx, m)
	case *closed:
		p.letGo(ctx, m)
	case *addressRequest:
		m.answer <- p.address(ctx, m.rank)
	}
}

func (p *porter) spawn(ctx actor.Context, produce actor.Producer, name string) *actor.PID {
	pid, err := ctx.SpawnNamed(p.room.group.props(produce), name)
	if err != nil {
		panic(err) // the names are ours, each once
	}
	return pid
}

// forward sends a rank's message to the user's actor. The answer to a request comes to an actor of its own, which lives until the
// desk has closed that. The rank may send as much again then, and not before: our mailbox would have no bound.
func (p *porter) forward(ctx actor.Context, m *presented) {
	defer p.room.taken(m.message.From, m.cost)
	if !m.message.Wanted() {
		ctx.Send(p.room.listener, m.message)
		return
	}
	waiter := ctx.Spawn(p.room.group.props(func() actor.Actor { return &waiter{message: m.message} }))
	if p.waiters[m.message.From] == nil {
		p.waiters[m.message.From] = map[int]*actor.PID{}
	}
	p.waiters[m.message.From][m.number] = waiter
	ctx.RequestWithCustomSender(p.room.listener, m.message, waiter)
}

// letGo stops who waits for the answer to a rank's request.
func (p *porter) letGo(ctx actor.Context, c *closed) {
	waiter := p.waiters[c.id][c.number]
	if waiter == nil {
		return
	}
	ctx.Stop(waiter)
	if delete(p.waiters[c.id], c.number); len(p.waiters[c.id]) == 0 {
		delete(p.waiters, c.id)
	}
}

func (p *porter) address(ctx actor.Context, rank int) *actor.PID {
	if p.addrs[rank] == nil {
		p.addrs[rank] = p.spawn(ctx, func() actor.Actor { return &address{rank, p.room} }, fmt.Sprintf("rank-%d", rank))
	}
	return p.addrs[rank]
}

// A waiter takes the answer to one request of a rank, until the porter stops it.
type waiter struct{ message *Message }

// Receive takes the answer. The message itself may have been answered already.
func (w *waiter) Receive(ctx actor.Context) {
	switch v := ctx.Message().(type) {
	case actor.SystemMessage, actor.AutoReceiveMessage, *actor.Started:
		return
	case error:
		_ = w.message.Fail(v)
	case *actor.DeadLetterResponse:
		_ = w.message.Fail(errDeadListener)
	default:
		if value, err := encode(v); err != nil {
			_ = w.message.Fail(err)
		} else {
			_ = w.message.answer(value, nil)
		}
	}
}

var errDeadListener = errors.New("the actor that takes the messages of this group is gone")

// An address is the actor that stands for a rank.
type address struct {
	rank int
	room *mailroom
}

// Receive posts a message.
func (a *address) Receive(ctx actor.Context) {
	message, sender := ctx.Message(), ctx.Sender()
	switch message.(type) {
	case actor.SystemMessage, actor.AutoReceiveMessage, *actor.Started:
		return
	}
	system := ctx.ActorSystem()
	sent := &actor.DeadLetterEvent{PID: ctx.Self(), Message: message, Sender: sender}
	_, raw := message.(*wrapperspb.BytesValue)
	topic, value, err := written(message, ctx.MessageHeader())
	if err != nil {
		respond(system, sent, process.ID{}, nil, messageError(process.ID{Rank: a.rank}, err), raw)
		return
	}
	l := &desk.Letter{Rank: a.rank, Topic: topic, Value: value, Wanted: sender != nil, Loose: true}
	l.Done = func(id process.ID, value []byte, err error) {
		a.room.errand.put(func() { respond(system, sent, id, value, messageError(id, err), raw) })
	}
	a.room.at(func(d *desk.Desk) { d.Post(l) })
}

// respond tells the sender of a message what became of it.
func respond(system *actor.ActorSystem, sent *actor.DeadLetterEvent, id process.ID, value []byte, err error, raw bool) {
	switch {
	case sent.Sender == nil && err != nil:
		system.EventStream.Publish(sent)
	case sent.Sender == nil:
	case raw && err != nil:
		system.Root.Send(sent.Sender, wrapperspb.String(err.Error()))
	case raw:
		system.Root.Send(sent.Sender, wrapperspb.Bytes(value))
	case err != nil:
		system.Root.Send(sent.Sender, err)
	default:
		system.Root.Send(sent.Sender, &Message{From: id, Value: value})
	}
}

// written returns what an actor's message is to a rank.
func written(message any, header actor.ReadonlyMessageHeader) (topic string, value []byte, err error) {
	m := &Message{}
	switch v := message.(type) {
	case *Message:
		m.Topic, m.Value = v.Topic, v.Value
	case *wrapperspb.BytesValue:
		m.Value = v.Value
		if header != nil {
			m.Topic = header.Get("topic")
		}
	default:
		if m, err = NewMessage("", v); err != nil {
			return "", nil, err
		}
	}
	return m.Topic, m.Value, m.check()
}

// encode is written for an answer.
func encode(answer any) ([]byte, error) {
	_, value, err := written(answer, nil)
	return value, err
}

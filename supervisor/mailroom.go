package supervisor

import (
	"errors"
	"fmt"
	"slices"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/go-muster/muster/actors"
	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/supervisor/internal/desk"
	"github.com/go-muster/muster/transport"
)

// A mailroom is the actor around the desk: a child of the root, beside it, so that no amount of messages holds up what
// controls the ranks (G-9).
type mailroom struct {
	group   *Group
	desk    *desk.Desk
	reader  *reader    // calls the user's function; nil without
	to      *actor.PID // the user's actor; nil without
	notice  bool       // that nobody listens was said
	ctx     actor.Context
	addrs   map[int]*actor.PID
	waiters map[process.ID]map[int]*actor.PID // for the answers of the user's actor, by request
	observe func(*Message)
}

// Messages to the mailroom, besides those of the rank actors.
type (
	lifeBorn struct {
		ids  []process.ID
		size int
	}
	lifeEnded struct{ id process.ID }
	rankGone  struct{ rank int }
	outgoing  struct {
		letter *desk.Letter
		asked  bool // the root, which knows of lives before we do
	}
	withdrawn      struct{ letter *desk.Letter }
	addressRequest struct {
		rank   int
		answer chan<- *actor.PID
	}
	taken struct {
		id   process.ID
		cost int
	}
	lastMail struct{} // all ranks have ended
	mailRead struct{} // and what they had said was taken
	replied  struct {
		id     process.ID
		number int
		value  []byte
		err    error
	}
)

// Receive handles one message.
func (m *mailroom) Receive(ctx actor.Context) {
	m.ctx = ctx
	switch msg := ctx.Message().(type) {
	case *actor.Started:
		m.start()
	case *actor.Stopping:
		m.desk.End()
		m.reader.stop()
	case *lastMail:
		m.desk.End()
		m.reader.put(incoming{})
	case *mailRead:
		ctx.Send(ctx.Parent(), msg)
	case *crash: // of the user's function
		m.group.crashed(msg)
		panic(msg)
	case *lifeBorn:
		m.desk.Born(msg.ids, msg.size)
	case *actors.Opened:
		m.desk.Opened(msg.ID, msg.Rank)
	case *actors.Mailed:
		for _, mail := range msg.Mail {
			m.desk.Mailed(msg.ID, mail)
		}
	case *actors.Credited:
		m.desk.Credited(msg.ID, msg.Bytes())
	case *lifeEnded:
		m.desk.Ended(msg.id)
	case *rankGone:
		m.desk.Gone(msg.rank)
	case *taken:
		m.desk.Taken(msg.id, msg.cost)
	case *replied:
		m.desk.Replied(msg.id, msg.number, msg.value, msg.err)
	case *outgoing:
		m.post(msg)
	case *withdrawn:
		m.desk.Withdraw(msg.letter)
	case *addressRequest:
		msg.answer <- m.address(msg.rank)
	}
}

// post takes a caller's message. One for a rank that has no life goes by way of the root, once: what the root has told the caller
// of a new one may not have come here yet.
func (m *mailroom) post(o *outgoing) {
	if o.asked || m.desk.Lives(o.letter.Rank) {
		m.desk.Post(o.letter)
		return
	}
	o.asked = true
	m.ctx.Send(m.ctx.Parent(), o)
}

func (m *mailroom) start() {
	m.desk, m.addrs = desk.New(m), map[int]*actor.PID{}
	m.waiters = map[process.ID]map[int]*actor.PID{}
	system, self := m.ctx.ActorSystem(), m.ctx.Self()
	m.reader = &reader{take: m.observe, tell: func(message any) { m.group.sendTo(system, self, message) }}
}

func (m *mailroom) spawn(produce actor.Producer, name string) *actor.PID {
	pid, err := m.ctx.SpawnNamed(m.group.props(produce), name)
	if err != nil {
		panic(err) // the names are ours, each once
	}
	return pid
}

// Order passes on what the desk has for a rank actor.
func (m *mailroom) Order(rank *actor.PID, order any) { m.ctx.Send(rank, order) }

// Present brings a rank's message to the user.
func (m *mailroom) Present(id process.ID, mail *transport.Mail) {
	msg := &Message{From: id, Topic: mail.Topic, Value: mail.Value}
	system, self := m.ctx.ActorSystem(), m.ctx.Self()
	if mail.ID != 0 {
		msg.reply = func(value []byte, err error) {
			m.group.sendTo(system, self, &replied{id, mail.ID, value, err})
		}
	}
	switch {
	case m.observe != nil:
		m.reader.put(incoming{msg, mail.Cost()})
		return
	case m.to != nil:
		m.forward(msg, mail.ID)
	default:
		m.unheard(msg)
	}
	m.desk.Taken(id, mail.Cost())
}

// unheard is for messages that nobody takes.
func (m *mailroom) unheard(msg *Message) {
	if msg.Wanted() {
		_ = msg.Fail(errUnheard)
		return
	}
	if !m.notice {
		m.notice = true
		m.ctx.Send(m.ctx.Parent(), &notice{fmt.Sprintf("rank %d sends messages (%q), and nobody takes them: see WithMessages",
			msg.From.Rank, msg.Topic)})
	}
}

var errUnheard = fmt.Errorf("nobody takes the messages of this group: see supervisor.WithMessages")

// forward sends a rank's message to the user's actor. The answer to a request comes to an actor of its own, which lives until
// Closed.
func (m *mailroom) forward(msg *Message, number int) {
	if !msg.Wanted() {
		m.ctx.Send(m.to, msg)
		return
	}
	waiter := m.ctx.Spawn(m.group.props(func() actor.Actor { return &waiter{message: msg} }))
	if m.waiters[msg.From] == nil {
		m.waiters[msg.From] = map[int]*actor.PID{}
	}
	m.waiters[msg.From][number] = waiter
	m.ctx.RequestWithCustomSender(m.to, msg, waiter)
}

// Closed lets go of who waits for the answer to a rank's request.
func (m *mailroom) Closed(id process.ID, number int) {
	waiter := m.waiters[id][number]
	if waiter == nil {
		return
	}
	m.ctx.Stop(waiter)
	if delete(m.waiters[id], number); len(m.waiters[id]) == 0 {
		delete(m.waiters, id)
	}
}

func (m *mailroom) address(rank int) *actor.PID {
	if m.addrs[rank] == nil {
		room := m.ctx.Self()
		m.addrs[rank] = m.spawn(func() actor.Actor { return &address{rank, room} }, fmt.Sprintf("rank-%d", rank))
	}
	return m.addrs[rank]
}

// A waiter takes the answer to one request of a rank, until the mailroom stops it.
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
	room *actor.PID
}

// Receive passes a message on to the mailroom.
func (a *address) Receive(ctx actor.Context) {
	message, sender := ctx.Message(), ctx.Sender()
	switch message.(type) {
	case actor.SystemMessage, actor.AutoReceiveMessage, *actor.Started:
		return
	}
	system, self := ctx.ActorSystem(), ctx.Self()
	l := &desk.Letter{Rank: a.rank, Wanted: sender != nil, Loose: true}
	_, raw := message.(*wrapperspb.BytesValue)
	l.Done = func(id process.ID, value []byte, err error) {
		sent := &actor.DeadLetterEvent{PID: self, Message: message, Sender: sender}
		respond(system, sent, id, value, messageError(id, err), raw)
	}
	var err error
	if l.Topic, l.Value, err = written(message, ctx.MessageHeader()); err != nil {
		l.End(process.ID{Rank: a.rank}, nil, err)
		return
	}
	ctx.Send(a.room, &outgoing{letter: l})
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

// openMail starts the mailroom, where a rank could speak.
func (r *root) openMail(ctx actor.Context) {
	speaks := func(c process.Command) bool { return !c.Plain }
	if !slices.ContainsFunc(r.spec.Ranks, speaks) {
		return
	}
	room := &mailroom{group: r.group, to: r.options.listener, observe: r.options.messages}
	props := r.group.props(func() actor.Actor { return room }, actor.WithSupervisor(theEscalation))
	var err error
	if r.mail, err = ctx.SpawnNamed(props, "mail"); err != nil {
		panic(err) // nobody else names children of the root
	}
}

// closeMail lets the user have what the ranks said before they ended: then the root stops, when it has answered what was asked
// before that. A function that does not return keeps it, until somebody kills the group.
func (r *root) closeMail(ctx actor.Context) {
	if r.mail == nil {
		ctx.Poison(ctx.Self())
		return
	}
	ctx.Send(r.mail, &lastMail{}) // after all mail of the rank actors, who told of their exits later
}

// forward passes a caller's message on. Without a mailroom there is no rank that could take it.
func (r *root) forward(ctx actor.Context, message any) {
	if r.mail != nil {
		ctx.Send(r.mail, message)
		return
	}
	switch m := message.(type) {
	case *outgoing:
		m.letter.End(process.ID{Rank: m.letter.Rank}, nil, ErrRankEnded)
	case *addressRequest:
		m.answer <- actor.NewPID(ctx.Self().Address, fmt.Sprintf("%s/mail/rank-%d", ctx.Self().Id, m.rank))
	}
}

// tellEnded tells the mailroom that a life is over.
func (r *root) tellEnded(ctx actor.Context, e Event) {
	if e.Kind != EventExited || r.mail == nil {
		return
	}
	ctx.Send(r.mail, &lifeEnded{process.ID{Rank: e.Rank, Generation: e.Generation}})
	r.ended = append(r.ended, e.Rank)
}

// tellGone tells the mailroom which ranks have no life, once it is clear that they are not about to be given another one.
func (r *root) tellGone(ctx actor.Context) {
	if r.mail == nil || len(r.ended) == 0 || r.machine.phase != starting && r.machine.phase != running {
		return
	}
	for _, rank := range r.ended {
		if r.machine.lives[rank].state == ended {
			ctx.Send(r.mail, &rankGone{rank})
		}
	}
	r.ended = r.ended[:0]
}

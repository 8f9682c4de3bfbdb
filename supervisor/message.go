package supervisor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/supervisor/internal/desk"
	"github.com/go-muster/muster/transport"
)

var (
	// ErrNoRank is the condition of a message to a rank that the group does not have.
	ErrNoRank = desk.ErrNoRank
	// ErrRankEnded is the condition of a message to a rank that has ended, or is between two lives; and of a request to one that
	// ended before it had answered.
	ErrRankEnded = desk.ErrEnded
	// ErrMailboxFull is the condition of an actor's message to a rank that does not keep up: 4 MiB wait already, or 1024
	// messages, those counted that the rank has and is to answer.
	ErrMailboxFull = desk.ErrFull
	// ErrRefused is the condition of a request that the rank has answered with an error of its own.
	ErrRefused = desk.ErrRefused
	// ErrMessage is the condition of a message that cannot be sent: a topic that is too long or reserved, a value that is too
	// large or cannot be encoded, an answer that nobody waits for.
	ErrMessage = errors.New("supervisor: the message cannot be sent")
)

// A MessageError says why a message did not reach a rank, or why its answer does not come. Generation is that of the life
// which the message was for; Err wraps [ErrNoRank], [ErrRankEnded], [ErrMailboxFull], [ErrRefused] or [ErrStopped].
type MessageError struct {
	Rank, Generation int
	Err              error
}

func messageError(id process.ID, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, desk.ErrOver):
		err = fmt.Errorf("%w: %w", ErrStopped, err)
	}
	return &MessageError{id.Rank, id.Generation, err}
}

// Error names the rank and says why.
func (e *MessageError) Error() string {
	return fmt.Sprintf("%v (rank %d@%d)", e.Err, e.Rank, e.Generation)
}

// Unwrap returns why.
func (e *MessageError) Unwrap() error { return e.Err }

// A Message is what a rank's user code tells or asks, or what it answers, as an actor receives it; and what an actor may
// tell a rank: see [Group.PID].
type Message struct {
	// From says which life of which rank sent it.
	From process.ID
	// Topic is the sender's word for what it is about, at most 256 bytes; those that begin with "muster." are ours.
	Topic string
	// Value is the msgpack encoding of what it holds, at most 1 040 384 bytes.
	Value []byte

	reply func(value []byte, err error)
	over  atomic.Bool
}

// NewMessage returns a message with a value, encoded. Errors wrap [ErrMessage].
func NewMessage(topic string, value any) (*Message, error) {
	mail, err := transport.NewMail(topic, value)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMessage, err)
	}
	m := &Message{Topic: topic, Value: mail.Value}
	return m, m.check()
}

func (m *Message) check() error {
	cut := transport.Mail{Topic: m.Topic}
	cut.Limit()
	switch {
	case cut.Topic != m.Topic:
		return fmt.Errorf("%w: a topic is text of at most 256 bytes: %.300q", ErrMessage, m.Topic)
	case strings.HasPrefix(m.Topic, "muster."):
		return fmt.Errorf("%w: topics that begin with \"muster.\" are the supervisor's: %q", ErrMessage, m.Topic)
	case len(m.Value) > transport.MaxMail:
		return fmt.Errorf("%w: %d bytes, the most is %d", ErrMessage, len(m.Value), transport.MaxMail)
	}
	return nil
}

// Decode decodes the value into v, which must be a pointer. Errors wrap transport.ErrMalformed.
func (m *Message) Decode(v any) error { return transport.Unmarshal(m.Value, v) }

// Wanted reports whether the rank waits for an answer.
func (m *Message) Wanted() bool { return m.reply != nil }

// Reply answers a rank's request, once. Errors wrap [ErrMessage]: nobody waits, or the value cannot be sent. A rank that has
// ended in the meantime is no error.
func (m *Message) Reply(value any) error {
	answer, err := NewMessage("", value)
	if err != nil {
		return err
	}
	return m.answer(answer.Value, nil)
}

// Fail answers a rank's request with the text of an error, of at most 4 KiB. Errors are those of Reply.
func (m *Message) Fail(err error) error {
	if err == nil {
		err = errors.New("") // see transport.Mail.Refuse
	}
	return m.answer(nil, err)
}

func (m *Message) answer(value []byte, err error) error {
	if m.reply == nil || m.over.Swap(true) {
		return fmt.Errorf("%w: nobody waits for an answer", ErrMessage)
	}
	m.reply(value, err)
	return nil
}

// Tell sends a message to the present life of a rank, or to the first that it is to have, whose code takes it from worker.Messages.
// It waits for room, until the context ends, and returns when the message is on its way to the process; that is no promise that it
// will be read.
//
// Errors: *[MessageError]; [ErrMessage] wrapped; the context's cause.
func (g *Group) Tell(ctx context.Context, rank int, topic string, value any) error {
	_, err := g.post(ctx, rank, topic, value, false)
	return err
}

// Request is Tell that waits for the answer and decodes it into answer, a pointer, or nil where it does not matter. A rank
// that ends before it has answered is an error at once.
func (g *Group) Request(ctx context.Context, rank int, topic string, value, answer any) error {
	got, err := g.post(ctx, rank, topic, value, true)
	if err != nil {
		return err
	}
	defer transport.Release(got)
	if answer == nil {
		return nil
	}
	return transport.Unmarshal(got.Value, answer)
}

// post returns the answer, nil where none is wanted.
func (g *Group) post(ctx context.Context, rank int, topic string, value any, wanted bool) (*transport.Mail, error) {
	mail, err := transport.NewMail(topic, value)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMessage, err)
	}
	if err := (&Message{Topic: topic, Value: mail.Value}).check(); err != nil {
		return nil, err
	}
	type outcome struct {
		answer *transport.Mail
		err    error
	}
	ended := make(chan outcome, 1)
	l := &desk.Letter{Rank: rank, Topic: topic, Value: mail.Value, Mail: mail, Wanted: wanted}
	l.Done = func(id process.ID, _ []byte, err error) {
		ended <- outcome{l.Answer, messageError(id, err)}
	}
	room := g.mail.Load()
	if room == nil {
		return nil, messageError(process.ID{Rank: rank}, g.silence())
	}
	room.at(func(d *desk.Desk) { d.Post(l) })
	select {
	case o := <-ended:
		return o.answer, o.err
	case <-ctx.Done():
		room.at(func(d *desk.Desk) { d.Withdraw(l) })
		return nil, context.Cause(ctx)
	case <-g.done:
	}
	select {
	case o := <-ended:
		return o.answer, o.err
	default:
		return nil, messageError(process.ID{Rank: rank}, desk.ErrOver)
	}
}

// silence says why nobody answers in a group without a rank that could.
func (g *Group) silence() error {
	select {
	case <-g.done:
		return desk.ErrOver
	default:
		return ErrRankEnded
	}
}

// PID returns the address of a rank, which any actor can Send and Request to: nil for a number below 0. It stays the same
// from life to life; what it gets it passes to the present one.
//
// A *[Message] is sent as it is. Any other value is encoded and sent without a topic, except a *wrapperspb.BytesValue, whose
// bytes are taken for the encoding of a value: that is how actors of other systems write, with the topic in the message
// header "topic". The sender of a request is answered with a *Message or a *[MessageError], a sender of BytesValue with
// a BytesValue or, for an error, a *wrapperspb.StringValue. A message that cannot be delivered and has no sender becomes
// a dead letter.
//
// An actor's messages do not wait for room: see [ErrMailboxFull].
func (g *Group) PID(rank int) *actor.PID {
	if rank < 0 {
		return nil
	}
	answer := make(chan *actor.PID, 1)
	g.send(&addressRequest{rank, answer})
	select {
	case pid := <-answer:
		return pid
	case <-g.done:
		return actor.NewPID(g.pid.Address, fmt.Sprintf("%s/mail/rank-%d", g.pid.Id, rank))
	}
}

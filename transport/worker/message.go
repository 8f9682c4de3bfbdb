package worker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/go-muster/muster/transport"
)

var (
	// ErrNoSupervisor is the condition of a message in a process that no supervisor started.
	ErrNoSupervisor = errors.New("worker: no supervisor started this process")
	// ErrMessage is the condition of a message that cannot be sent: a topic that is too long or reserved, a value that is too
	// large or cannot be encoded, an answer that nobody waits for.
	ErrMessage = errors.New("worker: the message cannot be sent")
	// ErrAnswered is the condition of a message that was decoded and answered, and is to be decoded once more: do so before the answer.
	ErrAnswered = errors.New("worker: the message was decoded and answered, and is over: whoever decodes it again does so before answering")
	// ErrRefused is the condition of a request whose answer is an error, as whoever was asked puts it.
	ErrRefused = errors.New("worker: the request was refused")
)

// A Message is what somebody told this rank: an actor or a caller beside the supervisor.
type Message struct {
	// Topic is the sender's word for what the message is about, "" for none.
	Topic string

	office *office
	id     int // 0: no answer is awaited

	mu       sync.Mutex
	mail     *transport.Mail // nil once it was given back
	reading  int             // calls of Decode that go on
	decoded  bool
	answered bool
}

// Decode decodes the message's value into v, which must be a pointer. A message that was decoded and then answered is over: what it
// lay in is used for the next ones. Errors: transport.ErrMalformed wrapped; [ErrAnswered] for a message that is over.
func (m *Message) Decode(v any) error {
	mail, err := m.borrow()
	if err != nil {
		return err
	}
	defer m.giveBack()
	return transport.Unmarshal(mail.Value, v)
}

func (m *Message) borrow() (*transport.Mail, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mail == nil {
		return nil, ErrAnswered
	}
	m.reading++
	return m.mail, nil
}

func (m *Message) giveBack() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reading--
	m.decoded = true
	m.release()
}

// release gives back what the message lies in, if nobody can want it any more: whoever answers before decoding still can decode.
func (m *Message) release() {
	if m.mail != nil && m.decoded && m.answered && m.reading == 0 {
		transport.Release(m.mail)
		m.mail = nil
	}
}

// Wanted reports whether the sender waits for an answer.
func (m *Message) Wanted() bool { return m.id != 0 }

// Reply answers the message with a value, which travels as msgpack. Errors wrap [ErrMessage], where nobody waits for an
// answer, or the value cannot be sent: then Fail or another Reply still can. Any other error is the link's.
func (m *Message) Reply(value any) error {
	mail, err := newMail("", value)
	if err != nil {
		return err
	}
	return m.answer(mail)
}

// Fail answers the message with the text of an error, of at most 4 KiB. Errors are those of Reply.
func (m *Message) Fail(err error) error {
	var refusal transport.Mail
	refusal.Refuse(err)
	return m.answer(&refusal)
}

func (m *Message) answer(mail *transport.Mail) error {
	if !m.claim() {
		return fmt.Errorf("%w: nobody waits for an answer", ErrMessage)
	}
	mail.Reply = m.id
	mail.Limit()
	defer transport.Release(mail)
	return m.office.conn.Send(mail)
}

// claim makes the caller the one who answers.
func (m *Message) claim() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.id == 0 || m.answered {
		return false
	}
	m.answered = true
	m.release()
	return true
}

// Messages returns the channel on which messages to this rank come, in order, to whoever reads: it is the same one each
// time. It is never closed: select on the context of the function as well, which ends when the rank is asked to stop. Who
// never calls Messages gets none, and who does not read holds its senders back. In a process that no supervisor started
// nothing ever comes.
//
//	for {
//		select {
//		case m := <-worker.Messages():
//			…
//		case <-ctx.Done():
//			return context.Cause(ctx)
//		}
//	}
func Messages() <-chan *Message {
	o := theOffice.Load()
	if o == nil {
		return nil
	}
	o.open.Do(o.begin)
	return o.box
}

// Tell sends a message to who listens beside the supervisor (supervisor.WithMessages). It waits, until the context ends, when
// they do not keep up. Topic is at most 256 bytes and does not begin with "muster."; value travels as msgpack, in at most
// 1 040 384 bytes. Errors: the context's cause; [ErrMessage] and [ErrNoSupervisor] wrapped; the link's.
func Tell(ctx context.Context, topic string, value any) error {
	o := theOffice.Load()
	if o == nil {
		return ErrNoSupervisor
	}
	mail, err := userMail(topic, value)
	if err != nil {
		return err
	}
	return o.send(ctx, mail)
}

// TellAll is Tell for many values, one message each, in order: they share what a message costs to send, which is most of what a small
// one costs. Errors are those of Tell: then some of the first may have been sent.
func TellAll[T any](ctx context.Context, topic string, values []T) error {
	o := theOffice.Load()
	if o == nil {
		return ErrNoSupervisor
	}
	var some []transport.Message
	for size, rest := 0, values; len(rest) > 0; rest = rest[1:] {
		m, err := userMail(topic, rest[0])
		if err != nil {
			return err
		}
		some = append(some, m)
		if size += m.Cost(); size < atOnce && len(rest) > 1 {
			continue
		}
		if err := o.sendAll(ctx, some); err != nil {
			return err
		}
		size, some = 0, some[:0]
	}
	return nil
}

// atOnce is how much TellAll sends in one write, in bytes.
const atOnce = 64 << 10

// Request is Tell that waits for an answer and decodes it into answer, a pointer, or nil where it does not matter. Errors are
// those of Tell, and one that wraps [ErrRefused] for an answer that is an error.
func Request(ctx context.Context, topic string, value, answer any) error {
	o := theOffice.Load()
	if o == nil {
		return ErrNoSupervisor
	}
	mail, err := userMail(topic, value)
	if err != nil {
		return err
	}
	return o.request(ctx, mail, answer)
}

const reserved = "muster."

func userMail(topic string, value any) (*transport.Mail, error) {
	if strings.HasPrefix(topic, reserved) {
		return nil, fmt.Errorf("%w: topics that begin with %q are the supervisor's: %q", ErrMessage, reserved, topic)
	}
	return newMail(topic, value)
}

func newMail(topic string, value any) (*transport.Mail, error) {
	m, err := transport.NewMail(topic, value)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMessage, err)
	}
	if m.Limit(); m.Topic != topic {
		return nil, fmt.Errorf("%w: a topic is text of at most 256 bytes: %.300q", ErrMessage, topic)
	}
	if len(m.Value) > transport.MaxMail {
		return nil, fmt.Errorf("%w: %d bytes, the most is %d", ErrMessage, len(m.Value), transport.MaxMail)
	}
	return m, nil
}

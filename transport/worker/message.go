package worker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/go-muster/muster/transport"
)

var (
	// ErrNoSupervisor is the condition of a message in a process that no supervisor started.
	ErrNoSupervisor = errors.New("worker: no supervisor started this process")
	// ErrMessage is the condition of a message that cannot be sent: a topic that is too long or reserved, a value that is too
	// large or cannot be encoded, an answer that nobody waits for.
	ErrMessage = errors.New("worker: the message cannot be sent")
	// ErrRefused is the condition of a request whose answer is an error, as whoever was asked puts it.
	ErrRefused = errors.New("worker: the request was refused")
)

// A Message is what somebody told this rank: an actor or a caller beside the supervisor.
type Message struct {
	// Topic is the sender's word for what the message is about, "" for none.
	Topic string

	office   *office
	id       int // 0: no answer is awaited
	value    []byte
	answered atomic.Bool
}

// Decode decodes the message's value into v, which must be a pointer. Errors wrap transport.ErrMalformed.
func (m *Message) Decode(v any) error { return transport.Unmarshal(m.value, v) }

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
	if m.id == 0 || m.answered.Swap(true) {
		return fmt.Errorf("%w: nobody waits for an answer", ErrMessage)
	}
	mail.Reply = m.id
	mail.Limit()
	defer transport.Release(mail)
	return m.office.conn.Send(mail)
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
// one costs. When it returns an error, some of the first may have been sent.
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

// theOffice is this rank's, nil in a process that is none.
var theOffice atomic.Pointer[office]

// An office is where the mail of a rank goes out and comes in.
type office struct {
	conn   *transport.Conn
	credit transport.Balance // for what goes out
	open   sync.Once
	box    chan *Message

	mu      sync.Mutex
	last    int                            // number of a request
	waiting map[int]chan<- *transport.Mail // for answers
	gone    []int                          // requests that are to be cancelled, and that was not said yet
	queue   []*transport.Mail              // that came and was not read: the credit we gave bounds it
	more    chan struct{}                  // holds a token while there may be more in the queue
	turn    chan struct{}                  // holds a token while somebody cancels
}

func newOffice(conn *transport.Conn) *office {
	return &office{
		conn: conn, box: make(chan *Message), waiting: map[int]chan<- *transport.Mail{},
		more: make(chan struct{}, 1), turn: make(chan struct{}, 1),
	}
}

func (o *office) send(ctx context.Context, m *transport.Mail) error {
	if err := o.cancel(ctx); err != nil {
		return err
	}
	return o.pay(ctx, m)
}

// pay sends a message once there is credit for it, and then has no more use for it.
func (o *office) pay(ctx context.Context, m *transport.Mail) error {
	if err := o.credit.Await(ctx, m.Cost()); err != nil {
		return err
	}
	defer transport.Release(m)
	return o.conn.Send(m)
}

// sendAll sends messages, as many at once as there is credit for.
func (o *office) sendAll(ctx context.Context, all []transport.Message) error {
	if err := o.cancel(ctx); err != nil {
		return err
	}
	cost := func(m transport.Message) int { return m.(transport.Costly).Cost() }
	for len(all) > 0 {
		if err := o.credit.Await(ctx, cost(all[0])); err != nil {
			return err
		}
		n := 1
		for n < len(all) && o.credit.Spend(cost(all[n])) {
			n++
		}
		if err := o.conn.SendAll(all[:n]...); err != nil {
			return err
		}
		for _, m := range all[:n] {
			transport.Release(m)
		}
		all = all[n:]
	}
	return nil
}

// request sends a message and waits for its answer.
func (o *office) request(ctx context.Context, m *transport.Mail, answer any) error {
	answers := make(chan *transport.Mail, 1)
	o.mu.Lock()
	o.last++
	id := o.last
	m.ID = id
	o.waiting[id] = answers
	o.mu.Unlock()
	defer func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.waiting, id)
	}()
	if err := o.send(ctx, m); err != nil {
		return err
	}
	select {
	case a := <-answers:
		defer transport.Release(a)
		return decodeAnswer(a, answer)
	case <-ctx.Done():
		o.mu.Lock()
		o.gone = append(o.gone, id)
		o.mu.Unlock()
		go func() { _ = o.cancel(context.Background()) }() // ends when there is credit, or with the process
		return context.Cause(ctx)
	}
}

func decodeAnswer(a *transport.Mail, answer any) error {
	switch {
	case a.Error != "":
		return fmt.Errorf("%w: %s", ErrRefused, a.Error)
	case answer == nil:
		return nil
	}
	return transport.Unmarshal(a.Value, answer)
}

// cancel tells the supervisor which requests are not awaited any more. Whatever is sent comes after that: who gives a
// Barrier up may call it again.
func (o *office) cancel(ctx context.Context) error {
	if _, ok := o.firstGone(); !ok {
		return nil
	}
	select {
	case o.turn <- struct{}{}:
		defer func() { <-o.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	for {
		id, ok := o.firstGone()
		if !ok {
			return nil
		}
		m, err := newMail(reserved+"cancel", id)
		if err == nil {
			err = o.pay(ctx, m)
		}
		if err != nil {
			return err
		}
		o.mu.Lock()
		o.gone = o.gone[1:]
		o.mu.Unlock()
	}
}

func (o *office) firstGone() (id int, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.gone) == 0 {
		return 0, false
	}
	return o.gone[0], true
}

// close is for a program that has closed the socket under us: nobody is to wait for what cannot come.
func (o *office) close() {
	o.credit.Close(errClosed)
	o.mu.Lock()
	defer o.mu.Unlock()
	for id, answers := range o.waiting {
		answers <- &transport.Mail{Error: errClosed.Error()}
		delete(o.waiting, id)
	}
}

var errClosed = errors.New("worker: the program has closed its socket to the supervisor")

// receive takes what came, on the link's goroutine, and never waits.
func (o *office) receive(m *transport.Mail) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if m.Reply != 0 {
		if answers, ok := o.waiting[m.Reply]; ok {
			delete(o.waiting, m.Reply)
			answers <- m
		}
		return
	}
	o.queue = append(o.queue, m)
	offer(o.more, struct{}{})
}

// begin lets messages come.
func (o *office) begin() {
	if o.conn.Send(&transport.Credit{Bytes: transport.MailWindow}) != nil {
		return // the link's reader sees the end, too
	}
	go o.feed() // ends with the process
}

// feed brings messages to the channel. What was taken from it is given back as credit, by the quarter of the window.
func (o *office) feed() {
	taken := 0
	for {
		<-o.more
		o.mu.Lock()
		queue := o.queue
		o.queue = nil
		o.mu.Unlock()
		for _, m := range queue {
			o.box <- &Message{Topic: m.Topic, office: o, id: m.ID, value: m.Value}
			if taken += m.Cost(); taken >= transport.MailWindow/4 {
				_ = o.conn.Send(&transport.Credit{Bytes: taken})
				taken = 0
			}
		}
	}
}

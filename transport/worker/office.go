package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/go-muster/muster/transport"
)

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
			cost := m.Cost() // whoever takes it may be done with it before we go on
			o.box <- &Message{Topic: m.Topic, office: o, id: m.ID, mail: m}
			if taken += cost; taken >= transport.MailWindow/4 {
				_ = o.conn.Send(&transport.Credit{Bytes: taken})
				taken = 0
			}
		}
	}
}

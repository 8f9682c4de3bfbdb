package transport

import (
	"bytes"
	"context"
	"fmt"
	"sync"
)

// The limits of mail, in bytes: see docs/protocol.md.
const (
	// MaxMail is the largest value of one Mail.
	MaxMail = 1<<20 - 8<<10
	// MaxPart is the largest value of one Part.
	MaxPart = 256 << 10
	// MailWindow is the credit that both sides keep the other one in.
	MailWindow = 1 << 20

	maxTopic     = 256
	maxMailError = 4 << 10
	mailOverhead = 64 // what a Mail or a Part costs beside its bytes
)

// Mail carries what the user's code on one side tells the other's. ID is not 0 where an answer is awaited; an answer is a
// Mail whose Reply is that ID, and has an Error in place of a Value when there is none.
type Mail struct {
	ID    int    `msgpack:"id,omitempty"`
	Reply int    `msgpack:"reply,omitempty"`
	Topic string `msgpack:"topic,omitempty"`
	Value []byte `msgpack:"value,omitempty"`
	Error string `msgpack:"error,omitempty"`

	memory []byte        // see Release
	frame  *bytes.Buffer // the value, after room for all else that its frame has; see NewMail
}

// Credit allows the other side to send that many more bytes of Mail and Part: see [Mail.Cost]. A worker's
// first credit comes with Welcome; a supervisor has none until the worker gives some.
type Credit struct {
	Bytes int `msgpack:"bytes"`
}

// Part carries a piece of the value of the Result that follows, in order.
type Part struct {
	Value []byte `msgpack:"value,omitempty"`

	memory []byte // see Release
}

// A Costly message takes of its sender's credit.
type Costly interface {
	Message
	// Cost returns how much, in bytes.
	Cost() int
}

// Kind returns KindMail.
func (*Mail) Kind() Kind { return KindMail }

// Kind returns KindCredit.
func (*Credit) Kind() Kind { return KindCredit }

// Kind returns KindPart.
func (*Part) Kind() Kind { return KindPart }

// Limit cuts the topic and the error down to the limits of docs/protocol.md. A value is never cut.
func (m *Mail) Limit() {
	cutEnd(&m.Topic, maxTopic)
	cutMiddle(&m.Error, maxMailError)
}

// Refuse makes the message an answer that is an error. It has a text even where the error has none, or there is none at all:
// without one it would be a value.
func (m *Mail) Refuse(err error) {
	m.Value, m.Error = nil, "an error without a text"
	if err == nil {
		return
	}
	if text := err.Error(); text != "" {
		m.Error = text
	}
}

// Cost returns what the message takes of its sender's credit, in bytes. An answer costs nothing: whoever asked has room.
func (m *Mail) Cost() int {
	if m.Reply != 0 {
		return 0
	}
	return mailOverhead + len(m.Topic) + len(m.Value)
}

// Cost returns what the piece takes of its sender's credit, in bytes.
func (p *Part) Cost() int { return mailOverhead + len(p.Value) }

// check returns why a Mail that arrived must be dropped.
func (m *Mail) check() error {
	switch {
	case m.ID < 0 || m.Reply < 0:
		return fmt.Errorf("%w: a number out of range", ErrMalformed)
	case len(m.Value) > MaxMail:
		return fmt.Errorf("%w: a value of %d bytes", ErrMalformed, len(m.Value))
	}
	return nil
}

func (c *Credit) check() error {
	if c.Bytes < 0 || c.Bytes > MaxMessage {
		return fmt.Errorf("%w: a credit out of range", ErrMalformed)
	}
	return nil
}

func (p *Part) check() error {
	if len(p.Value) > MaxPart {
		return fmt.Errorf("%w: a piece of %d bytes", ErrMalformed, len(p.Value))
	}
	return nil
}

// A Balance is a sender's credit. A message may go while the balance is above zero, whatever it costs: so the largest
// needs no window of its own size, and what a receiver holds stays below the window and one message. Its zero value is a
// sender without credit. Its methods may be called from any goroutine.
type Balance struct {
	mu     sync.Mutex
	bytes  int
	closed error
	turn   chan struct{} // closed when there is credit again; nil when nobody waits
}

// Grant adds to the credit.
func (b *Balance) Grant(bytes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes = min(b.bytes+bytes, MaxMessage)
	b.wake()
}

// Close ends all waiting, now and later, with an error.
func (b *Balance) Close(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed == nil {
		b.closed = err
	}
	b.wake()
}

func (b *Balance) wake() {
	if b.turn != nil && (b.bytes > 0 || b.closed != nil) {
		close(b.turn)
		b.turn = nil
	}
}

// Spend takes the cost of one message off the credit and reports whether there was any.
func (b *Balance) Spend(cost int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.spend(cost)
}

func (b *Balance) spend(cost int) bool {
	if cost > 0 && b.bytes <= 0 {
		return false
	}
	b.bytes -= cost
	return true
}

// Await is Spend that waits for credit. It returns the context's cause when that ended first, and the error of Close.
func (b *Balance) Await(ctx context.Context, cost int) error {
	for {
		turn, err := b.queue(cost)
		if turn == nil {
			return err
		}
		select {
		case <-turn:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// queue spends, or returns what is closed when it is worth another try.
func (b *Balance) queue(cost int) (<-chan struct{}, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed != nil || b.spend(cost) {
		return nil, b.closed
	}
	if b.turn == nil {
		b.turn = make(chan struct{})
	}
	return b.turn, nil
}

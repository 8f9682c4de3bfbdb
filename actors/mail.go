package actors

import (
	"sync"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/transport"
)

// A Mailroom takes what the user code of a worker says, and gives it what others say. What it is told comes from the goroutine that
// reads from the process, past the actor, in the order in which the worker spoke, and all of a life's before that life's Exited. None
// of its methods may wait: the worker's next words wait behind them.
type Mailroom interface {
	// Opened is the first that it hears of a life: its worker speaks. Post hands the worker a Mail, within what Credited has
	// allowed, or a Credit for what Mailed has brought and nobody holds any more. It never waits.
	Opened(id process.ID, post func(transport.Message))
	// Mailed brings one message of the user code, which has cost the worker its Cost.
	Mailed(id process.ID, m *transport.Mail)
	// Credited says that the worker takes that many more bytes of Mail.
	Credited(id process.ID, bytes int)
}

// mailed takes a message of the user code past the actor. Nobody's is given back at once.
func (o *observer) mailed(m *transport.Mail) {
	switch {
	case o.rank.Mail != nil:
		o.rank.Mail.Mailed(o.rank.ID, m)
	case m.Cost() > 0:
		o.rank.outbox.post(&transport.Credit{Bytes: m.Cost()})
	}
}

func (o *observer) credited(bytes int) {
	if o.rank.Mail != nil {
		o.rank.Mail.Credited(o.rank.ID, bytes)
	}
}

// An outbox is the way of mail to the process, which may speak before the launcher has returned it: then what it is answered waits.
type outbox struct {
	mu      sync.Mutex
	process process.Process
	early   []transport.Message
}

func (b *outbox) post(m transport.Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.process == nil {
		b.early = append(b.early, m)
		return
	}
	b.process.Post(m)
}

func (b *outbox) open(p process.Process) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.process = p
	for _, m := range b.early {
		p.Post(m)
	}
	b.early = nil
}

// A parcel is a piece of a result on its way from the worker to the actor, with those that come before the actor has had time for it.
type parcel struct {
	mu    sync.Mutex
	parts []*transport.Part
	taken bool
}

// add puts more into a parcel, and reports whether the actor has not taken it yet.
func (b *parcel) add(p *transport.Part) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.taken {
		b.parts = append(b.parts, p)
	}
	return !b.taken
}

func (b *parcel) take() []*transport.Part {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.taken = true
	return b.parts
}

func (r *rank) parts(ctx actor.Context, b *parcel) {
	for _, p := range b.take() {
		r.part(ctx, p)
	}
}

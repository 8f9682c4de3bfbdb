package actors

import (
	"sync"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/go-muster/muster/transport"
)

// A parcel is data on its way from the worker to the actor: what comes before the actor has had time for it travels as one message.
type parcel struct {
	mu    sync.Mutex
	data  []transport.Message
	taken bool
}

// add puts more into a parcel, and reports whether the actor has not taken it yet.
func (b *parcel) add(m transport.Message) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.taken {
		b.data = append(b.data, m)
	}
	return !b.taken
}

func (b *parcel) take() []transport.Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.taken = true
	return b.data
}

// data passes on what the worker paid for.
func (r *rank) data(ctx actor.Context, b *parcel) {
	var mail []*transport.Mail
	for _, m := range b.take() {
		switch m := m.(type) {
		case *transport.Part:
			r.part(ctx, m)
		case *transport.Mail:
			if r.Mail == nil {
				r.post(&transport.Credit{Bytes: m.Cost()})
				continue
			}
			mail = append(mail, m)
		}
	}
	if len(mail) > 0 {
		ctx.Send(r.Mail, &Mailed{r.ID, mail})
	}
}

// granted passes credit on, unless word of earlier credit is still on its way: then this one goes with it.
func (r *rank) granted(ctx actor.Context, bytes int) {
	if r.Mail == nil || bytes == 0 {
		return
	}
	if credit := r.credit; credit.Add(int64(bytes)) == int64(bytes) {
		ctx.Send(r.Mail, &Credited{r.ID, func() int { return int(min(credit.Swap(0), transport.MaxMessage)) }})
	}
}

// answered passes on an answer that somebody waits for: any other costs the worker nothing and must not pile up.
func (r *rank) answered(ctx actor.Context, m *transport.Mail) {
	if r.asked[m.Reply] {
		delete(r.asked, m.Reply)
		ctx.Send(r.Mail, &Mailed{r.ID, []*transport.Mail{m}})
	}
}

// mail hands the worker a message.
func (r *rank) mail(m *transport.Mail) {
	if m.ID != 0 {
		if r.asked == nil {
			r.asked = make(map[int]bool)
		}
		r.asked[m.ID] = true
	}
	r.post(m)
}

func (r *rank) post(m transport.Message) {
	if r.process != nil {
		r.process.Post(m)
	}
}

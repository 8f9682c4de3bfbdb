package actors

import (
	"github.com/asynkron/protoactor-go/actor"

	"github.com/go-muster/muster/transport"
)

// data is a message that costs credit on its way from the worker to the actor.
type data struct{ transport.Message }

// data passes on what the worker paid for.
func (r *rank) data(ctx actor.Context, m transport.Message) {
	switch m := m.(type) {
	case *transport.Part:
		r.part(ctx, m)
	case *transport.Mail:
		if r.Mail == nil {
			r.post(&transport.Credit{Bytes: m.Cost()})
			return
		}
		ctx.Send(r.Mail, &Mailed{r.ID, m})
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
		ctx.Send(r.Mail, &Mailed{r.ID, m})
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

package actors

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/go-muster/muster/transport"
)

// An advance is what a worker says of how far it is. Of what comes too fast the newest is kept for a moment.
type advance struct {
	pace   pace
	begun  bool
	newest transport.Progress
	unsent bool
	timer  *time.Timer // runs, or has sent moment, while something is unsent
}

// moment tells the actor to look at what it kept.
type moment struct{}

// advanced takes the worker's word. A count that is smaller than one before came late or is wrong.
func (r *rank) advanced(ctx actor.Context, p *transport.Progress) {
	a := &r.advance
	if a.begun && (p.Count < a.newest.Count || *p == a.newest) {
		return
	}
	a.begun, a.newest = true, *p
	if a.unsent {
		return
	}
	a.unsent = true
	if a.pace.pass(time.Now()) {
		r.advise(ctx)
		return
	}
	root, self := ctx.ActorSystem().Root, ctx.Self()
	a.timer = time.AfterFunc(progressPace, func() { root.Send(self, &moment{}) })
}

// advise tells the parent what is unsent: after a moment, and before the worker's last word.
func (r *rank) advise(ctx actor.Context) {
	a := &r.advance
	if !a.unsent {
		return
	}
	a.stop()
	ctx.Send(ctx.Parent(), &Progress{r.ID, a.newest.Count, a.newest.Text})
}

// stop forgets what is unsent.
func (a *advance) stop() {
	a.unsent = false
	if a.timer != nil {
		a.timer.Stop()
	}
}

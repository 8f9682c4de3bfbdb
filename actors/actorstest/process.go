package actorstest

import (
	"context"
	"os"
	"sync"
	"time"

	"github.com/go-muster/muster/actors"
	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/transport"
)

// A Process is a process that the test plays. What it says reaches its observer before the call returns; so a call waits
// as long as the observer holds the process back. One call at a time, except for Order.
type Process struct {
	ID      process.ID
	Command process.Command

	launcher *Launcher
	team     *team // the group's part of the hosts; nil without any
	lost     bool  // with its host; guarded by the launcher's lock
	observer process.Observer
	pid      int

	mu      sync.Mutex
	changed chan struct{} // closed and replaced with each order
	orders  []any         // not yet taken
	stopped bool
	exited  bool
}

// PID returns a number that no real process has.
func (p *Process) PID() int { return p.pid }

// Say lets the worker send a message.
func (p *Process) Say(m transport.Message) {
	if p.launcher.lives(p, false) {
		p.observer.Message(m)
	}
}

// Hello lets the worker say that it has come up, with the SDK of that name.
func (p *Process) Hello(sdk string) {
	p.Say(&transport.Hello{Min: transport.Version, Max: transport.Version, PID: p.pid, SDK: sdk})
}

// Ready lets the worker report that it is about to run user code.
func (p *Process) Ready() { p.Say(&transport.Ready{}) }

// Beat lets the worker send a heartbeat. More than a few in the time of Config.Heartbeat are not passed on.
func (p *Process) Beat(seq int) { p.Say(&transport.Heartbeat{Seq: seq}) }

// Progress lets the worker say how far it is.
func (p *Process) Progress(count uint64, text string) {
	p.Say(&transport.Progress{Count: count, Text: text})
}

// Dump lets the worker answer an [actors.Dump].
func (p *Process) Dump(text string) { p.Say(&transport.Dump{Text: text}) }

// Probe lets the command's probe find that the process is ready, when err is nil, or why it is not.
func (p *Process) Probe(err error) {
	if p.launcher.lives(p, false) {
		p.observer.Probed(err)
	}
}

// Raise lets the worker report an exception. The process lives on until Exit.
func (p *Process) Raise(x *transport.Exception) {
	x.Rank, x.Generation, x.PID = p.ID.Rank, p.ID.Generation, p.pid
	p.Say(x)
}

// Return lets the worker report the result of its work. The process lives on until Exit.
func (p *Process) Return(value []byte) { p.Say(&transport.Result{Value: value}) }

// Print lets the process write whole lines to a stream.
func (p *Process) Print(s process.Stream, lines string) {
	if p.launcher.lives(p, false) {
		p.observer.Output(s, []byte(lines))
	}
}

// Break lets the worker break the protocol.
func (p *Process) Break(err error) {
	if p.launcher.lives(p, false) {
		p.observer.Broken(err)
	}
}

// Exit ends the process. As with a real one, Stopped is set when it was told to stop or killed before.
func (p *Process) Exit(e process.Exit) {
	if p.launcher.lives(p, true) {
		p.end(e)
	}
}

func (p *Process) end(e process.Exit) {
	p.mu.Lock()
	p.exited = true
	e.Stopped = e.Stopped || p.stopped
	p.mu.Unlock()
	p.observer.Exited(e)
}

// Order takes the next order that the process was given, an [actors.Stop], [actors.Kill], [actors.Dump] or [actors.Signal],
// or a message for its worker, a *transport.Mail or *transport.Credit, and waits for one if there is none. It returns nil when ctx is done first.
func (p *Process) Order(ctx context.Context) any {
	for {
		p.mu.Lock()
		changed := p.changed
		if len(p.orders) > 0 {
			order := p.orders[0]
			p.orders = p.orders[1:]
			p.mu.Unlock()
			return order
		}
		p.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// order takes an order down. A process that is gone hears none.
func (p *Process) order(order any, stops bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.exited {
		return false
	}
	p.stopped = p.stopped || stops
	p.orders = append(p.orders, order)
	close(p.changed)
	p.changed = make(chan struct{})
	return true
}

// A handle is the side of a process that its owner has.
type handle struct{ p *Process }

func (h handle) PID() int { return h.p.pid }

func (h handle) Stop(reason string, grace time.Duration) {
	h.p.order(actors.Stop{Reason: reason, Grace: grace}, true)
}

func (h handle) Dump() { h.p.order(actors.Dump{}, false) }

func (h handle) Post(m transport.Message) { h.p.order(m, false) }

func (h handle) Kill() { h.p.order(actors.Kill{}, true) }

func (h handle) Signal(sig process.Signal) error {
	if !h.p.order(actors.Signal{Signal: sig}, false) {
		return os.ErrProcessDone
	}
	return nil
}

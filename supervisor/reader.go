package supervisor

import (
	"runtime/debug"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/transport"
)

// A reader calls the user's function for one message after the other. It has a goroutine of its own while there are any, and
// is no actor: the engine would let the group wait for a function that never returns even when it is killed. The function
// may take its time: the ranks whose messages wait run out of credit.
type reader struct {
	backlog[incoming]
	take  func(*Message)
	taken func(id process.ID, cost int) // tells the desk
	tell  func(message any)             // tells the porter
}

func newReader(take func(*Message), taken func(process.ID, int), tell func(any)) *reader {
	r := &reader{take: take, taken: taken, tell: tell}
	r.work = r.readAll
	return r
}

// An incoming message, or none after the last one.
type incoming struct {
	message *Message
	cost    int
}

// soon is how much of a life's credit is given back at once, in bytes.
const soon = transport.MailWindow / 16

// readAll hands messages over, and tells what was taken of each life.
func (r *reader) readAll(batch []incoming) {
	var from process.ID
	cost := 0
	tell := func() {
		if cost > 0 {
			r.taken(from, cost)
		}
		cost = 0
	}
	for _, i := range batch {
		if i.message == nil || i.message.From != from || cost >= soon {
			tell()
		}
		if !r.read(i) {
			return
		}
		if i.message != nil {
			from, cost = i.message.From, cost+i.cost
		}
	}
	tell()
}

// read hands one message over, and reports whether the function takes more. A panic is the group's end: see guardian.
func (r *reader) read(i incoming) (more bool) {
	if i.message == nil {
		r.tell(&mailRead{})
		return true
	}
	defer func() {
		p := recover()
		switch {
		case more:
			more = !r.isStopped()
			return
		case p == nil:
			p = "it called runtime.Goexit"
		}
		r.stop()
		r.tell(&crash{"mail, in the function of WithMessages", p, debug.Stack()})
	}()
	r.take(i.message)
	return true
}

package supervisor

import (
	"runtime/debug"
	"sync"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/transport"
)

// A reader calls the user's function for one message after the other. It has a goroutine of its own while there are any, and
// is no actor: the engine would let the group wait for a function that never returns even when it is killed. The function
// may take its time: the ranks whose messages wait run out of credit.
type reader struct {
	take  func(*Message)
	taken func(id process.ID, cost int) // tells the desk
	tell  func(message any)             // tells the porter

	mu      sync.Mutex
	queue   []incoming
	busy    bool // a goroutine is at it
	stopped bool
}

// An incoming message, or none after the last one.
type incoming struct {
	message *Message
	cost    int
}

// put never waits.
func (r *reader) put(i incoming) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queue = append(r.queue, i)
	if !r.busy {
		r.busy = true
		go r.run() // ends when all is read, or with the call in which stop finds it
	}
}

// stop drops what was not read yet.
func (r *reader) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queue, r.stopped = nil, true
}

func (r *reader) run() {
	for batch := r.next(); len(batch) > 0; batch = r.next() {
		r.readAll(batch)
	}
}

// next returns what has come so far, nothing when there is nothing.
func (r *reader) next() []incoming {
	r.mu.Lock()
	defer r.mu.Unlock()
	batch := r.queue
	r.queue, r.busy = nil, len(batch) > 0 && !r.stopped
	if !r.busy {
		return nil
	}
	return batch
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

func (r *reader) isStopped() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stopped
}

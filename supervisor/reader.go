package supervisor

import (
	"runtime/debug"
	"sync"
)

// A reader calls the user's function for one message after the other. It has a goroutine of its own while there are any, and
// is no actor: the engine would let the group wait for a function that never returns even when it is killed. The function
// may take its time: the ranks whose messages wait run out of credit.
type reader struct {
	take func(*Message)
	tell func(message any) // the mailroom

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
	for i, ok := r.next(); ok; i, ok = r.next() {
		r.read(i)
	}
}

func (r *reader) next() (i incoming, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) == 0 || r.stopped {
		r.busy = false
		return i, false
	}
	i, r.queue = r.queue[0], r.queue[1:]
	return i, true
}

// read hands one message over. A panic is the group's end: see guardian.
func (r *reader) read(i incoming) {
	if i.message == nil {
		r.tell(&mailRead{})
		return
	}
	returned := false
	defer func() {
		if returned {
			return
		}
		p := recover()
		if p == nil {
			p = "it called runtime.Goexit"
		}
		r.stop()
		r.tell(&crash{"mail, in the function of WithMessages", p, debug.Stack()})
	}()
	r.take(i.message)
	returned = true
	r.tell(&taken{i.message.From, i.cost})
}

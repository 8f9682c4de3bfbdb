package host

import (
	"os"
	"sync"
	"time"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/transport"
)

// What a rank says travels in three classes, each with a window of its own: its messages and its two streams. So an output
// that nobody takes holds back that stream of that rank and nothing else, at its host, where its pipe is.
const (
	messages = 0 // the streams are 1 and 2: process.Stdout and process.Stderr
	classes  = 3

	window = 128 << 10 // bytes of a class that may be on their way or wait here; the last message may go over it
)

// A life is a process on another host, as its owner here sees it. It implements process.Process.
type life struct {
	number   uint64
	id       process.ID
	link     *link
	team     *team
	command  process.Command // but for its argument
	argument []byte          // until it is sent
	observer process.Observer
	grace    time.Duration // that its group gives it

	begun chan struct{} // closed when it is known whether there is a process
	pid   int
	err   error // why there is none
	once  sync.Once

	mu     sync.Mutex
	queues [classes]queue
	exit   *process.Exit // it waits for the queues
	over   bool          // the observer has heard of it
}

// A queue holds what the observer has not taken yet, in order, and has a goroutine only while there is something.
type queue struct {
	items []item
	busy  bool
	owed  int // credit that is to be given back
}

type item struct {
	cost int
	tell func(process.Observer)
}

// begin says whether there is a process, the first time that it is called.
func (l *life) begin(pid int, err error) {
	l.once.Do(func() {
		l.pid, l.err = pid, err
		close(l.begun)
	})
}

// hear passes on what the process did, without waiting for the observer.
func (l *life) hear(class, cost int, tell func(process.Observer)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.exit != nil {
		return // nothing comes after the exit
	}
	q := &l.queues[class]
	q.items = append(q.items, item{cost, tell})
	if !q.busy {
		q.busy = true
		go l.deliver(class) // ends when the queue is empty
	}
}

// beat passes a sign of life on, unless there is something to tell anyway: they must not pile up before an observer that waits.
func (l *life) beat() {
	l.mu.Lock()
	busy := l.queues[messages].busy
	l.mu.Unlock()
	if !busy {
		l.hear(messages, 0, func(o process.Observer) { o.Message(&transport.Heartbeat{}) })
	}
}

// deliver tells the observer, one thing after the other, and gives credit back for what it has taken.
func (l *life) deliver(class int) {
	for {
		it, more := l.next(class)
		if !more {
			return
		}
		it.tell(l.observer)
		if back := l.taken(class, it.cost); back > 0 {
			l.link.order(control, codeTaken, &taken{l.number, class, back})
		}
	}
}

// next takes what is next; where nothing is left it sees to the exit.
func (l *life) next(class int) (item, bool) {
	l.mu.Lock()
	q := &l.queues[class]
	if len(q.items) > 0 {
		it := q.items[0]
		q.items = q.items[1:]
		l.mu.Unlock()
		return it, true
	}
	q.items, q.busy = nil, false
	exit := l.last()
	l.mu.Unlock()
	if exit != nil {
		l.observer.Exited(*exit)
	}
	return item{}, false
}

// taken notes what is to be given back, and returns it once it is worth a message.
func (l *life) taken(class, cost int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	q := &l.queues[class]
	if q.owed += cost; q.owed < window/4 {
		return 0
	}
	back := q.owed
	q.owed = 0
	return back
}

// end tells the exit after everything else. Only the first one counts.
func (l *life) end(e process.Exit) {
	l.mu.Lock()
	if l.exit != nil {
		l.mu.Unlock()
		return
	}
	l.exit = &e
	exit := l.last()
	l.mu.Unlock()
	if exit != nil {
		go l.observer.Exited(*exit) // of ours nobody may be held up
	}
}

// last returns the exit when it is its turn, once. Called with mu held.
func (l *life) last() *process.Exit {
	for i := range l.queues {
		if l.queues[i].busy {
			return nil
		}
	}
	if l.exit == nil || l.over {
		return nil
	}
	l.over = true
	return l.exit
}

// ended reports whether its exit is known.
func (l *life) ended() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.exit != nil
}

// PID returns the process id, on its host.
func (l *life) PID() int { return l.pid }

// Stop asks the process to end.
func (l *life) Stop(reason string, grace time.Duration) {
	l.link.order(control, codeStop, &stop{l.number, reason, grace})
}

// Kill ends the process.
func (l *life) Kill() { l.link.order(control, codeKill, &kill{l.number}) }

// Dump asks the worker for its stacks.
func (l *life) Dump() { l.link.order(control, codeDump, &dump{l.number}) }

// Post hands the worker a message. The link encodes it: who posts may hand the same megabyte to all ranks, and others wait for that.
func (l *life) Post(m transport.Message) { l.link.tell(&posting{l.number, m}) }

// Signal sends a signal. It returns os.ErrProcessDone for a process whose end is known, and nil otherwise: the host alone
// knows the rest.
func (l *life) Signal(sig process.Signal) error {
	if l.ended() {
		return os.ErrProcessDone
	}
	l.link.order(control, codeSignal, &signal{l.number, sig})
	return nil
}

// heard passes on a message of the worker's.
func (l *life) heard(m *said) {
	message, err := transport.DecodeMessage(m.Kind, m.Body)
	if err != nil { // its host has read it already: it is of another version
		l.hear(messages, cost(len(m.Body)), func(process.Observer) {})
		return
	}
	l.hear(messages, cost(len(m.Body)), func(o process.Observer) { o.Message(message) })
}

// cost is what a message takes of the window.
func cost(bytes int) int { return bytes + 64 }

var _ process.Process = (*life)(nil)

package worker

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-muster/muster/transport"
)

// progressTime is the shortest time between two messages about progress.
const progressTime = 100 * time.Millisecond

// Progress tells the supervisor how far this rank is: a count of the work's own choosing (steps, rows, bytes) that only
// grows, and a text of at most 256 bytes, which may be empty. A smaller count than before changes nothing.
//
//	for step := range steps {
//		…
//		worker.Progress(uint64(step), "training")
//	}
//
// It may be called from any goroutine, in the tightest of loops: it never waits for the supervisor, which hears of the
// newest count ten times in a second at most, and always of the last one before the function returns or panics. What a
// process says in the tenth of a second before it exits otherwise may be lost. In a process that no supervisor started,
// Progress does nothing.
func Progress(count uint64, text string) {
	if t := theProgress.Load(); t != nil {
		t.note(transport.Progress{Count: count, Text: text})
	}
}

// theProgress is this rank's, nil in a process that is none.
var theProgress atomic.Pointer[progress]

// A progress knows the newest that is to be told.
type progress struct {
	conn *transport.Conn

	mu      sync.Mutex
	begun   bool
	unsent  bool // newest was not told yet
	waiting bool // a timer, or the goroutine it started, will look at newest again
	newest  transport.Progress
	last    time.Time // when something was told

	sending sync.Mutex // held from taking newest until it is sent: what finish finds unsent is all that is missing
}

// note keeps what is new and has it told soon.
func (t *progress) note(p transport.Progress) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.begun && (p.Count < t.newest.Count || p == t.newest) {
		return
	}
	t.begun, t.unsent, t.newest = true, true, p
	if !t.waiting {
		t.waiting = true
		time.AfterFunc(progressTime-time.Since(t.last), t.tell)
	}
}

// tell sends the newest. What comes in the meantime is told by another timer: one goroutine at most waits for a supervisor
// that does not read.
func (t *progress) tell() {
	t.flush()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last, t.waiting = time.Now(), t.unsent
	if t.waiting {
		time.AfterFunc(progressTime, t.tell)
	}
}

// flush sends what is unsent. An error of the link leaves nothing to do.
func (t *progress) flush() {
	t.sending.Lock()
	defer t.sending.Unlock()
	t.mu.Lock()
	p, unsent := t.newest, t.unsent
	t.unsent = false
	t.mu.Unlock()
	if unsent {
		p.Limit()
		_ = t.conn.Send(&p)
	}
}

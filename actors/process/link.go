package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/go-muster/muster/transport"
)

// listen reads the worker's messages until the end of the socket, or until the deadline that is set once the process is
// gone. A message that cannot be decoded is dropped, the link stays.
func (p *localProcess) listen() {
	for {
		m, err := p.conn.Recv()
		var dropped *transport.MessageError
		switch {
		case err == nil:
			p.heard(m)
		case errors.As(err, &dropped):
			p.said.unread.add(dropped)
			switch {
			case dropped.Kind == transport.KindPart:
				p.broke(dropped) // a result with a hole in it is none
			case p.said.unread.count > maxDropped:
				p.broke(fmt.Errorf("more than %d messages that make no sense, the last: %w", maxDropped, dropped))
			}
		default:
			p.up() // or never will be
			p.ended(err)
			return
		}
	}
}

// maxDropped bounds the messages of one worker that make no sense: one that sends more is no worker of ours, and costs us time.
const maxDropped = 1000

// unread is what a worker said and we could not read.
type unread struct {
	count int
	first *transport.MessageError
}

func (u *unread) add(m *transport.MessageError) {
	if u.count++; u.first == nil {
		u.first = m
	}
}

// String is for Exit.Report: "" when all could be read.
func (u *unread) String() string {
	switch u.count {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("unreadable message (%v)", u.first)
	}
	return fmt.Sprintf("unreadable message, the first of %d (%v)", u.count, u.first)
}

// heard keeps track of the conversation, answers Hello and hands the message on.
func (p *localProcess) heard(m transport.Message) {
	switch m := m.(type) {
	case *transport.Hello:
		if !p.said.hello {
			p.said.hello = true
			p.up()
			p.welcome(m)
		}
	case *transport.Exception:
		if p.lastWord(&p.said.raised) {
			return
		}
		m.Rank, m.Generation, m.PID = p.id.Rank, p.id.Generation, p.group.pid
	case *transport.Result:
		if p.lastWord(&p.said.result) {
			return
		}
	case transport.Costly:
		if !p.credit.Spend(m.Cost()) {
			p.broke(fmt.Errorf("a %v without credit", m.Kind()))
			return
		}
	}
	p.observer.Message(m)
}

// lastWord notes that the worker says how its work ended, or reports that it has said so before.
func (p *localProcess) lastWord(said *bool) (again bool) {
	if p.said.raised || p.said.result {
		return true
	}
	*said = true
	p.group.measure() // it is about to end
	return false
}

func (p *localProcess) welcome(m *transport.Hello) {
	answer := &transport.Welcome{
		Version: transport.Version, Heartbeat: p.command.Heartbeat, Dumps: p.command.Dumps || p.command.Heartbeat > 0,
		Credit: transport.MailWindow,
	}
	p.credit.Grant(answer.Credit) // before the worker can know
	if m.Min > transport.Version || m.Max < transport.Version {
		answer.Version = 0
		p.broke(fmt.Errorf("%w: the worker speaks %d to %d, we speak %d", transport.ErrVersion, m.Min, m.Max,
			transport.Version))
	}
	p.say(answer)
}

// say sends a message from a goroutine of its own. A worker may send a megabyte before it reads a byte: if the reader
// waited here, behind an Argument that nobody takes, both sides would wait for each other. An order would wait, too.
func (p *localProcess) say(m transport.Message) {
	go func() { _ = p.conn.Send(m) }() // ends when it is read, or when finish closes the socket
}

// patience is how long an argument waits for others to be up, some of which may hang: a few dozen are up by then.
const patience = 250 * time.Millisecond

// argue sends the function its argument, once nobody is being started: a rank that is up has nothing to do without its own, but to copy
// the first ones would take the processor from those that are not (S14).
func (p *localProcess) argue() {
	if len(p.command.Argument) > largeArgument {
		launches.settle(patience)
	}
	_ = p.conn.Send(&transport.Argument{Value: p.command.Argument})
}

const largeArgument = 64 << 10 // bytes; what is smaller is sent in the time that it takes to ask

// maxUnread bounds the answers that a worker has asked for and does not read, in bytes.
const maxUnread = 4 * transport.MaxMessage

// Post sends a Mail or a Credit after those before it.
func (p *localProcess) Post(m transport.Message) {
	if p.conn == nil {
		return
	}
	p.post.mu.Lock()
	defer p.post.mu.Unlock()
	if p.post.add(m); p.post.bytes > maxUnread {
		p.post.queue, p.post.over = nil, true
		p.conn.Close() // the reader sees it, and tells
		return
	}
	if !p.post.busy {
		p.post.busy = true
		go p.deliver() // ends when all is sent, or when finish closes the socket
	}
}

// A post is what waits to be sent in order. Its messages are bounded by the credit of whoever posts them, its answers by
// maxUnread. Credit after credit is one message: a worker that does not read cannot make it pile up, nor does it get any.
type post struct {
	mu    sync.Mutex
	queue []transport.Message
	bytes int  // of the answers in the queue
	busy  bool // a goroutine is sending
	over  bool // there were too many bytes
}

func (q *post) add(m transport.Message) {
	if q.over {
		return
	}
	if more, ok := m.(*transport.Credit); ok && len(q.queue) > 0 {
		last := len(q.queue) - 1
		if c, ok := q.queue[last].(*transport.Credit); ok && c.Bytes+more.Bytes <= transport.MaxMessage {
			q.queue[last] = &transport.Credit{Bytes: c.Bytes + more.Bytes}
			return
		}
	}
	q.queue = append(q.queue, m)
	q.bytes += unpaid(m)
}

// unpaid returns what an answer takes of our memory, 0 for what the worker gave credit for.
func unpaid(m transport.Message) int {
	if mail, ok := m.(*transport.Mail); ok && mail.Cost() == 0 {
		return len(mail.Value)
	}
	return 0
}

// mostAtOnce bounds what goes out in one write, in bytes, unless it is one message.
const mostAtOnce = 64 << 10

// take returns what is next, as much as is worth one write; nothing when there is nothing.
func (q *post) take() (next []transport.Message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for size := 0; len(q.queue) > 0; {
		m := q.queue[0]
		if size += weight(m); size > mostAtOnce && len(next) > 0 {
			return next
		}
		next, q.queue = append(next, m), q.queue[1:]
		q.bytes -= unpaid(m)
	}
	if len(next) == 0 {
		q.queue, q.busy = nil, false
	}
	return next
}

// weight is about what a message takes on the wire, in bytes.
func weight(m transport.Message) int {
	if mail, ok := m.(*transport.Mail); ok {
		return 64 + len(mail.Value)
	}
	return 64
}

func (q *post) flooded() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.over
}

func (p *localProcess) deliver() {
	for next := p.post.take(); len(next) > 0; next = p.post.take() {
		for _, m := range next {
			if c, ok := m.(*transport.Credit); ok {
				p.credit.Grant(c.Bytes) // before the worker can know
			}
		}
		_ = p.conn.SendAll(next...) // a worker that is gone needs none
		for _, m := range next {
			transport.Release(m)
		}
	}
}

// Dump sends the Dump message. A worker that does not read holds up one of these goroutines, not one for each call.
func (p *localProcess) Dump() {
	if p.conn == nil || !p.dumping.CompareAndSwap(false, true) {
		return
	}
	go func() { // as in say
		_ = p.conn.Send(&transport.Dump{})
		p.dumping.Store(false)
	}()
}

// ended tells a worker that is gone from one that was cut off while reporting and from one that talks nonsense.
func (p *localProcess) ended(err error) {
	var cut *transport.TruncatedError
	switch {
	case p.post.flooded():
		p.broke(fmt.Errorf("it does not read the answers that it asks for: more than %d bytes", maxUnread))
	case errors.Is(err, io.EOF), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, os.ErrClosed):
	case errors.As(err, &cut):
		if x := cut.Exception(); x != nil {
			p.heard(x)
			return
		}
		p.broke(err)
	default:
		p.broke(err)
	}
}

func (p *localProcess) broke(err error) { p.breach(fmt.Errorf("%w: %w", ErrLink, err)) }

// breach tells of the first breach: a worker of another version may well go on to break more.
func (p *localProcess) breach(err error) {
	p.broken.Do(func() {
		p.said.broken = err
		p.observer.Broken(err)
	})
}

package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

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
		default:
			p.ended(err)
			return
		}
	}
}

// heard keeps track of the conversation, answers Hello and hands the message on.
func (p *localProcess) heard(m transport.Message) {
	switch m := m.(type) {
	case *transport.Hello:
		if !p.said.hello {
			p.said.hello = true
			p.welcome(m)
		}
	case *transport.Exception:
		p.said.raised = true
		p.group.measure() // it is about to end
		m.Rank, m.Generation, m.PID = p.id.Rank, p.id.Generation, p.group.pid
	case *transport.Result:
		p.said.result = true
		p.group.measure()
	case transport.Costly:
		if !p.credit.Spend(m.Cost()) {
			p.broke(fmt.Errorf("a %v without credit", m.Kind()))
			return
		}
	}
	p.observer.Message(m)
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

// Post sends a Mail or a Credit after those before it.
func (p *localProcess) Post(m transport.Message) {
	if p.conn == nil {
		return
	}
	if c, ok := m.(*transport.Credit); ok {
		p.credit.Grant(c.Bytes)
	}
	p.post.mu.Lock()
	defer p.post.mu.Unlock()
	p.post.queue = append(p.post.queue, m)
	if !p.post.busy {
		p.post.busy = true
		go p.deliver() // ends when all is sent, or when finish closes the socket
	}
}

// A post is what waits to be sent in order, and is bounded by the credit of whoever posts it.
type post struct {
	mu    sync.Mutex
	queue []transport.Message
	busy  bool // a goroutine is sending
}

func (p *localProcess) deliver() {
	for {
		p.post.mu.Lock()
		queue := p.post.queue
		p.post.queue, p.post.busy = nil, len(queue) > 0
		p.post.mu.Unlock()
		if len(queue) == 0 {
			return
		}
		for _, m := range queue {
			_ = p.conn.Send(m) // a worker that is gone needs none
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

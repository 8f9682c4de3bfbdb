package host

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/transport"
)

// A link is the root's side of one host: an actor for each time that an agent has joined. It alone touches its fields.
type link struct {
	pool    *Pool
	self    *actor.PID
	agent   *actor.PID
	entered bool   // it has been heard of since it was let in
	leaves  bool   // it has said so; guarded by the pool's mu, and set by the link alone
	unfit   bool   // it cannot run what runs, or that is not known yet; guarded by the pool's mu
	peer    string // whose certificate it has; "" without
	joined  join
	session *session
	until   time.Time // when the host is lost, unless it is heard of
	timer   *time.Timer
	lives   map[uint64]*life
	asks    map[uint64]chan<- error
	count   uint64        // of asks
	done    chan struct{} // closed when the host is lost, or has left
}

// Messages to a link, besides frames.
type (
	frame struct {
		header header
		body   []byte
	}
	order struct {
		lane    int
		code    code
		message any
	}
	posting struct {
		life    uint64
		message transport.Message
	}
	birth    struct{ life *life }
	question struct {
		check  check
		answer chan<- error
	}
	due   struct{}             // its lease may be over
	loss  struct{ why string } // it has joined anew
	adieu struct{ why string } // the pool is closed
)

// Receive handles one message.
func (l *link) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		l.arm()
	case *frame:
		l.take(ctx, m)
	case *order:
		l.session.send(m.lane, encode(m.code, m.message))
	case *posting:
		l.post(m)
	case *birth:
		l.bear(m.life)
	case *question:
		l.ask(m)
	case *due:
		l.expire(ctx, time.Now())
	case *loss:
		l.lose(ctx, m.why)
	case *adieu:
		l.session.send(control, encode(codeClosing, &closing{m.why}))
	case *actor.Stopping:
		l.lose(ctx, "the pool was closed")
	}
	l.flush()
}

// order sends something to the agent. It may be called from any goroutine.
func (l *link) order(to int, c code, m any) { l.tell(&order{to, c, m}) }

// tell sends the link a message, unless it is gone: a dead letter costs the engine more.
func (l *link) tell(m any) {
	select {
	case <-l.done:
	default:
		l.pool.system.Root.Send(l.self, m)
	}
}

// post sends a worker its message, and lends what that lay in to the next ones.
func (l *link) post(p *posting) {
	if body, err := transport.EncodeMessage(p.message); err == nil {
		l.session.send(bulk, encode(codePost, &post{p.life, p.message.Kind(), body}))
	}
	transport.Release(p.message)
}

func (l *link) flush() {
	for _, f := range l.session.frames() {
		l.pool.send(l.agent, f)
	}
}

// take handles one frame. An agent that does not keep to the protocol is one that cannot be trusted to have ended anything:
// it is cut off, and lost when its lease is over.
func (l *link) take(ctx actor.Context, f *frame) {
	payload, whole, err := l.session.receive(f.header, f.body)
	if err == nil && f.header.seq == 0 && len(f.body) > 0 {
		payload, whole = f.body, true
	}
	if !whole || err != nil {
		l.pool.log("a frame was dropped", "host", l.joined.Name, "error", err)
		return
	}
	m, err := decode(payload)
	if err != nil { // perhaps of a newer version
		l.pool.log("a message was dropped", "host", l.joined.Name, "error", err)
		return
	}
	l.handle(ctx, m)
}

func (l *link) handle(ctx actor.Context, m any) {
	switch m := m.(type) {
	case *tick:
		l.renew(ctx, m)
	case *launched:
		if life := l.lives[m.Life]; life != nil {
			life.begin(m.PID, m.Err.error())
			if m.Err != nil {
				delete(l.lives, m.Life)
			}
		}
	case *exited:
		if life := l.lives[m.Life]; life != nil {
			delete(l.lives, m.Life)
			life.begin(0, nil) // it was told before
			life.end(m.Exit.exit())
		}
	case *checked:
		if answer := l.asks[m.Ask]; answer != nil {
			delete(l.asks, m.Ask)
			answer <- m.Err.error()
		}
	case *port:
		l.pool.offer(l, m.Number)
	case *notice:
		l.pool.notice("host " + l.joined.Name + ": " + m.Text)
	case *beats:
		for _, number := range m.Lives {
			if life := l.lives[number]; life != nil {
				life.beat()
			}
		}
	case *departing:
		l.pool.departs(l, m.Why)
	case *leaving:
		l.session.aside(nil) // it waits for that
		l.lose(ctx, m.Why)
	default:
		l.pass(m)
	}
}

// pass hands on what a rank says.
func (l *link) pass(m any) {
	switch m := m.(type) {
	case *said:
		if life := l.lives[m.Life]; life != nil {
			life.heard(m)
		}
	case *output:
		if life := l.lives[m.Life]; life != nil && (m.Stream == process.Stdout || m.Stream == process.Stderr) {
			life.hear(int(m.Stream), len(m.Lines), func(o process.Observer) { o.Output(m.Stream, m.Lines) })
		}
	case *probed:
		if life := l.lives[m.Life]; life != nil {
			life.hear(messages, 0, func(o process.Observer) { o.Probed(m.Err.error()) })
		}
	case *broken:
		if life := l.lives[m.Life]; life != nil {
			life.hear(messages, 0, func(o process.Observer) { o.Broken(m.Err.error()) })
		}
	}
}

// renew answers a tick: the agent may go on for a lease from when it asked, and is lost a lease and a fence from now.
func (l *link) renew(ctx actor.Context, m *tick) {
	if !l.entered && !l.pool.enter(l) {
		l.session.aside(encode(codeGone, &gone{}))
		l.flush()
		l.lose(ctx, "it is not wanted")
		return
	}
	l.entered = true
	l.until = time.Now().Add(l.pool.lease + fence(l.pool.lease))
	l.session.tick()
	l.session.aside(encode(codeTock, &tock{m.N}))
	l.beatAll()
}

// beatAll stands for the signs of life of ranks whose agent leaves: of those that have ended it says nothing before all have.
func (l *link) beatAll() {
	if !l.leaves {
		return
	}
	for _, n := range l.lives {
		if n.command.Heartbeat > 0 {
			n.beat()
		}
	}
}

// arm sets the timer for the end of the lease.
func (l *link) arm() {
	system, self := l.pool.system, l.self
	l.timer = time.AfterFunc(time.Until(l.until), func() { system.Root.Send(self, &due{}) })
}

// expire finds out whether the lease is over: every tick has made it longer.
func (l *link) expire(ctx actor.Context, now time.Time) {
	if now.Before(l.until) {
		l.timer.Reset(l.until.Sub(now))
		return
	}
	l.lose(ctx, fmt.Sprintf("not heard of for %v", (l.pool.lease+fence(l.pool.lease)).Round(time.Millisecond)))
}

// bear orders a process. The link may be gone by now.
func (l *link) bear(n *life) {
	l.lives[n.number] = n
	c := n.command
	l.session.send(control, encode(codeLaunch, &launch{
		Life: n.number, Rank: n.id.Rank, Generation: n.id.Generation, Command: encodeCommand(c), Argument: n.argument != nil, Grace: n.grace,
	}))
	if n.argument != nil {
		l.session.send(bulk, encode(codeArgument, &argument{n.number, n.argument}))
		n.argument = nil
	}
}

func (l *link) ask(q *question) {
	l.count++
	q.check.Ask = l.count
	l.asks[l.count] = q.answer
	l.session.send(control, encode(codeCheck, &q.check))
}

// lose ends everything that the host had: nothing of it is alive (G-1). The room is told of before the ranks.
func (l *link) lose(ctx actor.Context, why string) {
	select {
	case <-l.done:
		return
	default:
	}
	l.timer.Stop()
	l.pool.lost(l, why)
	for _, answer := range l.asks {
		answer <- nil // a host that is gone needs no preflight
	}
	l.endAll(why)
	close(l.done)
	ctx.Stop(ctx.Self())
}

// endAll tells each team of one loss.
func (l *link) endAll(why string) {
	byTeam := map[*team][]*life{}
	for _, n := range l.lives {
		byTeam[n.team] = append(byTeam[n.team], n)
	}
	clear(l.lives)
	for _, lives := range byTeam {
		slices.SortFunc(lives, func(a, b *life) int { return a.id.Rank - b.id.Rank })
		lost := &process.HostLostError{Host: l.joined.Name, Why: why}
		for _, n := range lives {
			lost.Lives = append(lost.Lives, n.id)
		}
		for _, n := range lives {
			if n.begin(0, lost); n.err == nil {
				n.end(process.Exit{Code: -1, Err: lost, Ended: time.Now()})
			}
		}
	}
}

// bytesValue is how the engine carries our frames: the one message that needs no types of ours.
func bytesValue(b []byte) *wrapperspb.BytesValue { return &wrapperspb.BytesValue{Value: b} }

var errClosed = errors.New("host: the pool is closed")

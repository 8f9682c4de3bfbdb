package engine

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const (
	// MaxMessage is how large a message may be, in bytes.
	MaxMessage = 2 << 20
	// batch is how many bytes are sent as one of gRPC's messages, unless a single one of ours is larger.
	batch = 256 << 10
	// maxWaiting is how many bytes may wait for one peer. What comes then is dropped.
	maxWaiting = 64 << 20
	// overhead is what a message costs besides its body, or more: header, sender, lengths.
	overhead = 1 << 10
	// reachTimeout is how long a peer that cannot be reached is tried. Then what waits for it is dropped.
	reachTimeout = 30 * time.Second
)

// peers are those that something was sent to, each with a connection of its own.
type peers struct {
	logger  *slog.Logger
	options []grpc.DialOption
	hello   *remote.RemoteMessage
	ctx     context.Context
	cancel  context.CancelFunc
	reach   time.Duration // how long a peer that cannot be reached is tried
	lost    atomic.Pointer[func(string)]
	dropped atomic.Uint64 // messages
	refused atomic.Uint64 // of them, those that there was no room for, or that could not be sent

	running sync.WaitGroup
	mu      sync.Mutex
	stopped bool
	by      map[string]*peer // by address
}

func newPeers(c Config, creds credentials.TransportCredentials, hello *remote.RemoteMessage) *peers {
	p := &peers{logger: c.Logger, options: dialOptions(creds, c.TLS == nil), hello: hello, reach: reachTimeout, by: map[string]*peer{}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

// put has a message sent to its target.
func (p *peers) put(m *message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := p.by[m.target.Address]
	if q == nil && !p.stopped {
		q = &peer{peers: p, address: m.target.Address, more: make(chan struct{}, 1)}
		p.by[q.address] = q
		p.running.Go(q.run)
	}
	switch {
	case p.stopped:
		p.drop("the engine is stopped", m.target)
	case q.bytes > maxWaiting:
		p.drop("too much waits for its host", m.target)
	default:
		q.waiting = append(q.waiting, m)
		q.bytes += m.size()
		select {
		case q.more <- struct{}{}:
		default:
		}
	}
}

// drop refuses a message.
func (p *peers) drop(why string, target *actor.PID) {
	p.dropped.Add(1)
	if now := p.refused.Add(1); loud(now-1, now) {
		p.logger.Warn("messages to a peer were dropped", "why", why, "peer", target.Address, "actor", target.Id, "dropped", now)
	}
}

// loud reports whether a count that went up is worth a line: when it passed a power of two. A flood does not make a flood of lines.
func loud(before, now uint64) bool { return before == 0 || before^now > before }

// stop ends all connections. What waits is lost.
func (p *peers) stop() {
	p.mu.Lock()
	p.stopped = true
	p.mu.Unlock()
	p.cancel()
	p.running.Wait()
}

// A message is one that waits for its peer.
type message struct {
	header map[string]string
	body   *wrapperspb.BytesValue
	target *actor.PID
	sender *actor.PID
}

func (m *message) size() int { return len(m.body.Value) + overhead }

// A peer is a system that something is sent to. It lives as long as its connection does, or something waits for it.
type peer struct {
	*peers
	address string
	more    chan struct{} // something waits

	// Guarded by peers.mu.
	waiting []*message
	bytes   int // of waiting
}

// run connects, again and again while something waits, and sends.
func (p *peer) run() {
	conn, err := grpc.NewClient("passthrough:///"+p.address, p.options...)
	if err != nil {
		p.logger.Error("a peer has no address that can be connected to", "peer", p.address, "error", err)
		p.giveUp(err.Error())
		return
	}
	defer conn.Close()
	for {
		err := p.connection(conn)
		if p.ctx.Err() != nil {
			return
		}
		p.logger.Debug("the connection to a peer is lost", "peer", p.address, "error", err)
		if f := p.lost.Load(); f != nil {
			(*f)(p.address)
		}
		if p.idle() {
			return
		}
	}
}

// idle forgets the peer when nothing waits for it.
func (p *peer) idle() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) > 0 {
		return false
	}
	delete(p.by, p.address)
	return true
}

// connection is one stream to the peer, from its opening until it breaks.
func (p *peer) connection(conn *grpc.ClientConn) error {
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	s, err := p.connect(ctx, cancel, conn)
	if err != nil {
		p.giveUp(err.Error())
		return err
	}
	p.logger.Debug("connected to a peer", "peer", p.address)
	broken := make(chan error, 1)
	p.running.Go(func() {
		_, err := s.Recv() // only a request to disconnect, or the end
		broken <- fmt.Errorf("the peer ends it: %w", err)
		cancel()
	})
	for {
		select {
		case err := <-broken:
			return err
		case <-p.more:
		}
		for m := p.take(); m != nil; m = p.take() {
			if s.Send(m) != nil {
				return <-broken // it knows why
			}
		}
	}
}

// connect opens the stream and greets. It waits for a peer that is not there, but not for ever.
func (p *peer) connect(ctx context.Context, cancel func(), conn *grpc.ClientConn) (remote.Remoting_ReceiveClient, error) {
	late := time.AfterFunc(p.reach, cancel)
	defer late.Stop()
	s, err := remote.NewRemotingClient(conn).Receive(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.Send(p.hello); err != nil {
		return nil, err
	}
	answer, err := s.Recv()
	if err != nil {
		return nil, err
	}
	if answer.GetConnectResponse() == nil {
		return nil, fmt.Errorf("it answers with %T", answer.MessageType)
	}
	return s, nil
}

// giveUp drops what waits, which is no news: that the peer is not reached is for whoever sends to it to tell.
func (p *peer) giveUp(why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.waiting); n > 0 && p.ctx.Err() == nil { // whoever stops the engine knows
		p.dropped.Add(uint64(n))
		p.logger.Debug("what waited for a peer was dropped", "why", why, "peer", p.address, "dropped", n)
	}
	p.waiting, p.bytes = nil, 0
}

// take returns the next batch of what waits, nil for nothing.
func (p *peer) take() *remote.RemoteMessage {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, size := 0, 0
	for n < len(p.waiting) && (n == 0 || size+p.waiting[n].size() <= batch) {
		size += p.waiting[n].size()
		n++
	}
	if n == 0 {
		return nil
	}
	taken := p.waiting[:n:n]
	if p.waiting = p.waiting[n:]; len(p.waiting) == 0 {
		p.waiting = nil
	}
	p.bytes -= size
	return pack(taken)
}

// pack puts messages into one of remote's batches. What it says of types, targets and senders is in tables that envelopes refer
// to: there is one type, and hardly ever more than one target.
func pack(messages []*message) *remote.RemoteMessage {
	b := &remote.MessageBatch{TypeNames: []string{envelope}}
	for _, m := range messages {
		data, _ := proto.Marshal(m.body) // bytes cannot be wrong
		e := &remote.MessageEnvelope{MessageData: data}
		e.Target, b.Targets = refer(b.Targets, m.target)
		if m.sender != nil {
			e.Sender, b.Senders = refer(b.Senders, m.sender)
			e.Sender++ // 0 is none
		}
		if len(m.header) > 0 {
			e.MessageHeader = &remote.MessageHeader{HeaderData: m.header}
		}
		b.Envelopes = append(b.Envelopes, e)
	}
	return &remote.RemoteMessage{MessageType: &remote.RemoteMessage_MessageBatch{MessageBatch: b}}
}

func refer(table []*actor.PID, pid *actor.PID) (int32, []*actor.PID) {
	for i, other := range table {
		if other.Id == pid.Id && other.Address == pid.Address {
			return int32(i), table
		}
	}
	return int32(len(table)), append(table, actor.NewPID(pid.Address, pid.Id))
}

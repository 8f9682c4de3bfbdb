package engine

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Config is how an engine listens, whom it trusts and what it lets in.
type Config struct {
	// Listen is the TCP address to listen at, "host:port". Port 0 takes a free one.
	Listen string
	// Advertise is the address that peers use, "host:port", or "host" for the port of Listen. It may be left out when Listen
	// names a host.
	Advertise string
	// TLS is used in both directions: it holds the certificate, the CAs of peers both as RootCAs and as ClientCAs, and
	// [tls.RequireAndVerifyClientCert]. Without it everything is plaintext, which is allowed on loopback addresses only.
	TLS *tls.Config
	// Open names the actors that peers may send messages to. They reach nothing else.
	Open []string
	// Logger hears of peers that come, go and are refused. Nil is [slog.Default].
	Logger *slog.Logger
}

// An Engine connects one actor system with those of its peers.
type Engine struct {
	system  *actor.ActorSystem
	logger  *slog.Logger
	address string
	server  *grpc.Server
	served  chan struct{} // closed when the server has ended
	peers   *peers
	entry   *admission
	dropped atomic.Uint64 // messages of peers
}

// Start opens the system to peers. It is to be called before any actor is spawned: PIDs made earlier have no address that means
// anything to a peer. It returns an error when Listen cannot be listened at, or is no loopback address and there is no TLS; when
// TLS would admit peers without a certificate; when peers could not know the address; or when the system has an engine already.
func Start(system *actor.ActorSystem, c Config) (*Engine, error) {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	if len(system.ProcessRegistry.RemoteHandlers) > 0 {
		return nil, errors.New("engine: this actor system has an engine already")
	}
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	e := &Engine{system: system, logger: c.Logger, served: make(chan struct{})}
	e.address = c.advertised(l.Addr().(*net.TCPAddr).Port)
	creds := insecure.NewCredentials()
	if c.TLS != nil {
		creds = credentials.NewTLS(hardened(c.TLS))
	}
	e.entry = newAdmission(creds, c.Logger)
	e.peers = newPeers(c, creds.Clone(), hello(system.ID, e.address))
	system.ProcessRegistry.Address = e.address
	system.ProcessRegistry.RegisterAddressResolver(func(*actor.PID) (actor.Process, bool) { return (*far)(e), true })
	g := &gate{Engine: e, open: c.Open}
	e.server = grpc.NewServer(serverOptions(e.entry, g)...)
	remote.RegisterRemotingServer(e.server, g)
	go e.serve(l)
	return e, nil
}

func (e *Engine) serve(l net.Listener) {
	defer close(e.served)
	if err := e.server.Serve(l); err != nil {
		e.logger.Error("peers cannot connect any more", "error", err)
	}
}

// hardened returns the configuration with what we never do without.
func hardened(c *tls.Config) *tls.Config {
	c = c.Clone()
	c.MinVersion = max(c.MinVersion, tls.VersionTLS13)
	return c
}

// hello is what a system says when it connects to another.
func hello(id, address string) *remote.RemoteMessage {
	return &remote.RemoteMessage{MessageType: &remote.RemoteMessage_ConnectRequest{ConnectRequest: &remote.ConnectRequest{
		ConnectionType: &remote.ConnectRequest_ServerConnection{
			ServerConnection: &remote.ServerConnection{SystemId: id, Address: address},
		},
	}}}
}

// Address returns the address of this system's actors for peers, "host:port", as [actor.NewPID] takes it.
func (e *Engine) Address() string { return e.address }

// Unreachable has f called with the address of each peer that the connection to is lost, or that could not be connected to for
// a while. It is a hint: the peer may be well, and what was on its way may have arrived or not. F must not block.
func (e *Engine) Unreachable(f func(address string)) { e.peers.lost.Store(&f) }

// TurnedAway has f called with the host of each peer whose connection was refused, and why, each time. F must not block.
func (e *Engine) TurnedAway(f func(host string, why *Refusal)) { e.entry.away.Store(&f) }

// Stop ends all connections and what was started for them. Messages that were not sent yet are lost, as are all from now on. The
// actors of the system live on. It may be called more than once.
func (e *Engine) Stop() {
	e.peers.stop()
	e.server.Stop()
	<-e.served
}

// far is what a PID with the address of a peer leads to.
type far Engine

// SendUserMessage sends a message to the actor. It is dropped when it is no BytesValue, or too large.
func (f *far) SendUserMessage(pid *actor.PID, m any) {
	header, body, sender := actor.UnwrapEnvelope(m)
	bytes, is := body.(*wrapperspb.BytesValue)
	switch {
	case !is:
		f.peers.drop(fmt.Sprintf("%T is no BytesValue", body), pid)
	case len(bytes.Value) > MaxMessage:
		f.peers.drop(fmt.Sprintf("%d bytes are too many", len(bytes.Value)), pid)
	default:
		out := &message{body: bytes, target: pid, sender: sender}
		if header != nil {
			out.header = header.ToMap()
		}
		f.peers.put(out)
	}
}

// SendSystemMessage sends nothing: no actor may stop or watch one of a peer. Who watches hears that there is nothing to watch.
func (f *far) SendSystemMessage(pid *actor.PID, m any) { f.system.DeadLetter.SendSystemMessage(pid, m) }

// Stop does nothing either.
func (*far) Stop(*actor.PID) {}

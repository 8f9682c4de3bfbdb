package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	grpcpeer "google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const (
	// envelope is the one type of message that goes out and comes in: bytes, whose meaning is not the engine's.
	envelope = "google.protobuf.BytesValue"
	// maxBatch is the largest message of gRPC's that is taken, in bytes: that of the largest message of ours, and what is around it.
	maxBatch = MaxMessage + batch
	// handshakeTimeout is how long a peer may take to say who it is.
	handshakeTimeout = 5 * time.Second
)

// PeerHeader is the header of a message that says which peer it came from: the common name of the certificate that the peer has
// proved to own. It is set by the engine that receives the message, whatever the sender wrote there. Without TLS there is none.
const PeerHeader = "muster-peer"

// Peer returns which peer sent the message that an actor is at, by its certificate; "" when none did, or without TLS.
func Peer(c actor.Context) string {
	if h := c.MessageHeader(); h != nil {
		return h.Get(PeerHeader)
	}
	return ""
}

func serverOptions(creds credentials.TransportCredentials, g *gate) []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.Creds(creds),
		grpc.MaxRecvMsgSize(maxBatch),
		grpc.MaxConcurrentStreams(4), // peers use one per connection
		grpc.MaxHeaderListSize(16 << 10),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: keepaliveTime, Timeout: keepaliveTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: keepaliveTime / 2, PermitWithoutStream: true}),
		grpc.WaitForHandlers(true),
		grpc.ChainStreamInterceptor(g.recovering),
	}
}

// A gate is remote's service, as peers see it. Remote's own lets whoever can connect stop, watch and spawn any actor, publish
// events and send on to any address, and panics at much else. This one lets messages in, to actors that are open, and answers its
// diagnostic calls with Unimplemented.
type gate struct {
	remote.UnimplementedRemotingServer
	*Engine
	open []string
}

// recovering ends a stream with an error where its handler panics, instead of the process, and tells of those that are refused.
func (g *gate) recovering(service any, s grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = status.Errorf(codes.Internal, "%v", p)
		}
		if code := status.Code(err); code == codes.InvalidArgument || code == codes.Internal {
			g.logger.Warn("a peer was refused", "peer", identify(s.Context()), "error", err)
		}
	}()
	return handle(service, s)
}

// Receive handles what a peer sends over its connection. It ends with InvalidArgument for what no peer of ours sends.
func (g *gate) Receive(s remote.Remoting_ReceiveServer) error {
	from := identify(s.Context())
	g.logger.Debug("a peer has connected", "peer", from)
	for {
		m, err := s.Recv()
		if err != nil {
			g.logger.Debug("a peer has gone", "peer", from, "error", err)
			if errors.Is(err, io.EOF) {
				return nil // in good order
			}
			return err
		}
		switch m := m.MessageType.(type) {
		case *remote.RemoteMessage_ConnectRequest:
			err = s.Send(&remote.RemoteMessage{MessageType: &remote.RemoteMessage_ConnectResponse{
				ConnectResponse: &remote.ConnectResponse{MemberId: g.system.ID},
			}})
		case *remote.RemoteMessage_MessageBatch:
			err = g.deliver(m.MessageBatch, from)
		default:
			err = status.Errorf(codes.InvalidArgument, "%T is not for servers", m)
		}
		if err != nil {
			return err
		}
	}
}

// identity is who a peer is.
type identity struct {
	name    string // of its certificate, "" without TLS
	address string // where its connection comes from
}

func (i identity) String() string {
	if i.name == "" {
		return i.address
	}
	return i.name + " at " + i.address
}

func identify(ctx context.Context) (i identity) {
	p, _ := grpcpeer.FromContext(ctx)
	if p == nil {
		return i
	}
	i.address = p.Addr.String()
	if info, is := p.AuthInfo.(credentials.TLSInfo); is && len(info.State.PeerCertificates) > 0 {
		i.name = info.State.PeerCertificates[0].Subject.CommonName
	}
	return i
}

// deliver sends each message of a batch to its actor here, whatever address it is sent to: a peer may know this host by another
// than we do. What is not for an actor that is open is dropped. A batch that is not well formed is refused from there on.
func (g *gate) deliver(b *remote.MessageBatch, from identity) error {
	for _, e := range b.Envelopes {
		if err := wellFormed(b, e); err != nil {
			return status.Error(codes.InvalidArgument, err.Error())
		}
		kind, target := b.TypeNames[e.TypeId], b.Targets[e.Target].Id
		process, found := g.system.ProcessRegistry.GetLocal(target)
		if kind != envelope || !slices.Contains(g.open, target) || !found {
			g.drop(from, kind, target)
			continue
		}
		body := &wrapperspb.BytesValue{}
		if err := proto.Unmarshal(e.MessageData, body); err != nil {
			return status.Error(codes.InvalidArgument, err.Error())
		}
		process.SendUserMessage(actor.NewPID(g.address, target), &actor.MessageEnvelope{
			Header: stamped(e.MessageHeader.GetHeaderData(), from), Message: body, Sender: sender(b, e),
		})
	}
	return nil
}

// stamped returns the headers with who the sender is.
func stamped(h map[string]string, from identity) map[string]string {
	delete(h, PeerHeader)
	if from.name != "" {
		if h == nil {
			h = map[string]string{}
		}
		h[PeerHeader] = from.name
	}
	return h
}

func (g *gate) drop(from identity, kind, target string) {
	if n := g.dropped.Add(1); loud(n-1, n) {
		g.logger.Warn("a message was dropped that is for nobody whom peers may send it to",
			"peer", from, "type", kind, "actor", target, "dropped", n)
	}
}

func sender(b *remote.MessageBatch, e *remote.MessageEnvelope) *actor.PID {
	if e.Sender == 0 {
		return nil
	}
	return b.Senders[e.Sender-1]
}

// wellFormed returns an error for an envelope that refers to what is not in its batch, or is written in a way that we do not know.
func wellFormed(b *remote.MessageBatch, e *remote.MessageEnvelope) error {
	switch {
	case !within(e.TypeId, len(b.TypeNames)):
		return fmt.Errorf("type %d of %d", e.TypeId, len(b.TypeNames))
	case !within(e.Target, len(b.Targets)):
		return fmt.Errorf("target %d of %d", e.Target, len(b.Targets))
	case e.Sender != 0 && !within(e.Sender-1, len(b.Senders)):
		return fmt.Errorf("sender %d of %d", e.Sender, len(b.Senders))
	case e.SerializerId != 0:
		return fmt.Errorf("serializer %d, where only 0 (protobuf) is known", e.SerializerId)
	}
	name := protoreflect.FullName(b.TypeNames[e.TypeId])
	if _, err := protoregistry.GlobalTypes.FindMessageByName(name); err != nil {
		return fmt.Errorf("messages of type %q are not known", name)
	}
	return nil
}

func within(i int32, n int) bool { return i >= 0 && int(i) < n }

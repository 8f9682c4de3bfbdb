package engine

import (
	"context"
	"crypto/tls"
	"path/filepath"
	"strings"
	"testing"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/go-muster/muster/actors/host/certs"
	"github.com/go-muster/muster/actors/process/processtest"
)

// hosts makes certificates for hosts on loopback, by one CA.
func hosts(t *testing.T, names ...string) (configs []*tls.Config) {
	t.Helper()
	dir := t.TempDir()
	var all []string
	for _, n := range names {
		all = append(all, n+",127.0.0.1,localhost")
	}
	if _, err := certs.Create(dir, all, certs.Options{}); err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		c, err := certs.Load(filepath.Join(dir, n))
		if err != nil {
			t.Fatal(err)
		}
		configs = append(configs, c)
	}
	return configs
}

func secure(c *tls.Config) func(*Config) { return func(e *Config) { e.TLS = c } }

// A stranger speaks remote's protocol, and says what it likes.
type stranger struct {
	remote.RemotingClient
	ctx context.Context
}

func connect(t *testing.T, to string, c *tls.Config) *stranger {
	t.Helper()
	creds := insecure.NewCredentials()
	if c != nil {
		creds = credentials.NewTLS(c)
	}
	conn, err := grpc.NewClient("passthrough:///"+to, grpc.WithTransportCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return &stranger{remote.NewRemotingClient(conn), ctx}
}

// say sends a batch over a connection of its own, with a message to "box" after it, and returns why the connection ended: nil when
// it did not have to.
func (s *stranger) say(t *testing.T, b *remote.MessageBatch) error {
	t.Helper()
	stream, err := s.Receive(s.ctx)
	if err != nil {
		return err
	}
	if err := stream.Send(hello("stranger", "127.0.0.1:1")); err != nil {
		return err
	}
	if m, err := stream.Recv(); err != nil || m.GetConnectResponse() == nil {
		return err
	}
	_ = stream.Send(&remote.RemoteMessage{MessageType: &remote.RemoteMessage_MessageBatch{MessageBatch: b}})
	_ = stream.CloseSend()
	if _, err = stream.Recv(); err.Error() == "EOF" {
		return nil
	}
	return err
}

// to is a batch with one message.
func to(name string, m proto.Message, change func(*remote.MessageBatch)) *remote.MessageBatch {
	data, _ := proto.Marshal(m)
	b := &remote.MessageBatch{
		TypeNames: []string{string(proto.MessageName(m))},
		Targets:   []*actor.PID{actor.NewPID("elsewhere:1", name)},
		Senders:   []*actor.PID{actor.NewPID("elsewhere:1", "me")},
		Envelopes: []*remote.MessageEnvelope{{MessageData: data}},
	}
	if change != nil {
		change(b)
	}
	return b
}

func first(change func(*remote.MessageEnvelope)) func(*remote.MessageBatch) {
	return func(b *remote.MessageBatch) { change(b.Envelopes[0]) }
}

// TestMalformed: what ends the process with remote's own endpoints ends the connection here, with an error that says why.
func TestMalformed(t *testing.T) {
	processtest.Check(t)
	c := hosts(t, "a", "b")
	a := start(t, secure(c[0]))
	s := connect(t, a.Address(), c[1])
	body := wrapperspb.Bytes([]byte("x"))
	for name, row := range map[string]struct {
		batch *remote.MessageBatch
		want  string
	}{
		"an unknown type":     {to("box", body, func(b *remote.MessageBatch) { b.TypeNames[0] = "muster.Newer" }), "muster.Newer"},
		"no type":             {to("box", body, func(b *remote.MessageBatch) { b.TypeNames = nil }), "type 0 of 0"},
		"a type below":        {to("box", body, first(func(e *remote.MessageEnvelope) { e.TypeId = -1 })), "type -1"},
		"a target above":      {to("box", body, first(func(e *remote.MessageEnvelope) { e.Target = 1 })), "target 1 of 1"},
		"a target below":      {to("box", body, first(func(e *remote.MessageEnvelope) { e.Target = -1 << 31 })), "target -2147483648"},
		"a sender above":      {to("box", body, first(func(e *remote.MessageEnvelope) { e.Sender = 2 })), "sender 2 of 1"},
		"a sender below":      {to("box", body, first(func(e *remote.MessageEnvelope) { e.Sender = -1 << 31 })), "sender"},
		"serializer garbage":  {to("box", body, first(func(e *remote.MessageEnvelope) { e.SerializerId = 1 << 30 })), "serializer"},
		"serializer JSON":     {to("box", body, first(func(e *remote.MessageEnvelope) { e.SerializerId = 1 })), "serializer 1"},
		"data that is broken": {to("box", body, first(func(e *remote.MessageEnvelope) { e.MessageData = []byte{0xff} })), "proto"},
	} {
		err := s.say(t, row.batch)
		if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want InvalidArgument with %q", name, err, row.want)
		}
	}
	if _, err := s.ListProcesses(s.ctx, &remote.ListProcessesRequest{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("ListProcesses: %v", err)
	}
	if _, err := s.GetProcessDiagnostics(s.ctx, &remote.GetProcessDiagnosticsRequest{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("GetProcessDiagnostics: %v", err)
	}
	large := to("box", wrapperspb.Bytes(make([]byte, maxBatch+1)), nil)
	if err := s.say(t, large); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("too large: %v", err)
	}
	if err := s.say(t, to("box", body, nil)); err != nil {
		t.Errorf("what is well formed, after all that: %v", err)
	}
	if m := a.next(t); m.body != "x" || m.peer != "b" {
		t.Errorf("got %+v: only the last was to arrive, from b", m)
	}
}

// TestForbidden: a peer whose certificate is good can stop nothing, spawn nothing, publish nothing, and send nothing on.
func TestForbidden(t *testing.T) {
	processtest.Check(t)
	c := hosts(t, "a", "b")
	a := start(t, secure(c[0]))
	a.spawn(t, "private")
	s := connect(t, a.Address(), c[1])
	me := actor.NewPID("elsewhere:1", "me")
	body := wrapperspb.Bytes([]byte("x"))
	forbidden := map[string]*remote.MessageBatch{
		"Stop":                       to("box", &actor.Stop{}, nil),
		"PoisonPill":                 to("box", &actor.PoisonPill{}, nil),
		"Watch":                      to("box", &actor.Watch{Watcher: me}, nil),
		"Unwatch":                    to("box", &actor.Unwatch{Watcher: me}, nil),
		"Terminated":                 to("box", &actor.Terminated{Who: me}, nil),
		"a spawn":                    to("activator", &remote.ActorPidRequest{Kind: "x"}, nil),
		"an event":                   to("eventstream", body, nil),
		"private":                    to("private", body, nil),
		"nobody":                     to("nobody", body, nil),
		"a nested batch of remote's": to("box", &remote.MessageBatch{}, nil),
	}
	for name, b := range forbidden {
		before := a.dropped.Load()
		if err := s.say(t, b); err != nil || a.dropped.Load() != before+1 {
			t.Errorf("%s: %v, %d dropped, want it dropped", name, err, a.dropped.Load()-before)
		}
	}
	// The header cannot be forged, and a target with another address is still this host's.
	forged := to("box", body, first(func(e *remote.MessageEnvelope) {
		e.Sender = 1
		e.MessageHeader = &remote.MessageHeader{HeaderData: map[string]string{PeerHeader: "root", "kind": "k"}}
	}))
	if err := s.say(t, forged); err != nil {
		t.Fatal(err)
	}
	if m := a.next(t); m.peer != "b" || m.header != "k" || m.sender.GetId() != "me" {
		t.Errorf("got %+v", m)
	}
	if len(a.got) > 0 {
		t.Errorf("got %+v besides", <-a.got)
	}
}

// TestStrangersAreRefused: whoever is not of the CA sends nothing, and neither does who speaks without TLS.
func TestStrangersAreRefused(t *testing.T) {
	processtest.Check(t)
	c, theirs := hosts(t, "a", "b"), hosts(t, "b")
	a, plain := start(t, secure(c[0])), start(t, nil)
	liar := theirs[0].Clone()
	liar.RootCAs = c[1].RootCAs
	for name, row := range map[string]struct {
		to   *node
		with *tls.Config
	}{
		"plaintext to TLS": {a, nil}, "TLS to plaintext": {plain, c[1]}, "another CA": {a, theirs[0]},
		"another CA that trusts ours": {a, liar}, "no certificate": {a, &tls.Config{RootCAs: c[1].RootCAs}},
	} {
		err := connect(t, row.to.Address(), row.with).say(t, to("box", wrapperspb.Bytes([]byte(name)), nil))
		if status.Code(err) != codes.Unavailable {
			t.Errorf("%s: %v, want Unavailable", name, err)
		}
	}
	if len(a.got)+len(plain.got) > 0 {
		t.Error("something has arrived nevertheless")
	}
}

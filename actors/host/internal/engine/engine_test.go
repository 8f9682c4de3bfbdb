package engine

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/go-muster/muster/actors/process/processtest"
)

func TestMain(m *testing.M) { processtest.Main(m) }

// patience is longer than anything takes on a machine that is busy with something else.
const patience = 30 * time.Second

// A node is an actor system with an engine, and an actor "box" that is open.
type node struct {
	*Engine
	system *actor.ActorSystem
	got    chan mail
}

type mail struct {
	body, peer string
	header     string
	sender     *actor.PID
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func quietly(*actor.ActorSystem) *slog.Logger { return quiet() }

func start(t *testing.T, change func(*Config)) *node {
	t.Helper()
	c := Config{Listen: "127.0.0.1:0", Open: []string{"box"}, Logger: quiet()}
	if change != nil {
		change(&c)
	}
	system := actor.NewActorSystem(actor.WithLoggerFactory(quietly))
	e, err := Start(system, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { system.Shutdown() })
	t.Cleanup(e.Stop)
	n := &node{Engine: e, system: system, got: make(chan mail, 1<<16)}
	n.spawn(t, "box")
	return n
}

func (n *node) spawn(t *testing.T, name string) {
	t.Helper()
	props := actor.PropsFromFunc(func(c actor.Context) {
		if m, is := c.Message().(*wrapperspb.BytesValue); is {
			got := mail{body: string(m.Value), peer: Peer(c), sender: c.Sender()}
			if h := c.MessageHeader(); h != nil {
				got.header = h.Get("kind")
			}
			n.got <- got
		}
	})
	pid, err := n.system.Root.SpawnNamed(props, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.system.Root.StopFuture(pid).Wait() })
}

func (n *node) send(to, name, body string) {
	n.system.Root.Send(actor.NewPID(to, name), &actor.MessageEnvelope{
		Header: map[string]string{"kind": "test"}, Message: wrapperspb.Bytes([]byte(body)),
	})
}

func (n *node) next(t *testing.T) mail {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	select {
	case m := <-n.got:
		return m
	case <-ctx.Done():
		t.Fatal("no message")
		return mail{}
	}
}

func TestMessages(t *testing.T) {
	processtest.Check(t)
	a, b := start(t, nil), start(t, nil)
	for _, text := range []string{"one", "", "three"} {
		a.send(b.Address(), "box", text)
		if m := b.next(t); m.body != text || m.header != "test" || m.peer != "" {
			t.Errorf("got %+v, want %q", m, text)
		}
		b.send(a.Address(), "box", text)
		a.next(t)
	}
}

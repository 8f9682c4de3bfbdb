package supervisor_test

import (
	"strings"
	"testing"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport"
)

// reachable is an actor system that others can write to.
func reachable(t *testing.T) *actor.ActorSystem {
	t.Helper()
	system := newSystem()
	node := remote.NewRemote(system, remote.Configure("127.0.0.1", 0))
	node.Start()
	t.Cleanup(func() { node.Shutdown(true) })
	return system
}

// An actor of another system, with nothing of ours in it but the address of a rank, asks it and is answered.
func TestMessagesOfAnotherSystem(t *testing.T) {
	near, far := reachable(t), reachable(t)
	p := begin(t, spec(1), supervisor.WithSystem(near))
	rank := p.rank(0, 0)
	rank.Hello("script")
	rank.Say(&transport.Credit{Bytes: transport.MailWindow})

	address := p.PID(0)
	got := make(chan any, 2)
	asker := far.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		switch m := ctx.Message().(type) {
		case *actor.Started:
			ask := &actor.MessageEnvelope{Sender: ctx.Self(), Message: wrapperspb.Bytes([]byte{0x2a})}
			ask.SetHeader("topic", "score")
			ctx.Send(actor.NewPID(address.Address, address.Id), ask)
		case *wrapperspb.BytesValue:
			got <- m.Value
			ctx.Request(actor.NewPID(address.Address, address.Id), wrapperspb.Bytes([]byte{0xc0}))
		case *wrapperspb.StringValue:
			got <- m.Value
		}
	}))
	defer func() { _ = far.Root.StopFuture(asker).Wait() }()

	m, ok := rank.Order(t.Context()).(*transport.Mail)
	if !ok || m.Topic != "score" || string(m.Value) != "*" || m.ID == 0 {
		t.Fatalf("the rank got %+v", m)
	}
	rank.Say(&transport.Mail{Reply: m.ID, Value: []byte{0x2b}})
	if answer := <-got; string(answer.([]byte)) != "+" {
		t.Errorf("the answer is %q", answer)
	}
	m = rank.Order(t.Context()).(*transport.Mail)
	rank.Say(&transport.Mail{Reply: m.ID, Error: "not today"})
	if answer := <-got; !strings.Contains(answer.(string), "not today") {
		t.Errorf("the answer is %q", answer)
	}
	p.Kill("the test is over")
	processtest.Eventually(t, "the rank is killed", func() bool { return rank.Order(t.Context()) != nil })
	rank.Exit(process.Exit{})
	_ = p.Wait()
}

package conformance_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	protoactor "github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport"
)

// reachable is an actor system that others can write to. There is one in a process, which ends with it: the engine sets grpc's
// logger anew for each, and its graceful shutdown writes what its other goroutines read.
func reachable() *protoactor.ActorSystem {
	system := protoactor.NewActorSystem(protoactor.WithLoggerFactory(silent))
	remote.NewRemote(system, remote.Configure("127.0.0.1", 0)).Start()
	return system
}

// office is a program with a clerk, which says where and stays until its input ends.
var office = processtest.Helper("have a clerk in an actor system that others can write to", func() {
	system, in := reachable(), newInbox()
	command := process.Reexec(clerk.Name())
	command.Argument, _ = transport.Marshal("clerk")
	g, err := supervisor.Start(context.Background(), supervisor.Spec{Ranks: []process.Command{command}},
		supervisor.WithSystem(system), supervisor.WithMessages(in.take))
	if err != nil {
		panic(err)
	}
	<-in.here
	fmt.Println(g.PID(0).Address, g.PID(0).Id)
	_, _ = io.Copy(io.Discard, os.Stdin)
	g.Kill("the test is over")
	_ = g.Wait()
	os.Exit(0)
})

// stranger is a program with an actor system of its own, and nothing of ours in it but the address of a rank.
var stranger = processtest.Helper("ask a rank of another program", func() {
	system := reachable()
	rank := protoactor.NewPID(os.Args[1], os.Args[2])
	for _, topic := range []string{"ask", "refuse"} {
		value, err := transport.Marshal("hello")
		if err != nil {
			panic(err)
		}
		future := protoactor.NewFuture(system, time.Minute)
		ask := &protoactor.MessageEnvelope{Message: wrapperspb.Bytes(value), Sender: future.PID()}
		ask.SetHeader("topic", topic)
		system.Root.Send(rank, ask)
		answer, err := future.Result()
		var text string
		switch a := answer.(type) {
		case *wrapperspb.BytesValue:
			err = transport.Unmarshal(a.Value, &text)
		case *wrapperspb.StringValue:
			text = a.Value
		}
		fmt.Printf("%s: %s, %v\n", topic, text, err)
	}
	os.Exit(0)
})

// A program of its own asks a rank, and is answered.
func TestMessagesOfAnotherSystem(t *testing.T) {
	processtest.Check(t)
	program := func(h string, args ...string) *exec.Cmd {
		c := processtest.Command(t, h, args...)
		cmd := exec.Command(c.Args[0], c.Args[1:]...)
		cmd.Env = append(os.Environ(), c.Env...)
		cmd.Stderr = os.Stderr
		return cmd
	}
	near := program(office)
	stay, _ := near.StdinPipe()
	said, _ := near.StdoutPipe()
	if err := near.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		stay.Close()
		if err := near.Wait(); err != nil {
			t.Error(err)
		}
	}()
	var address, id string
	if _, err := fmt.Fscan(said, &address, &id); err != nil {
		t.Fatal(err)
	}
	out, err := program(stranger, address, id).Output()
	want := "ask: 0: hello from rank 0, <nil>\nrefuse: supervisor: the rank has refused the request: hello (rank 0@0), <nil>\n"
	if err != nil || string(out) != want {
		t.Errorf("%v, it said\n%s", err, out)
	}
}

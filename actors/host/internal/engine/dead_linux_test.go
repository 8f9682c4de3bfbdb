package engine

import (
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/go-muster/muster/actors/host/certs"
	"github.com/go-muster/muster/actors/process/processtest"
)

// TestStoppedPeer: the connection to a peer that stands still is found dead, although its kernel goes on to acknowledge; and when
// the peer goes on, messages flow again.
func TestStoppedPeer(t *testing.T) {
	processtest.Check(t)
	dir := t.TempDir()
	if _, err := certs.Create(dir, []string{"a,127.0.0.1", "b,127.0.0.1"}, certs.Options{}); err != nil {
		t.Fatal(err)
	}
	ours, err := certs.Load(filepath.Join(dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	a := start(t, secure(ours))
	lost := make(chan string, 100)
	a.Unreachable(func(peer string) { lost <- peer })
	l := listen(t)
	address := l.Addr().String()
	l.Close()
	b := run(t, nil, sinkHelper, filepath.Join(dir, "b"), address)
	<-b.heard // it listens
	a.send(address, "box", "1 0")
	if m := <-b.heard; m.n != 1 {
		t.Fatalf("got %+v", m)
	}
	if err := b.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	select {
	case peer := <-lost:
		if peer != address {
			t.Errorf("%s is lost, not %s", peer, address)
		}
	case <-time.After(patience + keepaliveTime + keepaliveTimeout):
		t.Fatal("nothing is told of a peer that stands still")
	}
	a.send(address, "box", "2 0")
	if err := b.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if m := <-b.heard; m.n != 2 {
		t.Errorf("got %+v", m)
	}
}

// TestSilentPeer: of one that takes the connection and says nothing is told, too, and what waits for it is dropped.
func TestSilentPeer(t *testing.T) {
	processtest.Check(t)
	a := start(t, nil)
	a.peers.reach = time.Second
	lost := make(chan string, 100)
	a.Unreachable(func(peer string) { lost <- peer })
	deaf := listen(t)
	a.send(deaf.Addr().String(), "box", "x")
	select {
	case peer := <-lost:
		if peer != deaf.Addr().String() || a.peers.dropped.Load() != 1 {
			t.Errorf("%s is lost, %d dropped", peer, a.peers.dropped.Load())
		}
	case <-time.After(patience):
		t.Fatal("nothing is told of a peer that is silent")
	}
}

// A bomb is an actor's process that takes nothing.
type bomb struct{}

func (bomb) SendUserMessage(*actor.PID, any)   { panic("no such thing") }
func (bomb) SendSystemMessage(*actor.PID, any) {}
func (bomb) Stop(*actor.PID)                   {}

// TestPanic: a panic where a message is handed over ends that connection, with an error that says so, and nothing else.
func TestPanic(t *testing.T) {
	processtest.Check(t)
	c := hosts(t, "a", "b")
	a := start(t, func(e *Config) { e.TLS, e.Open = c[0], []string{"box", "bomb"} })
	a.system.ProcessRegistry.Add(bomb{}, "bomb")
	s := connect(t, a.Address(), c[1])
	body := wrapperspb.Bytes([]byte("x"))
	if err := s.say(t, to("bomb", body, nil)); status.Code(err) != codes.Internal {
		t.Errorf("%v, want Internal", err)
	}
	if err := s.say(t, to("box", body, nil)); err != nil {
		t.Error("after it: ", err)
	}
	if m := a.next(t); m.body != "x" {
		t.Errorf("got %+v", m)
	}
}

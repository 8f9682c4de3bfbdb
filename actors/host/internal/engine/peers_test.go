package engine

import (
	"crypto/tls"
	"net"
	"strings"
	"testing"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/go-muster/muster/actors/process/processtest"
)

func TestStartRefuses(t *testing.T) {
	processtest.Check(t)
	good := hosts(t, "a")[0]
	change := func(f func(*tls.Config)) *tls.Config {
		c := good.Clone()
		f(c)
		return c
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for want, c := range map[string]Config{
		"want host:port":         {Listen: "127.0.0.1"},
		"the port of Listen":     {Listen: "127.0.0.1:x"},
		"TLS is required":        {Listen: "192.0.2.1:0"},
		"is not a loopback":      {Listen: ":0", Advertise: "127.0.0.1"},
		"Advertise has to say":   {Listen: "[::]:0", TLS: good},
		"address already in use": {Listen: taken.Addr().String()},
		"without a certificate":  {Listen: "127.0.0.1:0", TLS: change(func(c *tls.Config) { c.ClientAuth = tls.VerifyClientCertIfGiven })},
		"whom the system trusts": {Listen: "127.0.0.1:0", TLS: change(func(c *tls.Config) { c.RootCAs = nil })},
		"InsecureSkipVerify":     {Listen: "127.0.0.1:0", TLS: change(func(c *tls.Config) { c.InsecureSkipVerify = true })},
		`advertise is ":7"`:      {Listen: "127.0.0.1:0", Advertise: ":7"},
		`advertise is "0.0.0.0"`: {Listen: "127.0.0.1:0", Advertise: "0.0.0.0"},
		`advertise is "a:http"`:  {Listen: "127.0.0.1:0", Advertise: "a:http"},
		`advertise is "a:b:7"`:   {Listen: "127.0.0.1:0", Advertise: "a:b:7"},
		"peers would refuse":     {Listen: "127.0.0.1:0", Advertise: "127.0.0.2", TLS: good},
		"has no certificate":     {Listen: "127.0.0.1:0", TLS: change(func(c *tls.Config) { c.GetCertificate = nil })},
	} {
		c.Logger = quiet()
		system := actor.NewActorSystem(actor.WithLoggerFactory(quietly))
		if _, err := Start(system, c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", c, err, want)
		}
		system.Shutdown()
	}
	n := start(t, nil)
	if _, err := Start(n.system, Config{Listen: "127.0.0.1:0"}); err == nil || !strings.Contains(err.Error(), "engine already") {
		t.Error(err)
	}
}

// TestPeerReturns: what is sent while the peer is away arrives when another listens at its address, and its end is hinted at.
func TestPeerReturns(t *testing.T) {
	processtest.Check(t)
	c := hosts(t, "a", "b")
	a, b := start(t, secure(c[0])), start(t, secure(c[1]))
	address := b.Address()
	lost := make(chan string, 100)
	a.Unreachable(func(peer string) { lost <- peer })
	a.send(address, "box", "before")
	if m := b.next(t); m.body != "before" || m.peer != "a" {
		t.Fatalf("got %+v", m)
	}
	b.Stop()
	if peer := <-lost; peer != address {
		t.Errorf("%s is lost, not %s", peer, address)
	}
	for _, text := range []string{"one", "two", "three"} {
		a.send(address, "box", text)
	}
	back := start(t, func(e *Config) { e.TLS, e.Listen = c[1], address })
	for _, want := range []string{"one", "two", "three"} {
		if m := back.next(t); m.body != want {
			t.Errorf("got %+v, want %s", m, want)
		}
	}
}

// TestBurst: many and large messages arrive in order, whatever batches they make.
func TestBurst(t *testing.T) {
	processtest.Check(t)
	a, b := start(t, nil), start(t, nil)
	sizes := []int{1, 8 << 10, MaxMessage, 0, 64 << 10}
	const n = 300
	for i := range n {
		a.send(b.Address(), "box", strings.Repeat("x", sizes[i%len(sizes)]/8))
	}
	a.send(b.Address(), "box", strings.Repeat("y", MaxMessage))
	for i := range n {
		if m := b.next(t); len(m.body) != sizes[i%len(sizes)]/8 {
			t.Fatalf("message %d has %d bytes", i, len(m.body))
		}
	}
	if m := b.next(t); len(m.body) != MaxMessage {
		t.Errorf("the largest message has %d bytes", len(m.body))
	}
}

// TestBound: what waits for a peer that does not read is bounded, and Stop does not wait for it.
func TestBound(t *testing.T) {
	processtest.Check(t)
	a := start(t, nil)
	deaf, err := net.Listen("tcp", "127.0.0.1:0") // accepts, by the kernel, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	large := strings.Repeat("x", MaxMessage)
	for range 2 * maxWaiting / MaxMessage {
		a.send(deaf.Addr().String(), "box", large)
	}
	a.send(deaf.Addr().String(), "box", large+"x") // too large
	if n := a.peers.dropped.Load(); n < maxWaiting/MaxMessage-1 || n > maxWaiting/MaxMessage+1 {
		t.Errorf("%d of %d are dropped", n, 2*maxWaiting/MaxMessage)
	}
	a.Stop()
	a.send(deaf.Addr().String(), "box", "after")
	a.Stop()
}

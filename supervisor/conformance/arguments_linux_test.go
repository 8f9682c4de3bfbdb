package conformance_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport"
)

// reluctant says hello, and reads its argument only when there is a byte for it in the FIFO that it is given.
var reluctant = processtest.Helper("reluctant", func() {
	conn := transport.NewConn(os.NewFile(3, "socket"))
	err := conn.Send(&transport.Hello{Min: 1, Max: 1, SDK: "reluctant"})
	gate, gateErr := os.Open(os.Args[1])
	if err = errors.Join(err, gateErr); err == nil {
		_, err = gate.Read(make([]byte, 1))
	}
	for err == nil {
		var m transport.Message
		if m, err = conn.Recv(); err != nil {
			break
		}
		if a, is := m.(*transport.Argument); is {
			_ = conn.Send(&transport.Ready{})
			_ = conn.Send(&transport.Result{Value: fmt.Appendf(nil, "%d", len(a.Value))})
			os.Exit(0)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
})

// E14, S14: arguments of 64 MB do not have one rank wait for another: all have come up before the first has read a byte of
// its own, and the last to be started may be the first to read.
func TestS14ArgumentsUnread(t *testing.T) {
	processtest.Check(t)
	const n = 8
	path := filepath.Join(t.TempDir(), "gate")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	gate, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer gate.Close()
	c := processtest.Command(t, reluctant, path)
	c.Speaks, c.Argument = true, make([]byte, 64<<20-64)
	came, running := 0, false
	peak := newPeak()
	g, err := supervisor.Start(t.Context(), supervisor.Spec{Ranks: supervisor.Repeat(n, c)},
		supervisor.WithObserver(func(e supervisor.Event) {
			switch e.Kind {
			case supervisor.EventHello:
				if came++; came == n {
					peak.look()
					_, _ = gate.Write(make([]byte, n))
				}
			case supervisor.EventReady:
				if came < n {
					t.Errorf("rank %d is ready, and %d have come up", e.Rank, came)
				}
			case supervisor.EventRunning:
				running = true
			}
		}))
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Wait(); err != nil || !running {
		t.Fatalf("%v, running %v, %d came up", err, running, came)
	}
	for rank, result := range g.Results() {
		if want := fmt.Sprint(len(c.Argument)); string(result) != want {
			t.Errorf("rank %d has read %q bytes, not %s", rank, result, want)
		}
	}
	if grown := peak.grown(); grown > 3*n<<20 {
		t.Errorf("with %d arguments on their way the heap grew by %d bytes", n, grown)
	}
}

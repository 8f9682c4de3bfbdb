package engine

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/go-muster/muster/actors/host/certs"
	"github.com/go-muster/muster/actors/host/internal/testnet"
	"github.com/go-muster/muster/actors/process/processtest"
)

// alone starts an engine in a program of its own: its arguments are the directory of its certificate, and where it listens.
func alone() (*actor.ActorSystem, *Engine) {
	c, err := certs.Load(os.Args[1])
	if err != nil {
		panic(err)
	}
	system := actor.NewActorSystem(actor.WithLoggerFactory(quietly))
	e, err := Start(system, Config{Listen: os.Args[2], Open: []string{"box"}, TLS: c, Logger: quiet()})
	if err != nil {
		panic(err)
	}
	return system, e
}

// hangUp blocks until the test has closed our standard input.
func hangUp() { _, _ = os.Stdin.Read(make([]byte, 1)) }

// sinkHelper writes what it gets, and when.
var sinkHelper = processtest.Helper("sink", func() {
	system, e := alone()
	props := actor.PropsFromFunc(func(c actor.Context) {
		if m, is := c.Message().(*wrapperspb.BytesValue); is {
			fmt.Printf("%s %d\n", m.Value, time.Now().UnixNano())
		}
	})
	if _, err := system.Root.SpawnNamed(props, "box"); err != nil {
		panic(err)
	}
	fmt.Println("0 0 0")
	hangUp()
	e.Stop()
})

// sourceHelper sends a number, and when that was, a hundred times a second.
var sourceHelper = processtest.Helper("source", func() {
	system, e := alone()
	go func() {
		n := 0
		for range time.Tick(10 * time.Millisecond) {
			n++
			system.Root.Send(actor.NewPID(os.Args[3], "box"), wrapperspb.Bytes(fmt.Appendf(nil, "%d %d", n, time.Now().UnixNano())))
		}
	}()
	hangUp()
	e.Stop()
})

// heard is one line of a sink.
type heard struct {
	n         int
	sent, got int64 // nanoseconds; both programs have the same clock
}

// A program is a helper that runs.
type program struct {
	cmd   *exec.Cmd
	heard chan heard
}

// run starts a helper, on a host if there is one.
func run(t *testing.T, h *testnet.Host, helper string, args ...string) *program {
	t.Helper()
	command := processtest.Command(t, helper, args...)
	p := &program{exec.Command(command.Args[0], command.Args[1:]...), make(chan heard, 1<<16)}
	p.cmd.Env, p.cmd.Stderr = append(os.Environ(), command.Env...), os.Stderr
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	begin := p.cmd.Start
	if h != nil {
		begin = func() error { return h.Start(p.cmd) }
	}
	if err := begin(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.read(out)
		_ = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		in.Close()
		_ = p.cmd.Process.Signal(syscall.SIGCONT)
		select {
		case <-ended:
		case <-time.After(patience):
			_ = p.cmd.Process.Kill()
			<-ended
			t.Errorf("the %s does not end", helper)
		}
	})
	return p
}

func (p *program) read(out io.Reader) {
	defer close(p.heard)
	for s := bufio.NewScanner(out); s.Scan(); {
		var l heard
		if _, err := fmt.Sscan(s.Text(), &l.n, &l.sent, &l.got); err == nil {
			p.heard <- l
		}
	}
}

// TestHealing: after a partition messages flow again, in order, whether the connection has survived it or not. How soon is logged.
func TestHealing(t *testing.T) {
	for _, length := range []time.Duration{time.Second, 2200 * time.Millisecond, 3 * time.Second, 10 * time.Second} {
		t.Run(length.String(), func(t *testing.T) {
			processtest.Check(t)
			n := testnet.New(t, "a", "b")
			a, b := n.Host("a"), n.Host("b")
			dir := t.TempDir()
			if _, err := certs.Create(dir, []string{"a," + a.Addr(), "b," + b.Addr()}, certs.Options{}); err != nil {
				t.Fatal(err)
			}
			sink := run(t, b, sinkHelper, filepath.Join(dir, "b"), b.Addr()+":7070").heard
			<-sink // it listens
			run(t, a, sourceHelper, filepath.Join(dir, "a"), a.Addr()+":7070", b.Addr()+":7070")
			last := 0
			next := func() heard {
				select {
				case l, more := <-sink:
					if !more {
						t.Fatal("the sink has ended")
					}
					if l.n <= last {
						t.Errorf("%d comes after %d", l.n, last)
					}
					last = l.n
					return l
				case <-time.After(patience):
					t.Fatal("nothing is heard")
				}
				return heard{}
			}
			for next().n < 50 {
			}
			cut := time.Now().UnixNano()
			b.Cut()
			processtest.Delay(length) // that is the partition
			b.Heal()
			healed := time.Now().UnixNano()
			before := last
			var l heard
			for l = next(); l.got < healed; l = next() {
				before = l.n
			}
			flows := time.Duration(l.got - healed)
			lost := l.n - before - 1
			for l.sent < healed { // sent after it: in order, next sees to that
				was := l.n
				if l = next(); l.n != was+1 {
					lost += l.n - was - 1
				}
			}
			t.Logf("cut off for %v: messages flow again after %v; %d of %d are lost", length, flows, lost, (healed-cut)/1e7)
		})
	}
}

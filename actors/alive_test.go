//go:build unix

package actors_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-muster/muster/actors"
	"github.com/go-muster/muster/actors/actorstest"
	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/transport/worker"
)

// play starts a rank whose process is played, and takes its Started.
func play(t *testing.T, change func(*actors.Config)) (*family, *actorstest.Process) {
	t.Helper()
	l := actorstest.NewLauncher(t)
	f := start(t, l, change)
	p := l.Next(f.ctx)
	f.want(&actors.Started{ID: id, PID: p.PID()})
	return f, p
}

// leave ends a played process, and with it the life.
func (f *family) leave(p *actorstest.Process) {
	f.t.Helper()
	p.Exit(process.Exit{})
	f.want(&actors.Exited{ID: id, PID: p.PID()})
	f.wantEnd()
}

// TestBeats: each heartbeat is told, unless a worker sends far more than it was asked for.
func TestBeats(t *testing.T) {
	processtest.Check(t)
	f, p := play(t, func(c *actors.Config) { c.Heartbeat = time.Hour })
	if p.Command.Heartbeat != time.Hour {
		t.Errorf("the command asks for %v", p.Command.Heartbeat)
	}
	for seq := range 5 {
		p.Beat(seq)
		f.want(&actors.Beat{ID: id, Seq: seq})
	}
	for seq := range 10_000 {
		p.Beat(seq)
	}
	p.Ready()
	beats := 5
	for fact := f.next(); ; fact = f.next() {
		if _, beat := fact.(*actors.Beat); !beat {
			break
		}
		beats++
	}
	if beats != actors.Burst {
		t.Errorf("%d beats were told", beats)
	}
	f.leave(p)
}

// TestProgress: the newest count is told, and a smaller one never.
func TestProgress(t *testing.T) {
	processtest.Check(t)
	progress := func(n uint64, text string) any { return &actors.Progress{ID: id, Count: n, Text: text} }
	f, p := play(t, nil)
	p.Progress(0, "")
	p.Progress(7, "a")
	p.Progress(6, "late")
	p.Progress(7, "a")
	p.Progress(7, "b")
	f.want(progress(0, ""), progress(7, "a"), progress(7, "b"))
	f.leave(p)
}

// TestProgressFlood: of a worker that keeps no pace a part is told, and the last count always: before its last word, or
// after a moment if it says nothing more.
func TestProgressFlood(t *testing.T) {
	x := boom()
	for name, last := range map[string]struct {
		word func(*actorstest.Process)
		fact []any
	}{
		"a result":     {func(p *actorstest.Process) { p.Return(nil) }, []any{&actors.Returned{ID: id}}},
		"an exception": {func(p *actorstest.Process) { p.Raise(x) }, []any{&actors.Raised{ID: id, Exception: x}}},
		"the exit":     {func(p *actorstest.Process) { p.Exit(process.Exit{Code: 3}) }, nil},
		"nothing":      {func(*actorstest.Process) {}, nil},
	} {
		t.Run("then "+name, func(t *testing.T) {
			processtest.Check(t)
			f, p := play(t, nil)
			for n := range uint64(flood) {
				p.Progress(n+1, "")
			}
			last.word(p)
			f.wantFlood()
			f.want(last.fact...)
			exit := process.Exit{Code: 3}
			if name != "the exit" {
				p.Exit(exit)
			}
			f.want(&actors.Exited{ID: id, PID: p.PID(), Exit: exit})
			f.wantEnd()
		})
	}
}

// flood is how much a worker without a pace says.
const flood = 100_000

// wantFlood takes facts that grow up to flood, far fewer than that.
func (f *family) wantFlood() {
	f.t.Helper()
	told, count := 0, uint64(0)
	for count != flood {
		fact := f.next()
		m, ok := fact.(*actors.Progress)
		if !ok || m.Count <= count {
			f.t.Fatalf("told %s after %d of %d", show(fact), count, flood)
		}
		told, count = told+1, m.Count
	}
	if told > flood/100 {
		f.t.Errorf("%d facts of %d messages", told, flood)
	}
}

// TestDumps: the order reaches the process, and each answer the parent; what nobody asked for does not.
func TestDumps(t *testing.T) {
	processtest.Check(t)
	f, p := play(t, func(c *actors.Config) { c.Dumps = true })
	if !p.Command.Dumps {
		t.Error("the command does not say that dumps may come")
	}
	p.Dump("too early")
	for range 2 {
		f.send(&actors.Dump{})
		if order := p.Order(f.ctx); order != (actors.Dump{}) {
			t.Fatalf("order %v", order)
		}
		p.Dump("goroutine 1")
		f.want(&actors.Dumped{ID: id, Text: "goroutine 1"})
	}
	p.Dump("once more")
	f.leave(p)
}

// TestProbe: what a probe finds is told as it comes, and decides even about a worker that speaks.
func TestProbe(t *testing.T) {
	refused := errors.New("connection refused")
	for _, speaks := range []bool{false, true} {
		t.Run(fmt.Sprintf("speaks %v", speaks), func(t *testing.T) {
			processtest.Check(t)
			f, p := play(t, func(c *actors.Config) { c.Command.Speaks, c.Command.Ready = speaks, &process.Probe{FD: true} })
			p.Probe(refused)
			p.Ready()
			f.want(&actors.Probing{ID: id, Err: refused})
			again, is := f.next().(*actors.Probing)
			if !is || again.ID != id || again.Err.Error() != "its user code runs: connection refused" || !errors.Is(again.Err, refused) {
				t.Errorf("after the worker's Ready it tells %+v", again)
			}
			p.Probe(nil)
			f.want(&actors.Ready{ID: id})
			f.leave(p)
		})
	}
}

func init() {
	worker.Register("alive", func(context.Context, worker.Info) error {
		worker.Progress(7, "waiting")
		select {}
	})
}

// TestAlive: the facts of a real worker, in their order, and its answer to an order.
func TestAlive(t *testing.T) {
	processtest.Check(t)
	f := start(t, process.Local(), func(c *actors.Config) {
		c.Command, c.Heartbeat = process.Reexec("alive"), 5*time.Millisecond
	})
	var told []string
	beats, dumps := 0, 0
	for !slices.Contains(told, "Exited") {
		switch m := f.next().(type) {
		case *actors.Beat:
			if beats++; m.Seq != beats {
				t.Errorf("beat %d has the number %d", beats, m.Seq)
			}
		case *actors.Progress:
			if *m != (actors.Progress{ID: id, Count: 7, Text: "waiting"}) {
				t.Errorf("%+v", m)
			}
			f.send(&actors.Dump{})
		case *actors.Dumped:
			if dumps++; !strings.Contains(m.Text, "goroutine ") {
				t.Errorf("dump %q", m.Text)
			}
		default:
			told = append(told, strings.TrimPrefix(fmt.Sprintf("%T", m), "*actors."))
		}
		if beats > 0 && dumps > 0 {
			f.send(&actors.Kill{})
		}
	}
	if want := []string{"Started", "Hello", "Ready", "Exited"}; !slices.Equal(told, want) || beats == 0 || dumps != 1 {
		t.Errorf("told %q, want %q; %d beats, %d dumps", told, want, beats, dumps)
	}
	f.wantEnd()
}

package process_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/transport"
	"github.com/go-muster/muster/transport/worker"
	"github.com/go-muster/muster/transport/worker/python"
)

const steps = 100_000

func init() {
	loop := func(end func() error) func(context.Context, worker.Info) error {
		return func(context.Context, worker.Info) error {
			for step := range uint64(steps + 1) {
				worker.Progress(step, "training")
			}
			return end()
		}
	}
	worker.Register("progress, then return", loop(func() error { return nil }))
	worker.Register("progress, then an error", loop(func() error { return errors.New("no more data") }))
	worker.Register("progress, then a panic", loop(func() error { panic("boom") }))
	worker.Register("progress, then wait", loop(func() error { select {} }))
	worker.Register("stuck", func(context.Context, worker.Info) error { return getStuck(0) })
	worker.Register("stuck in a crowd", func(context.Context, worker.Info) error { return getStuck(3000) })
}

// getStuck says so, and waits for ever beside other goroutines that do.
func getStuck(others int) error {
	for range others {
		go func() { select {} }()
	}
	worker.Progress(1, "")
	select {}
}

// said returns the messages of one kind, in their order. Called with the lock held, as in await, or after the exit.
func said[M transport.Message](r *recorder) (all []M) {
	for _, m := range r.messages {
		if m, ok := m.(M); ok {
			all = append(all, m)
		}
	}
	return all
}

// heard is said without the lock.
func heard[M transport.Message](r *recorder) []M {
	r.mu.Lock()
	defer r.mu.Unlock()
	return said[M](r)
}

// TestProgress: a tight loop is told in a few messages that only grow, and its last count before the worker's last word.
func TestProgress(t *testing.T) {
	if worker.Progress(1, "nobody hears"); t.Failed() {
		t.Fatal("out of a rank it does something")
	}
	check := func(t *testing.T, r *recorder) {
		t.Helper()
		told := said[*transport.Progress](r)
		if n := len(told); n == 0 || n > steps/100 || *told[n-1] != (transport.Progress{Count: steps, Text: "training"}) {
			t.Fatalf("%d messages: %v", n, told)
		}
		for i, p := range told[1:] {
			if p.Count <= told[i].Count {
				t.Errorf("%d after %d", p.Count, told[i].Count)
			}
		}
	}
	for name, last := range map[string]transport.Kind{
		"progress, then return": transport.KindResult, "progress, then an error": transport.KindException,
		"progress, then a panic": transport.KindException,
	} {
		t.Run(name, func(t *testing.T) {
			processtest.Check(t)
			l, _ := run(t, process.Reexec(name))
			check(t, l.recorder)
			if got := l.messages[len(l.messages)-1].Kind(); got != last {
				t.Errorf("the last word is %v", got)
			}
		})
	}
	t.Run("progress, then wait", func(t *testing.T) {
		processtest.Check(t)
		l := launch(t, process.Reexec("progress, then wait"))
		l.await("the last count", func() bool {
			told := said[*transport.Progress](l.recorder)
			return len(told) > 0 && told[len(told)-1].Count == steps
		})
		l.Kill()
		l.awaitExit()
		check(t, l.recorder)
	})
}

// TestHeartbeat: a worker is asked for heartbeats by its command.
func TestHeartbeat(t *testing.T) {
	processtest.Check(t)
	c := process.Reexec("deaf")
	c.Heartbeat = 2 * time.Millisecond
	l := launch(t, c)
	l.await("three heartbeats", func() bool { return len(said[*transport.Heartbeat](l.recorder)) >= 3 })
	for i, b := range heard[*transport.Heartbeat](l.recorder)[:3] {
		if b.Seq != i+1 {
			t.Errorf("heartbeat %d has the number %d", i+1, b.Seq)
		}
	}
}

// TestDumpMessage: a function that is stuck tells where, as often as it is asked, and lives on.
func TestDumpMessage(t *testing.T) {
	for name, whole := range map[string]bool{"stuck": true, "stuck in a crowd": false} {
		t.Run(name, func(t *testing.T) {
			processtest.Check(t)
			l := launch(t, process.Reexec(name))
			l.await("it is stuck", func() bool { return len(said[*transport.Progress](l.recorder)) > 0 })
			for n := 1; n <= 2; n++ {
				l.Dump()
				l.await("a dump", func() bool { return len(said[*transport.Dump](l.recorder)) == n })
			}
			text := heard[*transport.Dump](l.recorder)[1].Text
			if !strings.Contains(text, "getStuck") || len(text) > 256<<10 || whole == strings.Contains(text, "… left out …") {
				t.Errorf("%d bytes:\n%s", len(text), shorten(text))
			}
			l.Stop("test", time.Minute)
			if exit := l.awaitExit(); !exit.Stopped || exit.Err != nil {
				t.Errorf("exit %+v", exit)
			}
		})
	}
}

// TestDumpUnheard: a process that does not speak, or does not read, is asked in vain and holds up nobody.
func TestDumpUnheard(t *testing.T) {
	for _, plain := range []bool{false, true} {
		processtest.Check(t)
		c := shell("echo here; sleep 1000")
		c.Plain = plain
		l := launch(t, c)
		l.awaitOutput(process.Stdout, "here")
		for range 10_000 {
			l.Dump()
		}
		l.Kill()
		l.awaitExit()
		l.Dump()
	}
}

// TestPythonAlive: the same of a Python script that is busy.
func TestPythonAlive(t *testing.T) {
	processtest.Check(t)
	const script = "import muster\ndef busy():\n  muster.progress(7, 'epoch 1')\n  while True: pass\nbusy()"
	c := process.Command{Heartbeat: 5 * time.Millisecond, Speaks: true}
	c.Args, _ = python.Inject([]string{"python3", "-c", script})
	l := launch(t, c)
	l.await("progress", func() bool {
		told := said[*transport.Progress](l.recorder)
		return len(told) == 1 && *told[0] == transport.Progress{Count: 7, Text: "epoch 1"}
	})
	l.Dump()
	l.await("a dump", func() bool {
		dumps := said[*transport.Dump](l.recorder)
		return len(dumps) == 1 && strings.Contains(dumps[0].Text, "in busy\n")
	})
	l.await("a heartbeat", func() bool { return len(said[*transport.Heartbeat](l.recorder)) > 0 })
	if sdk := heard[*transport.Hello](l.recorder)[0].SDK; !strings.HasPrefix(sdk, "python/3.") {
		t.Errorf("the SDK is %q", sdk)
	}
}

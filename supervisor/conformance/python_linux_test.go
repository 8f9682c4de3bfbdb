package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport"
	"github.com/go-muster/muster/transport/worker"
	"github.com/go-muster/muster/transport/worker/python"
)

// supported are the versions of Python that the worker is for.
var supported = regexp.MustCompile(`^3\.(9|[1-9][0-9])\.`)

// eachPython runs a test with the Python on the PATH, and with one of each version of pyenv's.
func eachPython(t *testing.T, test func(t *testing.T, rank func(source string) process.Command)) {
	t.Helper()
	eachInterpreter(t, func(t *testing.T, path string) {
		test(t, func(source string) process.Command {
			argv, _ := python.Inject([]string{path, "-c", source})
			return process.Command{Args: argv, Speaks: true}
		})
	})
}

func eachInterpreter(t *testing.T, test func(t *testing.T, path string)) {
	t.Helper()
	paths := map[string]string{"PATH": interpreter()}
	versions, _ := filepath.Glob(filepath.Join(os.Getenv("HOME"), ".pyenv/versions/3.*"))
	for _, v := range versions {
		if name := filepath.Base(v); supported.MatchString(name) {
			paths[name] = filepath.Join(v, "bin/python3")
		}
	}
	for name, path := range paths {
		t.Run(name, func(t *testing.T) {
			processtest.Check(t)
			test(t, path)
		})
	}
}

// mixed is a rank in Go of a group that speaks two languages.
var mixed = worker.Func("mixed", func(ctx context.Context, me worker.Info, _ int) ([]any, error) {
	if err := worker.Barrier(ctx); err != nil {
		return nil, err
	}
	if err := worker.Set(ctx, fmt.Sprint("go ", me.Rank), me.Generation); err != nil {
		return nil, err
	}
	from, err := worker.Get[float64](ctx, "python 1")
	if err != nil {
		return nil, err
	}
	names, err := worker.AllGather(ctx, fmt.Sprintf("go %d@%d", me.Rank, me.Generation))
	if err != nil {
		return nil, err
	}
	last, err := worker.Broadcast(ctx, me.World-1, "")
	if err != nil {
		return nil, err
	}
	return []any{from, strings.Join(names, ", "), last}, nil
})

// mixedScript is the same in Python. One of them fails the first time, between two meetings.
const mixedScript = `
import muster
me = muster.info()
assert me.run_id == "mixed" and (me.local_rank, me.local_world_size) == (me.rank, me.world_size), me
muster.barrier()
muster.set("python %d" % me.rank, me.rank + 0.5)
assert muster.get("go 0") == me.generation
assert muster.lookup("no such key", 7) == 7
if me.rank == 1 and me.generation == 0:
    raise ValueError("first time")
names = muster.all_gather("python %d@%d" % (me.rank, me.generation))
last = muster.broadcast("from %d" % me.rank, source=me.world_size - 1)
muster.report([muster.get("python 1"), ", ".join(names), last])
`

// Ranks in Go and in Python meet each other, in every generation anew.
func TestPythonMeeting(t *testing.T) {
	want := []any{1.5, "go 0@1, python 1@1, go 2@1, python 3@1", "from 3"}
	eachPython(t, func(t *testing.T, rank func(string) process.Command) {
		inGo := process.Reexec(mixed.Name())
		inGo.Argument = []byte{0}
		g, err := supervisor.Start(t.Context(), supervisor.Spec{
			RunID: "mixed", Ranks: []process.Command{inGo, rank(mixedScript), inGo, rank(mixedScript)},
			Strategy: supervisor.AllForOne{Restarts: 1},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		for rank, value := range g.Results() {
			var got []any
			if err := transport.Unmarshal(value, &got); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("rank %d: %v, %v", rank, got, err)
			}
		}
	})
}

// pythonClerk is the clerk in Python, who does not die of SIGTERM but ends with his messages.
const pythonClerk = `
import muster, os, signal
signal.signal(signal.SIGTERM, lambda *_: None)
me = muster.info()
muster.tell("here", "clerk %d" % me.rank)
for n, m in enumerate(muster.messages()):
    if m.topic == "crash": os._exit(7)
    elif m.topic == "mute": muster.tell("here", "and does not answer")
    elif m.topic == "refuse": m.fail(m.value)
    elif m.topic == "relay": m.reply(muster.request("ask", m.value))
    elif m.wanted: m.reply("%d: %s from rank %d@%d" % (n, m.value, me.rank, me.generation))
muster.tell("saved", "clerk %d" % me.rank)
`

// Messages go both ways; the end of a rank is told in place of an answer; its next life answers for itself; and a loop over
// messages ends when the group is stopped.
func TestPythonMessages(t *testing.T) {
	eachPython(t, func(t *testing.T, rank func(string) process.Command) {
		in := newInbox()
		g, err := supervisor.Start(t.Context(), supervisor.Spec{
			Ranks: []process.Command{rank(pythonClerk), rank(pythonClerk)}, Strategy: supervisor.OneForOne{Restarts: 1},
		}, supervisor.WithMessages(in.take))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			<-in.here
		}
		ctx := t.Context()
		ask := func(rank int, topic, want string) {
			t.Helper()
			var answer string
			if err := g.Request(ctx, rank, topic, "hello", &answer); err != nil || answer != want {
				t.Errorf("%s: %q, %v", topic, answer, err)
			}
		}
		if err := g.Tell(ctx, 1, "note", "x"); err != nil {
			t.Error(err)
		}
		ask(1, "ask", "1: hello from rank 1@0")
		ask(1, "relay", "yes: hello")
		if err := g.Request(ctx, 1, "refuse", "no such shard", nil); !errors.Is(err, supervisor.ErrRefused) || !strings.Contains(err.Error(), "no such shard") {
			t.Errorf("refused: %v", err)
		}
		mute := make(chan error)
		go func() { mute <- g.Request(ctx, 1, "mute", "", nil) }()
		<-in.here
		if err := g.Tell(ctx, 1, "crash", ""); err != nil {
			t.Error(err)
		}
		if err := <-mute; !errors.Is(err, supervisor.ErrRankEnded) {
			t.Errorf("the rank died: %v", err)
		}
		if from := <-in.here; from != (process.ID{Rank: 1, Generation: 1}) {
			t.Fatalf("%v is here", from)
		}
		ask(1, "ask", "0: hello from rank 1@1")
		ask(0, "ask", "0: hello from rank 0@0")
		g.Stop("enough")
		if err := g.Wait(); !errors.Is(err, supervisor.ErrStopped) {
			t.Errorf("the group ended with %v", err)
		}
		for _, life := range []string{"0@0 saved clerk 0", "1@1 saved clerk 1"} {
			if !strings.Contains(strings.Join(in.seen, "\n"), life) {
				t.Errorf("no %q in %q", life, in.seen)
			}
		}
	})
}

// A Python rank that tells more than the window, and reports more than fits in a message, is held to what the supervisor takes,
// and all of it comes. E14.
func TestPythonVolume(t *testing.T) {
	const script = `
import muster
for n in range(10_000):
    muster.tell("line", str(n))
muster.report(bytes(5 << 20))
`
	eachPython(t, func(t *testing.T, rank func(string) process.Command) {
		in := newInbox()
		g, err := supervisor.Start(t.Context(), supervisor.Spec{Ranks: []process.Command{rank(script)}}, supervisor.WithMessages(in.take))
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		for n, line := range in.seen {
			if line != fmt.Sprintf("0@0 line %d", n) {
				t.Fatalf("line %d is %q", n, line)
			}
		}
		var value []byte
		if err := transport.Unmarshal(g.Results()[0], &value); err != nil || len(value) != 5<<20 || len(in.seen) != 10_000 {
			t.Errorf("%d bytes, %d lines, %v", len(value), len(in.seen), err)
		}
	})
}

// Python ranks that will never meet are told so, and who leaves a meeting in time may come again.
func TestPythonNoMeeting(t *testing.T) {
	const script = `
import muster
if muster.info().rank == 0:
    try: muster.barrier(timeout=0.01)
    except TimeoutError: pass
    muster.set("left", True)
muster.get("left")
muster.barrier()
if muster.info().rank == 0:
    try: muster.barrier()
    except muster.Refused as e: muster.report(str(e))
`
	eachPython(t, func(t *testing.T, rank func(string) process.Command) {
		g, err := supervisor.Start(t.Context(), supervisor.Spec{Ranks: []process.Command{rank(script), rank(script)}})
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		var why string
		if err := transport.Unmarshal(g.Results()[0], &why); err != nil || why != "barrier: rank 1 has ended, and will not come" {
			t.Errorf("%q, %v", why, err)
		}
	})
}

const examplePi = "../../examples/pi/pi.py"

// The example's ranks agree on the result, also after one of them failed, and a rank alone agrees with itself.
func TestPythonExample(t *testing.T) {
	type outcome struct {
		Pi   float64 `msgpack:"pi"`
		Seed uint32  `msgpack:"seed"`
	}
	eachInterpreter(t, func(t *testing.T, path string) {
		argv, _ := python.Inject([]string{path, examplePi, "--darts", "2000", "--fail-rank", "1"})
		g, err := supervisor.Start(t.Context(), supervisor.Spec{
			Ranks:    supervisor.Repeat(3, process.Command{Args: argv, Speaks: true}),
			Strategy: supervisor.AllForOne{Restarts: 1},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Wait(); err != nil || g.Report().Restarts != 1 {
			t.Fatalf("%d restarts, %v", g.Report().Restarts, err)
		}
		var got [3]outcome
		for rank, value := range g.Results() {
			if err := transport.Unmarshal(value, &got[rank]); err != nil || got[rank] != got[0] || got[rank].Pi < 3 || got[rank].Pi > 3.3 {
				t.Errorf("rank %d: %+v, %v", rank, got[rank], err)
			}
		}
		out, err := exec.CommandContext(t.Context(), path, examplePi, "--darts", "2000", "--rounds", "2").CombinedOutput()
		if err != nil || strings.Count(string(out), "pi is about 3.") != 2 {
			t.Errorf("alone: %v\n%s", err, out)
		}
	})
}

// The first script of docs/python.md does what is said there.
func TestPythonDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/python.md")
	if err != nil {
		t.Fatal(err)
	}
	_, script, _ := strings.Cut(string(text), "```python\n")
	script, _, _ = strings.Cut(script, "```")
	eachPython(t, func(t *testing.T, rank func(string) process.Command) {
		g, err := supervisor.Start(t.Context(), supervisor.Spec{Ranks: []process.Command{rank(script), rank(script)}})
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		for rank, value := range g.Results() {
			var got struct {
				Sizes []int `msgpack:"sizes"`
			}
			if err := transport.Unmarshal(value, &got); err != nil || !reflect.DeepEqual(got.Sizes, []int{2, 1}) {
				t.Errorf("rank %d: %v, %v", rank, got, err)
			}
		}
	})
}

package conformance_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	protoactor "github.com/asynkron/protoactor-go/actor"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport"
	"github.com/go-muster/muster/transport/worker"
)

// A clerk answers what it is asked until it is stopped.
var clerk = worker.Func("clerk", func(ctx context.Context, me worker.Info, name string) (string, error) {
	if err := worker.Tell(ctx, "here", name); err != nil {
		return "", err
	}
	for n := 0; ; n++ {
		select {
		case m := <-worker.Messages():
			var text string
			if err := m.Decode(&text); err != nil {
				_ = m.Fail(err)
				continue
			}
			switch m.Topic {
			case "end":
				return text, nil
			case "crash":
				os.Exit(7)
			case "mute":
			case "refuse":
				_ = m.Fail(errors.New(text))
			default:
				if m.Wanted() {
					_ = m.Reply(fmt.Sprintf("%d: %s from rank %d", n, text, me.Rank))
				}
			}
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
})

// An inbox is what the observer of a group's messages has seen.
type inbox struct {
	mu   sync.Mutex
	seen []string
	here chan process.ID
}

func newInbox() *inbox { return &inbox{here: make(chan process.ID, 100)} }

func (i *inbox) take(m *supervisor.Message) {
	var text string
	_ = m.Decode(&text)
	if m.Topic == "here" {
		i.here <- m.From
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.seen = append(i.seen, fmt.Sprintf("%v %s %s", m.From, m.Topic, text))
	if m.Wanted() {
		_ = m.Reply("yes: " + text)
	}
}

// clerks starts a group of clerks, all of which are there.
func clerks(t *testing.T, n int, opts ...supervisor.Option) (*supervisor.Group, *inbox) {
	t.Helper()
	in := newInbox()
	spec := supervisor.Spec{Ranks: supervisor.Repeat(n, process.Reexec(clerk.Name()))}
	for rank := range spec.Ranks {
		spec.Ranks[rank].Argument, _ = transport.Marshal(fmt.Sprintf("clerk %d", rank))
	}
	g, err := supervisor.Start(t.Context(), spec, append(opts, supervisor.WithMessages(in.take))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		g.Kill("the test is over")
		_ = g.Wait()
	})
	for range n {
		<-in.here
	}
	return g, in
}

// Requests are answered, in order; an error is the rank's own; the end of a rank is told at once, in place of an answer.
func TestMessages(t *testing.T) {
	processtest.Check(t)
	g, _ := clerks(t, 2)
	ctx := t.Context()
	for n := range 100 {
		if n%2 == 0 {
			if err := g.Tell(ctx, 1, "note", "x"); err != nil {
				t.Fatal(err)
			}
			continue
		}
		var answer string
		if err := g.Request(ctx, 1, "ask", "hello", &answer); err != nil || answer != fmt.Sprintf("%d: hello from rank 1", n) {
			t.Fatalf("%q, %v", answer, err)
		}
	}
	var failed *supervisor.MessageError
	err := g.Request(ctx, 0, "refuse", "no such shard", nil)
	if !errors.Is(err, supervisor.ErrRefused) || !errors.As(err, &failed) || failed.Rank != 0 || !strings.Contains(err.Error(), "no such shard") {
		t.Errorf("refused: %v", err)
	}
	if err := g.Request(ctx, 5, "ask", "hello", nil); !errors.Is(err, supervisor.ErrNoRank) {
		t.Errorf("rank 5 of 2: %v", err)
	}
	if err := g.Tell(ctx, 0, "muster.barrier", nil); !errors.Is(err, supervisor.ErrMessage) {
		t.Errorf("a topic of ours: %v", err)
	}
	if err := g.Tell(ctx, 0, "large", make([]byte, transport.MaxMail)); !errors.Is(err, supervisor.ErrMessage) {
		t.Errorf("a value too large: %v", err)
	}
	for _, odd := range []any{make(chan int), uintptr(1)} {
		if err := g.Tell(ctx, 0, "odd", odd); !errors.Is(err, supervisor.ErrMessage) {
			t.Errorf("a value that is none, %T: %v", odd, err)
		}
	}
	mute := make(chan error)
	go func() { mute <- g.Request(ctx, 0, "mute", "", nil) }()
	if err := g.Tell(ctx, 0, "crash", ""); err != nil {
		t.Fatal(err)
	}
	if err := <-mute; !errors.Is(err, supervisor.ErrRankEnded) || !errors.As(err, &failed) || failed.Generation != 0 {
		t.Errorf("the rank died: %v", err)
	}
	var exit *process.Exit
	if err := g.Wait(); !errors.As(err, &exit) || exit.Code != 7 {
		t.Errorf("the group ended with %v", err)
	}
	if err := g.Request(ctx, 1, "ask", "", nil); !errors.Is(err, supervisor.ErrStopped) {
		t.Errorf("after the end: %v", err)
	}
}

// Who knows of a rank can write to it: the message waits until the root has told of it, too.
func TestMessageToAdded(t *testing.T) {
	processtest.Check(t)
	known, goOn := make(chan struct{}), make(chan struct{})
	g, in := clerks(t, 1, supervisor.WithObserver(func(e supervisor.Event) {
		if e.Kind == supervisor.EventAdded {
			close(known)
			<-goOn
		}
	}))
	added := process.Reexec(clerk.Name())
	added.Argument, _ = transport.Marshal("clerk 1")
	failed := make(chan error, 2)
	go func() {
		_, err := g.Add([]process.Command{added}, "")
		failed <- err
	}()
	<-known
	go func() { failed <- g.Request(t.Context(), 1, "ask", "", nil) }()
	for range 10 { // meanwhile the request has come to the mailroom, most likely
		if err := g.Request(t.Context(), 0, "ask", "", nil); err != nil {
			t.Fatal(err)
		}
	}
	close(goOn)
	for range 2 {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	<-in.here
}

// A request whose context ends is forgotten, and its late answer, too.
func TestMessageDeadline(t *testing.T) {
	processtest.Check(t)
	g, _ := clerks(t, 1)
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	result := make(chan error)
	go func() { result <- g.Request(ctx, 0, "mute", "", nil) }()
	if err := g.Request(t.Context(), 0, "ask", "", nil); err != nil {
		t.Fatal(err)
	}
	cancel(enough)
	if err := <-result; err != enough {
		t.Errorf("cancelled: %v", err)
	}
	if err := g.Request(t.Context(), 0, "ask", "", nil); err != nil {
		t.Errorf("the next: %v", err)
	}
}

// An actor talks to a rank by its address, the same for all its lives, and is told what cannot be delivered.
func TestMessagesOfActors(t *testing.T) {
	processtest.Check(t)
	system := protoactor.NewActorSystem(protoactor.WithLoggerFactory(silent))
	g, _ := clerks(t, 2, supervisor.WithSystem(system))
	got := make(chan any, 10)
	asker := system.Root.Spawn(protoactor.PropsFromFunc(func(ctx protoactor.Context) {
		switch m := ctx.Message().(type) {
		case protoactor.SystemMessage, protoactor.AutoReceiveMessage:
		case string, uintptr:
			ctx.Request(g.PID(1), m)
		default:
			got <- m
		}
	}))
	defer func() { _ = system.Root.StopFuture(asker).Wait() }()
	system.Root.Send(asker, "hello")
	answer, ok := (<-got).(*supervisor.Message)
	var text string
	if !ok || answer.Decode(&text) != nil || text != "0: hello from rank 1" || answer.From != (process.ID{Rank: 1}) {
		t.Fatalf("the answer is %+v, %q", answer, text)
	}
	system.Root.Send(asker, uintptr(1)) // the encoder panics of one
	if failed, ok := (<-got).(*supervisor.MessageError); !ok || !errors.Is(failed, supervisor.ErrMessage) {
		t.Errorf("the answer to a value that is none is %+v", failed)
	}
	end, err := supervisor.NewMessage("end", "well")
	if err != nil {
		t.Fatal(err)
	}
	system.Root.Send(g.PID(1), end)
	for e := range g.Events() {
		if e.Kind == supervisor.EventExited && e.Rank == 1 {
			break
		}
	}
	system.Root.Send(asker, "are you there?")
	if failed, ok := (<-got).(*supervisor.MessageError); !ok || !errors.Is(failed, supervisor.ErrRankEnded) {
		t.Errorf("the answer is %+v", failed)
	}
	if again := g.PID(1); !again.Equal(g.PID(1)) || g.PID(-1) != nil {
		t.Error("the address changes")
	}
}

// shout sends messages, and asks, as fast as it can.
var shout = worker.Func("shout", func(ctx context.Context, me worker.Info, n int) (int, error) {
	for i := range n {
		if err := worker.Tell(ctx, "line", fmt.Sprint(i)); err != nil {
			return 0, err
		}
	}
	var answer string
	if err := worker.Request(ctx, "ask", "may I?", &answer); err != nil {
		return 0, err
	}
	if answer != "yes: may I?" {
		return 0, fmt.Errorf("the answer is %q", answer)
	}
	return n, nil
})

// shoutAll is shout by as many at once as there are, with one told by itself in between; what cannot be sent is refused.
var shoutAll = worker.Func("shout all", func(ctx context.Context, _ worker.Info, n int) (int, error) {
	texts := make([]string, n)
	for i := range texts {
		texts[i] = fmt.Sprint(i)
	}
	err := errors.Join(worker.TellAll(ctx, "line", texts[:n/2]), worker.Tell(ctx, "line", texts[n/2]),
		worker.TellAll(ctx, "line", texts[n/2+1:]), worker.TellAll(ctx, "line", []string(nil)))
	if err != nil {
		return 0, err
	}
	for _, refused := range []error{
		worker.TellAll(ctx, "muster.x", texts), worker.TellAll(ctx, "line", []chan int{nil}),
		worker.TellAll(ctx, "line", [][]byte{make([]byte, transport.MaxMail)}),
	} {
		if !errors.Is(refused, worker.ErrMessage) {
			return 0, fmt.Errorf("it is %v", refused)
		}
	}
	ended, end := context.WithCancel(ctx)
	end()
	if err := worker.TellAll(ended, "line", make([]string, 30_000)); !errors.Is(err, context.Canceled) {
		return 0, fmt.Errorf("after its context has ended: %v", err)
	}
	return n, nil
})

// What ranks tell comes whole and in order, by far more than fits into the window.
func TestMessagesToObserver(t *testing.T) {
	t.Run("one by one", func(t *testing.T) { testMessagesToObserver(t, shout) })
	t.Run("all at once", func(t *testing.T) { testMessagesToObserver(t, shoutAll) })
}

func testMessagesToObserver(t *testing.T, fn worker.Function[int, int]) {
	t.Helper()
	processtest.Check(t)
	const n = 30_000 // 64 bytes each: twice the window
	in := newInbox()
	if _, err := supervisor.Map(t.Context(), supervisor.Spec{}, fn, []int{n, n}, supervisor.WithMessages(in.take)); err != nil {
		t.Fatal(err)
	}
	for rank := range 2 {
		next := 0
		for _, line := range in.seen {
			var number int
			if _, err := fmt.Sscanf(line, fmt.Sprintf("%d@0 line %%d", rank), &number); err != nil {
				continue
			}
			if number != next {
				t.Fatalf("rank %d: line %d in place of %d", rank, number, next)
			}
			next++
		}
		if next != n {
			t.Errorf("rank %d: %d lines", rank, next)
		}
	}
}

// A listener that is an actor answers with Respond.
func TestMessagesToActor(t *testing.T) {
	processtest.Check(t)
	system := protoactor.NewActorSystem(protoactor.WithLoggerFactory(silent))
	lines := 0
	listener := system.Root.Spawn(protoactor.PropsFromFunc(func(ctx protoactor.Context) {
		if m, ok := ctx.Message().(*supervisor.Message); ok && m.Topic == "line" {
			lines++
		} else if ok {
			ctx.Respond("yes: may I?")
		}
	}))
	_, err := supervisor.Map(t.Context(), supervisor.Spec{}, shout, []int{100}, supervisor.WithSystem(system),
		supervisor.WithMessagesTo(listener))
	_ = system.Root.StopFuture(listener).Wait()
	if err != nil || lines != 100 {
		t.Errorf("%d lines, %v", lines, err)
	}
}

// Where nobody listens, whoever asks is told so, and the group hears of it.
func TestMessagesUnheard(t *testing.T) {
	processtest.Check(t)
	var notices []string
	observe := func(e supervisor.Event) {
		if e.Kind == supervisor.EventNotice {
			notices = append(notices, e.Reason)
		}
	}
	_, err := supervisor.Map(t.Context(), supervisor.Spec{}, shout, []int{1}, supervisor.WithObserver(observe))
	var x *transport.Exception
	if !errors.As(err, &x) || !strings.Contains(x.Error(), "WithMessages") {
		t.Errorf("the error is %v", err)
	}
	if len(notices) != 1 || !strings.Contains(notices[0], "WithMessages") {
		t.Errorf("the notices are %q", notices)
	}
}

// meet is a group that needs no port to know each other.
var meet = worker.Func("meet", func(ctx context.Context, me worker.Info, fail int) ([]string, error) {
	if err := worker.Barrier(ctx); err != nil {
		return nil, err
	}
	if me.Rank == 0 {
		if err := worker.Set(ctx, "address", "here: "+me.RunID); err != nil {
			return nil, err
		}
	}
	address, err := worker.Get[string](ctx, "address")
	if err != nil || address != "here: "+me.RunID {
		return nil, fmt.Errorf("the address is %q, %w", address, err)
	}
	if _, ok, err := worker.Lookup[string](ctx, "no such key"); ok || err != nil {
		return nil, fmt.Errorf("there is a key that nobody has set: %w", err)
	}
	if me.Rank == fail && me.Generation == 0 {
		return nil, errors.New("first time")
	}
	names, err := worker.AllGather(ctx, fmt.Sprintf("rank %d@%d", me.Rank, me.Generation))
	if err != nil {
		return nil, err
	}
	last, err := worker.Broadcast(ctx, me.World-1, fmt.Sprint("from ", me.Rank))
	return append(names, last), err
})

// Ranks meet through the supervisor, in every generation anew.
func TestMeeting(t *testing.T) {
	processtest.Check(t)
	for _, test := range []struct {
		name string
		fail int
		want []string
	}{
		{"once", -1, []string{"rank 0@0", "rank 1@0", "rank 2@0", "from 2"}},
		{"again", 1, []string{"rank 0@1", "rank 1@1", "rank 2@1", "from 2"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			spec := supervisor.Spec{Strategy: supervisor.AllForOne{Restarts: 1}}
			got, err := supervisor.Map(t.Context(), spec, meet, []int{test.fail, test.fail, test.fail})
			if err != nil {
				t.Fatal(err)
			}
			for rank, names := range got {
				if !slices.Equal(names, test.want) {
					t.Errorf("rank %d: %q", rank, names)
				}
			}
		})
	}
}

// apart is a group of ranks that do not meet.
var apart = worker.Func("apart", func(ctx context.Context, me worker.Info, how string) (string, error) {
	var err error
	switch {
	case how == "one ends" && me.Rank == 1:
		return "", nil
	case how == "one calls something else" && me.Rank == 1:
		_, err = worker.AllGather(ctx, 1)
	default:
		err = worker.Barrier(ctx)
	}
	if err == nil {
		return "", errors.New("they met")
	}
	return err.Error(), nil
})

// Ranks that will never meet are told so.
func TestNoMeeting(t *testing.T) {
	processtest.Check(t)
	for how, want := range map[string]string{
		"one ends":                 "rank 1 has ended, and will not come",
		"one calls something else": "rank ",
	} {
		got, err := supervisor.Map(t.Context(), supervisor.Spec{}, apart, []string{how, how, how})
		if err != nil || !strings.Contains(got[0], want) || !strings.Contains(got[2], want) {
			t.Errorf("%s: %q, %v", how, got, err)
		}
	}
}

// pour writes a result of many megabytes.
var pour = worker.Stream("pour", func(_ context.Context, me worker.Info, megabytes int, out io.Writer) error {
	block := make([]byte, 1<<20)
	for i := range megabytes {
		for j := range block {
			block[j] = byte(i + me.Rank)
		}
		if _, err := out.Write(block); err != nil {
			return err
		}
	}
	return nil
})

// A meter counts what it is given.
type meter struct {
	rank, bytes int
	wrong       bool
	end         error
	ended       bool
}

func (m *meter) Write(b []byte) (int, error) {
	for at := 0; at < len(b); at += 4096 {
		m.wrong = m.wrong || b[at] != byte((m.bytes+at)>>20+m.rank)
	}
	m.bytes += len(b)
	return len(b), nil
}

func (m *meter) CloseWithError(err error) error {
	m.end, m.ended = err, true
	return nil
}

// E14: 256 MB of results pass through in the memory of a few windows, and heartbeats go on.
func TestE14StreamedResults(t *testing.T) {
	processtest.Check(t)
	meters := []*meter{{rank: 0}, {rank: 1}, {rank: 2}}
	peak := newPeak()
	err := supervisor.MapTo(t.Context(), supervisor.Spec{}, pour, []int{256, 1, 0},
		func(id process.ID) (supervisor.ResultWriter, error) { return peak.watch(meters[id.Rank]), nil })
	if err != nil {
		t.Fatal(err)
	}
	for rank, want := range []int{256 << 20, 1 << 20, 0} {
		if m := meters[rank]; m.bytes != want || m.wrong || !m.ended || m.end != nil {
			t.Errorf("rank %d: %+v", rank, m)
		}
	}
	if grown := peak.grown(); grown > 48<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
}

// A peak is the largest heap seen while results were written.
type peak struct {
	mu          sync.Mutex
	before, top uint64
}

func newPeak() *peak {
	runtime.GC()
	return &peak{before: heap()}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func (p *peak) watch(w supervisor.ResultWriter) supervisor.ResultWriter { return &watched{w, p, 0} }

func (p *peak) look() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.top = max(p.top, heap())
}

func (p *peak) grown() uint64 { return max(p.top, p.before) - p.before }

type watched struct {
	supervisor.ResultWriter
	peak  *peak
	calls int
}

func (w *watched) Write(b []byte) (int, error) {
	if w.calls++; w.calls%16 == 0 {
		w.peak.look()
	}
	return w.ResultWriter.Write(b)
}

func silent(*protoactor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }

// bulk returns as many bytes as it was given.
var bulk = worker.Func("bulk", func(_ context.Context, _ worker.Info, b []byte) ([]byte, error) {
	return append(b, b...), nil
})

// S14, E14: arguments of 32 MB and results of 64 MB travel whole; a result that is larger than the group allows fails its rank
// with a word about it.
func TestE14LargeValues(t *testing.T) {
	processtest.Check(t)
	argument := bytes.Repeat([]byte("0123456789abcdef"), 2<<20)
	got, err := supervisor.Map(t.Context(), supervisor.Spec{MaxResult: 65 << 20}, bulk, [][]byte{argument, argument, nil})
	if err != nil {
		t.Fatal(err)
	}
	for rank, want := range [][]byte{append(argument[:len(argument):len(argument)], argument...), append(argument[:len(argument):len(argument)], argument...), nil} {
		if !bytes.Equal(got[rank], want) {
			t.Errorf("rank %d: %d bytes", rank, len(got[rank]))
		}
	}
	_, err = supervisor.Call(t.Context(), supervisor.Spec{}, bulk, argument)
	if err == nil || !strings.Contains(err.Error(), "more than 67108864 bytes") {
		t.Errorf("64 MiB and the msgpack header: %v", err)
	}
	_, err = supervisor.Call(t.Context(), supervisor.Spec{}, bulk, bytes.Repeat(argument, 2))
	if !errors.Is(err, supervisor.ErrSpec) || !strings.Contains(err.Error(), "file") {
		t.Errorf("an argument over 64 MiB: %v", err)
	}
}

// nilOrMissing returns what it was given: nothing is not nothing.
var nilOrMissing = worker.Func("nilOrMissing", func(_ context.Context, _ worker.Info, p *int) (*int, error) { return p, nil })

// A nil result is a result.
func TestNilResult(t *testing.T) {
	processtest.Check(t)
	seven := 7
	got, err := supervisor.Map(t.Context(), supervisor.Spec{}, nilOrMissing, []*int{nil, &seven})
	if err != nil || got[0] != nil || *got[1] != 7 {
		t.Errorf("%v, %v", got, err)
	}
}

// A life that ends in the middle of its result leaves a writer that knows it; the next has one of its own.
func TestStreamCutOff(t *testing.T) {
	processtest.Check(t)
	var mu sync.Mutex
	writers := map[process.ID]*meter{}
	open := func(id process.ID) (supervisor.ResultWriter, error) {
		mu.Lock()
		defer mu.Unlock()
		writers[id] = &meter{}
		return writers[id], nil
	}
	spec := supervisor.Spec{Strategy: supervisor.AllForOne{Restarts: 1}}
	if err := supervisor.MapTo(t.Context(), spec, spill, []int{1 << 20}, open); err != nil {
		t.Fatal(err)
	}
	first, second := writers[process.ID{}], writers[process.ID{Generation: 1}]
	if first == nil || !errors.Is(first.end, supervisor.ErrResultLost) || second == nil || second.end != nil || second.bytes != 1<<20 {
		t.Errorf("first %+v, second %+v", first, second)
	}
}

var spill = worker.Stream("spill", func(_ context.Context, me worker.Info, n int, out io.Writer) error {
	if _, err := out.Write(make([]byte, n)); err != nil || me.Generation > 0 {
		return err
	}
	os.Exit(3)
	return nil
})

package conformance_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport"
	"github.com/go-muster/muster/transport/worker"
)

// T14: 64 ranks that end at once, again and again. Nothing hangs, and no exit is lost. A round is 64 forks and as much of two
// processors as there is, so that several groups at once are no slower, and try each other's nerves: 500 rounds take some
// 25 s without the race detector and twice that with it, when the budget ends the test before.
func TestManyShortGroups(t *testing.T) {
	processtest.Check(t)
	const size, atOnce = 64, 4
	rounds, budget := times(500, 500, 10), 15*time.Second
	if soak {
		budget = time.Hour
	}
	start := time.Now()
	var begun, done atomic.Int64
	var groups sync.WaitGroup
	for range atOnce {
		groups.Go(func() {
			for begun.Add(1) <= int64(rounds) && time.Since(start) < budget && !t.Failed() {
				if exits, err := shortGroup(size); err != nil || exits != size {
					t.Errorf("%d good exits, %v", exits, err)
				}
				done.Add(1)
			}
		})
	}
	groups.Wait()
	t.Logf("%d of %d rounds of %d ranks in %v", done.Load(), rounds, size, time.Since(start))
	if done.Load() < int64(min(rounds, 10)) {
		t.Errorf("only %d rounds in %v", done.Load(), budget)
	}
}

// shortGroup runs a group that ends at once, and counts the good exits that are told.
func shortGroup(size int) (exits int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err = supervisor.Run(ctx, supervisor.Spec{Ranks: supervisor.Repeat(size, process.Command{Args: []string{"/bin/true"}})},
		supervisor.WithObserver(func(e supervisor.Event) {
			if e.Kind == supervisor.EventExited && e.Exit.Success() {
				exits++
			}
		}))
	return exits, err
}

// A census is what a supervisor process tells of itself.
type census struct {
	Threads    int
	Files      int
	Goroutines int
	RSS        int // KiB
	Heap       int // KiB, in use after a collection
}

func takeCensus() (c census) {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	tasks, err := os.ReadDir("/proc/self/task")
	check(err)
	status, err := os.ReadFile("/proc/self/status")
	check(err)
	_, rss, _ := strings.Cut(string(status), "VmRSS:")
	_, err = fmt.Sscan(rss, &c.RSS)
	check(err)
	c.Threads, c.Files, c.Goroutines, c.Heap = len(tasks), descriptors(), runtime.NumGoroutine(), int(m.HeapInuse>>10)
	return c
}

// ticks is the processor time of this process, in hundredths of a second.
func ticks() int {
	return field(os.Getpid(), 11) + field(os.Getpid(), 12)
}

type multitude struct {
	Before, During, After census
	Up, Down              time.Duration
	Idle                  int // ticks in two seconds
	Exits                 int
	Err                   string
}

// crowd is a supervisor of many ranks that sleep.
var crowd = processtest.Helper("crowd", func() {
	size := number(os.Args[1])
	var limit unix.Rlimit
	check(unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	limit.Cur = limit.Max
	check(unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
	sleeper := process.Command{Args: []string{"/bin/sleep", "1000"}}
	check(supervisor.Run(context.Background(), supervisor.Spec{Ranks: supervisor.Repeat(10, process.Command{Args: []string{"/bin/true"}})}))

	var m multitude
	m.Before = takeCensus()
	running := make(chan struct{})
	var exits atomic.Int64
	start := time.Now()
	g, err := supervisor.Start(context.Background(), supervisor.Spec{Ranks: supervisor.Repeat(size, sleeper), StartTimeout: time.Hour},
		supervisor.WithObserver(func(e supervisor.Event) {
			switch e.Kind {
			case supervisor.EventRunning:
				close(running)
			case supervisor.EventExited:
				exits.Add(1)
			}
		}))
	check(err)
	select {
	case <-running:
	case <-g.Done():
		check(g.Wait())
	}
	m.Up = time.Since(start)
	m.During = takeCensus()
	<-time.After(time.Second) // whatever is left to do is done
	idle := ticks()
	<-time.After(2 * time.Second)
	m.Idle = ticks() - idle
	start = time.Now()
	g.Stop("enough")
	m.Err = fmt.Sprint(g.Wait())
	m.Down, m.Exits = time.Since(start), int(exits.Load())
	m.After = takeCensus()
	check(json.NewEncoder(os.Stdout).Encode(m))
})

// T1: a thousand ranks cost memory, some descriptors, no threads, and nothing while they sleep.
func TestThousandSleepers(t *testing.T) {
	size := times(1000, 1000, 100)
	var out bytes.Buffer
	x := begin(t, supervisor.Spec{Ranks: []process.Command{processtest.Command(t, crowd, fmt.Sprint(size))}},
		supervisor.WithOutput(func(_ process.ID, s process.Stream, lines []byte) {
			if s == process.Stdout {
				out.Write(lines)
			}
		}))
	err := x.end()
	var m multitude
	var f *supervisor.Failure
	if errors.As(err, &f) && bytes.Contains(f.Exit.Stderr, []byte(supervisor.ErrSpec.Error())) { // so the preflight says
		t.Skipf("no %d ranks here: %s", size, f.Exit.Stderr)
	}
	if jerr := json.Unmarshal(out.Bytes(), &m); err != nil || jerr != nil {
		t.Fatalf("%v, %v after %q", err, jerr, out.String())
	}
	perRank := float64(m.During.RSS-m.Before.RSS) / float64(size)
	t.Logf("%d ranks: up in %v, down in %v; %d threads, %d descriptors, %d goroutines; %.1f KiB of memory each, %d ticks idle",
		size, m.Up, m.Down, m.During.Threads, m.During.Files, m.During.Goroutines, perRank, m.Idle)
	if m.Exits != size || !strings.Contains(m.Err, supervisor.ErrStopped.Error()) {
		t.Errorf("%d exits, %s", m.Exits, m.Err)
	}
	// A thousand ends at once are a thousand directories to remove, and the kernel removes one after the other.
	if m.During.Threads >= 50 || m.After.Threads >= 200 {
		t.Errorf("%d threads, %d in the end", m.During.Threads, m.After.Threads)
	}
	if perRank > 64 && !raceEnabled() {
		t.Errorf("%.1f KiB for each rank", perRank)
	}
	if m.Idle > 1 && !raceEnabled() {
		t.Errorf("%d ticks of processor time in 2 s of nothing", m.Idle)
	}
	if m.Down > stretched(3*time.Second) {
		t.Errorf("the stop took %v", m.Down)
	}
	if m.After.Files > m.Before.Files || m.After.Goroutines > m.Before.Goroutines+growthGoroutines {
		t.Errorf("before %+v, after %+v", m.Before, m.After)
	}
}

// raceEnabled reports whether this binary was built with the race detector, which multiplies memory.
func raceEnabled() bool {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return false
	}
	for _, s := range info.Settings {
		if s.Key == "-race" && s.Value == "true" {
			return true
		}
	}
	return false
}

// What comes and goes with a generation, and with the runtime, is no growth.
const (
	growthFiles      = 4
	growthGoroutines = 8
	growthThreads    = 8
)

func (c census) checkGrowth(t *testing.T, since census) {
	t.Helper()
	if c.Files > since.Files+growthFiles || c.Goroutines > since.Goroutines+growthGoroutines || c.Threads > since.Threads+growthThreads {
		t.Errorf("before %+v, after %+v", since, c)
	}
}

// A thousand restarts of a group leave nothing but what the report tells of each.
func TestThousandRestarts(t *testing.T) {
	processtest.Check(t)
	rounds := times(10_000, 1000, 50)
	warm := rounds / 5
	var first, last census
	g, err := supervisor.Start(context.Background(), supervisor.Spec{
		Strategy: supervisor.AllForOne{Restarts: rounds}, Ranks: []process.Command{{Args: []string{"/bin/false"}}},
	}, supervisor.WithObserver(func(e supervisor.Event) {
		switch {
		case e.Kind == supervisor.EventReaped && e.Generation == warm:
			first = takeCensus()
		case e.Kind == supervisor.EventReaped && e.Generation == rounds:
			last = takeCensus()
		}
	}))
	check(err)
	start := time.Now()
	f := as[*supervisor.Failure](t, g.Wait())
	if f.Generation != rounds || f.Exit.Code != 1 {
		t.Error(f)
	}
	last.checkGrowth(t, first)
	perRestart := float64(last.Heap-first.Heap) / float64(rounds-warm)
	t.Logf("%d restarts in %v; %.2f KiB of heap each; %+v", rounds, time.Since(start), perRestart, last)
	if perRestart > 4 && !testing.Short() && !raceEnabled() {
		t.Errorf("%.1f KiB of heap for each restart", perRestart)
	}
}

var _ = worker.Func("chatter", func(_ context.Context, me worker.Info, _ []string) (string, error) {
	for range 100 {
		fmt.Println(me.Generation)
	}
	return "", fmt.Errorf("%d", me.Generation)
})

// T28: a generation is silent when the next has begun: no line and no exception of it comes any more.
func TestSilenceOfOldGenerations(t *testing.T) {
	rounds := times(1000, 100, 10)
	processtest.Check(t)
	chatter := process.Reexec("chatter")
	var err error
	chatter.Argument, err = transport.Marshal([]string{})
	check(err)
	loud := sh(`trap "" TERM; while :; do echo $TORCHELASTIC_RESTART_COUNT; done`)
	crowd := sh(`sh -c 'while :; do echo $TORCHELASTIC_RESTART_COUNT; done' & while :; do echo $TORCHELASTIC_RESTART_COUNT; done`)
	var present, lines atomic.Int64
	var first, last census
	// What is wrong is kept: t.Errorf from a callback would have to be sure that the test is not over.
	wrong := make(chan string, 100)
	complain := func(format string, args ...any) {
		select {
		case wrong <- fmt.Sprintf(format, args...):
		default:
		}
	}
	start := time.Now()
	g, err := supervisor.Start(context.Background(), supervisor.Spec{
		Grace: 5 * time.Millisecond, Strategy: supervisor.AllForOne{Restarts: rounds}, Ranks: []process.Command{chatter, loud, crowd},
	}, supervisor.WithOutput(func(id process.ID, _ process.Stream, text []byte) {
		now := int(present.Load())
		if id.Generation != now {
			complain("output of %v in generation %d", id, now)
		}
		want := strconv.Itoa(id.Generation)
		for line := range bytes.Lines(text) {
			lines.Add(1)
			if got := strings.TrimSpace(string(line)); got != want && bytes.HasSuffix(line, []byte("\n")) {
				complain("%v says %q", id, got)
			}
		}
	}), supervisor.WithObserver(func(e supervisor.Event) {
		switch e.Kind {
		case supervisor.EventSpawn:
			present.Store(int64(e.Generation))
		case supervisor.EventFailed:
			if e.Failure.Exception != nil && e.Failure.Exception.Message != strconv.Itoa(e.Generation) {
				complain("exception %q in generation %d", e.Failure.Exception.Message, e.Generation)
			}
		case supervisor.EventReaped:
			switch e.Generation {
			case rounds / 5:
				first = takeCensus()
			case rounds:
				last = takeCensus()
			}
		}
		if e.Generation != int(present.Load()) && e.Kind != supervisor.EventGhost {
			complain("event %s of generation %d in generation %d", e.Kind, e.Generation, present.Load())
		}
	}))
	check(err)
	f := as[*supervisor.Failure](t, g.Wait())
	if f.Generation != rounds || f.Exception == nil {
		t.Error(f)
	}
	close(wrong)
	for text := range wrong {
		t.Error(text)
	}
	last.checkGrowth(t, first)
	t.Logf("%d restarts in %v, %d lines, %d ghosts; %+v", rounds, time.Since(start), lines.Load(), g.Report().Ghosts, last)
}

// T32: a rank that writes without end, to somebody who reads slowly, costs little memory and no line, and does not starve
// the others: they go on while nothing at all of it is read.
func TestFlood(t *testing.T) {
	processtest.Check(t)
	size := times(110_000_000, 14_000_000, 1_000_000) // 1 GB, 118 MB, 7 MB
	x := &flood{pause: make(chan struct{}), end: make(chan struct{})}
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	ranks := []process.Command{sh(`exec seq 1 "$1"`, fmt.Sprint(size)), sh(`while :; do echo tick; sleep 0.01; done`)}
	g, err := supervisor.Start(context.Background(), supervisor.Spec{Ranks: ranks}, supervisor.WithOutput(x.output),
		supervisor.WithObserver(func(e supervisor.Event) {
			if e.Kind == supervisor.EventExited && e.Rank == 0 {
				close(x.end)
			}
		}))
	check(err)
	<-x.end
	g.Stop("enough")
	if err := g.Wait(); !errors.Is(err, supervisor.ErrStopped) {
		t.Error(err)
	}
	if x.wrong != "" || x.last != size {
		t.Errorf("the last line is %d of %d: %s", x.last, size, x.wrong)
	}
	grown := int64(x.most) - int64(before.HeapAlloc)
	t.Logf("%d MB in %v; at most %d KiB of heap more; %d lines of the other rank", x.bytes>>20, time.Since(start), grown>>10, x.ticks.Load())
	if grown > 16<<20 {
		t.Errorf("%d KiB of heap", grown>>10)
	}
}

// A flood is the slow reader of rank 0, and the reader of rank 1.
type flood struct {
	calls, bytes, last int // of rank 0
	most               uint64
	wrong              string
	end                chan struct{} // closed when rank 0 has ended

	ticks atomic.Int64
	until atomic.Int64  // as long as rank 1 has not said this many lines,
	pause chan struct{} // nobody reads rank 0; closed then
}

func (x *flood) output(id process.ID, _ process.Stream, lines []byte) {
	if id.Rank == 1 {
		if n := x.ticks.Add(1); n == x.until.Load() {
			close(x.pause)
		}
		return
	}
	if x.calls++; x.calls == 10 {
		x.until.Store(x.ticks.Load() + 50)
		select {
		case <-x.pause:
		case <-time.After(patience):
			x.wrong = "rank 1 says nothing while nobody reads rank 0"
		}
	}
	if x.calls%8 == 0 {
		<-time.After(time.Millisecond) // a slow terminal
	}
	if x.calls%100 == 0 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		x.most = max(x.most, m.HeapAlloc)
	}
	x.bytes += len(lines)
	for line := range bytes.Lines(lines) {
		x.last++
		if n, err := strconv.Atoi(string(bytes.TrimSuffix(line, []byte("\n")))); n != x.last || err != nil {
			x.wrong = fmt.Sprintf("line %d is %q", x.last, line)
		}
	}
}

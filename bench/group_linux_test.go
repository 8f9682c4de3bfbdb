package bench_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport"
	"github.com/go-muster/muster/transport/worker"
)

func TestMain(m *testing.M) { processtest.Main(m) }

// A task is what a rank of a benchmark is told.
type task struct {
	Gate   string // a FIFO: a byte in it makes rank 0 raise
	Listen bool   // return when asked to stop, and do not just die of SIGTERM
}

var _ = worker.Func("work", func(ctx context.Context, me worker.Info, t task) (string, error) {
	if me.Rank == 0 {
		gate, err := os.OpenFile(t.Gate, os.O_RDWR, 0)
		if err != nil {
			return "", err
		}
		if _, err := gate.Read(make([]byte, 1)); err != nil {
			return "", err
		}
		return "", errors.New(strconv.FormatInt(clock(), 10))
	}
	if t.Listen {
		<-ctx.Done()
		return "", ctx.Err()
	}
	<-time.After(time.Hour)
	return "", nil
})

// clock is the same in all processes.
func clock() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err)
	}
	return ts.Nano()
}

// newGate makes a FIFO and returns it opened.
func newGate(b *testing.B) *os.File {
	b.Helper()
	path := filepath.Join(b.TempDir(), "gate")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		b.Fatal(err)
	}
	gate, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { gate.Close() })
	return gate
}

// ranksOf are n ranks with one task.
func ranksOf(b *testing.B, n int, t task) []process.Command {
	b.Helper()
	c := process.Reexec("work")
	c.Argument = encoded(b, t)
	return supervisor.Repeat(n, c)
}

func encoded(b *testing.B, v any) []byte {
	b.Helper()
	argument, err := transport.Marshal(v)
	if err != nil {
		b.Fatal(err)
	}
	return argument
}

// quiet discards what the ranks write.
var quiet = supervisor.WithOutput(nil)

// BenchmarkFailureToReturn is the time from the order to fail, which one of 8 ranks gets, to the return of Wait, when all
// peers are dead. raise-to-return begins when the worker's function returns its error.
func BenchmarkFailureToReturn(b *testing.B) {
	for _, listen := range []bool{false, true} {
		b.Run(fmt.Sprintf("ranks=8/listen=%v", listen), func(b *testing.B) {
			gate := newGate(b)
			var sum int64
			for b.Loop() {
				b.StopTimer()
				g, running, pids := startGroup(b, ranksOf(b, 8, task{gate.Name(), listen}), nil)
				<-running
				b.StartTimer()
				if _, err := gate.Write([]byte{0}); err != nil {
					b.Fatal(err)
				}
				err := g.Wait()
				now := clock()
				b.StopTimer()
				sum += now - raisedAt(b, err)
				checkGone(b, pids())
				b.StartTimer()
			}
			b.ReportMetric(float64(sum)/float64(b.N), "ns-raise-to-return/op")
		})
	}
}

// raisedAt returns what the clock was when the worker raised.
func raisedAt(b *testing.B, err error) int64 {
	b.Helper()
	var e *transport.Exception
	if !errors.As(err, &e) {
		b.Fatal(err)
	}
	at, err := strconv.ParseInt(e.Message, 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return at
}

// startGroup returns a group, a channel that gets a value whenever all its ranks run, and their pids.
func startGroup(b *testing.B, ranks []process.Command, s supervisor.Strategy) (*supervisor.Group, <-chan int, func() []int) {
	b.Helper()
	var mu sync.Mutex
	var pids []int
	running := make(chan int, 1)
	g, err := supervisor.Start(context.Background(), supervisor.Spec{Ranks: ranks, Strategy: s}, quiet,
		supervisor.WithObserver(func(e supervisor.Event) {
			switch e.Kind {
			case supervisor.EventStarted:
				mu.Lock()
				pids = append(pids, e.PID)
				mu.Unlock()
			case supervisor.EventRunning:
				running <- e.Generation
			}
		}))
	if err != nil {
		b.Fatal(err)
	}
	return g, running, func() []int {
		mu.Lock()
		defer mu.Unlock()
		return pids
	}
}

func checkGone(b *testing.B, pids []int) {
	b.Helper()
	for _, pid := range pids {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT|unix.WNOHANG, nil)
		if err != unix.ECHILD {
			b.Fatalf("pid %d is there: %v", pid, err)
		}
	}
}

// BenchmarkStartToDone runs groups of a program that ends at once. The bare ones are what os/exec alone takes for as many
// processes, started one after the other and waited for together.
func BenchmarkStartToDone(b *testing.B) {
	for _, n := range []int{1, 8, 64} {
		ranks := supervisor.Repeat(n, process.Command{Args: []string{"/bin/true"}})
		b.Run(fmt.Sprintf("ranks=%d", n), func(b *testing.B) {
			for b.Loop() {
				if err := supervisor.Run(context.Background(), supervisor.Spec{Ranks: ranks}, quiet); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("ranks=%d/bare", n), func(b *testing.B) {
			for b.Loop() {
				bare(b, n)
			}
		})
	}
}

// BenchmarkContainment runs groups of 8 with protections left out, to see what each costs.
func BenchmarkContainment(b *testing.B) {
	for name, layers := range map[string]process.Layers{
		"all":         {},
		"no-watchdog": {NoWatchdog: true},
		"no-cgroup":   {NoCgroup: true},
		"neither":     {NoWatchdog: true, NoCgroup: true},
	} {
		ranks, launcher := supervisor.Repeat(8, process.Command{Args: []string{"/bin/true"}}), process.LocalWith(layers)
		b.Run("layers="+name, func(b *testing.B) {
			for b.Loop() {
				err := supervisor.Run(context.Background(), supervisor.Spec{Ranks: ranks}, quiet, supervisor.WithLauncher(launcher))
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func bare(b *testing.B, n int) {
	var waits sync.WaitGroup
	for range n {
		cmd := exec.Command("/bin/true")
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		waits.Go(func() { _ = cmd.Wait() })
	}
	waits.Wait()
}

// BenchmarkRestartCycle is the time from the order to fail to the moment when all ranks of the next generation are ready.
func BenchmarkRestartCycle(b *testing.B) {
	b.Run("ranks=8", func(b *testing.B) {
		gate := newGate(b)
		g, running, _ := startGroup(b, ranksOf(b, 8, task{Gate: gate.Name()}), supervisor.AllForOne{Restarts: -1})
		<-running
		for b.Loop() {
			if _, err := gate.Write([]byte{0}); err != nil {
				b.Fatal(err)
			}
			<-running
		}
		g.Kill("the benchmark is over")
		if err := g.Wait(); !errors.Is(err, supervisor.ErrStopped) {
			b.Fatal(err)
		}
	})
}

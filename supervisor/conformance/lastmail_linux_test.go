package conformance_test

import (
	"context"
	"errors"
	"fmt"
	protoactor "github.com/asynkron/protoactor-go/actor"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport"
	"github.com/go-muster/muster/transport/worker"
)

// lastLines tells lines and ends at once.
var lastLines = worker.Func("lastLines", func(ctx context.Context, _ worker.Info, n int) (int, error) {
	for i := range n {
		if err := worker.Tell(ctx, "line", i); err != nil {
			return 0, err
		}
	}
	return n, nil
})

// G-5: what ranks tell just before they end reaches the function before the group is over.
func TestLastMessages(t *testing.T) {
	processtest.Check(t)
	const n = 3000
	var lines atomic.Int32
	_, err := supervisor.Map(t.Context(), supervisor.Spec{}, lastLines, []int{n, n}, supervisor.WithMessages(func(*supervisor.Message) {
		lines.Add(1)
	}))
	if err != nil || lines.Load() != 2*n {
		t.Errorf("%d lines of %d, %v", lines.Load(), 2*n, err)
	}
}

// G-9: a function that never returns holds up neither the end of the processes nor the report; Kill ends the group beside it.
func TestMessagesBlocked(t *testing.T) {
	processtest.Check(t)
	release, blocked := make(chan struct{}), make(chan struct{}, 10)
	defer close(release)
	ranks := make([]process.Command, 8)
	for rank := range ranks {
		ranks[rank] = process.Reexec(babble.Name())
		ranks[rank].Argument, _ = transport.Marshal(0)
	}
	g, err := supervisor.Start(t.Context(), supervisor.Spec{Ranks: ranks}, supervisor.WithMessages(func(*supervisor.Message) {
		blocked <- struct{}{}
		<-release
	}))
	if err != nil {
		t.Fatal(err)
	}
	<-blocked
	g.Stop("enough")
	processtest.Eventually(t, "all ranks have ended", func() bool {
		return !slices.ContainsFunc(g.Report().Ranks, func(r supervisor.RankReport) bool { return r.Outcome == supervisor.Running })
	})
	select {
	case <-g.Done():
		t.Error("the group is over while the function has not returned")
	default:
	}
	g.Kill("for good")
	if err := g.Wait(); !errors.Is(err, supervisor.ErrStopped) || !strings.Contains(err.Error(), "enough") {
		t.Errorf("the group ended with %v", err)
	}
}

// babble sends without end.
var babble = worker.Func("babble", func(ctx context.Context, _ worker.Info, _ int) (int, error) {
	for {
		if err := worker.Tell(ctx, "line", "x"); err != nil {
			return 0, err
		}
	}
})

// A function that panics, or ends its goroutine, is the end of the group.
func TestMessagesPanic(t *testing.T) {
	processtest.Check(t)
	for want, take := range map[string]func(*supervisor.Message){
		"no such luck": func(*supervisor.Message) { panic("no such luck") },
		"Goexit":       func(*supervisor.Message) { runtime.Goexit() },
	} {
		_, err := supervisor.Map(t.Context(), supervisor.Spec{}, babble, []int{0, 0}, supervisor.WithMessages(take))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "WithMessages") {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// impatient calls Barrier again when it has waited for long enough.
var impatient = worker.Func("impatient", func(ctx context.Context, me worker.Info, times int) (int, error) {
	if me.Rank == 1 {
		if _, err := worker.Get[int](ctx, "come"); err != nil {
			return 0, err
		}
		return 0, worker.Barrier(ctx)
	}
	for range times {
		soon, cancel := context.WithTimeout(ctx, time.Millisecond)
		err := worker.Barrier(soon)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			return 0, fmt.Errorf("the barrier of one of two ranks: %w", err)
		}
	}
	if err := worker.Set(ctx, "come", 1); err != nil {
		return 0, err
	}
	return times, worker.Barrier(ctx)
})

// A rank that gives a meeting up may come again at once.
func TestMeetingAgain(t *testing.T) {
	processtest.Check(t)
	if _, err := supervisor.Map(t.Context(), supervisor.Spec{}, impatient, []int{100, 100}); err != nil {
		t.Error(err)
	}
}

// A stuck writer blocks until its test is over.
type stuck struct {
	writes  chan<- struct{}
	release <-chan struct{}
}

func (s *stuck) Write(b []byte) (int, error) {
	s.writes <- struct{}{}
	<-s.release
	return len(b), nil
}

func (s *stuck) CloseWithError(error) error { return nil }

// A group that is stopped while a result cannot be written ends after its grace, and nothing is said to have survived.
func TestStopWhileWriterBlocks(t *testing.T) {
	processtest.Check(t)
	release, writes := make(chan struct{}), make(chan struct{}, 100)
	defer close(release)
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	go func() {
		for range 2 {
			<-writes
		}
		cancel(enough)
	}()
	spec := supervisor.Spec{Grace: 100 * time.Millisecond}
	err := supervisor.MapTo(ctx, spec, pour, []int{64, 0}, func(process.ID) (supervisor.ResultWriter, error) {
		return &stuck{writes, release}, nil
	})
	if !errors.Is(err, enough) || errors.Is(err, supervisor.ErrAbandoned) {
		t.Errorf("the group ended with %v", err)
	}
}

// pester asks with little patience.
var pester = worker.Func("pester", func(ctx context.Context, _ worker.Info, times int) (string, error) {
	for range times {
		soon, cancel := context.WithTimeout(ctx, time.Millisecond)
		err := worker.Request(soon, "ask", nil, nil)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			return "", fmt.Errorf("nobody answers, and yet: %w", err)
		}
	}
	return "", worker.Request(ctx, "last", nil, nil)
})

// An actor that does not answer leaves nobody behind that waits for it; one that is gone is an error.
func TestActorSilent(t *testing.T) {
	processtest.Check(t)
	system := protoactor.NewActorSystem(protoactor.WithLoggerFactory(silent))
	const times = 50
	waiters := -1
	listener := system.Root.Spawn(protoactor.PropsFromFunc(func(ctx protoactor.Context) {
		if m, ok := ctx.Message().(*supervisor.Message); ok && m.Topic == "last" {
			processtest.Eventually(t, "few actors are left", func() bool {
				waiters = 0
				for _, pids := range system.ProcessRegistry.LocalPIDs.LocalPIDs {
					waiters += pids.Count()
				}
				return waiters < times/2
			})
			ctx.Respond("yes")
		}
	}))
	call := func() error {
		_, err := supervisor.Call(t.Context(), supervisor.Spec{}, pester, times, supervisor.WithSystem(system),
			supervisor.WithMessagesTo(listener))
		return err
	}
	if err := call(); err != nil {
		t.Errorf("with %d actors: %v", waiters, err)
	}
	_ = system.Root.StopFuture(listener).Wait()
	if err := call(); err == nil || !strings.Contains(err.Error(), "is gone") {
		t.Errorf("without a listener: %v", err)
	}
}

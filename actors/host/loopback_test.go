package host_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-muster/muster/actors/host"
	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport"
	"github.com/go-muster/muster/transport/worker"
)

func TestMain(m *testing.M) { processtest.Main(m) }

const patience = 60 * time.Second

// open opens a pool on the loopback interface with agents in this very program, which end with the test.
func open(t *testing.T, c host.Config, names ...string) *host.Pool {
	t.Helper()
	c.Listen = "127.0.0.1:0"
	pool, err := host.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	var agents sync.WaitGroup
	ctx, leave := context.WithCancel(context.Background())
	for _, name := range names {
		agents.Go(func() {
			err := host.Serve(ctx, host.AgentConfig{Join: pool.Addr(), Name: name, Slots: 2, Launcher: process.LocalWith(process.Layers{})})
			if err != nil {
				t.Errorf("the agent of %s: %v", name, err)
			}
		})
	}
	t.Cleanup(func() {
		leave()
		agents.Wait()
		pool.Close()
	})
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if _, err := pool.Await(wait, len(names), 0, 0); err != nil {
		t.Fatal(err)
	}
	return pool
}

// lines collects output, by rank.
type lines struct {
	mu  sync.Mutex
	all map[int]*bytes.Buffer
}

func (l *lines) take(id process.ID, _ process.Stream, b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = map[int]*bytes.Buffer{}
	}
	if l.all[id.Rank] == nil {
		l.all[id.Rank] = &bytes.Buffer{}
	}
	l.all[id.Rank].Write(b)
}

func (l *lines) of(rank int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all[rank] == nil {
		return ""
	}
	return l.all[rank].String()
}

// TestEnvironment: ranks of several hosts find the contract of torchrun.
func TestEnvironment(t *testing.T) {
	processtest.Check(t)
	pool := open(t, host.Config{}, "a", "b")
	var out lines
	script := `echo $RANK/$WORLD_SIZE $LOCAL_RANK/$LOCAL_WORLD_SIZE $GROUP_RANK/$GROUP_WORLD_SIZE $MASTER_ADDR $((MASTER_PORT > 0))`
	err := supervisor.Run(t.Context(), supervisor.Spec{
		Ranks: supervisor.Repeat(4, process.Command{Args: []string{"/bin/sh", "-c", script}}),
	}, supervisor.WithLauncher(pool), supervisor.WithOutput(out.take))
	if err != nil {
		t.Fatal(err)
	}
	for rank, want := range []string{"0/4 0/2 0/2", "1/4 1/2 0/2", "2/4 0/2 1/2", "3/4 1/2 1/2"} {
		if got := out.of(rank); got != want+" 127.0.0.1 1\n" {
			t.Errorf("rank %d: %q, want %q", rank, got, want)
		}
	}
}

// TestFloodOverHosts: output of any size arrives whole and in order, in bounded pieces.
func TestFloodOverHosts(t *testing.T) {
	processtest.Check(t)
	pool := open(t, host.Config{}, "a", "b")
	var out lines
	err := supervisor.Run(t.Context(), supervisor.Spec{
		Ranks: supervisor.Repeat(4, process.Command{Args: []string{"/bin/sh", "-c", `seq 200000`}}),
	}, supervisor.WithLauncher(pool), supervisor.WithOutput(out.take))
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for i := range 200000 {
		fmt.Fprintln(&want, i+1)
	}
	for rank := range 4 {
		if got := out.of(rank); got != want.String() {
			t.Errorf("rank %d: %d bytes, want %d", rank, len(got), want.Len())
		}
	}
}

var double = worker.Func("double", func(_ context.Context, me worker.Info, in []byte) ([]byte, error) {
	if len(in) == 0 {
		return nil, errEmpty
	}
	return slices.Concat(in, in), nil
})

var errEmpty = errors.New("nothing to double")

func init() { transport.RegisterError("host_test.errEmpty", errEmpty) }

// TestFunctions: arguments and results of any size, and errors, cross hosts as they cross processes.
func TestFunctions(t *testing.T) {
	processtest.Check(t)
	pool := open(t, host.Config{}, "a", "b")
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // 4 MiB
	got, err := supervisor.Map(t.Context(), supervisor.Spec{}, double, [][]byte{{1}, big, {3}}, supervisor.WithLauncher(pool))
	if err != nil || len(got[1]) != 2*len(big) || !bytes.Equal(got[2], []byte{3, 3}) {
		t.Errorf("%v, %d results", err, len(got))
	}
	_, err = supervisor.Map(t.Context(), supervisor.Spec{}, double, [][]byte{{1}, {}}, supervisor.WithLauncher(pool))
	if !errors.Is(err, errEmpty) {
		t.Errorf("error %v, want %v", err, errEmpty)
	}
}

// An echo gives back what it is asked, once all ranks have what rank 0 has sent, until it is told to end.
var echo = worker.Func("echo", func(ctx context.Context, me worker.Info, in []byte) (int, error) {
	all, err := worker.Broadcast(ctx, 0, in)
	if err != nil {
		return 0, err
	}
	if err := worker.Request(ctx, "here", len(all), nil); err != nil {
		return 0, err
	}
	for n := 0; ; n++ {
		m := <-worker.Messages()
		var text string
		if err := m.Decode(&text); err != nil {
			return 0, err
		}
		switch m.Topic {
		case "end":
			return n, nil
		case "crash":
			os.Exit(7)
		}
		if err := m.Reply(text); err != nil {
			return 0, err
		}
	}
})

// TestMailOverHosts: messages of any size cross hosts both ways, each answer is that of its request, and the end of a rank is told in
// place of one.
func TestMailOverHosts(t *testing.T) {
	processtest.Check(t)
	pool := open(t, host.Config{}, "a", "b")
	s := supervisor.Spec{Ranks: supervisor.Repeat(4, process.Reexec(echo.Name()))}
	for rank := range s.Ranks {
		s.Ranks[rank].Argument, _ = transport.Marshal(make([]byte, 900<<10))
	}
	here := make(chan int, len(s.Ranks))
	g, err := supervisor.Start(t.Context(), s, supervisor.WithLauncher(pool), supervisor.WithMessages(func(m *supervisor.Message) {
		var size int
		if err := errors.Join(m.Decode(&size), m.Reply(nil)); err != nil {
			t.Error(err)
		}
		here <- size
	}))
	if err != nil {
		t.Fatal(err)
	}
	for range s.Ranks {
		if size := <-here; size != 900<<10 {
			t.Errorf("a rank has %d bytes of rank 0", size)
		}
	}
	var calls sync.WaitGroup
	for i := range 80 {
		calls.Go(func() {
			text, got := strings.Repeat(fmt.Sprint(i, " "), 1<<(i%18)), ""
			if err := g.Request(t.Context(), i%4, "", text, &got); err != nil || got != text {
				t.Errorf("request %d: %v, %d bytes", i, err, len(got))
			}
		})
	}
	calls.Wait()
	for rank := range 3 {
		if err := g.Tell(t.Context(), rank, "end", ""); err != nil {
			t.Error(err)
		}
	}
	if err := g.Request(t.Context(), 3, "crash", "", nil); !errors.Is(err, supervisor.ErrRankEnded) {
		t.Errorf("the last request ends with %v", err)
	}
	if f := new(supervisor.Failure); !errors.As(g.Wait(), &f) || f.Rank != 3 {
		t.Errorf("the group ends with %v", g.Wait())
	}
}

// TestRestartOverHosts: a restart of all, and of one.
func TestRestartOverHosts(t *testing.T) {
	processtest.Check(t)
	pool := open(t, host.Config{}, "a", "b")
	for _, s := range []supervisor.Strategy{supervisor.AllForOne{Restarts: 1}, supervisor.OneForOne{Restarts: 1}} {
		var out lines
		g, err := supervisor.Start(t.Context(), supervisor.Spec{
			Strategy: s,
			Ranks: supervisor.Repeat(4, process.Command{Args: []string{"/bin/sh", "-c",
				`[ $RANK$MUSTER_GENERATION = 20 ] && exit 3; echo $GROUP_RANK.$LOCAL_RANK; [ $MUSTER_GENERATION = 1 ] || exec sleep 1`}}),
		}, supervisor.WithLauncher(pool), supervisor.WithOutput(out.take))
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Wait(); err != nil {
			t.Errorf("%T: %v", s, err)
		}
		if got := out.of(2); got != "1.0\n" || g.Report().Restarts != 1 {
			t.Errorf("%T: %q, %d restarts", s, got, g.Report().Restarts)
		}
	}
}

// TestPreflightOverHosts: what a host cannot run is told before any process starts, by host.
func TestPreflightOverHosts(t *testing.T) {
	processtest.Check(t)
	pool := open(t, host.Config{}, "a", "b")
	err := supervisor.Run(t.Context(), supervisor.Spec{
		Ranks: supervisor.Repeat(2, process.Command{Args: []string{"/no/such/program"}}),
	}, supervisor.WithLauncher(pool))
	if !errors.Is(err, supervisor.ErrSpec) || !strings.Contains(fmt.Sprint(err), "host a: ") || !strings.Contains(fmt.Sprint(err), "host b: ") {
		t.Errorf("error %v", err)
	}
}

// TestSlots: an agent that bounds its slots is no place for more, which is told before anything starts.
func TestSlots(t *testing.T) {
	processtest.Check(t)
	pool := open(t, host.Config{PerHost: 3}, "a", "b") // of two slots each
	err := supervisor.Run(t.Context(), supervisor.Spec{Ranks: supervisor.Repeat(6, process.Command{Args: []string{"/bin/true"}})},
		supervisor.WithLauncher(pool))
	if !errors.Is(err, supervisor.ErrSpec) || !strings.Contains(fmt.Sprint(err), "host a: it has 2 slots, 3 are wanted: give its agent more (--slots)") {
		t.Errorf("error %v", err)
	}
	if hosts := pool.Hosts(); hosts[0].Places != 2 || !hosts[0].Capacity.Bound {
		t.Errorf("hosts %+v", hosts)
	}
}

package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-muster/muster/actors/host/internal/engine"
	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport"
)

// A figment is a simulated process: its worker says hello, is ready, beats, ends when it is told to, and fails when it gets a
// message.
type figment struct {
	pid      int
	observer process.Observer
	once     sync.Once
	over     chan struct{}
}

type figments struct{ last atomic.Int64 }

func (*figments) Check(process.Command) error         { return nil }
func (*figments) Guard(func(string)) (release func()) { return func() {} }
func (*figments) Containment() string                 { return "simulated" }
func (l *figments) Launch(_ process.ID, c process.Command, o process.Observer) (process.Process, error) {
	f := &figment{pid: int(l.last.Add(1)), observer: o, over: make(chan struct{})}
	o.Message(&transport.Hello{Min: 1, Max: 1, PID: f.pid, SDK: "simulated"})
	o.Message(&transport.Credit{Bytes: transport.MailWindow})
	o.Message(&transport.Ready{})
	if c.Heartbeat > 0 {
		go f.beat(c.Heartbeat) // ends with the process
	}
	return f, nil
}

func (f *figment) beat(every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-f.over:
			return
		case <-t.C:
			f.observer.Message(&transport.Heartbeat{})
		}
	}
}

func (f *figment) end(e process.Exit) {
	f.once.Do(func() {
		close(f.over)
		go f.observer.Exited(e)
	})
}

func (f *figment) PID() int { return f.pid }
func (f *figment) Stop(string, time.Duration) {
	f.end(process.Exit{Code: -1, Signal: 15, Stopped: true})
}
func (f *figment) Kill()                       { f.end(process.Exit{Code: -1, Signal: 9, Stopped: true}) }
func (f *figment) Dump()                       {}
func (f *figment) Signal(process.Signal) error { return nil }
func (f *figment) Post(m transport.Message) {
	if _, is := m.(*transport.Mail); is {
		f.end(process.Exit{Code: 3})
	}
}

// village is a process in which many agents live, each an actor of its own that joins the root over the network. Twenty share an
// engine, and with it a connection.
var village = processtest.Helper("village", func() {
	n, _ := strconv.Atoi(os.Args[2])
	slots, _ := strconv.Atoi(os.Args[3])
	var agents sync.WaitGroup
	for first := 0; first < n; first += 20 {
		hamlet(&agents, first, min(first+20, n), slots)
	}
	agents.Wait()
})

func hamlet(agents *sync.WaitGroup, first, end, slots int) {
	var names []string
	for i := first; i < end; i++ {
		names = append(names, fmt.Sprintf("host-%04d", i))
	}
	system := newSystem()
	e, err := engine.Start(system, engine.Config{Listen: "127.0.0.1:0", Open: names, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	for _, name := range names {
		a := newAgent(system, AgentConfig{
			Join: os.Args[1], Name: name, Reach: "127.0.0.1", Slots: slots, Launcher: &figments{}, Muster: "simulated",
		}, e.Address())
		if err := a.open(name); err != nil {
			panic(err)
		}
		agents.Go(func() {
			if err := a.serve(context.Background()); err != nil {
				panic(err)
			}
		})
	}
}

// A settlement is a root with many simulated hosts.
type settlement struct {
	pool  *Pool
	hosts *exec.Cmd
	n     int
}

func populate(tb testing.TB, n, slots int) *settlement {
	pool, err := Open(Config{Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatal(err)
	}
	command := processtest.Command(tb, village, pool.Addr(), strconv.Itoa(n), strconv.Itoa(slots))
	s := &settlement{pool: pool, n: n, hosts: exec.Command(command.Args[0], command.Args[1:]...)}
	s.hosts.Env = append(os.Environ(), command.Env...)
	s.hosts.Stderr = os.Stderr
	if err := s.hosts.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		pool.Close()
		_ = s.hosts.Wait()
	})
	ctx, cancel := context.WithTimeout(tb.Context(), 2*time.Minute)
	defer cancel()
	if _, err := pool.Await(ctx, n, 0, 0); err != nil {
		_ = s.hosts.Process.Kill()
		tb.Fatal(err)
	}
	return s
}

// A cost is what the root has spent.
type expense struct {
	wall   time.Time
	cpu    time.Duration
	frames uint64
	heap   uint64
}

func (s *settlement) spent() expense {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return expense{time.Now(), time.Duration(u.Utime.Nano() + u.Stime.Nano()), s.pool.frames.Load(), m.HeapAlloc + m.StackInuse}
}

// run starts a group, has one rank fail, waits until all are there again, lets them beat for a while, and stops the group. Between
// two deeds mark is called with what was done.
func (s *settlement) run(tb testing.TB, slots int, idle time.Duration, mark func(string)) {
	running := make(chan int, 8)
	g, err := supervisor.Start(tb.Context(), supervisor.Spec{
		Ranks:        supervisor.Repeat(s.n*slots, process.Command{Args: []string{"simulated"}, Speaks: true}),
		Strategy:     supervisor.AllForOne{Restarts: 1},
		Liveness:     supervisor.Liveness{Heartbeat: time.Second, Silence: time.Minute},
		StartTimeout: 2 * time.Minute,
	}, supervisor.WithLauncher(s.pool), supervisor.WithObserver(func(e supervisor.Event) {
		if e.Kind == supervisor.EventRunning {
			running <- e.Generation
		}
	}))
	if err != nil {
		tb.Fatal(err)
	}
	<-running
	mark("start")
	if err := g.Tell(tb.Context(), 0, "fail", nil); err != nil {
		tb.Fatal(err)
	}
	<-running
	mark("restart")
	if idle > 0 {
		<-time.After(idle) // it is measured, not waited for
		mark("idle")
	}
	g.Stop("it was enough")
	if err := g.Wait(); !errors.Is(err, supervisor.ErrStopped) {
		tb.Fatal(err)
	}
	mark("stop")
}

// TestManyHosts: what the root and a host tell each other grows with the host's own ranks, and not with the number of hosts; signs
// of life come by the host, not by the rank (F-28).
func TestManyHosts(t *testing.T) {
	const slots = 8
	perHost := map[int]map[string]float64{}
	for n, idle := range map[int]time.Duration{20: 0, 100: 3 * time.Second} {
		s := populate(t, n, slots)
		perHost[n] = map[string]float64{}
		before := s.pool.frames.Load()
		s.run(t, slots, idle, func(deed string) {
			now := s.pool.frames.Load()
			perHost[n][deed] = float64(now-before) / float64(n)
			before = now
		})
	}
	t.Log("frames per host: ", perHost)
	for _, deed := range []string{"start", "restart", "stop"} {
		if few, many := perHost[20][deed], perHost[100][deed]; many > 1.5*few+5 {
			t.Errorf("%s: %.1f frames for each of 100 hosts, %.1f for each of 20", deed, many, few)
		}
	}
	// In 3 s a host of 8 ranks that beat every second asks for its lease twice, which is answered, and tells of beats 12 times at the
	// most: not 24.
	if idle := perHost[100]["idle"]; idle > 18 {
		t.Errorf("%.1f frames from and to each idle host in 3 s", idle)
	}
}

// BenchmarkHosts reports what a root spends on a group over many simulated hosts of 8 ranks each: for start, a failure with the
// restart of all ranks, 5 s in which they beat once a second, and stop. Run it with -benchtime 1x.
func BenchmarkHosts(b *testing.B) {
	const slots = 8
	for _, n := range []int{10, 100, 1000} {
		b.Run(fmt.Sprintf("hosts=%d", n), func(b *testing.B) {
			for b.Loop() {
				empty := (&settlement{pool: &Pool{}}).spent()
				s := populate(b, n, slots)
				before := s.spent()
				report := func(value float64, unit string) { b.ReportMetric(value, unit) }
				report(float64(before.heap-empty.heap)/float64(n)/1024, "KiB/host")
				s.run(b, slots, 5*time.Second, func(deed string) {
					now := s.spent()
					report(float64(now.wall.Sub(before.wall).Milliseconds()), deed+"-ms")
					report(float64((now.cpu-before.cpu).Microseconds())/float64(n), deed+"-µs-cpu/host")
					report(float64(now.frames-before.frames)/float64(n), deed+"-frames/host")
					if deed == "start" {
						report(float64(now.heap-before.heap)/float64(n*slots)/1024, "KiB/rank")
					}
					before = now
				})
			}
		})
	}
}

package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-muster/muster/actors"
	"github.com/go-muster/muster/actors/actorstest"
	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport"
	"github.com/go-muster/muster/transport/worker"
)

func TestWait(t *testing.T) {
	processtest.Check(t)
	p := begin(t, spec(2))
	var waiters sync.WaitGroup
	answers := make([]error, 50)
	for i := range answers {
		waiters.Go(func() { answers[i] = p.Wait() })
	}
	p.rank(0, 0).Exit(process.Exit{Code: 3})
	obey(p.rank(1, 0))
	waiters.Wait()
	var exit *process.Exit
	if !errors.As(answers[0], &exit) || exit.Code != 3 {
		t.Fatalf("the answer is %v", answers[0])
	}
	for _, again := range append(answers, p.Wait(), p.Wait()) {
		if again != answers[0] {
			t.Errorf("one answer is %v, another %v", answers[0], again)
		}
	}
	<-p.Done()
	p.Stop("too late")
	p.Kill("too late")
	p.Signal(syscall.SIGHUP)
	if r := p.Report(); r.Outcome != supervisor.Failed || p.Wait() != answers[0] {
		t.Errorf("a late stop changed the end: %v, %v", r.Outcome, p.Wait())
	}
}

func TestStopAgain(t *testing.T) {
	processtest.Check(t)
	p := begin(t, spec(1))
	p.Stop("once")
	p.Stop("twice")
	rank := p.rank(0, 0)
	p.expect(rank, actors.Stop{Reason: "supervisor: stopped: once", Grace: 30e9})
	p.Stop("thrice")
	p.Kill("at last")
	p.expect(rank, actors.Kill{}) // and no second stop before it
	rank.Exit(killed)
	p.expectEnd(supervisor.ErrStopped)
	if !strings.HasSuffix(p.Wait().Error(), "once") {
		t.Errorf("the end has another reason: %v", p.Wait())
	}
}

func TestContext(t *testing.T) {
	processtest.Check(t)
	reason := errors.New("the lights went out")
	ctx, cancel := context.WithCancelCause(context.Background())
	p := beginIn(ctx, t, spec(2))
	cancel(reason)
	obey(p.rank(0, 0))
	obey(p.rank(1, 0))
	if err := p.Wait(); err != reason {
		t.Errorf("the end is %v", err)
	}
	if r := p.Report(); r.Outcome != supervisor.Interrupted {
		t.Errorf("the report says %v", r.Outcome)
	}
}

// TestContextOfAnother: that the context ended because another group failed makes this one no failure.
func TestContextOfAnother(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	p := beginIn(ctx, t, spec(1))
	cancel(&supervisor.Failure{Rank: 7})
	obey(p.rank(0, 0))
	<-p.Done()
	if r := p.Report(); r.Outcome != supervisor.Interrupted {
		t.Errorf("the report says %v", r.Outcome)
	}
}

func TestSucceeds(t *testing.T) {
	processtest.Check(t)
	p := begin(t, spec(2))
	for rank := range 2 {
		proc := p.rank(rank, 0)
		proc.Return([]byte{byte(rank)})
		proc.Exit(process.Exit{})
	}
	p.expectEnd(nil)
	if got := p.Results(); got[0][0] != 0 || got[1][0] != 1 {
		t.Errorf("the results are %v", got)
	}
	for i, e := range p.events.list() {
		if e.Seq != i+1 {
			t.Fatalf("event %d has number %d:%s", i+1, e.Seq, p.events.kinds())
		}
	}
}

func TestLaunchFails(t *testing.T) {
	processtest.Check(t)
	p := begin(t, spec(1))
	p.rank(0, 0).Exit(process.Exit{})
	p.expectEnd(nil)

	launcher, none := actorstest.NewLauncher(t), errors.New("no more processes")
	launcher.Refuse(process.ID{Rank: 1}, none)
	launcher.Play(obey)
	err := supervisor.Run(t.Context(), spec(3), supervisor.WithSystem(newSystem()), supervisor.WithLauncher(launcher))
	var failure *supervisor.Failure
	if !errors.Is(err, none) || !errors.As(err, &failure) || failure.Rank != 1 || failure.PID != 0 {
		t.Errorf("the end is %v", err)
	}
}

func TestSignal(t *testing.T) {
	p := begin(t, spec(2))
	a, b := p.rank(0, 0), p.rank(1, 0)
	p.events.await(supervisor.EventRunning, 1)
	p.Signal(syscall.SIGHUP)
	p.expect(a, actors.Signal{Signal: syscall.SIGHUP})
	p.expect(b, actors.Signal{Signal: syscall.SIGHUP})
	a.Exit(process.Exit{})
	b.Exit(process.Exit{})
	p.expectEnd(nil)
}

// TestEnvironment: every rank finds who it is; the ranks of a generation meet at one port.
func TestEnvironment(t *testing.T) {
	s := spec(2)
	s.Ranks[1].Env = []string{"RANK=mine", "COLOUR=blue"}
	s.Strategy = supervisor.AllForOne{Restarts: 1}
	s.RunID = "r1"
	p := begin(t, s)
	a, b := p.rank(0, 0), p.rank(1, 0)
	for _, want := range []string{"RANK=0", "WORLD_SIZE=2", "MUSTER_GENERATION=0", "MUSTER_RUN_ID=r1"} {
		if !slices.Contains(a.Command.Env, want) {
			t.Errorf("%s is missing in %v", want, a.Command.Env)
		}
	}
	if i, j := slices.Index(b.Command.Env, "RANK=1"), slices.Index(b.Command.Env, "RANK=mine"); i < 0 || j < i {
		t.Errorf("the command's own variables do not come last: %v", b.Command.Env)
	}
	if port(a) == "" || port(a) == "MASTER_PORT=0" || port(a) != port(b) {
		t.Errorf("the ranks meet at %s and %s", port(a), port(b))
	}
	a.Exit(process.Exit{Code: 1})
	obey(b)
	if again := p.rank(0, 1); !slices.Contains(again.Command.Env, "TORCHELASTIC_RESTART_COUNT=1") {
		t.Errorf("the second generation finds %v", again.Command.Env)
	} else {
		again.Exit(process.Exit{})
	}
	p.rank(1, 1).Exit(process.Exit{})
	p.expectEnd(nil)
}

func port(p *actorstest.Process) string {
	i := slices.IndexFunc(p.Command.Env, func(kv string) bool { return strings.HasPrefix(kv, "MASTER_PORT=") })
	if i < 0 {
		return ""
	}
	return p.Command.Env[i]
}

// TestTwoGroups: groups share an engine, and nothing else.
func TestTwoGroups(t *testing.T) {
	processtest.Check(t)
	system := newSystem()
	a := begin(t, spec(2), supervisor.WithSystem(system))
	b := begin(t, spec(2), supervisor.WithSystem(system))
	if a.Root().Equal(b.Root()) {
		t.Fatalf("both are %v", a.Root())
	}
	a.rank(0, 0).Exit(process.Exit{Code: 1})
	obey(a.rank(1, 0))
	var failure *supervisor.Failure
	if err := a.Wait(); !errors.As(err, &failure) {
		t.Errorf("the end of one is %v", err)
	}
	if r := b.Report(); r.Outcome != supervisor.Running || len(r.Failures) > 0 {
		t.Errorf("the other says %+v", r)
	}
	b.rank(0, 0).Exit(process.Exit{})
	b.rank(1, 0).Exit(process.Exit{})
	b.expectEnd(nil)
}

// TestSharedSystem: without an option all groups live in one engine.
func TestSharedSystem(t *testing.T) {
	launcher := actorstest.NewLauncher(t)
	launcher.Play(func(p *actorstest.Process) { p.Exit(process.Exit{}) })
	for range 2 {
		if err := supervisor.Run(t.Context(), spec(3), supervisor.WithLauncher(launcher)); err != nil {
			t.Error(err)
		}
	}
}

func TestObservers(t *testing.T) {
	var order []string
	var log strings.Builder
	p := begin(t, spec(1),
		supervisor.WithObserver(func(e supervisor.Event) { order = append(order, "first "+string(e.Kind)) }),
		supervisor.WithObserver(func(e supervisor.Event) { order = append(order, "second "+string(e.Kind)) }),
		supervisor.WithLogger(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
	rank := p.rank(0, 0)
	rank.Raise(valueError())
	rank.Exit(process.Exit{Code: 1})
	<-p.Done()
	for i, e := range p.events.list() {
		if want := []string{"first " + string(e.Kind), "second " + string(e.Kind)}; !slices.Equal(order[2*i:2*i+2], want) {
			t.Errorf("event %d was seen as %v", e.Seq, order[2*i:2*i+2])
		}
	}
	if line := "level=WARN msg=failed generation=0 rank=0"; !strings.Contains(log.String(), line) {
		t.Errorf("the log is\n%s", log.String())
	}
}

// TestReportIsACopy: what a report holds does not change when the group goes on.
func TestReportIsACopy(t *testing.T) {
	p := begin(t, spec(3))
	p.rank(0, 0).Exit(process.Exit{Code: 1})
	p.events.await(supervisor.EventStop, 2)
	b, c := p.rank(1, 0), p.rank(2, 0)
	b.Raise(valueError())
	p.events.await(supervisor.EventFailed, 2)
	r := p.Report()
	b.Exit(process.Exit{Code: 1})
	obey(c)
	origin := r.Failures[0]
	if len(origin.Collateral) != 1 || origin.Collateral[0] != r.Failures[1] {
		t.Fatalf("the origin has %v", origin.Collateral)
	}
	if r.Failures[1].Exit != nil || origin.Stopped != nil {
		t.Errorf("the report has changed: %+v", r.Failures[1])
	}
	<-p.Done()
	if r := p.Report(); r.Failures[0].Collateral[0].Exit == nil || !slices.Equal(r.Failures[0].Stopped, []int{2}) {
		t.Errorf("in the end the report says %+v", r.Failures[0])
	}
}

func TestSpec(t *testing.T) {
	bad := supervisor.Spec{Grace: -1, StartTimeout: -1, Timeout: -1, Ranks: []process.Command{
		{Args: []string{"no-such-program"}}, {Args: []string{"true"}}, {Args: []string{"no-such-program"}}, {Dir: "/no/such"},
	}}
	_, err := supervisor.Start(t.Context(), bad)
	if !errors.Is(err, supervisor.ErrSpec) || !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("the error is %v", err)
	}
	for _, part := range []string{"Grace", "StartTimeout", "Timeout", "rank 0: ", "rank 3: "} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not name %q: %v", part, err)
		}
	}
	if cerr := bad.Check(process.Local()); cerr == nil || cerr.Error() != err.Error() {
		t.Errorf("before the start it is %v", cerr)
	}
	if strings.Contains(err.Error(), "rank 2") {
		t.Errorf("the error says the same twice: %v", err)
	}
	if err := supervisor.Run(t.Context(), supervisor.Spec{}); !errors.Is(err, supervisor.ErrSpec) {
		t.Errorf("a group of nobody: %v", err)
	}
	if n := len(supervisor.Repeat(-1, process.Command{})); n != 0 {
		t.Errorf("minus one command is %d", n)
	}
}

// TestMap: arguments go out by rank, results come back by rank.
// O-68, O-85: a running group takes another strategy, or keeps the old one when the new one makes no sense.
func TestSetStrategy(t *testing.T) {
	processtest.Check(t)
	p := begin(t, spec(1))
	for _, bad := range []supervisor.Strategy{nil, supervisor.AllForOne{Linger: -1}} {
		if err := p.SetStrategy(bad); !errors.Is(err, supervisor.ErrSpec) {
			t.Errorf("%v: %v", bad, err)
		}
	}
	if err := p.SetStrategy(supervisor.AllForOne{Restarts: 1}); err != nil {
		t.Error(err)
	}
	p.rank(0, 0).Exit(process.Exit{Code: 1})
	again := p.rank(0, 1)
	if !slices.Contains(again.Command.Env, "TORCHELASTIC_MAX_RESTARTS=1") {
		t.Errorf("the environment is %v", again.Command.Env)
	}
	if err := p.SetStrategy(supervisor.IgnoreFailures{}); err != nil {
		t.Error(err)
	}
	again.Exit(process.Exit{Code: 1})
	p.expectEnd(nil)
	if err := p.SetStrategy(supervisor.FailFast{}); !errors.Is(err, supervisor.ErrStopped) {
		t.Errorf("after the end: %v", err)
	}
}

// O-62 to O-68, O-85: a running group takes other terms, all of them, or keeps the old ones when the new ones make no sense.
func TestSetTerms(t *testing.T) {
	processtest.Check(t)
	b := &book{until: -1}
	p := begin(t, spec(3), supervisor.WithJournal(b))
	ranks := []*actorstest.Process{p.rank(0, 0), p.rank(1, 0), p.rank(2, 0)}
	for _, bad := range []supervisor.Terms{
		{Significant: []int{0}}, {Significant: []int{3}, AutoShutdown: supervisor.AnySignificant},
		{Success: supervisor.Success{Need: 4}}, {RestartTypes: make([]supervisor.RestartType, 4)},
	} {
		if err := p.SetTerms(bad); !errors.Is(err, supervisor.ErrSpec) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	terms := supervisor.Terms{
		RestartTypes: []supervisor.RestartType{supervisor.Temporary}, Significant: []int{1},
		AutoShutdown: supervisor.AnySignificant, Success: supervisor.Success{Ranks: []int{1}, Await: true},
	}
	if err := p.SetTerms(terms); err != nil {
		t.Error(err)
	}
	terms.Significant[0] = 2 // nobody sees this
	ranks[0].Exit(process.Exit{Code: 1})
	p.events.await(supervisor.EventDecided, 1)
	ranks[1].Exit(process.Exit{})
	p.expect(ranks[2], actors.Stop{Reason: "rank 1, which is significant, has ended", Grace: 30 * time.Second})
	ranks[2].Exit(terminated)
	p.expectEnd(nil)
	if err := p.SetTerms(supervisor.Terms{}); !errors.Is(err, supervisor.ErrStopped) {
		t.Errorf("after the end: %v", err)
	}
	j := b.read(t)
	again, err := supervisor.Replay(j, supervisor.FailFast{})
	if err != nil || again.Err != nil || again.Report.Outcome != supervisor.Succeeded {
		t.Errorf("the replay ends with %v, %v", again.Err, err)
	}
	if told := j.Outside(); len(told) != 1 || told[0].Terms == nil || !slices.Equal(told[0].Terms.Significant, []int{1}) ||
		!told[0].Terms.Success.Await || told[0].Terms.RestartTypes[0] != supervisor.Temporary {
		t.Errorf("the journal has %+v", told)
	}
}

func TestMap(t *testing.T) {
	launcher := actorstest.NewLauncher(t)
	launcher.Play(func(p *actorstest.Process) {
		var n int
		_ = transport.Unmarshal(p.Command.Argument, &n)
		value, _ := transport.Marshal(n * n)
		p.Ready()
		p.Return(value)
		p.Exit(process.Exit{})
	})
	with := []supervisor.Option{supervisor.WithSystem(newSystem()), supervisor.WithLauncher(launcher)}
	got, err := supervisor.Map(t.Context(), supervisor.Spec{}, square, []int{1, 2, 3}, with...)
	if err != nil || !slices.Equal(got, []int{1, 4, 9}) {
		t.Errorf("%v, %v", got, err)
	}
	_, err = supervisor.Map(t.Context(), spec(2), square, []int{1, 2, 3}, with...)
	if !errors.Is(err, supervisor.ErrSpec) {
		t.Errorf("three arguments for two ranks: %v", err)
	}
	launcher.Play(func(p *actorstest.Process) { p.Ready(); p.Return([]byte{0xc1}); p.Exit(process.Exit{}) })
	_, err = supervisor.Map(t.Context(), supervisor.Spec{}, square, []int{1}, with...)
	if !errors.Is(err, transport.ErrMalformed) {
		t.Errorf("a result that is none: %v", err)
	}
	launcher.Play(func(p *actorstest.Process) { p.Ready(); p.Exit(process.Exit{}) })
	if _, err = supervisor.Map(t.Context(), supervisor.Spec{}, square, []int{1}, with...); err == nil {
		t.Error("success without a result")
	}
	launcher.Play(func(p *actorstest.Process) { p.Ready(); p.Exit(process.Exit{Code: 9}) })
	var exit *process.Exit
	if _, err = supervisor.Map(t.Context(), supervisor.Spec{}, square, []int{1}, with...); !errors.As(err, &exit) {
		t.Errorf("a rank that failed: %v", err)
	}
}

var square = worker.Func("square", func(_ context.Context, _ worker.Info, n int) (int, error) { return n * n, nil })

func ExampleFailure() {
	err := error(&supervisor.Failure{
		Rank: 2, Generation: 1, Exception: &transport.Exception{Type: "ValueError", Message: "no learning rate"},
		Exit: &process.Exit{Code: 1},
	})
	var exception *transport.Exception
	var exit *process.Exit
	fmt.Println(err)
	fmt.Println(errors.As(err, &exception), errors.As(err, &exit))
	// Output:
	// rank 2@1: ValueError: no learning rate
	// true true
}

package supervisor_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/go-muster/muster/actors"
	"github.com/go-muster/muster/actors/actorstest"
	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport"
)

// checkCrash: a panic is a bug; the group ends with it, and with the stack that tells where.
func checkCrash(t *testing.T, g *supervisor.Group, where string) {
	t.Helper()
	err := g.Wait()
	if err == nil {
		t.Fatal("the group ended well")
	}
	for _, part := range []string{"supervisor: internal error in actor", "on purpose", where} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not say %q:\n%v", part, err)
		}
	}
	if r := g.Report(); r.Outcome != supervisor.Failed {
		t.Errorf("the report says %v", r.Outcome)
	}
	for _, rank := range g.Report().Ranks {
		if rank.Outcome == supervisor.Running {
			t.Errorf("rank %d is said to run", rank.Rank)
		}
	}
}

// TestObserverPanics: whenever it does, every process is killed and nobody waits for ever.
func TestObserverPanics(t *testing.T) {
	for _, kind := range []supervisor.EventKind{
		supervisor.EventSpawn, supervisor.EventStarted, supervisor.EventReady, supervisor.EventRunning,
		supervisor.EventReturned, supervisor.EventFailed, supervisor.EventDecided, supervisor.EventStop,
		supervisor.EventExited, supervisor.EventReaped, supervisor.EventDone,
	} {
		t.Run(string(kind), func(t *testing.T) {
			processtest.Check(t)
			launcher := actorstest.NewLauncher(t)
			ready, begin := context.WithCancel(t.Context())
			launcher.Play(func(p *actorstest.Process) { playToTheEnd(ready, p) })
			g, err := supervisor.Start(t.Context(), spec(3), supervisor.WithLauncher(launcher),
				supervisor.WithObserver(func(e supervisor.Event) {
					if e.Kind == supervisor.EventRunning {
						begin()
					}
					if e.Kind == kind {
						panic("on purpose")
					}
				}))
			if err != nil {
				t.Fatal(err)
			}
			checkCrash(t, g, "crash_test.go")
		})
	}
}

// playToTheEnd: once all are ready rank 0 returns and fails, the others end when they are told to.
func playToTheEnd(ready context.Context, p *actorstest.Process) {
	if p.ID.Rank == 0 && p.Order(ready) == nil {
		p.Return(nil)
		p.Exit(process.Exit{Code: 1})
		return
	}
	if p.ID.Rank > 0 {
		p.Order(context.Background())
	}
	p.Exit(terminated)
}

// A brokenLauncher panics at one of the things it is asked to do.
type brokenLauncher struct {
	process.Launcher
	at string
}

func (l brokenLauncher) Launch(id process.ID, c process.Command, o process.Observer) (process.Process, error) {
	if id.Rank == 1 && l.at == "launch" {
		panic("on purpose")
	}
	p, err := l.Launcher.Launch(id, c, o)
	if id.Rank == 1 {
		p = brokenProcess{p, l.at}
	}
	return p, err
}

type brokenProcess struct {
	process.Process
	at string
}

func (p brokenProcess) Kill() {
	p.Process.Kill()
	if p.at == "kill" {
		panic("on purpose")
	}
}

// TestLauncherPanics: in a rank's actor, too. One that panics while it is being stopped holds up nobody.
func TestLauncherPanics(t *testing.T) {
	for _, at := range []string{"launch", "kill"} {
		t.Run(at, func(t *testing.T) {
			processtest.Check(t)
			launcher := actorstest.NewLauncher(t)
			launcher.Play(func(p *actorstest.Process) {
				for p.Order(context.Background()) != (actors.Kill{}) { // a stop may come before
				}
				p.Exit(killed)
			})
			g, err := supervisor.Start(t.Context(), spec(3), supervisor.WithLauncher(brokenLauncher{launcher, at}))
			if err != nil {
				t.Fatal(err)
			}
			g.Kill("")
			checkCrash(t, g, "crash_test.go")
		})
	}
}

func (p brokenProcess) Post(m transport.Message) {
	if p.at == "post" {
		panic("on purpose")
	}
	p.Process.Post(m)
}

// TestDeskPanics: a panic at the desk ends the group, and not the program of whoever has sent a message.
func TestDeskPanics(t *testing.T) {
	processtest.Check(t)
	launcher := actorstest.NewLauncher(t)
	launcher.Play(func(p *actorstest.Process) {
		p.Hello("go")
		p.Say(&transport.Credit{Bytes: transport.MailWindow})
		for p.Order(context.Background()) != (actors.Kill{}) {
		}
		p.Exit(killed)
	})
	g, err := supervisor.Start(t.Context(), spec(3), supervisor.WithLauncher(brokenLauncher{launcher, "post"}))
	if err != nil {
		t.Fatal(err)
	}
	var answer string
	if err := g.Request(t.Context(), 1, "ask", "hello", &answer); !errors.Is(err, supervisor.ErrStopped) {
		t.Errorf("the request ends with %v", err)
	}
	checkCrash(t, g, "crash_test.go")
}

// TestDeadLetterListenerPanics: so does the panic of who listens to dead letters, when one of ours makes it hear.
func TestDeadLetterListenerPanics(t *testing.T) {
	processtest.Check(t)
	p := begin(t, spec(1))
	p.system.EventStream.SubscribeWithPredicate(func(any) { panic("on purpose") }, func(event any) bool {
		letter, is := event.(*actor.DeadLetterEvent)
		return is && letter.Message == "are you there?"
	})
	p.system.Root.Send(p.PID(7), "are you there?")
	rank := p.rank(0, 0)
	obey(rank)
	checkCrash(t, p.Group, "crash_test.go")
}

// TestCrashIsItsOwn: groups of different engines have actors of the same name, and not the same crashes.
func TestCrashIsItsOwn(t *testing.T) {
	bystander := begin(t, spec(1))
	victim := begin(t, spec(1), supervisor.WithObserver(func(e supervisor.Event) {
		if e.Kind == supervisor.EventRunning {
			panic("on purpose")
		}
	}))
	if bystander.Root().Id != victim.Root().Id {
		t.Fatalf("the names are %s and %s", bystander.Root().Id, victim.Root().Id)
	}
	obey(victim.rank(0, 0))
	checkCrash(t, victim.Group, "crash_test.go")
	bystander.rank(0, 0).Exit(process.Exit{})
	bystander.expectEnd(nil)
}

// TestStoppedByTheEngine: whoever stops the root actor stops the group.
func TestStoppedByTheEngine(t *testing.T) {
	for name, stop := range map[string]func(*play){
		"stop":   func(p *play) { p.system.Root.Stop(p.Root()) },
		"poison": func(p *play) { p.system.Root.Poison(p.Root()) },
	} {
		t.Run(name, func(t *testing.T) {
			processtest.Check(t)
			p := begin(t, spec(2))
			a, b := p.rank(0, 0), p.rank(1, 0)
			stop(p)
			p.expect(a, actors.Kill{})
			p.expect(b, actors.Kill{})
			a.Exit(killed)
			b.Exit(killed)
			p.expectEnd(supervisor.ErrStopped)
			if r := p.Report(); r.Outcome != supervisor.Interrupted || r.Ranks[0].Outcome != supervisor.Stopped {
				t.Errorf("the report says %+v", r)
			}
		})
	}
}

// TestNoSpawnWhileStopping: what a root actor hears when the engine is stopping it starts nothing, since nobody would end
// that again.
func TestNoSpawnWhileStopping(t *testing.T) {
	bubble(t, func(t *testing.T) {
		entered, leave := make(chan struct{}), make(chan struct{})
		s := spec(2)
		s.Strategy = supervisor.OneForOne{Restarts: -1}
		p := begin(t, s, supervisor.WithObserver(func(e supervisor.Event) {
			if e.Kind == supervisor.EventReturned {
				close(entered)
				<-leave
			}
		}))
		a, b := p.rank(0, 0), p.rank(1, 0)
		p.events.await(supervisor.EventRunning, 1)
		b.Return(nil)
		<-entered // the root is busy; behind this queue
		a.Exit(process.Exit{Code: 1})
		synctest.Wait()
		p.system.Root.Stop(p.Root())
		close(leave)
		p.expect(b, actors.Kill{})
		synctest.Wait()
		if n := p.launcher.Launched(); n != 2 {
			t.Errorf("%d processes were launched", n)
		}
		b.Exit(killed)
		p.expectEnd(supervisor.ErrStopped)
	})
}

// TestCrashUnwraps: a panic with an error is that error.
func TestCrashUnwraps(t *testing.T) {
	cause := errors.New("on purpose")
	launcher := actorstest.NewLauncher(t)
	launcher.Play(obey)
	err := supervisor.Run(t.Context(), spec(1), supervisor.WithLauncher(launcher),
		supervisor.WithLogger(slog.New(slog.DiscardHandler)),
		supervisor.WithObserver(func(supervisor.Event) { panic(cause) }))
	if !errors.Is(err, cause) {
		t.Errorf("the end is %v", err)
	}
}

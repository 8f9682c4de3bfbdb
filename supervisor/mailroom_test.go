package supervisor_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/go-muster/muster/actors/actorstest"
	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport"
)

// nextMail takes the next message that a worker gets, past all other orders.
func nextMail(t *testing.T, rank *actorstest.Process) *transport.Mail {
	t.Helper()
	for {
		switch order := rank.Order(context.Background()).(type) {
		case *transport.Mail:
			return order
		case nil:
			t.Fatal("there is no mail")
		}
	}
}

// Who listens to dead letters may ask the group, also about the rank whose end has made them: control waits for nobody (G-9).
func TestDeadLetterListenerAsks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := begin(t, supervisor.Spec{Ranks: supervisor.Repeat(2, process.Command{Args: []string{"train"}})})
		heard := make(chan supervisor.Report, 10)
		p.system.EventStream.SubscribeWithPredicate(func(any) { heard <- p.Report() }, func(event any) bool {
			letter, is := event.(*actor.DeadLetterEvent)
			return is && letter.Message == "are you there?"
		})
		zero, one := p.rank(0, 0), p.rank(1, 0)
		p.system.Root.Send(p.PID(0), "are you there?")
		p.system.Root.Send(p.PID(1), "are you there?")
		synctest.Wait()
		zero.Exit(process.Exit{})
		if r := <-heard; len(r.Ranks) != 2 {
			t.Errorf("the report is %+v", r)
		}
		one.Exit(process.Exit{})
		<-heard
		p.expectEnd(nil)
	})
}

// A rank whose messages an actor takes runs out of credit while they are on their way there: nothing that it sends piles up before.
func TestListenerHoldsBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		system, let := newSystem(), make(chan struct{})
		listener := system.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) { // which runs where it is sent to
			if _, is := ctx.Message().(*supervisor.Message); is {
				<-let
			}
		}, actor.WithDispatcher(actor.NewSynchronizedDispatcher(1))))
		p := begin(t, spec(1), supervisor.WithSystem(system), supervisor.WithMessagesTo(listener))
		rank := p.rank(0, 0)
		rank.Hello("go")
		for range 3 {
			rank.Say(&transport.Mail{Value: make([]byte, 512<<10)})
		}
		synctest.Wait()
		none, stop := context.WithCancel(t.Context())
		stop()
		if order := rank.Order(none); order != nil {
			t.Errorf("the rank is given %+v for what nobody has taken", order)
		}
		close(let)
		for taken := 0; taken < 3*512<<10; {
			taken += rank.Order(t.Context()).(*transport.Credit).Bytes
		}
		rank.Exit(process.Exit{})
		p.expectEnd(nil)
		if err := system.Root.StopFuture(listener).Wait(); err != nil {
			t.Error(err)
		}
	})
}

// Ranks that were there before the first that speaks are known, and when they have ended, too.
func TestFirstSpeaker(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := begin(t, supervisor.Spec{Ranks: supervisor.Repeat(2, process.Command{Args: []string{"serve"}, Plain: true})})
		zero, one := p.rank(0, 0), p.rank(1, 0)
		p.events.await(supervisor.EventRunning, 1)
		zero.Exit(process.Exit{})
		p.events.await(supervisor.EventExited, 1)
		if _, err := p.Add(supervisor.Repeat(1, process.Command{Args: []string{"train"}}), ""); err != nil {
			t.Fatal(err)
		}
		two := p.rank(2, 1)
		if err := p.Tell(t.Context(), 0, "late", nil); !errors.Is(err, supervisor.ErrRankEnded) {
			t.Errorf("the message to the rank that has ended: %v", err)
		}
		told := make(chan error, 1)
		go func() { told <- p.Tell(t.Context(), 1, "to no avail", nil) }()
		two.Hello("go")
		two.Say(&transport.Mail{ID: 1, Topic: "muster.barrier"})
		if m := nextMail(t, two); m.Reply != 1 || m.Error == "" {
			t.Errorf("the barrier ends with %+v", m)
		}
		one.Exit(process.Exit{})
		if err := <-told; !errors.Is(err, supervisor.ErrRankEnded) {
			t.Errorf("the message to the rank that ends: %v", err)
		}
		two.Exit(process.Exit{})
		p.expectEnd(nil)
	})
}

// Where no rank can speak nobody is there to be told anything, before the end and after it.
func TestNobodySpeaks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := begin(t, supervisor.Spec{Ranks: supervisor.Repeat(1, process.Command{Args: []string{"serve"}, Plain: true})})
		zero := p.rank(0, 0)
		if err := p.Tell(t.Context(), 0, "", nil); !errors.Is(err, supervisor.ErrRankEnded) {
			t.Errorf("a message: %v", err)
		}
		zero.Exit(process.Exit{})
		p.expectEnd(nil)
		if err := p.Tell(t.Context(), 0, "", nil); !errors.Is(err, supervisor.ErrStopped) {
			t.Errorf("a message after the end: %v", err)
		}
	})
}

// A rank that was removed before it had a life is waited for by nobody.
func TestRemovedBeforeTheFirstLife(t *testing.T) {
	bubble(t, func(t *testing.T) {
		hosts := actorstest.NewHosts(t, time.Second)
		p := beginOn(t, hosts, supervisor.Spec{Ranks: supervisor.Repeat(2, process.Command{Args: []string{"train"}})})
		p.events.await(supervisor.EventWaiting, 1)
		told := make(chan error, 1)
		go func() { told <- p.Tell(t.Context(), 1, "hello", nil) }()
		if err := p.Remove(1, ""); err != nil {
			t.Fatal(err)
		}
		if err := <-told; !errors.Is(err, supervisor.ErrRankEnded) {
			t.Errorf("the message to the rank that was removed: %v", err)
		}
		hosts.Add("a", 2)
		zero := p.rank(0, 0)
		zero.Hello("go")
		zero.Say(&transport.Mail{ID: 1, Topic: "muster.barrier"})
		if m := nextMail(t, zero); m.Reply != 1 || m.Error == "" {
			t.Errorf("the barrier ends with %+v", m)
		}
		zero.Exit(process.Exit{})
		p.expectEnd(nil)
	})
}

// An ordered start brings back those that had ended before, too: who comes to a barrier first waits for them.
func TestBarrierInAnOrderedRestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := spec(2)
		s.Ordered, s.Strategy = true, supervisor.AllForOne{Restarts: 1}
		for i := range s.Ranks {
			s.Ranks[i].Speaks = true
		}
		p := begin(t, s)
		zero := p.rank(0, 0)
		zero.Ready()
		one := p.rank(1, 0)
		one.Ready()
		p.events.await(supervisor.EventRunning, 1)
		one.Exit(process.Exit{})
		p.events.await(supervisor.EventExited, 1)
		zero.Exit(process.Exit{Code: 1})
		meet := func(rank *actorstest.Process) {
			rank.Hello("go")
			rank.Say(&transport.Mail{ID: 1, Topic: "muster.barrier"})
			rank.Ready()
		}
		zero = p.rank(0, 1)
		meet(zero)
		one = p.rank(1, 1)
		meet(one)
		for _, rank := range []*actorstest.Process{zero, one} {
			if m := nextMail(t, rank); m.Reply != 1 || m.Error != "" {
				t.Errorf("rank %d's barrier ends with %+v", rank.ID.Rank, m)
			}
			rank.Exit(process.Exit{})
		}
		p.expectEnd(nil)
	})
}

// A rank that was dropped before an ordered start came to it is waited for by nobody.
func TestDroppedBeforeTheFirstLife(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := spec(3)
		s.Ordered = true
		s.Strategy = supervisor.StrategyFunc(func(supervisor.State, *supervisor.Failure) supervisor.Directive {
			return supervisor.Directive{Action: supervisor.Drop, Ranks: []int{2}}
		})
		for i := range s.Ranks {
			s.Ranks[i].Speaks = true
		}
		p := begin(t, s)
		told := make(chan error, 1)
		go func() { told <- p.Tell(t.Context(), 2, "hello", nil) }()
		zero := p.rank(0, 0)
		zero.Ready()
		p.rank(1, 0).Exit(process.Exit{Code: 1})
		if err := <-told; !errors.Is(err, supervisor.ErrRankEnded) {
			t.Errorf("the message to the rank that was dropped: %v", err)
		}
		zero.Exit(process.Exit{})
		_ = p.Wait()
	})
}

package supervisor_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport"
)

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

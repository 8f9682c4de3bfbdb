package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport"
	"github.com/go-muster/muster/transport/worker"
)

// infer is a worker: it would load a model and answer questions. It ends when it is asked to.
var infer = worker.Func("infer", func(ctx context.Context, _ worker.Info, model string) (string, error) {
	<-ctx.Done()
	return model, nil
})

// count is a rank of the job. It does its share, and has an accident in its first life.
var count = worker.Func("count", func(_ context.Context, me worker.Info, numbers int) (int, error) {
	if me.Rank == 0 && me.Generation == 0 {
		return 0, errors.New("an accident")
	}
	sum := 0
	for n := me.Rank; n < numbers; n += me.World {
		sum += n
	}
	fmt.Printf("rank %d of the job has %d\n", me.Rank, sum)
	return sum, nil
})

// specs says what the service consists of.
func specs(workers int) ([]supervisor.Spec, error) {
	model, err := transport.Marshal("small")
	if err != nil {
		return nil, err
	}
	numbers, err := transport.Marshal(1000)
	if err != nil {
		return nil, err
	}
	answer, job := process.Reexec(infer.Name()), process.Reexec(count.Name())
	answer.Argument, job.Argument = model, numbers
	types := make([]supervisor.RestartType, max(0, workers))
	for rank := range types {
		types[rank] = supervisor.Permanent
	}
	return []supervisor.Spec{{
		Name: "workers", Ranks: supervisor.Repeat(workers, answer), RestartTypes: types, Grace: 10 * time.Second,
		Strategy: supervisor.OneForOne{Restarts: 5, Within: time.Hour},
	}, {
		Name: "job", Ranks: supervisor.Repeat(2, job), // transient: each ends when its work is done
		Strategy: supervisor.AllForOne{Restarts: 1},
	}}, nil
}

// Messages to a service.
type (
	shutDown struct{}
	reportOf struct{ name string } // is answered with a *supervisor.Report, nil when there is no such group
)

// A service is an actor with groups for children.
type service struct {
	groups []*group
	live   int
	done   chan struct{} // closed when the service has ended
	err    error         // why; read after done
}

// A group is one child of the service.
type group struct {
	name  string
	props *actor.Props
	pid   *actor.PID
	last  *supervisor.Report // nil while it runs
}

// newService looks at all groups before any process starts.
func newService(workers int) (*service, error) {
	specs, err := specs(workers)
	if err != nil {
		return nil, err
	}
	s := &service{done: make(chan struct{})}
	for _, spec := range specs {
		props, err := supervisor.Props(spec)
		if err != nil {
			return nil, fmt.Errorf("group %s: %w", spec.Name, err)
		}
		s.groups = append(s.groups, &group{name: spec.Name, props: props})
	}
	return s, nil
}

// Receive is all that the service does.
func (s *service) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		for _, g := range s.groups {
			g.pid = ctx.Spawn(g.props)
			s.live++
		}
	case *supervisor.Ended:
		s.ended(ctx, m)
	case *shutDown:
		s.stop(ctx, "the service ends")
	case *reportOf:
		s.answer(ctx, m.name)
	}
}

// ended hears that a group has ended, and that nothing of it is left. Without the workers there is no service.
func (s *service) ended(ctx actor.Context, m *supervisor.Ended) {
	for _, g := range s.groups {
		if g.pid.Equal(m.PID) {
			g.last = &m.Report
			fmt.Printf("%s ended: %s (%v)\n", g.name, m.Report.Outcome, m.Err)
			if g.name == "workers" && !errors.Is(m.Err, supervisor.ErrStopped) {
				s.err = fmt.Errorf("the workers: %w", m.Err)
				s.stop(ctx, "the workers are gone")
			}
		}
	}
	if s.live--; s.live == 0 {
		close(s.done)
	}
}

// stop asks the groups that live to end. Each tells when it has.
func (s *service) stop(ctx actor.Context, reason string) {
	for _, g := range s.groups {
		if g.last == nil {
			ctx.Send(g.pid, &supervisor.StopGroup{Reason: reason})
		}
	}
}

// answer lets a group that runs answer by itself.
func (s *service) answer(ctx actor.Context, name string) {
	for _, g := range s.groups {
		switch {
		case g.name != name:
		case g.last != nil:
			ctx.Respond(g.last)
			return
		default:
			ctx.RequestWithCustomSender(g.pid, &supervisor.ReportRequest{}, ctx.Sender())
			return
		}
	}
	ctx.Respond((*supervisor.Report)(nil))
}

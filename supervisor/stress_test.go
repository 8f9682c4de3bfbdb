package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/go-muster/muster/actors"
	"github.com/go-muster/muster/actors/actorstest"
	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport"
)

// TestMailUnderStress: whatever ranks say, however they and the group come and go, each call ends, with its own answer or with an
// error that says why there is none, and so does the group.
func TestMailUnderStress(t *testing.T) {
	for name, hear := range map[string]func(*stress) supervisor.Option{
		"function": func(s *stress) supervisor.Option { return supervisor.WithMessages(s.take) },
		"actor":    func(s *stress) supervisor.Option { return supervisor.WithMessagesTo(s.listener()) },
		"nobody":   func(*stress) supervisor.Option { return supervisor.WithMessages(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			processtest.Check(t)
			s := newStress(t)
			s.begin(actorstest.NewLauncher(t), nil, supervisor.Elastic{}, hear(s))
		})
	}
}

// TestMailUnderStressOverHosts likewise, where hosts come and go.
func TestMailUnderStressOverHosts(t *testing.T) {
	processtest.Check(t)
	hosts := actorstest.NewHosts(t, time.Second)
	s := newStress(t)
	s.begin(hosts, hosts, supervisor.Elastic{Fit: true, Regrow: true, Settle: time.Millisecond}, supervisor.WithMessages(s.take))
}

// A stress is a group in turmoil.
type stress struct {
	*testing.T
	system  *actor.ActorSystem
	group   *supervisor.Group
	busy    sync.WaitGroup // those that go on by themselves
	patient sync.WaitGroup // calls that wait for an answer, or the end
}

func newStress(t *testing.T) *stress {
	s := &stress{T: t, system: newSystem()}
	t.Cleanup(s.system.Shutdown)
	return s
}

// begin has a group of stressed ranks, and callers, and ends it when they have called enough.
func (s *stress) begin(l interface {
	process.Launcher
	Play(func(*actorstest.Process))
}, hosts *actorstest.Hosts, e supervisor.Elastic, hear supervisor.Option,
) {
	over, end := context.WithCancel(context.Background())
	defer end() // of processes that are lost: nobody tells them anything
	l.Play(func(p *actorstest.Process) {
		(&stressed{Process: p, dice: dice(p.ID.Rank, p.ID.Generation)}).work(over)
	})
	g, err := supervisor.Start(s.Context(), supervisor.Spec{
		Ranks: supervisor.Repeat(6, process.Command{Args: []string{"train"}}), Strategy: supervisor.OneForOne{Restarts: -1}, Elastic: e,
	}, supervisor.WithLauncher(l), supervisor.WithSystem(s.system), hear)
	if err != nil {
		s.Fatal(err)
	}
	s.group = g
	for caller := range 12 {
		s.busy.Go(func() { s.call(dice(caller, 1000)) })
	}
	s.busy.Go(func() { s.change(dice(0, 2000), hosts) })
	s.busy.Wait()
	g.Stop("enough")
	if err := g.Wait(); err == nil {
		s.Error("the group ended well")
	}
	s.patient.Wait()
}

// dice are the same in each run, for whoever has the same number; how those who throw them get into each other's way is not.
func dice(who, what int) *rand.Rand { return rand.New(rand.NewPCG(uint64(who), uint64(what))) }

// take answers some requests at once, and some never.
func (s *stress) take(m *supervisor.Message) {
	if m.Wanted() && len(m.Value)%3 > 0 {
		_ = m.Reply(m.Topic)
	}
}

func (s *stress) listener() *actor.PID {
	return s.system.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		if m, is := ctx.Message().(*supervisor.Message); is {
			s.take(m)
			ctx.Respond(m.Topic) // again, or to nobody
		}
	}))
}

// call tells and asks. Some calls have no time at all, most a little, and a few all there is.
func (s *stress) call(dice *rand.Rand) {
	for n := range 150 {
		rank, text := dice.IntN(8)-1, fmt.Sprint(dice.Uint64(), n)
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(dice.IntN(2000))*time.Microsecond)
		switch dice.IntN(12) {
		case 0:
			cancel()
			s.ask(ctx, rank, text)
		case 1:
			s.patient.Go(func() { s.ask(context.Background(), rank, text) })
		case 2:
			if pid := s.group.PID(rank); pid != nil {
				s.system.Root.Send(pid, text)
			}
		case 3, 4, 5:
			s.check(s.group.Tell(ctx, rank, "tell", text))
		default:
			s.ask(ctx, rank, text)
		}
		cancel()
	}
}

func (s *stress) ask(ctx context.Context, rank int, text string) {
	var answer string
	if err := s.group.Request(ctx, rank, "ask", text, &answer); err != nil {
		s.check(err)
	} else if answer != text {
		s.Errorf("rank %d answers %q to %q", rank, answer, text)
	}
}

// check knows why a call may fail.
func (s *stress) check(err error) {
	for _, may := range []error{
		nil, context.Canceled, context.DeadlineExceeded,
		supervisor.ErrNoRank, supervisor.ErrRankEnded, supervisor.ErrRefused, supervisor.ErrStopped,
	} {
		if errors.Is(err, may) {
			return
		}
	}
	s.Error(err)
}

// change changes the group. It may be busy.
func (s *stress) change(dice *rand.Rand, hosts *actorstest.Hosts) {
	for range 400 { // which is busy most of the time
		var err error
		if host := fmt.Sprint("host ", dice.IntN(3)); hosts != nil && dice.IntN(10) == 0 {
			hosts.Lose(host, "it is stressed")
		} else if hosts != nil {
			hosts.Add(host, 1+dice.IntN(4))
		}
		switch dice.IntN(5) {
		case 0:
			_, err = s.group.Add(supervisor.Repeat(1, process.Command{Args: []string{"train"}}), "")
		case 1:
			err = s.group.Remove(dice.IntN(6), "")
		case 2:
			err = s.group.Resize(supervisor.Repeat(4+dice.IntN(4), process.Command{Args: []string{"train"}}), "")
		default:
			err = s.group.Restart("", dice.IntN(6))
		}
		if err != nil && !errors.Is(err, supervisor.ErrBusy) && !errors.Is(err, supervisor.ErrSpec) {
			s.Error(err)
		}
		_ = s.group.Report()
	}
}

// A stressed rank does at random what ranks do, until it is told to end or fails.
type stressed struct {
	*actorstest.Process
	dice *rand.Rand
	last int // number of a request
}

func (p *stressed) work(over context.Context) {
	p.Hello("go")
	p.Say(&transport.Credit{Bytes: 1 << 10})
	p.Ready()
	for {
		switch order := p.Order(over).(type) {
		case nil:
			return
		case actors.Stop, actors.Kill:
			p.speak()
			p.Exit(terminated)
			return
		case *transport.Mail:
			p.answer(order)
			if p.dice.IntN(3) == 0 {
				p.speak()
			}
			if p.dice.IntN(100) == 0 {
				p.Exit(process.Exit{Code: 1})
				return
			}
		}
	}
}

// answer answers a request, or refuses it, twice, or not at all, and takes more or not.
func (p *stressed) answer(m *transport.Mail) {
	reply := &transport.Mail{Reply: m.ID, Value: m.Value}
	switch p.dice.IntN(8) {
	case 0:
		return
	case 1:
		reply.Value, reply.Error = nil, "no"
	case 2:
		p.Say(&transport.Mail{Reply: m.ID + 1<<20, Value: []byte{0xc0}}) // nobody has asked that
	}
	if p.Say(&transport.Credit{Bytes: m.Cost()}); m.ID != 0 {
		p.Say(reply)
	}
}

// speak tells, asks and meets.
func (p *stressed) speak() {
	for range 1 + p.dice.IntN(10) {
		p.last++
		topics := []string{"talk", "muster.barrier", "muster.gather", "muster.get", "muster.cancel", "muster.set", "muster.nothing"}
		m := &transport.Mail{Topic: topics[p.dice.IntN(len(topics))], ID: p.last * p.dice.IntN(2)}
		switch m.Topic {
		case "muster.cancel":
			m.Value, _ = transport.Marshal(p.dice.IntN(p.last))
		case "muster.get", "muster.set":
			m.Value, _ = transport.Marshal(map[string]any{"key": fmt.Sprint(p.dice.IntN(5)), "wait": p.dice.IntN(2) == 0, "value": []byte("x")})
		default:
			m.Value = make([]byte, p.dice.IntN(100))
		}
		p.Say(m)
	}
}
